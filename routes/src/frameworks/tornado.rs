//! Tornado: lists of (regular expression, handler class).

use std::rc::Rc;

use super::handler::{Base, class_methods};
use super::{Entry, Handler, Node, Route, add, missed};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::Part;
use crate::value::{Args, Kind, Object, Site, Value};

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    _owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    let handlers = match name {
        "__init__" => args.get(0, "handlers"),
        "add_handlers" => args.get(1, "host_handlers"),
        _ => return None,
    };
    match handlers.as_ref().map(Value::items) {
        Some(Some(items)) => items.iter().for_each(|item| rule(interp, node, item, args.site)),
        None => {}
        Some(None) => missed(interp, node, Counter::Opaque, None),
    }
    Some(Value::None)
}

fn rule<'a>(interp: &mut Interp<'a>, node: &Node<'a>, item: &Value<'a>, site: Site) {
    let (pattern, handler, site) = match item {
        Value::Seq(seq) => {
            let items = seq.items.borrow();
            (items.first().cloned(), items.get(1).cloned(), site)
        }
        Value::Object(object) => match &object.kind {
            // url(...), URLSpec(...)
            Kind::Opaque { args, .. } => (args.get(0, "pattern"), args.get(1, "handler"), args.site),
            _ => (None, None, site),
        },
        _ => (None, None, site),
    };
    let (Some(Value::Str(pattern)), Some(handler)) = (pattern, handler) else {
        return missed(interp, node, Counter::UnknownPaths, None);
    };
    let conditional = interp.uncertain > 0;
    let make = |methods, handler, websocket| {
        let path = vec![Part::Regex(pattern.clone())];
        Entry::Route(Route { methods, path, handler, websocket, conditional, slash: None })
    };
    if let Value::Class(class) = &handler {
        let externals = class.externals();
        if externals.iter().any(|name| name.ends_with("WebSocketHandler")) {
            return add(interp, node, make(vec!["GET".into()], Handler::of(&handler, site), true));
        }
        let base = |name: &str| match name.rsplit('.').next() {
            Some("RequestHandler" | "object") => Base::Methods(&[]),
            Some("StaticFileHandler" | "RedirectHandler") => Base::Methods(&["GET"]),
            _ => Base::Unknown,
        };
        if let Some(verbs) = class_methods(class, base)
            && !verbs.is_empty()
        {
            for verb in verbs {
                let handler = Handler::of_verb(class, &verb);
                add(interp, node, make(vec![verb], handler, false));
            }
            return;
        }
    }
    let methods = match &handler {
        Value::External(name) if name.ends_with("StaticFileHandler") || name.ends_with("RedirectHandler") => {
            vec!["GET".into()]
        }
        _ => Vec::new(),
    };
    add(interp, node, make(methods, Handler::of(&handler, site), false));
}
