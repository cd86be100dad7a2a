//! Django REST framework: routers, view sets, `@api_view`, `@action`.

use std::rc::Rc;

use super::handler::class_of;
use super::{Node, What, django, django_views};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::value::{Ancestor, Args, Class, Kind, Object, Value};

/// The suffix that `format_suffix_patterns` adds.
const FORMAT_SUFFIX: &str = r"\.(?P<format>[a-z0-9]+)/?$";

/// Actions of a view set that a router knows: name, method, whether it is about one object.
const ACTIONS: &[(&str, &str, bool)] = &[
    ("list", "get", false),
    ("create", "post", false),
    ("retrieve", "get", true),
    ("update", "put", true),
    ("partial_update", "patch", true),
    ("destroy", "delete", true),
];

pub(super) fn call<'a>(interp: &mut Interp<'a>, name: &Rc<str>, args: &Args<'a>) -> Option<Value<'a>> {
    match name.rsplit('.').next()? {
        "api_view" => {
            let methods = match args.get(0, "http_method_names") {
                Some(methods) => methods,
                None => Value::list(vec![Value::str("GET")]),
            };
            Some(django_views::noting(interp, methods, args))
        }
        "action" => {
            let named: Vec<_> =
                args.named.iter().map(|(name, value)| (Value::Str(name.clone()), value.clone())).collect();
            let options = Value::Dict(Rc::new(named.into()));
            let args =
                Args { positional: vec![Value::str("action"), options], site: args.site, ..Args::default() };
            let site = args.site;
            Some(Value::Object(interp.object(None, Kind::Opaque { callee: "@note".into(), args }, site)))
        }
        "format_suffix_patterns" => {
            let patterns = args.get(0, "urlpatterns")?;
            Some(with_suffixes(interp, &patterns, args))
        }
        _ => None,
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
        "__init__" => {
            let slash = match args.named("trailing_slash") {
                Some(Value::Bool(false)) => Value::str(""),
                None | Some(Value::Bool(true)) => Value::str("/"),
                _ => Value::Unknown,
            };
            let above = is_nested(args).then(|| parent_regex(args));
            let mut attrs = owner.attrs.borrow_mut();
            attrs.extend(above.map(|above| ("parent_regex".into(), above)));
            attrs.insert("trailing_slash".into(), slash);
            attrs.insert("registry".into(), Value::list(Vec::new()));
            attrs.insert("is_default".into(), Value::Bool(is_default(owner, node)));
        }
        "register" => {
            let registry = owner.attrs.borrow().get("registry").cloned();
            if let Some(Value::Seq(registry)) = registry {
                let prefix = args.get(0, "prefix").unwrap_or_default();
                let viewset = args.get(1, "viewset").unwrap_or_default();
                registry.items.borrow_mut().push(Value::tuple(vec![prefix, viewset]));
            } else {
                interp.counters.add(Counter::UnknownPaths, 1);
            }
        }
        "get_urls" => return Some(urls(interp, &Value::Object(owner.clone()))),
        _ => return None,
    }
    Some(Value::None)
}

/// A `DefaultRouter` has a root view and format suffixes as well.
fn is_default(owner: &Rc<Object<'_>>, node: &Node<'_>) -> bool {
    match &owner.class {
        Some(class) => class.externals().iter().any(|name| name.ends_with("DefaultRouter")),
        None => node.what == What::DrfDefaultRouter,
    }
}

/// A router of drf-nested-routers gets the router that it stands below first.
fn is_nested(args: &Args<'_>) -> bool {
    args.get(0, "parent_router").is_some_and(|parent| parent.node().is_some())
}

/// `NestedMixin.__init__`: what all prefixes of a nested router begin with.
fn parent_regex<'a>(args: &Args<'a>) -> Value<'a> {
    let (Some(parent), Some(Value::Str(prefix))) =
        (args.get(0, "parent_router"), args.get(1, "parent_prefix"))
    else {
        return Value::Unknown;
    };
    let Some((parent, _)) = parent.node() else { return Value::Unknown };
    let attr = |name: &str| parent.attrs.borrow().get(name).cloned();
    let Some(registry) = attr("registry").and_then(|registry| registry.items()) else {
        return Value::Unknown;
    };
    let of_prefix = registry
        .iter()
        .filter_map(Value::items)
        .find(|entry| entry.first().and_then(Value::as_str).as_ref() == Some(&prefix));
    let class = of_prefix.and_then(|entry| class_of(entry.get(1)?));
    let above = attr("parent_regex").unwrap_or(Value::str("")).as_str();
    // Without `lookup` the parameter is called `nested_1`, `nested_2`, ..
    let lookup = args.named("lookup").and_then(|lookup| lookup.as_str());
    let (Some(class), Some(above), Some(lookup)) = (class, above, lookup) else { return Value::Unknown };
    let regex = lookup_regex(&class).replacen("(?P<", &format!("(?P<{lookup}_"), 1);
    Value::str(format!("{above}{prefix}/{regex}/"))
}

