//! FastAPI and Starlette: routers with prefixes, mounts, decorators.

use std::rc::Rc;

use super::handler::{Base, class_methods, class_of, under_wrappers};
use super::{Child, Entry, Handler, Node, Route, What, add, methods_of, missed, path_part, registering};
use crate::interp::Interp;
use crate::limits::{Counter, MAX_ROUTERS};
use crate::pattern::{Part, Slash};
use crate::value::{Args, Kind, Object, Value};

const VERBS: &[&str] = &["get", "post", "put", "patch", "delete", "head", "options", "trace"];

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    if VERBS.contains(&name) {
        let mut args = args.clone();
        args.named.push(("methods".into(), Value::list(vec![Value::str(name.to_uppercase())])));
        return Some(registering(interp, owner, "@route", &args));
    }
    match name {
        "__init__" => init(interp, node, args),
        "api_route" => return Some(registering(interp, owner, "@route", args)),
        "route" => return Some(registering(interp, owner, "@plain", args)),
        "websocket" | "websocket_route" => return Some(registering(interp, owner, "@websocket", args)),
        "@route" | "@plain" => {
            let endpoint = args.positional.first().cloned().unwrap_or_default();
            route(interp, node, &endpoint, args.get(1, "path"), args, name == "@plain");
        }
        "@websocket" => {
            let endpoint = args.positional.first().cloned().unwrap_or_default();
            websocket(interp, node, &endpoint, args.get(1, "path"), args);
        }
        "add_api_route" | "add_route" => {
            let endpoint = args.get(1, "endpoint").or_else(|| args.named("route")).unwrap_or_default();
            let mut args = args.clone();
            if let Some(methods) = args.positional.get(2).cloned()
                && name == "add_route"
            {
                args.named.push(("methods".into(), methods));
            }
            route(interp, node, &endpoint, args.get(0, "path"), &args, name == "add_route");
        }
        "add_api_websocket_route" | "add_websocket_route" => {
            let endpoint = args.get(1, "endpoint").or_else(|| args.named("route")).unwrap_or_default();
            websocket(interp, node, &endpoint, args.get(0, "path"), args);
        }
        "include_router" => {
            let router = args.get(0, "router").unwrap_or_default();
            include(
                interp,
                node,
                &router,
                path_part(args.named("prefix").or_else(|| args.positional.get(1).cloned())),
            );
        }
        "mount" => {
            let target = args.get(1, "app").unwrap_or_default();
            mount(interp, node, args.get(0, "path"), &target, args);
        }
        "host" => {
            let target = args.get(1, "app").unwrap_or_default();
            include(interp, node, &target, None);
        }
        "add_middleware" | "middleware" | "exception_handler" | "on_event" | "add_event_handler" => {
            return Some(Value::External("builtins.identity".into()));
        }
        _ => return None,
    }
    Some(Value::None)
}

fn init<'a>(interp: &mut Interp<'a>, node: &Node<'a>, args: &Args<'a>) {
    if let Some(Value::Bool(false)) = args.named("redirect_slashes") {
        node.slash.set(Some(Slash::Exact));
    }
    if node.what == What::ApiRouter {
        *node.prefix.borrow_mut() = path_part(args.named("prefix"));
    }
    let position = match node.what {
        What::Starlette => 1,
        What::StarletteRouter => 0,
        _ => usize::MAX,
    };
    if node.what == What::FastApi {
        documentation(interp, node, args);
    }
    if let Some(routes) = args.get(position, "routes") {
        add_listed(interp, node, &routes, 0);
    }
}

