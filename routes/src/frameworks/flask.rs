//! Flask and Quart: rules, blueprints, class-based views; Flask-RESTful's resources.

use std::rc::Rc;

use super::collect::emit_gap;
use super::handler::{Base, class_methods, class_of, noted};
use super::{
    Child, Entry, Handler, Node, Output, Route, Walk, What, add, emit, flask_apis, include, methods_of,
    missed, path_part, registering,
};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::{Part, Slash};
use crate::value::{Args, Kind, Object, Value};

/// Calls a method of `current_app`: what it registers, the application has for which its module is imported.
pub(super) fn call<'a>(interp: &mut Interp<'a>, name: &str, args: &Args<'a>) -> Option<Value<'a>> {
    let (_, called) = name.split_once(".current_app.")?;
    let stand_in = match &interp.current_app {
        Some(stand_in) => stand_in.clone(),
        None => {
            let node = Node::new(What::Blueprint);
            node.attached.set(true);
            let stand_in = Value::Object(interp.object(None, Kind::Node(node), args.site));
            interp.current_app = Some(stand_in.clone());
            stand_in
        }
    };
    super::call_method(interp, &stand_in, called, args)
}

/// All modules have run: what was registered on `current_app` belongs to the application, or to one of several.
pub(super) fn hand_to_applications<'a>(interp: &Interp<'a>) {
    let Some(Value::Object(stand_in)) = &interp.current_app else { return };
    let is_app =
        |object: &&Rc<Object<'a>>| matches!(&object.kind, Kind::Node(node) if node.what == What::Flask);
    let apps: Vec<_> = interp.nodes.iter().filter(is_app).collect();
    let conditional = apps.iter().any(|app| app.site != apps[0].site);
    for app in apps {
        if let Kind::Node(node) = &app.kind {
            let child = Child { path: None, object: stand_in.clone(), conditional };
            node.entries.borrow_mut().push((0, Entry::Child(child)));
        }
    }
}

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    match name {
        "__init__" => init(interp, node, args),
        "get" | "post" | "put" | "patch" | "delete" => {
            let mut args = args.clone();
            args.named.push(("methods".into(), Value::list(vec![Value::str(name.to_uppercase())])));
            return Some(registering(interp, owner, "@route", &args));
        }
        "route" | "websocket" => {
            let mut args = args.clone();
            if name == "websocket" {
                args.named.push(("websocket".into(), Value::Bool(true)));
            }
            return Some(registering(interp, owner, "@route", &args));
        }
        "@route" => {
            let view = args.positional.first().cloned().unwrap_or_default();
            rule(interp, node, args.get(1, "rule"), &view, args);
        }
        "add_url_rule" | "add_websocket" => {
            let view = args.get(2, "view_func").unwrap_or_default();
            rule(interp, node, args.get(0, "rule"), &view, args);
        }
        "register_blueprint" => {
            let blueprint = args.get(0, "blueprint").unwrap_or_default();
            include(interp, node, path_part(args.named("url_prefix")), &blueprint);
        }
        "register_api" => return method(interp, owner, node, "register_blueprint", args),
        // Hooks and handlers keep the function that they decorate, as do the decorators of extensions' applications and blueprints.
        "errorhandler"
        | "alt_response"
        | "arguments"
        | "auth_required"
        | "doc"
        | "etag"
        | "input"
        | "output"
        | "paginate"
        | "response"
        | "before_request"
        | "after_request"
        | "teardown_request"
        | "context_processor"
        | "app_errorhandler"
        | "cli"
        | "template_filter"
        | "url_value_preprocessor"
        | "url_defaults" => {
            return Some(Value::External("builtins.identity".into()));
        }
        _ => return None,
    }
    Some(Value::None)
}

fn init<'a>(interp: &mut Interp<'a>, node: &Node<'a>, args: &Args<'a>) {
    let is_app = node.what == What::Flask;
    if !is_app {
        *node.prefix.borrow_mut() = path_part(args.get(5, "url_prefix"));
    }
    // Flask serves its static folder by a rule of its own, a blueprint where it has one.
    let folder = args.named("static_folder");
    let has_folder = match &folder {
        None => is_app,
        Some(Value::None) => false,
        Some(_) => true,
    };
    if !has_folder {
        return;
    }
    let base = |text: &str| {
        let name = text.trim_end_matches('/').rsplit('/').next().unwrap_or("");
        format!("/{name}")
    };
    let url = match (args.get(if is_app { 1 } else { 3 }, "static_url_path"), folder) {
        (Some(Value::Str(path)), _) => path.trim_end_matches('/').to_string(),
        (None | Some(Value::None), None) => "/static".into(),
        (None | Some(Value::None), Some(Value::Str(folder))) => base(&folder),
        _ => {
            missed(interp, node, Counter::UnknownPaths, None);
            return;
        }
    };
    let route = Route {
        methods: vec!["GET".into()],
        path: vec![Part::Text(format!("{url}/<path:filename>").into())],
        handler: Handler::outside("static", args.site),
        websocket: false,
        conditional: interp.uncertain > 0,
        slash: None,
    };
    add(interp, node, Entry::Route(route));
}