/// The patterns of a router at this moment.
pub(super) fn urls<'a>(interp: &mut Interp<'a>, router: &Value<'a>) -> Value<'a> {
    let Some((owner, _)) = router.node() else { return Value::Unknown };
    let attr = |name: &str| owner.attrs.borrow().get(name).cloned().unwrap_or_default();
    let (Some(registry), Value::Str(slash)) = (attr("registry").items(), attr("trailing_slash")) else {
        interp.counters.add(Counter::Opaque, 1);
        return Value::Unknown;
    };
    let args = Args { site: owner.site, ..Args::default() };
    let above = owner.attrs.borrow().get("parent_regex").cloned();
    let above = above.unwrap_or(Value::str("")).as_str();
    let mut patterns = Vec::new();
    for entry in registry {
        let pair = entry.items().unwrap_or_default();
        let [prefix, viewset] = &pair[..] else { continue };
        match (prefix.as_str().zip(above.as_deref()), class_of(viewset)) {
            (Some((prefix, above)), Some(class)) => {
                let prefix = format!("{above}{prefix}");
                viewset_patterns(interp, &prefix, &class, &slash, &args, &mut patterns);
            }
            // Counted where the patterns are included.
            _ => patterns.push(Value::Unknown),
        }
    }
    if !matches!(attr("is_default"), Value::Bool(true)) {
        return Value::list(patterns);
    }
    if !matches!(attr("include_root_view"), Value::Bool(false)) {
        let view =
            Kind::Opaque { callee: "rest_framework.routers.APIRootView.as_view".into(), args: args.clone() };
        let view = Value::Object(interp.object(None, view, args.site));
        let root = Args { positional: vec![Value::str(""), view], site: args.site, ..Args::default() };
        patterns.push(django::pattern(interp, "path", &root));
    }
    with_suffixes(interp, &Value::list(patterns), &args)
}

fn regex_pattern<'a>(interp: &mut Interp<'a>, regex: String, view: Value<'a>, args: &Args<'a>) -> Value<'a> {
    let args = Args { positional: vec![Value::str(regex), view], site: args.site, ..Args::default() };
    django::pattern(interp, "re_path", &args)
}

fn viewset_patterns<'a>(
    interp: &mut Interp<'a>,
    prefix: &str,
    class: &Rc<Class<'a>>,
    slash: &str,
    args: &Args<'a>,
    patterns: &mut Vec<Value<'a>>,
) {
    let base = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let lookup = lookup_regex(class);
    let extra = extra_actions(class);
    for is_detail in [false, true] {
        let mapping: Vec<_> = ACTIONS
            .iter()
            .filter(|(name, _, detail)| *detail == is_detail && has_action(class, name))
            .map(|(name, verb, _)| (Value::str(*verb), Value::str(*name)))
            .collect();
        let stem = if is_detail { format!("{base}{lookup}") } else { prefix.to_owned() };
        if !mapping.is_empty() {
            let view = viewset_view(interp, class, mapping, args);
            let slash = if stem.is_empty() { "" } else { slash };
            patterns.push(regex_pattern(interp, format!("^{stem}{slash}$"), view, args));
        }
        for action in extra.iter().filter(|action| action.is_detail == is_detail) {
            let stem = if is_detail { format!("{base}{lookup}/") } else { base.clone() };
            let mapping = action
                .methods
                .iter()
                .map(|verb| (Value::Str(verb.clone()), Value::Str(action.name.clone())))
                .collect();
            let view = viewset_view(interp, class, mapping, args);
            patterns.push(regex_pattern(interp, format!("^{stem}{}{slash}$", action.url_path), view, args));
        }
    }
}