/// The routes that FastAPI adds by itself before any other: schema and documentation pages.
fn documentation<'a>(interp: &Interp<'a>, node: &Node<'a>, args: &Args<'a>) {
    let url = |name: &str, default: &str| match args.named(name) {
        None if args.incomplete => None,
        None => Some(Part::Text(default.into())),
        given => path_part(given),
    };
    let Some(schema) = url("openapi_url", "/openapi.json") else { return };
    let oauth2 = url("swagger_ui_oauth2_redirect_url", "/docs/oauth2-redirect");
    let docs = url("docs_url", "/docs");
    let pages = [
        (Some(schema), "openapi"),
        (docs.clone(), "swagger_ui_html"),
        (oauth2.filter(|_| docs.is_some()), "swagger_ui_redirect"),
        (url("redoc_url", "/redoc"), "redoc_html"),
    ];
    for (path, name) in pages {
        let Some(path @ Part::Text(_)) = path else { continue };
        let handler = Handler::outside(name, args.site);
        let methods = vec!["GET".into()];
        let conditional = interp.uncertain > 0;
        let route = Route { methods, path: vec![path], handler, websocket: false, conditional, slash: None };
        add(interp, node, Entry::Route(route));
    }
}

/// `routes=[Route(...), Mount(...), ...]`
fn add_listed<'a>(interp: &mut Interp<'a>, node: &Node<'a>, routes: &Value<'a>, depth: u32) {
    // A list can hold a mount of itself.
    if depth > MAX_ROUTERS {
        return interp.counters.add(Counter::TooDeep, 1);
    }
    let Some(items) = routes.items() else {
        if !matches!(routes, Value::None) {
            missed(interp, node, Counter::Opaque, None);
        }
        return;
    };
    for item in items {
        let Value::Object(object) = &item else {
            missed(interp, node, Counter::UnknownPaths, None);
            continue;
        };
        let Kind::Opaque { callee, args } = &object.kind else { continue };
        match callee.rsplit('.').next().unwrap_or("") {
            kind @ ("Route" | "APIRoute") => {
                let endpoint = args.get(1, "endpoint").unwrap_or_default();
                route(interp, node, &endpoint, args.get(0, "path"), args, kind == "Route");
            }
            "WebSocketRoute" | "APIWebSocketRoute" => {
                let endpoint = args.get(1, "endpoint").unwrap_or_default();
                websocket(interp, node, &endpoint, args.get(0, "path"), args);
            }
            "Mount" => match args.get(1, "app") {
                Some(target) if !matches!(target, Value::None) => {
                    mount(interp, node, args.get(0, "path"), &target, args);
                }
                _ => {
                    let inner = inline_router(interp, args, depth);
                    mount(interp, node, args.get(0, "path"), &inner, args);
                }
            },
            "Host" => {
                let target = args.get(1, "app").unwrap_or_default();
                include(interp, node, &target, None);
            }
            _ => {
                missed(interp, node, Counter::Opaque, None);
            }
        }
    }
}

/// `app.routes`, the list.
pub(super) fn routes<'a>(interp: &mut Interp<'a>, owner: &Value<'a>) -> Value<'a> {
    let args = Args { positional: vec![owner.clone()], ..Args::default() };
    let site = args.site;
    Value::Object(interp.object(None, Kind::Opaque { callee: "@routes".into(), args }, site))
}

pub(super) fn is_routes(object: &Object<'_>) -> bool {
    matches!(&object.kind, Kind::Opaque { callee, .. } if &**callee == "@routes")
}

/// `app.routes.append(Mount(...))`
pub(super) fn add_to_routes<'a>(interp: &mut Interp<'a>, list: &Object<'a>, how: &str, args: &Args<'a>) {
    let Kind::Opaque { args: of, .. } = &list.kind else { return };
    let Some((_, node)) = of.positional.first().and_then(Value::node) else { return };
    let value = args.positional.last().cloned().unwrap_or_default();
    let before = node.entries.borrow().len();
    let routes = if how == "extend" { value } else { Value::list(vec![value]) };
    add_listed(interp, node, &routes, 0);
    // What is put elsewhere than at the start or the end is taken to be at the start.
    if how == "insert" {
        let mut entries = node.entries.borrow_mut();
        let added = entries.len() - before;
        entries.rotate_right(added);
    }
}

/// `Mount("/x", routes=[...])`: a router without a name.
fn inline_router<'a>(interp: &mut Interp<'a>, args: &Args<'a>, depth: u32) -> Value<'a> {
    let inner = interp.object(None, Kind::Node(Node::new(What::StarletteRouter)), args.site);
    if let (Kind::Node(inner), Some(routes)) = (&inner.kind, args.named("routes")) {
        add_listed(interp, inner, &routes, depth + 1);
    }
    Value::Object(inner)
}

