//! Litestar: handler decorators, routers, controllers.

use std::rc::Rc;

use super::handler::noted;
use super::{Child, Entry, Handler, Node, Route, add, methods_of, missed};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::Part;
use crate::value::{Ancestor, Args, Class, Kind, Object, Value};

/// The decorators, with the methods that they stand for.
const DECORATORS: &[(&str, &[&str])] = &[
    ("get", &["GET"]),
    ("post", &["POST"]),
    ("put", &["PUT"]),
    ("patch", &["PATCH"]),
    ("delete", &["DELETE"]),
    ("head", &["HEAD"]),
    ("route", &[]),
    ("asgi", &[]),
    ("websocket", &["GET"]),
    ("websocket_listener", &["GET"]),
    ("websocket_stream", &["GET"]),
];

pub(super) fn call<'a>(interp: &mut Interp<'a>, name: &Rc<str>, args: &Args<'a>) -> Option<Value<'a>> {
    let last = name.rsplit('.').next()?;
    match last {
        "create_static_files_router" => {
            let inner = Node::new(super::What::LitestarRouter);
            *inner.prefix.borrow_mut() = normal(args.get(0, "path"));
            let route = Route {
                methods: vec!["GET".into()],
                path: vec![Part::Rest],
                handler: Handler::outside("static", args.site),
                websocket: false,
                conditional: interp.uncertain > 0,
                slash: None,
            };
            add(interp, &inner, Entry::Route(route));
            Some(Value::Object(interp.object(None, Kind::Node(inner), args.site)))
        }
        _ => {
            let (verb, _) = DECORATORS.iter().find(|(known, _)| *known == last)?;
            let mut args = args.clone();
            args.named.push(("@verb".into(), Value::str(*verb)));
            let site = args.site;
            Some(Value::Object(interp.object(None, Kind::Opaque { callee: "@litestar".into(), args }, site)))
        }
    }
}

/// Applies a handler decorator: notes on the function what it serves.
pub(super) fn decorate<'a>(interp: &mut Interp<'a>, given: &Args<'a>, target: &Value<'a>) -> Value<'a> {
    let Value::Function(function) = target else { return target.clone() };
    let verb = given.named("@verb").and_then(|verb| verb.as_str()).unwrap_or("".into());
    let known = DECORATORS.iter().find(|(name, _)| *name == &*verb).map_or(&[][..], |(_, methods)| *methods);
    let methods = match methods_of(given.named("http_method").as_ref()) {
        Some(methods) => Value::list(methods.into_iter().map(Value::Str).collect()),
        None => Value::list(known.iter().map(|method| Value::str(*method)).collect()),
    };
    let paths = match given.get(0, "path") {
        None | Some(Value::None) => Value::list(vec![Value::str("/")]),
        Some(Value::Str(path)) => Value::list(vec![Value::Str(path)]),
        Some(paths) => paths,
    };
    let websocket = Value::Bool(verb.starts_with("websocket"));
    interp.note(function, "litestar", Value::tuple(vec![methods, paths, websocket]));
    target.clone()
}

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    _owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    match name {
        "__init__" => {
            let is_router = node.what == super::What::LitestarRouter;
            *node.prefix.borrow_mut() =
                normal(if is_router { args.get(0, "path") } else { args.named("path") });
            let handlers = args.named("route_handlers");
            let handlers =
                if is_router { handlers } else { handlers.or_else(|| args.positional.first().cloned()) };
            if let Some(handlers) = handlers {
                match handlers.items() {
                    Some(items) => items.iter().for_each(|item| register(interp, node, item)),
                    None => missed(interp, node, Counter::Opaque, None),
                }
            }
        }
        "register" => {
            let value = args.get(0, "value").unwrap_or_default();
            register(interp, node, &value);
        }
        _ => return None,
    }
    Some(Value::None)
}

/// A path as Litestar joins it: no slash at its end, nothing for the root.
fn normal(path: Option<Value<'_>>) -> Option<Part> {
    match path? {
        Value::Str(path) => {
            let inner = path.trim_matches('/');
            (!inner.is_empty()).then(|| Part::Text(format!("/{inner}").into()))
        }
        Value::None => None,
        _ => Some(Part::Unknown),
    }
}

fn register<'a>(interp: &mut Interp<'a>, node: &Node<'a>, value: &Value<'a>) {
    if let Some((object, _)) = value.node() {
        let conditional = interp.uncertain > 0;
        return add(interp, node, Entry::Child(Child { path: None, object: object.clone(), conditional }));
    }
    match value {
        Value::Class(class) => controller(interp, node, class),
        Value::Function(function) => {
            let handler = Handler::of(value, function.site);
            if !handles(interp, node, value, None, &handler) {
                missed(interp, node, Counter::Opaque, None);
            }
        }
        _ => missed(interp, node, Counter::Opaque, None),
    }
}

fn controller<'a>(interp: &mut Interp<'a>, node: &Node<'a>, class: &Rc<Class<'a>>) {
    let path = normal(class.find("path").map(|(value, _)| value));
    let mut seen: Vec<&str> = Vec::new();
    for ancestor in class.ancestry() {
        let Ancestor::Known(ancestor) = ancestor else { continue };
        let mut members: Vec<_> =
            ancestor.scope.vars.borrow().iter().map(|(name, value)| (*name, value.clone())).collect();
        members.sort_by_key(|(name, _)| *name);
        for (name, value) in members {
            if seen.contains(&name) {
                continue;
            }
            if let Value::Function(function) = &value {
                seen.push(name);
                let handler = Handler::of(&value, function.site);
                handles(interp, node, &value, path.as_ref(), &handler);
            }
        }
    }
}

/// Adds what the function's decorator noted; false where there is no note.
fn handles<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    value: &Value<'a>,
    prefix: Option<&Part>,
    handler: &Handler,
) -> bool {
    let Some(note) = noted(value, "litestar").and_then(|note| note.items()) else { return false };
    let [methods, paths, websocket] = &note[..] else { return false };
    let methods = methods_of(Some(methods)).unwrap_or_default();
    for path in paths.items().unwrap_or_else(|| vec![Value::Unknown]) {
        if path.as_str().is_none() {
            missed(interp, node, Counter::UnknownPaths, None);
            continue;
        }
        let route = Route {
            methods: methods.clone(),
            path: prefix.cloned().into_iter().chain(normal(Some(path))).collect(),
            handler: handler.clone(),
            websocket: matches!(websocket, Value::Bool(true)),
            conditional: interp.uncertain > 0,
            slash: None,
        };
        add(interp, node, Entry::Route(route));
    }
    true
}
