//! Modules of a package that the application finds by looking for them (`pkgutil.iter_modules`), and modules that it imports by
//! a name that it puts together.

use std::path::PathBuf;

use super::{Interp, data};
use crate::limits::MAX_ITEMS;
use crate::value::{Args, Kind, Value};

/// `pkgutil.iter_modules(paths, prefix)`: `ModuleInfo`s, each a tuple with names. `None` where a path is not of the tree.
pub(super) fn iter_modules<'a>(interp: &mut Interp<'a>, args: &Args<'a>) -> Option<Value<'a>> {
    let prefix = args.get(1, "prefix").map_or(Some("".into()), |prefix| prefix.as_str())?;
    let mut found = Vec::new();
    for path in interp.iterate(&args.get(0, "path")?)? {
        let folder = folder(&path)?;
        interp.charge(interp.sources.tree.len());
        for (name, is_package) in interp.sources.tree.modules_in(&folder).into_iter().take(MAX_ITEMS) {
            let name = Value::str(format!("{prefix}{name}"));
            let items = vec![Value::None, name.clone(), Value::Bool(is_package)];
            let object = interp.object(None, Kind::Plain, args.site);
            let attrs =
                [("name", name), ("ispkg", Value::Bool(is_package)), ("__items__", Value::tuple(items))];
            object.attrs.borrow_mut().extend(attrs.map(|(name, value)| (name.into(), value)));
            found.push(Value::Object(object));
        }
    }
    Some(Value::list(found))
}

/// A folder of the tree, from an item of a package's `__path__` or from a path that starts at `__file__`.
fn folder(path: &Value<'_>) -> Option<PathBuf> {
    match path {
        Value::Module(package) => Some(package.folder.clone()),
        Value::Str(text) => data::relative(text),
        _ => None,
    }
}

/// Names of the source files in a folder of the tree, and of the packages unless only files are asked for. `None` where it is none.
fn names(interp: &Interp<'_>, folder: &str, with_packages: bool) -> Option<Vec<String>> {
    let folder = data::relative(folder)?;
    let tree = interp.sources.tree;
    let own = tree.file(&folder.join("__init__.py").to_string_lossy()).map(|_| "__init__.py".to_owned());
    let modules = tree.modules_in(&folder).into_iter().filter(|(_, is_package)| with_packages || !is_package);
    let modules = modules.map(|(name, is_package)| if is_package { name } else { name + ".py" });
    Some(own.into_iter().chain(modules).take(MAX_ITEMS).collect())
}

/// `os.listdir(folder)`
pub(super) fn listdir<'a>(interp: &Interp<'a>, args: &Args<'a>) -> Value<'a> {
    let folder = args.get(0, "path").and_then(|path| path.as_str());
    let names = folder.and_then(|folder| names(interp, &folder, true));
    names.map_or(Value::Unknown, |names| Value::list(names.into_iter().map(Value::str).collect()))
}

/// Paths in a folder that a pattern matches: `Path.glob`, `Path.iterdir` (`*`), `glob.glob`.
pub(super) fn glob<'a>(interp: &Interp<'a>, folder: &str, pattern: &str) -> Value<'a> {
    let (with_packages, hidden) = match pattern {
        "*" => (true, true),
        "*.py" => (false, true),
        "[!_]*.py" => (false, false),
        _ => return Value::Unknown,
    };
    let Some(names) = names(interp, folder, with_packages) else { return Value::Unknown };
    let names = names.into_iter().filter(|name| hidden || !name.starts_with('_'));
    Value::list(names.map(|name| Value::str(format!("{folder}/{name}"))).collect())
}

/// `importlib.import_module(name, package)`
pub(super) fn import_module<'a>(interp: &mut Interp<'a>, args: &Args<'a>) -> Value<'a> {
    let Some(name) = args.get(0, "name").and_then(|name| name.as_str()) else { return Value::Unknown };
    let dotted = match name.strip_prefix('.') {
        None => name,
        Some(rest) if !rest.starts_with('.') => match args.get(1, "package").and_then(|name| name.as_str()) {
            Some(package) => format!("{package}.{rest}").into(),
            None => return Value::Unknown,
        },
        Some(_) => return Value::Unknown,
    };
    match interp.module_named(args.site.file, &dotted) {
        Some(module) => Value::Module(module),
        None => Value::External(dotted),
    }
}
