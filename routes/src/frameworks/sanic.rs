//! Sanic: routes, blueprints, blueprint groups, versions.

use std::rc::Rc;

use super::collect::emit_gap;
use super::handler::{Base, class_methods, class_of};
use super::{
    Child, Entry, Handler, Node, Output, Route, Walk, What, add, emit, methods_of, missed, path_part,
    registering,
};
use crate::interp::Interp;
use crate::limits::{Counter, MAX_ROUTERS};
use crate::pattern::{Part, Slash};
use crate::value::{Args, Kind, Object, Value};

const VERBS: &[&str] = &["get", "post", "put", "patch", "delete", "head", "options"];

pub(super) fn call<'a>(interp: &mut Interp<'a>, name: &Rc<str>, args: &Args<'a>) -> Option<Value<'a>> {
    if !name.ends_with("Blueprint.group") {
        return None;
    }
    let node = Node::new(What::SanicGroup);
    node.created.set((interp.run, interp.uncertain > 0));
    set_prefix(&node, args, args.named("url_prefix"));
    let object = interp.object(None, Kind::Node(node), args.site);
    if let Kind::Node(node) = &object.kind {
        for blueprint in &args.positional {
            include(interp, node, blueprint, None, 0);
        }
    }
    Some(Value::Object(object))
}

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
        "__init__" => {
            let prefix = if node.what == What::SanicBlueprint { args.get(1, "url_prefix") } else { None };
            set_prefix(node, args, prefix);
        }
        "route" => return Some(registering(interp, owner, "@route", args)),
        "websocket" => {
            let mut args = args.clone();
            args.named.push(("websocket".into(), Value::Bool(true)));
            return Some(registering(interp, owner, "@route", &args));
        }
        "@route" => {
            let handler = args.positional.first().cloned().unwrap_or_default();
            route(interp, node, args.get(1, "uri"), &handler, args);
        }
        "add_route" | "add_websocket_route" => {
            let mut args = args.clone();
            if name == "add_websocket_route" {
                args.named.push(("websocket".into(), Value::Bool(true)));
            } else if let Some(methods) = args.positional.get(2).cloned() {
                args.named.push(("methods".into(), methods));
            }
            let handler = args.get(0, "handler").unwrap_or_default();
            route(interp, node, args.get(1, "uri"), &handler, &args);
        }
        "static" => fixed(interp, node, args),
        "blueprint" | "register_blueprint" | "append" => {
            let blueprint = args.get(0, "blueprint").unwrap_or_default();
            include(interp, node, &blueprint, path_part(args.named("url_prefix")), 0);
        }
        "on_request" | "on_response" | "middleware" | "listener" | "exception" | "before_server_start" => {
            return Some(Value::External("builtins.identity".into()));
        }
        _ => return None,
    }
    Some(Value::None)
}

fn set_prefix<'a>(node: &Node<'a>, args: &Args<'a>, prefix: Option<Value<'a>>) {
    *node.prefix.borrow_mut() = path_part(prefix);
    *node.version.borrow_mut() = version(args);
    if let Some(Value::Bool(true)) = args.named("strict_slashes") {
        node.slash.set(Some(Slash::Exact));
    }
}

/// `version=1` is `/v1` before everything else.
fn version(args: &Args<'_>) -> Option<Part> {
    let prefix = match args.named("version_prefix") {
        Some(Value::Str(prefix)) => prefix,
        None => "/v".into(),
        Some(_) => return Some(Part::Unknown),
    };
    match args.named("version")? {
        Value::Int(version) => Some(Part::Text(format!("{prefix}{version}").into())),
        Value::Str(version) => {
            Some(Part::Text(format!("{prefix}{}", version.trim_start_matches('v')).into()))
        }
        Value::None => None,
        _ => Some(Part::Unknown),
    }
}

fn include<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    blueprint: &Value<'a>,
    path: Option<Part>,
    depth: u32,
) {
    // A list can hold itself.
    if depth > MAX_ROUTERS || !interp.step() {
        return interp.counters.add(Counter::TooDeep, 1);
    }
    if let Some((object, _)) = blueprint.node() {
        let conditional = interp.uncertain > 0;
        return add(interp, node, Entry::Child(Child { path, object: object.clone(), conditional }));
    }
    match blueprint.items() {
        Some(items) => items.iter().for_each(|item| include(interp, node, item, path.clone(), depth + 1)),
        None => missed(interp, node, Counter::Opaque, path),
    }
}

