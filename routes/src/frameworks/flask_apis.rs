//! Extensions of Flask by which an application's routes are registered on an API: Flask-RESTful, Flask-RESTX with its namespaces,
//! flask-smorest.
//!
//! An API is a child of the application or blueprint that it was given; what it registers there begins with its own prefix, put
//! together without a look at slashes (`Api._complete_url`).

use std::rc::Rc;

use super::{
    Child, Entry, Handler, Node, Output, Route, Walk, What, add, emit, flask, include, missed, path_part,
    registering,
};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::Part;
use crate::value::{Args, Object, Value};

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    match (node.what, name) {
        (What::RestxNamespace, "__init__") => {
            // `Namespace.path`
            let path = match (args.get(2, "path"), args.get(0, "name")) {
                (None | Some(Value::None), Some(Value::Str(name))) => Value::str(format!("/{name}")),
                (Some(Value::Str(path)), _) => Value::str(path.trim_end_matches('/')),
                _ => Value::Unknown,
            };
            owner.attrs.borrow_mut().insert("path".into(), path);
        }
        (_, "__init__") => {
            let prefix = match node.what {
                What::RestfulApi => args.get(1, "prefix"),
                What::RestxApi => args.named("prefix"),
                _ => None,
            };
            *node.prefix.borrow_mut() = path_part(prefix);
            owner.attrs.borrow_mut().insert("doc".into(), args.named("doc").unwrap_or(Value::str("/")));
            if let Some(to) = args.get(0, "app") {
                given_to(interp, owner, node, &to, args);
            }
        }
        (_, "init_app") => given_to(interp, owner, node, &args.get(0, "app").unwrap_or_default(), args),
        (What::SmorestApi, "register_blueprint") => return flask::method(interp, owner, node, name, args),
        (What::RestfulApi, "resource") | (What::RestxApi | What::RestxNamespace, "route") => {
            return Some(registering(interp, owner, "add_resource", args));
        }
        (What::RestfulApi | What::RestxApi | What::RestxNamespace, "add_resource") => {
            let mut paths = args.positional.iter().skip(1).peekable();
            let resource = args.get(0, "resource").unwrap_or_default();
            if paths.peek().is_none() || args.incomplete {
                missed(interp, node, Counter::UnknownPaths, None);
            }
            for path in paths {
                flask::rule(interp, node, Some(path.clone()), &resource, args);
            }
        }
        (What::RestxApi, "add_namespace") => {
            let namespace = args.get(0, "ns").unwrap_or_default();
            add_namespace(interp, node, &namespace, args.get(1, "path"));
        }
        (What::RestxApi, "namespace") => {
            let namespace = super::call_external(interp, &"flask_restx.Namespace".into(), args)?;
            add_namespace(interp, node, &namespace, None);
            return Some(namespace);
        }
        _ => return Some(Value::External("builtins.identity".into())),
    }
    Some(Value::None)
}

/// The API's routes are from now on those of this application or blueprint.
fn given_to<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    to: &Value<'a>,
    args: &Args<'a>,
) {
    let Some((_, to)) = to.node() else { return };
    let conditional = interp.uncertain > 0;
    add(interp, to, Entry::Child(Child { path: None, object: owner.clone(), conditional }));
    match node.what {
        What::RestxApi => documentation(interp, owner, node, to, args),
        // Where it is served is a matter of `app.config`.
        What::SmorestApi => missed(interp, to, Counter::Opaque, None),
        _ => {}
    }
}

/// What an API of Flask-RESTX adds (`Api._register_specs`, `_register_doc`, `apidoc`).
fn documentation<'a>(
    interp: &Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    to: &Node<'a>,
    args: &Args<'a>,
) {
    let conditional = interp.uncertain > 0;
    let route = |path: Vec<Part>, name: &str| {
        let handler = Handler { name: name.into(), ..Handler::outside("", args.site) };
        let methods = vec!["GET".into()];
        Entry::Route(Route { methods, path, handler, websocket: false, conditional, slash: None })
    };
    let text = |path: &str| vec![Part::Text(path.into())];
    let adds_specs = !matches!(args.named("add_specs"), Some(Value::Bool(false)));
    if adds_specs {
        let file = match args.named("default_swagger_filename") {
            None => text("/swagger.json"),
            Some(Value::Str(file)) => text(&format!("/{file}")),
            Some(_) => vec![Part::Unknown],
        };
        add(interp, node, route(file, "SwaggerView.get"));
    }
    match owner.attrs.borrow().get("doc") {
        Some(Value::Str(path)) if adds_specs && !path.is_empty() => {
            add(interp, to, route(text(path), "Api.render_doc"));
        }
        _ => {}
    }
    let root = match &*node.prefix.borrow() {
        None => text("/"),
        Some(Part::Text(prefix)) if prefix.is_empty() => text("/"),
        Some(prefix) => vec![prefix.clone()],
    };
    add(interp, to, route(root, "Api.render_root"));
}

/// The files of the documentation's page, which an API of Flask-RESTX serves at the root of the application, whatever it was given to
/// (`Api._register_apidoc`).
pub(super) fn emit_files(interp: &mut Interp<'_>, out: &mut Output, walk: &Walk, api: &Object<'_>) {
    let handler = Handler::outside("static", api.site);
    let methods = vec!["GET".into()];
    let route = Route {
        methods,
        path: Vec::new(),
        handler,
        websocket: false,
        conditional: walk.conditional,
        slash: None,
    };
    let path = vec![Part::Text("/swaggerui/<path:filename>".into())];
    emit(interp, out, walk.framework, path, &route, walk.conditional);
}

fn add_namespace<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    namespace: &Value<'a>,
    path: Option<Value<'a>>,
) {
    let own = || namespace.node().and_then(|(object, _)| object.attrs.borrow().get("path").cloned());
    // `Api.ns_urls`: an empty path is none.
    let path = match path {
        None | Some(Value::None) => own(),
        Some(Value::Str(path)) if path.is_empty() => own(),
        given => given,
    };
    include(interp, node, path_part(path), namespace);
}
