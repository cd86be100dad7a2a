//! Evaluates the modules of the tree over [`Value`]s.
//!
//! Where a condition is not known both ways are taken and what they leave behind is joined; where a loop's items are
//! not known its body runs once; registrations made on such ways are marked as conditional. Everything has a cap.

mod attr;
mod call;
pub(crate) mod data;
mod expr;
mod factory;
mod import;
mod native;
mod settings;
mod stmt;
mod submodules;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::limits::{Counter, Counters};
use crate::source::{Sources, Tree};
use crate::value::{Class, Function, Kind, Module, Object, Scope, ScopeKind, Site, Value};
use crate::{Options, Scan, frameworks};

/// Runs a scan over the files of the tree.
pub(crate) fn run(tree: &Tree, options: &Options) -> Scan {
    let sources = Sources::new(tree, &options.limits);
    let mut interp = Interp::new(&sources, options);
    interp.run_entries();
    interp.run_factories();
    interp.run_registrars();
    let (routes, apps) = frameworks::collect(&mut interp);
    let data_files = interp.data_files.iter().cloned().collect();
    Scan { routes, apps, data_files, counters: interp.counters.clone() }
}

/// The evaluation's state.
pub(crate) struct Interp<'a> {
    pub(crate) sources: &'a Sources<'a>,
    pub(crate) options: &'a Options,
    pub(crate) counters: Counters,
    modules: HashMap<usize, Rc<Module<'a>>>,
    folders: HashMap<PathBuf, Rc<Module<'a>>>,
    /// Applications, routers and the like, in the order in which they were made.
    pub(crate) nodes: Vec<Rc<Object<'a>>>,
    /// Every module whose evaluation ended, in that order.
    pub(crate) finished: Vec<Rc<Module<'a>>>,
    scopes: Vec<Weak<Scope<'a>>>,
    objects: Vec<Weak<Object<'a>>>,
    steps: u64,
    steps_end: u64,
    started: Instant,
    /// Time since the start at which the evaluation stops.
    deadline: Duration,
    stopped: bool,
    nesting: u32,
    imports: u32,
    calls: Vec<usize>,
    /// More than zero while code runs of which it is not known whether the program would run it.
    pub(crate) uncertain: u32,
    /// 0 while modules run, then one number for each factory.
    pub(crate) run: u32,
    /// Functions that ran, by the address of their definition, with the run.
    executed: BTreeSet<(usize, u32)>,
    /// Factories that ran on their own.
    factories: Vec<Factory>,
    /// Files of the tree that the application reads as data, relative to the root.
    pub(crate) data_files: BTreeSet<String>,
    /// Modules of Django's settings, once they were asked for.
    settings: Option<Vec<Rc<Module<'a>>>>,
    /// The application that functions of Bottle's module register on, once one did.
    pub(crate) default_app: Option<Value<'a>>,
    /// What stands for Flask's `current_app`, once something was registered on it.
    pub(crate) current_app: Option<Value<'a>>,
}

/// A factory that ran on its own.
pub(super) struct Factory {
    /// Address of its definition.
    id: usize,
    run: u32,
    file: usize,
    /// `name`, or `Class.name`.
    name: Rc<str>,
}

/// One activation of a module, class or function body.
pub(super) struct Frame<'a> {
    pub(super) scope: Rc<Scope<'a>>,
    pub(super) file: usize,
    /// Names declared `global` or `nonlocal`, with the scope they live in.
    pub(super) elsewhere: HashMap<&'a str, Rc<Scope<'a>>>,
    /// For `super()`: the first argument, and the class whose body defines the function.
    pub(super) this: Option<(Value<'a>, Rc<Class<'a>>)>,
    pub(super) returned: Option<Value<'a>>,
    /// Values of `yield`.
    pub(super) yielded: Vec<Value<'a>>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(scope: Rc<Scope<'a>>) -> Self {
        let file = scope.file;
        Self { scope, file, elsewhere: HashMap::new(), this: None, returned: None, yielded: Vec::new() }
    }

    pub(super) fn bind(&self, name: &'a str, value: Value<'a>) {
        self.elsewhere.get(name).unwrap_or(&self.scope).set(name, value);
    }
}

impl<'a> Interp<'a> {
    fn new(sources: &'a Sources<'a>, options: &'a Options) -> Self {
        Self {
            sources,
            options,
            counters: sources.tree.counters(),
            modules: HashMap::new(),
            folders: HashMap::new(),
            nodes: Vec::new(),
            finished: Vec::new(),
            scopes: Vec::new(),
            objects: Vec::new(),
            steps: 0,
            steps_end: 0,
            started: Instant::now(),
            deadline: options.limits.time,
            stopped: false,
            nesting: 0,
            imports: 0,
            calls: Vec::new(),
            uncertain: 0,
            run: 0,
            executed: BTreeSet::new(),
            factories: Vec::new(),
            data_files: BTreeSet::new(),
            settings: None,
            default_app: None,
            current_app: None,
        }
    }