fn route<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    path: Option<Value<'a>>,
    handler: &Value<'a>,
    args: &Args<'a>,
) {
    let Some(Value::Str(path)) = path else {
        return missed(interp, node, Counter::UnknownPaths, None);
    };
    let given = methods_of(args.named("methods").as_ref());
    let conditional = interp.uncertain > 0;
    let websocket = matches!(args.named("websocket"), Some(Value::Bool(true)));
    let slash = match args.named("strict_slashes") {
        Some(Value::Bool(true)) => Some(Slash::Exact),
        Some(Value::Bool(false)) => Some(Slash::Ignored),
        _ => node.slash.get(),
    };
    // The version goes before the prefixes; the marker is taken apart again when they are known.
    let path = match version(args) {
        Some(version) => vec![version, Part::Text(path)],
        None => vec![Part::Text(path)],
    };
    let make = |methods, handler| {
        Entry::Route(Route { methods, path: path.clone(), handler, websocket, conditional, slash })
    };
    if given.is_none()
        && let Some(class) = class_of(handler)
        && let Some(verbs) = class_methods(&class, |_| Base::Methods(&[]))
        && !verbs.is_empty()
    {
        for verb in verbs {
            let handler = Handler::of_verb(&class, &verb);
            add(interp, node, make(vec![verb], handler));
        }
        return;
    }
    let methods = match (given, args.named("methods")) {
        (Some(methods), _) => methods,
        (None, None | Some(Value::None)) => vec!["GET".into()],
        (None, Some(_)) => Vec::new(),
    };
    add(interp, node, make(methods, Handler::of(handler, args.site)));
}

/// `app.static(uri, file_or_directory)`: a file where the name looks like one, else all below.
fn fixed<'a>(interp: &mut Interp<'a>, node: &Node<'a>, args: &Args<'a>) {
    let Some(Value::Str(path)) = args.get(0, "uri") else {
        return missed(interp, node, Counter::UnknownPaths, None);
    };
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let text = Part::Text(if is_file { path.clone() } else { path.trim_end_matches('/').into() });
    let route = Route {
        methods: vec!["GET".into()],
        path: if is_file { vec![text] } else { vec![text, Part::Rest] },
        handler: Handler::outside("static", args.site),
        websocket: false,
        conditional: interp.uncertain > 0,
        slash: None,
    };
    add(interp, node, Entry::Route(route));
}

/// Prefixes of groups and blueprints follow each other; the innermost version that is given goes before them.
pub(super) fn flatten<'a>(interp: &mut Interp<'a>, node: &Node<'a>, walk: &mut Walk, out: &mut Output) {
    let version = node.version.borrow().clone().or_else(|| walk.version.clone());
    let mut prefix = walk.prefix.clone();
    if !walk.replaces {
        prefix.extend(node.prefix.borrow().clone().map(|part| without_slash(&part)));
    }
    for entry in node.entries(walk.run) {
        match entry {
            Entry::Route(route) => {
                let (own, rest) = match &route.path[..] {
                    [version, rest @ Part::Text(_)] => (Some(version.clone()), vec![rest.clone()]),
                    path => (None, path.to_vec()),
                };
                let path =
                    own.or_else(|| version.clone()).into_iter().chain(prefix.clone()).chain(rest).collect();
                emit(interp, out, walk.framework, path, &route, walk.conditional);
            }
            Entry::Child(child) => {
                let Kind::Node(inner) = &child.object.kind else { continue };
                let mut path = prefix.clone();
                let replaces = child.path.is_some();
                path.extend(child.path.map(|part| without_slash(&part)));
                let conditional = walk.conditional || child.conditional;
                let mut walk = Walk {
                    version: version.clone(),
                    replaces,
                    ..walk.below(path, conditional, walk.framework)
                };
                super::flatten(interp, inner, &mut walk, out);
            }
            Entry::Gap(below) => {
                let path = version.clone().into_iter().chain(prefix.clone()).chain(below).collect();
                emit_gap(interp, out, walk.framework, path);
            }
        }
    }
}

fn without_slash(part: &Part) -> Part {
    match part {
        Part::Text(text) => Part::Text(text.trim_end_matches('/').into()),
        other => other.clone(),
    }
}