fn viewset_view<'a>(
    interp: &mut Interp<'a>,
    class: &Rc<Class<'a>>,
    mapping: Vec<(Value<'a>, Value<'a>)>,
    args: &Args<'a>,
) -> Value<'a> {
    let mapping = Value::Dict(Rc::new(mapping.into()));
    let args =
        Args { positional: vec![Value::Class(class.clone()), mapping], site: args.site, ..Args::default() };
    let site = args.site;
    Value::Object(interp.object(None, Kind::Opaque { callee: "as_view".into(), args }, site))
}

/// `BaseRouter.get_lookup_regex`
fn lookup_regex(class: &Rc<Class<'_>>) -> String {
    let text = |name: &str| class.find(name).and_then(|(value, _)| value.as_str());
    let field = text("lookup_url_kwarg").or_else(|| text("lookup_field")).unwrap_or("pk".into());
    let value = text("lookup_value_regex").unwrap_or("[^/.]+".into());
    format!("(?P<{field}>{value})")
}

/// Does the view set have one of the standard actions, itself or by a mixin?
fn has_action(class: &Rc<Class<'_>>, action: &str) -> bool {
    class.ancestry().iter().any(|ancestor| match ancestor {
        Ancestor::Known(class) => matches!(class.scope.get(action), Some(Value::Function(_))),
        Ancestor::External(name) => match name.rsplit('.').next().unwrap_or(name) {
            "ModelViewSet" => true,
            "ReadOnlyModelViewSet" => matches!(action, "list" | "retrieve"),
            "ListModelMixin" => action == "list",
            "CreateModelMixin" => action == "create",
            "RetrieveModelMixin" => action == "retrieve",
            "UpdateModelMixin" => matches!(action, "update" | "partial_update"),
            "DestroyModelMixin" => action == "destroy",
            _ => false,
        },
        Ancestor::Unknown => false,
    })
}

struct Extra {
    name: Rc<str>,
    url_path: Rc<str>,
    is_detail: bool,
    methods: Vec<Rc<str>>,
}

/// Methods marked with `@action`, by name, as `get_extra_actions` lists them.
fn extra_actions(class: &Rc<Class<'_>>) -> Vec<Extra> {
    let mut found: Vec<Extra> = Vec::new();
    for ancestor in class.ancestry() {
        let Ancestor::Known(class) = ancestor else { continue };
        for (name, value) in class.scope.vars.borrow().iter() {
            if found.iter().any(|extra| &*extra.name == *name) {
                continue;
            }
            let Some(Value::Dict(options)) = super::handler::noted(value, "action") else { continue };
            let options = options.borrow();
            let option = |wanted: &str| {
                options
                    .iter()
                    .find(|(key, _)| key.as_str().as_deref() == Some(wanted))
                    .map(|(_, value)| value.clone())
            };
            let methods = option("methods").and_then(|value| value.strings()).unwrap_or(vec!["get".into()]);
            found.push(Extra {
                name: (*name).into(),
                url_path: option("url_path").and_then(|value| value.as_str()).unwrap_or((*name).into()),
                is_detail: matches!(option("detail"), Some(Value::Bool(true))),
                methods: methods.iter().map(|method| method.to_lowercase().into()).collect(),
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// `format_suffix_patterns`: each pattern, then the same with a format suffix.
fn with_suffixes<'a>(interp: &mut Interp<'a>, patterns: &Value<'a>, args: &Args<'a>) -> Value<'a> {
    let Some(items) = patterns.items() else { return patterns.clone() };
    let mut out = Vec::new();
    for item in items {
        out.push(item.clone());
        let Value::Object(object) = &item else { continue };
        let Kind::Opaque { callee, args: given } = &object.kind else { continue };
        let (Some(path), Some(view)) =
            (given.get(0, "route").and_then(|path| path.as_str()), given.get(1, "view"))
        else {
            continue;
        };
        let stem = path.trim_end_matches('$').trim_end_matches('/');
        let suffixed = match &**callee {
            "re_path" | "url" => regex_pattern(interp, format!("{stem}{FORMAT_SUFFIX}"), view, args),
            "path" => {
                let route = Value::str(format!("{stem}<drf_format_suffix:format>"));
                let args = Args { positional: vec![route, view], site: args.site, ..Args::default() };
                django::pattern(interp, "path", &args)
            }
            _ => continue,
        };
        out.push(suffixed);
    }
    Value::list(out)
}
