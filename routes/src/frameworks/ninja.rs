//! django-ninja: an API's operations and routers, which it gives to Django's URL configuration as patterns.

use std::rc::Rc;

use super::{Node, What, django, methods_of, registering};
use crate::interp::Interp;
use crate::limits::{Counter, MAX_ROUTERS};
use crate::value::{Args, Kind, Object, Value};

/// Operations of an API or router: (path, methods, view).
const OPERATIONS: &str = "operations";
/// Routers below it: (prefix, router).
const ROUTERS: &str = "routers";

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    match name {
        "__init__" => {
            let mut attrs = owner.attrs.borrow_mut();
            attrs.insert(OPERATIONS.into(), Value::list(Vec::new()));
            attrs.insert(ROUTERS.into(), Value::list(Vec::new()));
            if node.what == What::NinjaApi {
                for (name, default) in [("openapi_url", "/openapi.json"), ("docs_url", "/docs")] {
                    attrs.insert(name.into(), args.named(name).unwrap_or(Value::str(default)));
                }
            }
        }
        "get" | "post" | "put" | "patch" | "delete" => {
            let mut args = args.clone();
            args.positional.insert(0, Value::list(vec![Value::str(name.to_uppercase())]));
            return Some(registering(interp, owner, "@operation", &args));
        }
        "api_operation" => return Some(registering(interp, owner, "@operation", args)),
        "@operation" => {
            let view = args.positional.first().cloned().unwrap_or_default();
            let methods = args.get(1, "methods").unwrap_or_default();
            let path = args.get(2, "path").unwrap_or_default();
            push(interp, owner, OPERATIONS, vec![path, methods, view]);
        }
        "add_api_operation" => {
            let values = [(0, "path"), (1, "methods"), (2, "view_func")];
            push(
                interp,
                owner,
                OPERATIONS,
                values.map(|(at, name)| args.get(at, name).unwrap_or_default()).into(),
            );
        }
        "add_router" => {
            let router = match args.get(1, "router").unwrap_or_default() {
                Value::Str(dotted) => named(interp, args.site.file, &dotted),
                router => router,
            };
            push(interp, owner, ROUTERS, vec![args.get(0, "prefix").unwrap_or_default(), router]);
        }
        // Kept as it is.
        "exception_handler" => return Some(Value::External("builtins.identity".into())),
        _ => return None,
    }
    Some(Value::None)
}

/// The value of a dotted name, such as `shop.api.router`.
fn named<'a>(interp: &mut Interp<'a>, file: usize, dotted: &str) -> Value<'a> {
    let Some((module, name)) = dotted.rsplit_once('.') else { return Value::Unknown };
    match interp.module_named(file, module) {
        Some(module) => interp.attr(&Value::Module(module), name),
        None => Value::Unknown,
    }
}

fn push<'a>(interp: &Interp<'a>, owner: &Rc<Object<'a>>, list: &str, mut entry: Vec<Value<'a>>) {
    entry.push(Value::Bool(interp.uncertain > 0));
    if let Some(Value::Seq(list)) = owner.attrs.borrow().get(list) {
        list.items.borrow_mut().push(Value::tuple(entry));
    }
}

/// What `NinjaAPI.urls` is at this moment: the patterns of the documentation, of the API itself, of each router with those below
/// it, and of the root.
pub(super) fn urls<'a>(interp: &mut Interp<'a>, api: &Value<'a>) -> Value<'a> {
    let Some((owner, _)) = api.node() else { return Value::Unknown };
    let mut patterns = Vec::new();
    let args = Args { site: owner.site, ..Args::default() };
    let at = |name: &str| owner.attrs.borrow().get(name).cloned().unwrap_or_default();
    let shows = |name: &str| !matches!(at(name).truth(), Some(false));
    let documentation = [("openapi_url", "openapi_json"), ("docs_url", "openapi_view")];
    for (url, view) in documentation.into_iter().filter(|(url, _)| shows("openapi_url") && shows(url)) {
        let route = at(url).as_str().map_or(Value::Unknown, |url| Value::str(url.trim_start_matches('/')));
        let view = Value::External(format!("ninja.openapi.views.{view}").into());
        let args = Args { positional: vec![route, view], ..args.clone() };
        patterns.push(django::pattern(interp, "path", &args));
    }
    mounted(interp, owner, "", 0, &mut patterns);
    let root = Value::External("ninja.openapi.views.default_home".into());
    let args = Args { positional: vec![Value::str(""), root], ..args };
    patterns.push(django::pattern(interp, "path", &args));
    Value::tuple(vec![Value::list(patterns), Value::str("ninja")])
}

