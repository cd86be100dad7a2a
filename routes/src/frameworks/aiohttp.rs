//! aiohttp.web: `add_get` and its like, route tables, sub-applications.

use std::rc::Rc;

use super::handler::{Base, class_methods, class_of};
use super::{Child, Entry, Handler, Node, Route, add, missed, registering};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::Part;
use crate::value::{Args, Kind, Object, Value};

const VERBS: &[&str] = &["get", "post", "put", "patch", "delete", "head", "options"];

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    // Decorators of a RouteTableDef
    if VERBS.contains(&name) {
        let mut args = args.clone();
        args.positional.insert(0, Value::str(name.to_uppercase()));
        return Some(registering(interp, owner, "@route", &args));
    }
    if let Some(verb) = name.strip_prefix("add_").filter(|verb| VERBS.contains(verb)) {
        let handler = args.get(1, "handler").unwrap_or_default();
        route(interp, node, &verb.to_uppercase(), args.get(0, "path"), &handler, args);
        return Some(Value::None);
    }
    match name {
        "__init__" => {}
        "route" => return Some(registering(interp, owner, "@route", args)),
        "view" => {
            let mut args = args.clone();
            args.positional.insert(0, Value::str("*"));
            return Some(registering(interp, owner, "@route", &args));
        }
        "@route" => {
            let handler = args.positional.first().cloned().unwrap_or_default();
            let verb = args.get(1, "method").and_then(|verb| verb.as_str()).unwrap_or("*".into());
            route(interp, node, &verb, args.get(2, "path"), &handler, args);
        }
        "add_route" => {
            // On a resource the path is known already.
            let verb = args.get(0, "method").and_then(|verb| verb.as_str()).unwrap_or("*".into());
            let handler = args.get(2, "handler").unwrap_or_default();
            route(interp, node, &verb, args.get(1, "path"), &handler, args);
        }
        "add_view" => {
            let handler = args.get(1, "handler").unwrap_or_default();
            route(interp, node, "*", args.get(0, "path"), &handler, args);
        }
        "add_static" | "static" => fixed(interp, node, args.get(0, "prefix"), args),
        "add_resource" => {
            let inner = Node::new(node.what);
            *inner.prefix.borrow_mut() = super::path_part(args.get(0, "path"));
            let object = interp.object(None, Kind::Node(inner), args.site);
            object.attrs.borrow_mut().insert("add_route".into(), resource_adder(interp, &object, args));
            let conditional = interp.uncertain > 0;
            add(interp, node, Entry::Child(Child { path: None, object: object.clone(), conditional }));
            return Some(Value::Object(object));
        }
        "@resource" => {
            let verb = args.get(0, "method").and_then(|verb| verb.as_str()).unwrap_or("*".into());
            let handler = args.get(1, "handler").unwrap_or_default();
            route(interp, node, &verb, Some(Value::str("")), &handler, args);
        }
        "add_routes" => {
            let routes = args.get(0, "routes").unwrap_or_default();
            add_routes(interp, node, &routes);
        }
        "add_subapp" | "add_domain" => {
            let target = args.get(1, "subapp").or_else(|| args.named("app")).unwrap_or_default();
            let Some((object, _)) = target.node() else {
                missed(interp, node, Counter::Opaque, None);
                return Some(Value::None);
            };
            let path = match args.get(0, "prefix") {
                _ if name == "add_domain" => None,
                Some(Value::Str(path)) => Some(Part::Text(path.trim_end_matches('/').into())),
                _ => Some(Part::Unknown),
            };
            let conditional = interp.uncertain > 0;
            add(interp, node, Entry::Child(Child { path, object: object.clone(), conditional }));
        }
        _ => return None,
    }
    Some(Value::None)
}

/// `resource.add_route(method, handler)`
fn resource_adder<'a>(interp: &mut Interp<'a>, object: &Rc<Object<'a>>, args: &Args<'a>) -> Value<'a> {
    let function = Value::Native(Rc::new((Value::Object(object.clone()), "@resource".into())));
    let args = Args { site: args.site, ..Args::default() };
    let site = args.site;
    Value::Object(interp.object(None, Kind::Partial { function, args }, site))
}

fn add_routes<'a>(interp: &mut Interp<'a>, node: &Node<'a>, routes: &Value<'a>) {
    if let Some((object, _)) = routes.node() {
        let conditional = interp.uncertain > 0;
        return add(interp, node, Entry::Child(Child { path: None, object: object.clone(), conditional }));
    }
    let Some(items) = routes.items() else {
        return missed(interp, node, Counter::Opaque, None);
    };
    for item in items {
        if item.node().is_some() {
            add_routes(interp, node, &item);
            continue;
        }
        let Value::Object(object) = &item else {
            missed(interp, node, Counter::UnknownPaths, None);
            continue;
        };
        let Kind::Opaque { callee, args } = &object.kind else { continue };
        let last = callee.rsplit('.').next().unwrap_or("");
        match last {
            "route" => {
                let verb = args.get(0, "method").and_then(|verb| verb.as_str()).unwrap_or("*".into());
                let handler = args.get(2, "handler").unwrap_or_default();
                route(interp, node, &verb, args.get(1, "path"), &handler, args);
            }
            "static" => fixed(interp, node, args.get(0, "prefix"), args),
            "view" => {
                let handler = args.get(1, "handler").unwrap_or_default();
                route(interp, node, "*", args.get(0, "path"), &handler, args);
            }
            verb if VERBS.contains(&verb) => {
                let handler = args.get(1, "handler").unwrap_or_default();
                route(interp, node, &verb.to_uppercase(), args.get(0, "path"), &handler, args);
            }
            _ => missed(interp, node, Counter::Opaque, None),
        }
    }
}

fn route<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    verb: &str,
    path: Option<Value<'a>>,
    handler: &Value<'a>,
    args: &Args<'a>,
) {
    let Some(Value::Str(path)) = path else {
        return missed(interp, node, Counter::UnknownPaths, None);
    };
    let conditional = interp.uncertain > 0;
    let make = |methods, handler| {
        let path = vec![Part::Text(path.clone())];
        Entry::Route(Route { methods, path, handler, websocket: false, conditional, slash: None })
    };
    if verb == "*" {
        // A view class answers the methods that it defines.
        let class = class_of(handler);
        let verbs = class.as_ref().and_then(|class| class_methods(class, |_| Base::Methods(&[])));
        if let (Some(class), Some(verbs)) = (&class, verbs)
            && !verbs.is_empty()
        {
            for verb in verbs {
                let handler = Handler::of_verb(class, &verb);
                add(interp, node, make(vec![verb], handler));
            }
            return;
        }
    }
    let methods = if verb == "*" { Vec::new() } else { vec![verb.to_uppercase().into()] };
    add(interp, node, make(methods, Handler::of(handler, args.site)));
}

fn fixed<'a>(interp: &mut Interp<'a>, node: &Node<'a>, path: Option<Value<'a>>, args: &Args<'a>) {
    let Some(Value::Str(path)) = path else {
        return missed(interp, node, Counter::UnknownPaths, None);
    };
    let route = Route {
        methods: vec!["GET".into()],
        path: vec![Part::Text(path.trim_end_matches('/').into()), Part::Rest],
        handler: Handler::outside("static", args.site),
        websocket: false,
        conditional: interp.uncertain > 0,
        slash: None,
    };
    add(interp, node, Entry::Route(route));
}
