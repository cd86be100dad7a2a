//! Falcon: `add_route` with resources, whose methods say what they answer; sinks and static routes.

use std::rc::Rc;

use super::{Entry, Handler, Node, Route, add, missed};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::Part;
use crate::value::{Args, Class, Value};

/// What follows `on_` in a responder's name (`falcon.constants.COMBINED_METHODS`, without those of WebDAV).
const VERBS: &[&str] = &["get", "post", "put", "patch", "delete", "head", "options", "trace", "connect"];

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    match name {
        "__init__" => {}
        "add_route" => route(interp, node, args),
        "add_sink" => {
            let handler = Handler::of(&args.get(0, "sink").unwrap_or_default(), args.site);
            match args.get(1, "prefix").unwrap_or(Value::str("/")) {
                Value::Str(prefix) => rest(interp, node, &prefix, handler),
                _ => missed(interp, node, Counter::UnknownPaths, None),
            }
        }
        "add_static_route" => match args.get(0, "prefix") {
            Some(Value::Str(prefix)) => {
                let prefix = format!("{}/", regex_lite::escape(prefix.trim_end_matches('/')));
                rest(interp, node, &prefix, Handler::outside("static", args.site));
            }
            _ => missed(interp, node, Counter::UnknownPaths, None),
        },
        _ => return None,
    }
    Some(Value::None)
}

fn route<'a>(interp: &mut Interp<'a>, node: &Node<'a>, args: &Args<'a>) {
    let Some(Value::Str(path)) = args.get(0, "uri_template") else {
        return missed(interp, node, Counter::UnknownPaths, None);
    };
    let conditional = interp.uncertain > 0;
    let make = |methods, handler, websocket| {
        let path = vec![Part::Text(path.clone())];
        Entry::Route(Route { methods, path, handler, websocket, conditional, slash: None })
    };
    let resource = args.get(1, "resource").unwrap_or_default();
    let suffix = match args.named("suffix") {
        None | Some(Value::None) => Some(String::new()),
        Some(Value::Str(suffix)) => Some(format!("_{suffix}")),
        Some(_) => None,
    };
    if let Some((class, suffix)) = class_of(&resource).zip(suffix) {
        let responder = |verb: &str| {
            let name = format!("on_{verb}{suffix}");
            let has = matches!(class.find(&name), Some((Value::Function(_), _)));
            has.then(|| Handler::of_verb(&class, &name))
        };
        let found: Vec<_> = VERBS.iter().filter_map(|verb| Some((verb, responder(verb)?))).collect();
        let websocket = responder("websocket");
        let is_known = !found.is_empty() || websocket.is_some();
        for (verb, handler) in found {
            add(interp, node, make(vec![verb.to_uppercase().into()], handler, false));
        }
        if let Some(handler) = websocket {
            add(interp, node, make(vec!["GET".into()], handler, true));
        }
        if is_known {
            return;
        }
    }
    add(interp, node, make(Vec::new(), Handler::of(&resource, args.site), false));
}

/// The class of the tree of which the resource is an instance.
fn class_of<'a>(resource: &Value<'a>) -> Option<Rc<Class<'a>>> {
    match resource {
        Value::Object(object) => object.class.clone(),
        _ => None,
    }
}

/// All that begins with what the regular expression tells, by any method, where no route is found.
fn rest<'a>(interp: &Interp<'a>, node: &Node<'a>, prefix: &str, handler: Handler) {
    let path = vec![Part::Regex(prefix.into())];
    let conditional = interp.uncertain > 0;
    add(
        interp,
        node,
        Entry::Route(Route {
            methods: Vec::new(),
            path,
            handler,
            websocket: false,
            conditional,
            slash: None,
        }),
    );
}
