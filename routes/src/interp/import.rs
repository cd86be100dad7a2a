//! Modules: loading them and what import statements bind.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use ruff_python_ast::{StmtImport, StmtImportFrom};

use super::{Frame, Interp};
use crate::limits::{Counter, MAX_IMPORTS};
use crate::source::Place;
use crate::value::{Loading, Module, Scope, ScopeKind, Value};

impl<'a> Interp<'a> {
    /// The module of a file, evaluated with the packages around it unless that is under way already.
    pub(crate) fn module(&mut self, file: usize) -> Rc<Module<'a>> {
        for package in self.sources.tree.packages_above(file) {
            self.load(package);
        }
        self.load(file)
    }

    fn load(&mut self, file: usize) -> Rc<Module<'a>> {
        let module = match self.modules.get(&file) {
            Some(module) => module.clone(),
            None => {
                let tree = self.sources.tree;
                let folder = if tree.is_package(file) {
                    tree.package_folder(file).to_path_buf()
                } else {
                    // A plain module has no submodules: a folder that cannot exist.
                    Path::new(&tree.path(file)).join("-")
                };
                let scope = self.scope(None, ScopeKind::Module, file);
                let module =
                    Rc::new(Module { file: Some(file), folder, scope, state: Cell::new(Loading::No) });
                self.modules.insert(file, module.clone());
                module
            }
        };
        if module.state.get() != Loading::No || self.stopped {
            return module;
        }
        if self.imports >= MAX_IMPORTS {
            self.counters.add(Counter::TooDeep, 1);
            return module;
        }
        let sources = self.sources;
        let Some(parsed) = sources.parsed(file, &mut self.counters) else { return module };
        module.state.set(Loading::Running);
        self.imports += 1;
        // What is certain within a module does not depend on who imports it first.
        let uncertain = std::mem::take(&mut self.uncertain);
        let nesting = std::mem::take(&mut self.nesting);
        // Nor on the factory that imports it.
        let run = std::mem::take(&mut self.run);
        let path = self.sources.tree.path(file);
        let is_script = self.options.script.as_ref() == Some(&path);
        let name = if is_script { "__main__".into() } else { self.sources.tree.dotted(file) };
        module.scope.set("__name__", Value::str(name));
        module.scope.set("__file__", super::data::dunder_file(&path));
        let mut frame = Frame::new(module.scope.clone());
        self.block(&mut frame, &parsed.module.body);
        self.nesting = nesting;
        self.uncertain = uncertain;
        self.run = run;
        self.imports -= 1;
        module.state.set(Loading::Done);
        self.finished.push(module.clone());
        module
    }

    fn namespace(&mut self, folder: &Path) -> Rc<Module<'a>> {
        if let Some(module) = self.folders.get(folder) {
            return module.clone();
        }
        let scope =
            Rc::new(Scope { vars: RefCell::default(), parent: None, kind: ScopeKind::Module, file: 0 });
        let state = Cell::new(Loading::Done);
        let module = Rc::new(Module { file: None, folder: folder.to_path_buf(), scope, state });
        self.folders.insert(folder.to_path_buf(), module.clone());
        module
    }

    pub(super) fn place(&mut self, place: Place) -> Rc<Module<'a>> {
        match place {
            Place::File(file) => self.module(file),
            Place::Folder(folder) => self.namespace(&folder),
        }
    }

    /// The module of the tree with this absolute name, as seen from `file`.
    pub(crate) fn module_named(&mut self, file: usize, dotted: &str) -> Option<Rc<Module<'a>>> {
        // `import a.b` makes nothing of a folder `a` without source; only a file proves that the tree is meant.
        let place = self.sources.tree.resolve(file, dotted)?;
        Some(self.place(place))
    }

    /// Attribute or submodule of a module.
    pub(super) fn module_attr(&mut self, module: &Rc<Module<'a>>, name: &str) -> Value<'a> {
        if let Some(found) = module.scope.get(name) {
            return self.settled(found);
        }
        if name == "__path__" {
            return Value::list(vec![Value::Module(module.clone())]);
        }
        if let Some(place) = self.sources.tree.resolve_in(&module.folder, name) {
            return Value::Module(self.place(place));
        }
        if module.state.get() == Loading::Running {
            return Value::Lazy(module.clone(), name.into());
        }
        // Module-level __getattr__ (PEP 562), or a name that some unknown code put there.
        Value::Unknown
    }

    /// The value behind a name of a module that was still being imported when the name was taken from it.
    pub(super) fn settled(&self, value: Value<'a>) -> Value<'a> {
        let mut value = value;
        for _ in 0..8 {
            let Value::Lazy(module, name) = &value else { return value };
            match module.scope.get(name) {
                Some(next) => value = next,
                None => return if module.state.get() == Loading::Running { value } else { Value::Unknown },
            }
        }
        Value::Unknown
    }

    pub(super) fn import(&mut self, frame: &Frame<'a>, statement: &'a StmtImport) {
        for alias in &statement.names {
            let dotted = alias.name.as_str();
            let module = self.module_named(frame.file, dotted);
            match (&alias.asname, module) {
                (Some(name), Some(module)) => frame.bind(name.as_str(), Value::Module(module)),
                (Some(name), None) => frame.bind(name.as_str(), Value::External(dotted.into())),
                (None, found) => {
                    let top = dotted.split('.').next().unwrap_or(dotted);
                    let value = match found.and_then(|_| self.module_named(frame.file, top)) {
                        Some(module) => Value::Module(module),
                        None => Value::External(top.into()),
                    };
                    frame.bind(top, value);
                }
            }
        }
    }

    pub(super) fn import_from(&mut self, frame: &Frame<'a>, statement: &'a StmtImportFrom) {
        let dotted = statement.module.as_ref().map_or("", |name| name.as_str());
        let module = if statement.level == 0 {
            self.module_named(frame.file, dotted)
        } else {
            let tree = self.sources.tree;
            let above = statement.level as usize - 1;
            let folder = tree.package_folder(frame.file).ancestors().nth(above);
            let place = folder.and_then(|folder| tree.resolve_in(folder, dotted));
            place.map(|place| self.place(place))
        };
        for alias in &statement.names {
            let name = alias.name.as_str();
            if name == "*" {
                if let Some(module) = &module {
                    import_star(frame, module);
                }
                continue;
            }
            let value = match &module {
                Some(module) => self.module_attr(module, name),
                None if statement.level == 0 => Value::External(format!("{dotted}.{name}").into()),
                None => Value::Unknown,
            };
            frame.bind(alias.asname.as_ref().map_or(name, |asname| asname.as_str()), value);
        }
    }
}

fn import_star<'a>(frame: &Frame<'a>, module: &Rc<Module<'a>>) {
    let listed = module.scope.get("__all__").and_then(|all| all.strings());
    let names: Vec<(&'a str, Value<'a>)> = module
        .scope
        .vars
        .borrow()
        .iter()
        .filter(|(name, _)| match &listed {
            Some(listed) => listed.iter().any(|item| &**item == **name),
            None => !name.starts_with('_'),
        })
        .map(|(name, value)| (*name, value.clone()))
        .collect();
    for (name, value) in names {
        frame.bind(name, value);
    }
}
