//! From what was registered to the routes: walks down from every application.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use super::{Entry, Node, Route, What, django, flask, sanic};
use crate::interp::{Interp, data};
use crate::limits::{Counter, MAX_PATH, MAX_ROUTERS};
use crate::pattern::{self, Part, Slash};
use crate::value::{Kind, Object, Site, Value};
use crate::{Application, DiscoveredRoute, Framework};

/// All routes, application by application, and the applications.
pub(crate) fn collect(interp: &mut Interp<'_>) -> (Vec<DiscoveredRoute>, Vec<Application>) {
    let mut out = Output::default();
    interp.budget_for_collecting();
    flask::hand_to_applications(interp);
    let nodes = interp.nodes.clone();
    let mut made: Vec<Made> = Vec::new();
    for is_application in [true, false] {
        for object in &nodes {
            let Kind::Node(node) = &object.kind else { continue };
            let (run, conditional) = node.created.get();
            let wanted = node.what.is_application() == is_application && !node.attached.get();
            // The same was made for a caller, with the arguments that it gave.
            let made_again = |other: &Rc<Object<'_>>| {
                let is_other = matches!(&other.kind, Kind::Node(node) if node.created.get().0 != run);
                is_other && other.site == object.site
            };
            let is_superseded = || interp.is_superseded(run) && nodes.iter().any(made_again);
            if !wanted || node.what.gives_patterns() || is_superseded() {
                continue;
            }
            let prefix = if is_application { Vec::new() } else { vec![Part::Unknown] };
            let before = out.routes.len();
            out.seen.clear();
            let mut walk = Walk::new(prefix, conditional, node.what.framework(), run);
            out.slash = node.slash.get();
            out.site = object.site;
            flatten(interp, node, &mut walk, &mut out);
            if !is_application {
                interp.counters.add(Counter::Unattached, (out.routes.len() - before) as u64);
            }
            if out.routes.len() > before {
                let mut names = names_of(interp, object);
                names.extend(
                    interp
                        .factory(run)
                        .map(|(file, name)| (interp.sources.tree.path(file), name.to_string())),
                );
                if let Some(earlier) =
                    made.iter().find(|made| made.site == object.site && made.tells(&out.routes, before, run))
                {
                    out.routes.truncate(before);
                    let known = &mut out.apps[earlier.app].names;
                    names.retain(|name| !known.contains(name));
                    known.append(&mut names);
                    continue;
                }
                made.push(Made {
                    site: object.site,
                    run,
                    routes: before..out.routes.len(),
                    app: out.apps.len(),
                });
                let file = interp.sources.tree.path(object.site.file);
                out.application(node.what.framework(), is_application, file, object.site.line, names);
            }
        }
    }
    django::collect(interp, &mut out);
    (out.routes, out.apps)
}

/// An application whose routes were put out.
struct Made {
    /// The line that made it; it may make several.
    site: Site,
    run: u32,
    routes: Range<usize>,
    /// Its place among the applications.
    app: usize,
}

impl Made {
    /// Are these all the routes of another that the same line has made? One of another run may lack some: it was made without the
    /// arguments of a caller.
    fn tells(&self, routes: &[DiscoveredRoute], from: usize, run: u32) -> bool {
        let key = |route: &DiscoveredRoute| {
            (
                route.method.clone(),
                route.raw.clone(),
                route.file.clone(),
                route.line,
                route.websocket,
                route.gap,
            )
        };
        let known: HashSet<_> = routes[self.routes.clone()].iter().map(key).collect();
        let new: HashSet<_> = routes[from..].iter().map(key).collect();
        if self.run == run { known == new } else { new.is_subset(&known) }
    }
}

/// The module variables that hold an object.
fn names_of<'a>(interp: &Interp<'a>, object: &Rc<Object<'a>>) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for module in &interp.finished {
        let Some(file) = module.file else { continue };
        for (name, value) in module.scope.vars.borrow().iter() {
            if matches!(value, Value::Object(held) if Rc::ptr_eq(held, object)) {
                names.push((interp.sources.tree.path(file), (*name).to_owned()));
            }
        }
    }
    names.sort();
    names
}

#[derive(Default)]
pub(super) struct Output {
    pub(super) routes: Vec<DiscoveredRoute>,
    pub(super) apps: Vec<Application>,
    seen: HashSet<(Site, String, String, String, u32, bool)>,
    /// Where the application is made whose routes are put out: each of its routes is told once.
    pub(super) site: Site,
    pub(super) app: u32,
    pub(super) slash: Option<Slash>,
}

impl Output {
    /// Closes the application whose routes were put out; the next ones are another's.
    pub(super) fn application(
        &mut self,
        framework: Framework,
        serves: bool,
        file: String,
        line: u32,
        names: Vec<(String, String)>,
    ) {
        let number = self.app;
        self.apps.push(Application { number, framework, serves, file, line, names, hides_failures: false });
        self.app += 1;
    }
}

#[derive(Clone)]
pub(super) struct Walk {
    pub(super) prefix: Vec<Part>,
    pub(super) conditional: bool,
    pub(super) framework: Framework,
    pub(super) depth: u32,
    /// The run that made the application.
    pub(super) run: u32,
    /// Version of the blueprint or group above.
    pub(super) version: Option<Part>,
    /// The prefix given when a blueprint was included replaces its own.
    pub(super) replaces: bool,
}

