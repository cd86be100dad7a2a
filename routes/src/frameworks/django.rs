//! Django's URL configurations: `path`, `re_path`, `include`, `i18n_patterns`.
//!
//! Calls are kept as they are made; the tree of patterns is read when all modules have run, from the module that
//! `ROOT_URLCONF` names.

use std::collections::HashSet;
use std::rc::Rc;

use super::collect::emit_gap;
use super::{Output, Route, django_views, emit};
use crate::Framework;
use crate::interp::Interp;
use crate::limits::{Counter, MAX_ROUTERS};
use crate::pattern::Part;
use crate::value::{Args, Kind, Module, Object, Site, Value};

pub(super) fn call<'a>(interp: &mut Interp<'a>, name: &Rc<str>, args: &Args<'a>) -> Option<Value<'a>> {
    let last = name.rsplit('.').next()?;
    match last {
        "path" | "re_path" | "url" | "include" => Some(pattern(interp, last, args)),
        "i18n_patterns" => Some(Value::list(vec![pattern(interp, "i18n_patterns", args)])),
        "require_http_methods" => {
            let methods = args.get(0, "request_method_list").unwrap_or_default();
            Some(django_views::noting(interp, methods, args))
        }
        "require_GET" | "require_POST" | "require_safe" => {
            let method = if last == "require_POST" { "POST" } else { "GET" };
            let view = args.positional.first().cloned().unwrap_or_default();
            if let Value::Function(function) = &view {
                interp.note(function, "methods", Value::list(vec![Value::str(method)]));
            }
            Some(view)
        }
        "get_urlconf" => Some(Value::Unknown),
        _ => None,
    }
}

/// A call kept for later, with whether it stands under a condition.
pub(super) fn pattern<'a>(interp: &mut Interp<'a>, name: &str, args: &Args<'a>) -> Value<'a> {
    let conditional = interp.uncertain > 0;
    let object = interp.object(None, Kind::Opaque { callee: name.into(), args: args.clone() }, args.site);
    if conditional {
        object.attrs.borrow_mut().insert("conditional".into(), Value::Bool(true));
    }
    Value::Object(object)
}

pub(super) fn collect(interp: &mut Interp<'_>, out: &mut Output) {
    let mut walk =
        Walk { out, visited: HashSet::new(), stack: Vec::new(), depth: 0, languages: Rc::default() };
    let mut found_root = false;
    for module in interp.finished.clone() {
        let Some(Value::Str(dotted)) = module.scope.get("ROOT_URLCONF") else { continue };
        let Some(file) = module.file else { continue };
        let Some(root) = interp.module_named(file, &dotted) else {
            interp.counters.add(Counter::Opaque, 1);
            continue;
        };
        found_root = true;
        let settings = (interp.sources.tree.path(file), "ROOT_URLCONF".to_owned());
        // Off where nothing is said (`django/conf/global_settings.py`).
        let hides_failures = matches!(module.scope.get("DEBUG"), None | Some(Value::Bool(false)));
        if walk.visited.contains(&key(&root)) {
            // Other settings for the same URL configuration.
            if let Some(path) = root.file.map(|file| interp.sources.tree.path(file))
                && let Some(app) = walk.out.apps.iter_mut().find(|app| app.file == path)
            {
                app.names.push(settings);
                app.hides_failures &= hides_failures;
            }
        } else {
            let languages = module.scope.get("LANGUAGES").and_then(|listed| codes(&listed));
            walk.languages = languages.unwrap_or_default();
            let apps = walk.out.apps.len();
            walk.root(interp, &root, Vec::new(), vec![settings]);
            walk.out.apps[apps..].iter_mut().for_each(|app| app.hides_failures = hides_failures);
        }
    }
    let configurations: Vec<_> =
        interp.finished.iter().filter(|module| module.scope.get("urlpatterns").is_some()).cloned().collect();
    let mut left: Vec<_> =
        configurations.iter().filter(|module| !walk.visited.contains(&key(module))).cloned().collect();
    if left.is_empty() {
        return;
    }
    // Only those that no other includes; a dry walk tells.
    let mut dry = Walk {
        out: &mut Output::default(),
        visited: HashSet::new(),
        stack: Vec::new(),
        depth: 0,
        languages: Rc::default(),
    };
    let before = interp.counters.clone();
    for module in &left {
        dry.stack.push(key(module));
        let patterns = module.scope.get("urlpatterns").unwrap_or_default();
        dry.patterns(interp, &patterns, &[], false);
        dry.stack.pop();
    }
    interp.counters = before;
    let included = dry.visited;
    left.retain(|module| !included.contains(&key(module)));
    let is_only_root = !found_root && left.len() == 1;
    for module in left {
        let routes = walk.out.routes.len();
        walk.root(interp, &module, if is_only_root { Vec::new() } else { vec![Part::Unknown] }, Vec::new());
        if !is_only_root {
            let found = walk.out.routes.len() - routes;
            interp.counters.add(Counter::Unattached, found as u64);
        }
    }
}