    /// Evaluates every file that names a framework, those that make an application first: what they import runs in
    /// the order in which the program would import it.
    fn run_entries(&mut self) {
        let mut later = Vec::new();
        // The script may not name a framework at all: it imports the application and adds to it.
        let script = self.options.script.as_deref().and_then(|path| self.sources.tree.file(path));
        if let Some(file) = script {
            self.run_entry(file);
        }
        for file in 0..self.sources.tree.len() {
            if self.sources.tree.is_test(file) && !self.options.include_tests {
                continue;
            }
            if self.out_of_time() {
                break;
            }
            let mentions = self.sources.mentions(file, &mut self.counters);
            if mentions.framework && mentions.application {
                self.run_entry(file);
            } else if mentions.framework {
                later.push(file);
            }
        }
        for file in later {
            if self.out_of_time() {
                break;
            }
            self.run_entry(file);
        }
    }

    fn run_entry(&mut self, file: usize) {
        self.budget();
        self.module(file);
    }

    /// A fresh budget of steps for the next entry or factory.
    fn budget(&mut self) {
        let limits = &self.options.limits;
        self.steps_end = limits.steps.min(self.steps + limits.steps_each);
        self.stopped = false;
        self.uncertain = 0;
    }

    /// A budget for the walk over what was registered: it comes last, and a scan that used its time up has something to
    /// show for it.
    pub(crate) fn budget_for_collecting(&mut self) {
        self.steps_end = self.steps + self.options.limits.steps_each;
        self.deadline = self.started.elapsed() + self.options.limits.time / 4;
        self.stopped = false;
        self.uncertain = 0;
    }

    fn out_of_time(&self) -> bool {
        self.steps >= self.options.limits.steps || self.started.elapsed() >= self.options.limits.time
    }

    /// Counts one step; false when the evaluation must stop.
    pub(crate) fn step(&mut self) -> bool {
        if self.stopped {
            return false;
        }
        self.steps += 1;
        let timed_out = self.steps.is_multiple_of(1024) && self.started.elapsed() >= self.deadline;
        if self.steps >= self.steps_end || timed_out {
            self.stopped = true;
            self.counters.add(Counter::Stopped, 1);
            return false;
        }
        true
    }

    /// Counts what one step takes or makes as if each were a step.
    pub(super) fn charge(&mut self, times: usize) {
        self.steps = self.steps.saturating_add(times as u64);
    }

    pub(super) fn scope(
        &mut self,
        parent: Option<Rc<Scope<'a>>>,
        kind: ScopeKind,
        file: usize,
    ) -> Rc<Scope<'a>> {
        let scope = Rc::new(Scope { vars: RefCell::default(), parent, kind, file });
        self.scopes.push(Rc::downgrade(&scope));
        scope
    }

    /// Makes an object and remembers it, so that its references can be cut when the scan ends.
    pub(crate) fn object(
        &mut self,
        class: Option<Rc<Class<'a>>>,
        kind: Kind<'a>,
        site: Site,
    ) -> Rc<Object<'a>> {
        let object = Rc::new(Object { class, attrs: RefCell::default(), kind, site });
        if matches!(object.kind, Kind::Node(_)) {
            self.nodes.push(object.clone());
        } else {
            self.objects.push(Rc::downgrade(&object));
        }
        object
    }

    /// Did this factory run stand for a call that another run makes itself? Then what it made is not an application
    /// of its own.
    pub(crate) fn is_superseded(&self, run: u32) -> bool {
        self.factories
            .iter()
            .filter(|factory| factory.run == run)
            .any(|factory| self.runs_of(factory.id).any(|by| by != run))
    }

    /// File and name of the factory of this run; `None` for what modules make when they are imported.
    pub(crate) fn factory(&self, run: u32) -> Option<(usize, Rc<str>)> {
        let factory = self.factories.iter().find(|factory| factory.run == run)?;
        Some((factory.file, factory.name.clone()))
    }

    pub(super) fn mark_executed(&mut self, function: &Rc<Function<'a>>) {
        self.executed.insert((address(function), self.run));
    }

    /// The runs in which a function ran.
    pub(super) fn runs_of(&self, id: usize) -> impl Iterator<Item = u32> {
        self.executed.range((id, 0)..=(id, u32::MAX)).map(|(_, run)| *run)
    }
}

impl Drop for Interp<'_> {
    /// Scopes hold functions and functions hold scopes: cut, or every scan would leave its values behind.
    fn drop(&mut self) {
        for scope in self.scopes.drain(..).filter_map(|scope| scope.upgrade()) {
            scope.vars.take();
        }
        for object in self.objects.drain(..).filter_map(|object| object.upgrade()) {
            object.attrs.take();
        }
        for object in self.nodes.drain(..) {
            object.attrs.take();
            if let Kind::Node(node) = &object.kind {
                node.entries.take();
            }
        }
    }
}

/// Identity of a function's definition.
pub(super) fn address(function: &Function<'_>) -> usize {
    match function.body {
        crate::value::Body::Def(def) => std::ptr::from_ref(def).addr(),
        crate::value::Body::Lambda(_, body) => std::ptr::from_ref(body).addr(),
    }
}