/// The patterns of an API or router, then those of the routers below it (`Router.build_routers`).
fn mounted<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    prefix: &str,
    depth: u32,
    patterns: &mut Vec<Value<'a>>,
) {
    if depth > MAX_ROUTERS || !interp.step() {
        return interp.counters.add(Counter::TooDeep, 1);
    }
    let entries = |name: &str| {
        let list = owner.attrs.borrow().get(name).and_then(Value::items).unwrap_or_default();
        list.iter().filter_map(Value::items).collect::<Vec<_>>()
    };
    // Operations of one path are one pattern, where the first of them stands.
    let mut paths: Vec<(Rc<str>, Vec<Value<'a>>, bool)> = Vec::new();
    for entry in entries(OPERATIONS) {
        let [path, methods, view, conditional] = &entry[..] else { continue };
        let Some(path) = path.as_str() else {
            // Counted where the patterns are included.
            patterns.push(Value::Unknown);
            continue;
        };
        let conditional = conditional.truth() == Some(true);
        let methods = methods_of(Some(methods)).unwrap_or_default();
        let methods = Value::list(methods.into_iter().map(Value::Str).collect());
        let operation = Value::tuple(vec![methods, view.clone()]);
        match paths.iter_mut().find(|(known, ..)| *known == path) {
            Some((_, operations, all_conditional)) => {
                operations.push(operation);
                *all_conditional &= conditional;
            }
            None => paths.push((path, vec![operation], conditional)),
        }
    }
    for (path, operations, conditional) in paths {
        let args = Args { positional: operations, site: owner.site, ..Args::default() };
        let kind = Kind::Opaque { callee: "@operations".into(), args };
        let view = Value::Object(interp.object(None, kind, owner.site));
        let positional = vec![Value::str(route(prefix, &path)), view];
        let args = Args { positional, site: owner.site, ..Args::default() };
        patterns.push(conditionally(interp, conditional, |interp| django::pattern(interp, "path", &args)));
    }
    for entry in entries(ROUTERS) {
        let [below, router, conditional] = &entry[..] else { continue };
        let (Some(below), Some((router, _))) = (below.as_str(), router.node()) else {
            patterns.push(Value::Unknown);
            continue;
        };
        let below = if depth == 0 { below.to_string() } else { join(prefix, &below) };
        conditionally(interp, conditional.truth() == Some(true), |interp| {
            mounted(interp, router, &below, depth + 1, patterns);
        });
    }
}

/// Does something as on a way that may not be taken, if it is one.
fn conditionally<'a, R>(
    interp: &mut Interp<'a>,
    conditional: bool,
    does: impl FnOnce(&mut Interp<'a>) -> R,
) -> R {
    interp.uncertain += u32::from(conditional);
    let result = does(interp);
    interp.uncertain -= u32::from(conditional);
    result
}

/// Django's route of an operation: parameters in `<>`, doubled slashes taken for a mistake (`Router.urls_paths`).
fn route(prefix: &str, path: &str) -> String {
    let joined =
        if prefix.is_empty() || path.is_empty() { format!("{prefix}{path}") } else { join(prefix, path) };
    single(&joined).trim_start_matches('/').replace('{', "<").replace('}', ">")
}

fn join(prefix: &str, path: &str) -> String {
    single(&format!("{prefix}/{path}")).trim_start_matches('/').to_owned()
}

fn single(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}