fn route<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    endpoint: &Value<'a>,
    path: Option<Value<'a>>,
    args: &Args<'a>,
    is_plain: bool,
) {
    let Some(Value::Str(path)) = path else {
        missed(interp, node, Counter::UnknownPaths, None);
        return;
    };
    let mut methods = methods_of(args.named("methods").as_ref());
    // Starlette's own routes have HEAD wherever they have GET; it is no method of its own then.
    if let Some(methods) =
        methods.as_mut().filter(|methods| is_plain && methods.iter().any(|m| &**m == "GET"))
    {
        methods.retain(|method| &**method != "HEAD");
    }
    let conditional = interp.uncertain > 0;
    let make = |methods, handler| {
        let path = vec![Part::Text(path.clone())];
        Entry::Route(Route { methods, path, handler, websocket: false, conditional, slash: None })
    };
    // A class as endpoint answers every method that it defines, whatever the route says.
    if methods.is_none()
        && let Value::Class(class) = endpoint
        && let Some(verbs) = class_methods(class, |_| Base::Methods(&[]))
        && !verbs.is_empty()
    {
        for verb in verbs {
            let handler = Handler::of_verb(class, &verb);
            add(interp, node, make(vec![verb], handler));
        }
        return;
    }
    let handler = Handler::of(endpoint, args.site);
    let methods = match (methods, args.named("methods")) {
        (Some(methods), _) => methods,
        // Methods that are not known, or an ASGI application as endpoint.
        (None, Some(Value::Unknown)) => Vec::new(),
        (None, _) if class_of(endpoint).is_some() => Vec::new(),
        (None, _) => vec!["GET".into()],
    };
    add(interp, node, make(methods, handler));
}

fn websocket<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    endpoint: &Value<'a>,
    path: Option<Value<'a>>,
    args: &Args<'a>,
) {
    let Some(Value::Str(path)) = path else {
        missed(interp, node, Counter::UnknownPaths, None);
        return;
    };
    let route = Route {
        methods: vec!["GET".into()],
        path: vec![Part::Text(path)],
        handler: Handler::of(endpoint, args.site),
        websocket: true,
        conditional: interp.uncertain > 0,
        slash: None,
    };
    add(interp, node, Entry::Route(route));
}

fn include<'a>(interp: &mut Interp<'a>, node: &Node<'a>, router: &Value<'a>, path: Option<Part>) {
    let Some((object, _)) = router.node() else {
        missed(interp, node, Counter::Opaque, path);
        return;
    };
    add(
        interp,
        node,
        Entry::Child(Child { path, object: object.clone(), conditional: interp.uncertain > 0 }),
    );
}

fn mount<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    path: Option<Value<'a>>,
    target: &Value<'a>,
    args: &Args<'a>,
) {
    let path = match path {
        Some(Value::Str(path)) => Part::Text(path.trim_end_matches('/').into()),
        _ => Part::Unknown,
    };
    if let Some(object) = mounted(target) {
        add(
            interp,
            node,
            Entry::Child(Child { path: Some(path), object, conditional: interp.uncertain > 0 }),
        );
        return;
    }
    // Static files, or an application that is not known: all that lies below is its own.
    if matches!(path, Part::Unknown) {
        missed(interp, node, Counter::UnknownPaths, None);
        return;
    }
    interp.counters.add(Counter::Opaque, 1);
    let route = Route {
        methods: Vec::new(),
        path: vec![path, Part::Rest],
        handler: Handler::of(target, args.site),
        websocket: false,
        conditional: interp.uncertain > 0,
        slash: None,
    };
    add(interp, node, Entry::Route(route));
}

/// The application behind a mount, under middleware and adapters (`WSGIMiddleware(flask_app)`).
fn mounted<'a>(target: &Value<'a>) -> Option<Rc<Object<'a>>> {
    under_wrappers(target, |value| value.node().map(|(object, _)| object.clone()))
}