/// Language codes of `LANGUAGES`, a list of (code, name).
fn codes(listed: &Value<'_>) -> Option<Rc<[Rc<str>]>> {
    listed.items()?.iter().map(|pair| pair.items()?.first()?.as_str()).collect()
}

fn key(module: &Rc<Module<'_>>) -> usize {
    Rc::as_ptr(module).addr()
}

struct Walk<'o> {
    out: &'o mut Output,
    /// URL configurations that were walked.
    visited: HashSet<usize>,
    /// URL configurations that are being walked.
    stack: Vec<usize>,
    /// Lists of patterns that are being walked.
    depth: u32,
    /// `LANGUAGES` of the settings; empty where they name none.
    languages: Rc<[Rc<str>]>,
}

impl Walk<'_> {
    fn root<'a>(
        &mut self,
        interp: &mut Interp<'a>,
        module: &Rc<Module<'a>>,
        prefix: Vec<Part>,
        names: Vec<(String, String)>,
    ) {
        let before = self.out.routes.len();
        self.out.slash = None;
        self.out.site = Site { file: module.file.unwrap_or_default(), line: 1 };
        self.module(interp, module, &prefix, false);
        if self.out.routes.len() > before {
            let file = module.file.map(|file| interp.sources.tree.path(file)).unwrap_or_default();
            self.out.application(Framework::Django, prefix.is_empty(), file, 1, names);
        }
    }

    fn module<'a>(
        &mut self,
        interp: &mut Interp<'a>,
        module: &Rc<Module<'a>>,
        prefix: &[Part],
        conditional: bool,
    ) {
        if self.stack.contains(&key(module)) || self.stack.len() > MAX_ROUTERS as usize {
            interp.counters.add(Counter::TooDeep, 1);
            return;
        }
        self.visited.insert(key(module));
        self.stack.push(key(module));
        let patterns = module.scope.get("urlpatterns").unwrap_or_default();
        self.patterns(interp, &patterns, prefix, conditional);
        self.stack.pop();
    }

    fn patterns<'a>(
        &mut self,
        interp: &mut Interp<'a>,
        patterns: &Value<'a>,
        prefix: &[Part],
        conditional: bool,
    ) {
        let Some(items) = patterns.items() else { return self.missed(interp, Counter::Opaque, prefix) };
        // A list can include itself.
        if self.depth > MAX_ROUTERS {
            return interp.counters.add(Counter::TooDeep, 1);
        }
        self.depth += 1;
        for item in items {
            if !interp.step() {
                break;
            }
            if let Value::Object(object) = &item
                && let Kind::Opaque { callee, args } = &object.kind
            {
                let conditional = conditional || object.attrs.borrow().contains_key("conditional");
                self.pattern(interp, callee, args, prefix, conditional);
            } else {
                self.missed(interp, Counter::UnknownPaths, prefix);
            }
        }
        self.depth -= 1;
    }

    fn pattern<'a>(
        &mut self,
        interp: &mut Interp<'a>,
        name: &str,
        args: &Args<'a>,
        prefix: &[Part],
        conditional: bool,
    ) {
        let mut path = prefix.to_vec();
        match name {
            "i18n_patterns" => {
                let optional = matches!(args.named("prefix_default_language"), Some(Value::Bool(false)));
                path.push(Part::Locale { optional, languages: self.languages.clone() });
                let patterns = Value::list(args.positional.clone());
                return self.patterns(interp, &patterns, &path, conditional);
            }
            "path" | "re_path" | "url" => {}
            _ => return self.missed(interp, Counter::UnknownPaths, &path),
        }
        let is_regex = name != "path";
        path.push(
            match args.get(0, if is_regex { "regex" } else { "route" }).or_else(|| args.named("route")) {
                Some(Value::Str(text)) if is_regex => Part::Regex(text),
                Some(Value::Str(text)) => Part::Text(text),
                _ => Part::Unknown,
            },
        );
        let view = args.get(1, "view").unwrap_or_default();
        if let Some(included) = as_include(&view) {
            return self.included(interp, &included, &path, conditional, args.site.file);
        }
        if path.last() == Some(&Part::Unknown) {
            return self.missed(interp, Counter::UnknownPaths, &path);
        }
        for (methods, handler) in django_views::serving(&view, args.site) {
            let route =
                Route { methods, path: Vec::new(), handler, websocket: false, conditional, slash: None };
            emit(interp, self.out, Framework::Django, path.clone(), &route, conditional);
        }
    }

    fn included<'a>(
        &mut self,
        interp: &mut Interp<'a>,
        included: &Value<'a>,
        path: &[Part],
        conditional: bool,
        file: usize,
    ) {
        match included {
            Value::Str(dotted) => match interp.module_named(file, dotted) {
                Some(module) => self.module(interp, &module, path, conditional),
                None => self.missed(interp, Counter::Opaque, path),
            },
            Value::Module(module) => self.module(interp, module, path, conditional),
            // (patterns or module, application namespace), as `include` and `admin.site.urls` take it
            Value::Seq(seq) if seq.is_tuple => {
                match seq.items.borrow().first().cloned().unwrap_or_default() {
                    Value::Seq(inner) if inner.is_tuple => {
                        let patterns = Value::Seq(inner);
                        self.patterns(interp, &patterns, path, conditional);
                    }
                    first => self.included(interp, &first, path, conditional, file),
                }
            }
            Value::Seq(_) => self.patterns(interp, included, path, conditional),
            Value::Object(_) => match interp.attr(included, "urlpatterns") {
                patterns @ Value::Seq(_) => self.patterns(interp, &patterns, path, conditional),
                _ => self.missed(interp, Counter::Opaque, path),
            },
            _ => self.missed(interp, Counter::Opaque, path),
        }
    }

    /// URL patterns outside of the tree, or a pattern that is not known: which, the counter tells.
    fn missed(&mut self, interp: &mut Interp<'_>, counter: Counter, path: &[Part]) {
        interp.counters.add(counter, 1);
        emit_gap(interp, self.out, Framework::Django, path.to_vec());
    }
}

/// What a pattern includes: the argument of `include(...)`, or `site.urls`.
fn as_include<'a>(view: &Value<'a>) -> Option<Value<'a>> {
    match view {
        Value::Object(object) => included_by(object),
        Value::Seq(_) => Some(view.clone()),
        Value::External(name) if name.ends_with(".urls") => Some(view.clone()),
        // `api.urls` of what is not known
        Value::Native(of) if &*of.1 == "urls" => Some(view.clone()),
        _ => None,
    }
}

fn included_by<'a>(object: &Rc<Object<'a>>) -> Option<Value<'a>> {
    match &object.kind {
        Kind::Opaque { callee, args } if &**callee == "include" => {
            Some(args.get(0, "arg").unwrap_or_default())
        }
        _ => None,
    }
}