pub(super) fn rule<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    path: Option<Value<'a>>,
    view: &Value<'a>,
    args: &Args<'a>,
) {
    let Some(Value::Str(path)) = path else {
        missed(interp, node, Counter::UnknownPaths, None);
        return;
    };
    let given = methods_of(args.named("methods").as_ref());
    let websocket = matches!(args.named("websocket"), Some(Value::Bool(true)));
    let slash = match args.named("strict_slashes") {
        Some(Value::Bool(false)) => Some(Slash::Ignored),
        _ => None,
    };
    let conditional = interp.uncertain > 0;
    let make = |methods, handler| {
        let path = vec![Part::Text(path.clone())];
        Entry::Route(Route { methods, path, handler, websocket, conditional, slash })
    };
    if let Some(class) = class_of(view) {
        // `methods` on the class wins; else the functions of a MethodView say what it answers.
        let declared = class.find("methods").and_then(|(value, _)| methods_of(Some(&value)));
        let is_method_view =
            class.externals().iter().any(|name| name.ends_with("MethodView") || name.ends_with("Resource"));
        let verbs = class_methods(&class, |_| Base::Methods(&[])).unwrap_or_default();
        let methods = given.or(declared).unwrap_or(if is_method_view { verbs } else { vec!["GET".into()] });
        for method in methods {
            let handler =
                if is_method_view { Handler::of_verb(&class, &method) } else { Handler::of(view, args.site) };
            add(interp, node, make(vec![method], handler));
        }
        return;
    }
    let methods = match (given, args.named("methods")) {
        (Some(methods), _) => methods,
        (None, None | Some(Value::None)) => {
            noted(view, "methods").and_then(|value| methods_of(Some(&value))).unwrap_or(vec!["GET".into()])
        }
        // Given, but not known.
        (None, Some(_)) => Vec::new(),
    };
    add(interp, node, make(methods, Handler::of(view, args.site)));
}

/// Blueprints join their prefixes their own way: the one given at registration replaces the blueprint's own, the
/// enclosing blueprint's goes before it.
pub(super) fn flatten<'a>(interp: &mut Interp<'a>, node: &Node<'a>, walk: &mut Walk, out: &mut Output) {
    let own = node.prefix.borrow().clone();
    // For a blueprint that nothing registers the walk's prefix is unknown, and its own still counts.
    let prefix = if walk.depth == 0 { nested(&walk.prefix, own) } else { walk.prefix.clone() };
    for entry in node.entries(walk.run) {
        match entry {
            Entry::Route(route) => {
                let path = joined(&prefix, &route.path);
                emit(interp, out, walk.framework, path, &route, walk.conditional);
            }
            Entry::Child(child) => {
                let Kind::Node(inner) = &child.object.kind else { continue };
                let path = child.path.or_else(|| inner.prefix.borrow().clone());
                // An API puts its own prefix before its routes.
                let prefix = if inner.what.is_flask_api() { prefix.clone() } else { nested(&prefix, path) };
                let conditional = walk.conditional || child.conditional;
                let mut walk = walk.below(prefix, conditional, walk.framework);
                if inner.what == What::RestxApi {
                    flask_apis::emit_files(interp, out, &walk, &child.object);
                }
                super::flatten(interp, inner, &mut walk, out);
            }
            Entry::Gap(below) => {
                let path = below.first().map_or(prefix.clone(), |path| nested(&prefix, Some(path.clone())));
                emit_gap(interp, out, walk.framework, path);
            }
        }
    }
}

fn nested(outer: &[Part], inner: Option<Part>) -> Vec<Part> {
    let mut path = outer.to_vec();
    match (path.last().cloned(), inner) {
        (_, None) => {}
        (Some(Part::Text(text)), Some(Part::Text(more))) => {
            path.pop();
            path.push(Part::Text(
                format!("{}/{}", text.trim_end_matches('/'), more.trim_start_matches('/')).into(),
            ));
        }
        (_, Some(more)) => path.push(more),
    }
    path
}

/// `url_prefix` and rule, as `BlueprintSetupState.add_url_rule` joins them: an empty rule is the prefix itself.
fn joined(prefix: &[Part], rule: &[Part]) -> Vec<Part> {
    match (prefix.last(), rule) {
        (Some(Part::Text(text)), [Part::Text(rule)]) => {
            let text = if rule.is_empty() {
                text.to_string()
            } else {
                format!("{}/{}", text.trim_end_matches('/'), rule.trim_start_matches('/'))
            };
            let mut path = prefix[..prefix.len() - 1].to_vec();
            path.push(Part::Text(text.into()));
            path
        }
        _ => prefix.iter().chain(rule).cloned().collect(),
    }
}