impl Walk {
    pub(super) fn new(prefix: Vec<Part>, conditional: bool, framework: Framework, run: u32) -> Self {
        Self { prefix, conditional, framework, depth: 0, run, version: None, replaces: false }
    }

    /// The walk into a node of this one.
    pub(super) fn below(&self, prefix: Vec<Part>, conditional: bool, framework: Framework) -> Self {
        Self {
            prefix,
            conditional,
            framework,
            depth: self.depth + 1,
            version: None,
            replaces: false,
            ..*self
        }
    }
}

pub(super) fn flatten<'a>(interp: &mut Interp<'a>, node: &Node<'a>, walk: &mut Walk, out: &mut Output) {
    // Routers can include themselves, and each other in more ways than could be walked.
    if walk.depth > MAX_ROUTERS || !interp.step() {
        interp.counters.add(Counter::TooDeep, 1);
        return;
    }
    match node.what {
        What::Flask | What::Blueprint | What::SmorestApi => return flask::flatten(interp, node, walk, out),
        What::Sanic | What::SanicBlueprint | What::SanicGroup => {
            return sanic::flatten(interp, node, walk, out);
        }
        _ => {}
    }
    let mut prefix = walk.prefix.clone();
    prefix.extend(node.prefix.borrow().clone());
    for entry in node.entries(walk.run) {
        match entry {
            Entry::Route(route) => {
                let mut path = prefix.clone();
                path.extend(route.path.iter().cloned());
                emit(interp, out, walk.framework, path, &route, walk.conditional);
            }
            Entry::Child(child) => {
                let Kind::Node(inner) = &child.object.kind else { continue };
                let mut path = prefix.clone();
                path.extend(child.path);
                // Routers of one framework serve within another's application (Starlette's within FastAPI's); an
                // application of another framework that is mounted keeps its own name.
                let framework =
                    if inner.what.is_application() { inner.what.framework() } else { walk.framework };
                let conditional = walk.conditional || child.conditional;
                let mut walk = walk.below(path, conditional, framework);
                flatten(interp, inner, &mut walk, out);
            }
            Entry::Gap(below) => {
                let mut path = prefix.clone();
                path.extend(below);
                emit_gap(interp, out, walk.framework, path);
            }
        }
    }
}

/// Puts a finished route into the output, once for each method.
pub(super) fn emit(
    interp: &mut Interp<'_>,
    out: &mut Output,
    framework: Framework,
    path: Vec<Part>,
    route: &Route,
    conditional: bool,
) {
    if !interp.step() {
        return;
    }
    let is_virtual =
        |part: &Part| matches!(part, Part::Text(text) | Part::Regex(text) if data::is_path(text));
    if path.iter().any(is_virtual) {
        return interp.counters.add(Counter::UnknownPaths, 1);
    }
    if path.iter().map(Part::len).sum::<usize>() > MAX_PATH {
        return interp.counters.add(Counter::TooLong, 1);
    }
    let slash = route.slash.or(out.slash).unwrap_or_else(|| Slash::default_of(framework));
    let rendered = pattern::render(framework, &path, slash);
    if !rendered.prefix_known {
        interp.counters.add(Counter::UnknownPrefixes, 1);
    }
    if !rendered.pattern.is_matchable() {
        interp.counters.add(Counter::Unmatchable, 1);
    }
    let any = [Rc::from("*")];
    let methods = if route.methods.is_empty() { &any[..] } else { &route.methods };
    for method in methods {
        if out.routes.len() >= interp.options.limits.routes {
            interp.counters.add(Counter::TooManyRoutes, 1);
            return;
        }
        let file = interp.sources.tree.path(route.handler.site.file);
        let line = route.handler.site.line;
        let found = DiscoveredRoute {
            framework,
            method: method.to_string(),
            route: rendered.route.clone(),
            raw: rendered.raw.clone(),
            file,
            line,
            function: route.handler.name.to_string(),
            websocket: route.websocket,
            prefix_known: rendered.prefix_known,
            conditional: conditional || route.conditional,
            app: out.app,
            gap: false,
            pattern: rendered.pattern.clone(),
        };
        let key =
            (out.site, found.method.clone(), found.raw.clone(), found.file.clone(), line, found.websocket);
        if out.seen.insert(key) {
            out.routes.push(found);
        }
    }
}

/// Puts out that routes which are not known lie below `path`.
pub(super) fn emit_gap(interp: &mut Interp<'_>, out: &mut Output, framework: Framework, mut path: Vec<Part>) {
    if !interp.step() || out.routes.len() >= interp.options.limits.routes {
        return;
    }
    // What is known of it: the path up to what is not.
    path.truncate(path.iter().position(|part| *part == Part::Unknown).unwrap_or(path.len()));
    if path.iter().map(Part::len).sum::<usize>() > MAX_PATH {
        path.clear();
    }
    path.push(Part::Rest);
    let rendered = pattern::render(framework, &path, Slash::Exact);
    let found = DiscoveredRoute {
        framework,
        method: "*".to_owned(),
        route: rendered.route,
        raw: rendered.raw,
        file: String::new(),
        line: 0,
        function: String::new(),
        websocket: false,
        prefix_known: true,
        conditional: false,
        app: out.app,
        gap: true,
        pattern: rendered.pattern,
    };
    let key = (out.site, "gap".to_owned(), found.raw.clone(), String::new(), 0, false);
    if out.seen.insert(key) {
        out.routes.push(found);
    }
}
