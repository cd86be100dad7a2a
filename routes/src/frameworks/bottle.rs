//! Bottle: rules of an application, and those of the default application, which functions of the module register.

use std::rc::Rc;

use super::{Entry, Handler, Node, Route, What, add, include, missed, registering};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::Part;
use crate::value::{Args, Kind, Object, Value};

const SHORTCUTS: &[&str] = &["get", "post", "put", "patch", "delete"];

/// Calls a function of the module.
pub(super) fn call<'a>(interp: &mut Interp<'a>, name: &str, args: &Args<'a>) -> Option<Value<'a>> {
    let last = name.strip_prefix("bottle.")?;
    match last {
        "default_app" | "app" => Some(default_app(interp, args)),
        _ if SHORTCUTS.contains(&last) || ["route", "error", "hook", "mount"].contains(&last) => {
            let app = default_app(interp, args);
            super::call_method(interp, &app, last, args)
        }
        _ => None,
    }
}

/// What `default_app()` returns.
fn default_app<'a>(interp: &mut Interp<'a>, args: &Args<'a>) -> Value<'a> {
    if let Some(app) = &interp.default_app {
        return app.clone();
    }
    let app = Value::Object(interp.object(None, Kind::Node(Node::new(What::Bottle)), args.site));
    interp.default_app = Some(app.clone());
    app
}

pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    owner: &Rc<Object<'a>>,
    node: &Node<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    match name {
        "__init__" => {}
        "route" => {
            if let Some(callback) = args.get(2, "callback") {
                rules(interp, node, args.get(0, "path"), args.get(1, "method"), &callback, args);
                return Some(callback);
            }
            match args.positional.first() {
                // Bare: the path is made of the function's name and parameters.
                Some(view @ (Value::Function(_) | Value::Method(_))) => {
                    missed(interp, node, Counter::UnknownPaths, None);
                    return Some(view.clone());
                }
                _ => return Some(registering(interp, owner, "@route", args)),
            }
        }
        "@route" => {
            let view = args.positional.first().cloned().unwrap_or_default();
            rules(interp, node, args.get(1, "path"), args.get(2, "method"), &view, args);
        }
        "mount" => {
            let prefix = match args.get(0, "prefix") {
                // Before rules, which begin with a slash.
                Some(Value::Str(prefix)) => Part::Text(prefix.trim_end_matches('/').into()),
                _ => Part::Unknown,
            };
            include(interp, node, Some(prefix), &args.get(1, "app").unwrap_or_default());
        }
        "merge" => include(interp, node, None, &args.get(0, "routes").unwrap_or_default()),
        "error" | "hook" => return Some(Value::External("builtins.identity".into())),
        _ if SHORTCUTS.contains(&name) => {
            let mut args = args.clone();
            args.positional.truncate(1);
            args.named.push(("method".into(), Value::str(name.to_uppercase())));
            return method(interp, owner, node, "route", &args);
        }
        _ => return None,
    }
    Some(Value::None)
}

fn rules<'a>(
    interp: &mut Interp<'a>,
    node: &Node<'a>,
    paths: Option<Value<'a>>,
    methods: Option<Value<'a>>,
    view: &Value<'a>,
    args: &Args<'a>,
) {
    let paths = match paths {
        Some(Value::Str(path)) => vec![Value::Str(path)],
        Some(list) => list.items().unwrap_or_default(),
        None => Vec::new(),
    };
    if paths.is_empty() {
        missed(interp, node, Counter::UnknownPaths, None);
    }
    let methods = match methods {
        None => vec!["GET".into()],
        // Given, but not known.
        Some(methods) => super::methods_of(Some(&methods)).unwrap_or_default(),
    };
    let any = methods.iter().any(|method| &**method == "ANY");
    let methods = if any { Vec::new() } else { methods };
    for path in paths {
        let Some(path) = path.as_str().as_deref().and_then(modern) else {
            missed(interp, node, Counter::UnknownPaths, None);
            continue;
        };
        let route = Route {
            methods: methods.clone(),
            path: vec![Part::Text(path.into())],
            handler: Handler::of(view, args.site),
            websocket: false,
            conditional: interp.uncertain > 0,
            slash: None,
        };
        add(interp, node, Entry::Route(route));
    }
}

/// A rule with the parameters of old rules (`/:name`, `/:name#[a-z]+#`) as they are written now; `None` where it is no rule.
fn modern(rule: &str) -> Option<String> {
    if rule.contains('<') || !rule.contains(':') {
        return Some(rule.to_owned());
    }
    let (mut out, mut rest) = (String::new(), rule);
    while let Some((before, after)) = rest.split_once(':') {
        let len = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, after) = after.split_at(len);
        let (regex, after) = match after.strip_prefix('#') {
            Some(after) => after.split_once('#')?,
            None => ("", after),
        };
        let filter = if regex.is_empty() { String::new() } else { format!(":re:{regex}") };
        out.push_str(&format!("{before}<{name}{filter}>"));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
