//! What serves a Django pattern: functions, class-based views, Django REST framework's views and view sets.

use std::rc::Rc;

use super::handler::{Base, Handler, class_methods, noted, under_wrappers};
use super::methods_of;
use crate::interp::Interp;
use crate::value::{Args, Class, Kind, Site, Value};

/// A decorator that notes the methods a function answers.
pub(super) fn noting<'a>(interp: &mut Interp<'a>, methods: Value<'a>, args: &Args<'a>) -> Value<'a> {
    let args = Args { positional: vec![Value::str("methods"), methods], site: args.site, ..Args::default() };
    let site = args.site;
    Value::Object(interp.object(None, Kind::Opaque { callee: "@note".into(), args }, site))
}

/// Who serves a view, by method; an empty list of methods is any method.
pub(super) fn serving(view: &Value<'_>, site: Site) -> Vec<(Vec<Rc<str>>, Handler)> {
    if let Some(operations) = operations(view) {
        return operations;
    }
    if let Some((class, mapping)) = as_view(view) {
        if let Some(Value::Dict(mapping)) = mapping {
            // A view set's {"get": "list"}
            return mapping
                .borrow()
                .iter()
                .filter_map(|(verb, action)| Some((verb.as_str()?, action.as_str()?)))
                .map(|(verb, action)| (vec![verb.to_uppercase().into()], action_handler(&class, &action)))
                .collect();
        }
        let methods = view_methods(&class);
        let own = |method: &str| matches!(class.find(&method.to_lowercase()), Some((Value::Function(_), _)));
        return match methods {
            Some(methods) if !methods.is_empty() => methods
                .into_iter()
                .map(|method| {
                    let handler = if own(&method) {
                        Handler::of_verb(&class, &method)
                    } else {
                        Handler::of(view, site)
                    };
                    (vec![method], handler)
                })
                .collect(),
            _ => vec![(Vec::new(), Handler::of(view, site))],
        };
    }
    let methods = match external_view(view) {
        Some(name) => match base(&name) {
            Base::Methods(known) => known.iter().map(|method| Rc::from(*method)).collect(),
            Base::Unknown => Vec::new(),
        },
        None => noted(view, "methods").and_then(|value| methods_of(Some(&value))).unwrap_or_default(),
    };
    vec![(methods, Handler::of(view, site))]
}

/// Those of a pattern of django-ninja: what each function answers.
fn operations(view: &Value<'_>) -> Option<Vec<(Vec<Rc<str>>, Handler)>> {
    let Value::Object(object) = view else { return None };
    let Kind::Opaque { callee, args } = &object.kind else { return None };
    let of = |operation: &Value<'_>| match operation.items()?.as_slice() {
        [methods, function] => Some((methods_of(Some(methods))?, Handler::of(function, args.site))),
        _ => None,
    };
    (&**callee == "@operations").then(|| args.positional.iter().filter_map(of).collect())
}

fn action_handler(class: &Rc<Class<'_>>, action: &str) -> Handler {
    match class.find(action) {
        Some((Value::Function(function), _)) => {
            let function = function.unwrapped();
            Handler { site: function.site, name: function.qualified.clone(), in_tree: true }
        }
        _ => Handler { site: class.site, name: format!("{}.{action}", class.name).into(), in_tree: true },
    }
}

/// Class and first argument of an `as_view` call of a class of the tree, under wrappers.
fn as_view<'a>(view: &Value<'a>) -> Option<(Rc<Class<'a>>, Option<Value<'a>>)> {
    under_wrappers(view, |value| {
        let Value::Object(object) = value else { return None };
        let Kind::Opaque { callee, args } = &object.kind else { return None };
        match (&**callee, args.positional.first()) {
            ("as_view", Some(Value::Class(class))) => Some((class.clone(), args.get(1, "actions"))),
            _ => None,
        }
    })
}

/// Name of an external class whose `as_view` was called, under wrappers.
fn external_view(view: &Value<'_>) -> Option<Rc<str>> {
    under_wrappers(view, |value| {
        let Value::Object(object) = value else { return None };
        let Kind::Opaque { callee, .. } = &object.kind else { return None };
        callee.strip_suffix(".as_view").map(Rc::from)
    })
}

fn view_methods(class: &Rc<Class<'_>>) -> Option<Vec<Rc<str>>> {
    let mut methods = class_methods(class, base)?;
    if let Some(allowed) = class.find("http_method_names").and_then(|(value, _)| methods_of(Some(&value))) {
        methods.retain(|method| allowed.contains(method));
    }
    // Every view answers OPTIONS by itself, and HEAD where it answers GET.
    methods.retain(|method| !matches!(&**method, "OPTIONS" | "HEAD"));
    Some(methods)
}

/// Methods that the generic views of Django and of Django REST framework define.
fn base(dotted: &str) -> Base {
    Base::Methods(match dotted.rsplit('.').next().unwrap_or(dotted) {
        "View" | "APIView" | "GenericAPIView" | "GenericViewSet" | "ViewSet" | "ViewSetMixin" => &[],
        "DeletionMixin" => &["DELETE", "POST"],
        name if name.ends_with("Mixin") && dotted.starts_with("django.") => &[],
        "TemplateView"
        | "ListView"
        | "BaseListView"
        | "DetailView"
        | "BaseDetailView"
        | "BaseDateListView"
        | "DateDetailView"
        | "BaseDateDetailView"
        | "PasswordChangeDoneView"
        | "PasswordResetDoneView"
        | "PasswordResetCompleteView"
        | "JavaScriptCatalog" => &["GET"],
        name if name.ends_with("ArchiveView") || name.ends_with("ArchiveIndexView") => &["GET"],
        "FormView"
        | "BaseFormView"
        | "ProcessFormView"
        | "CreateView"
        | "BaseCreateView"
        | "UpdateView"
        | "BaseUpdateView"
        | "LoginView"
        | "PasswordChangeView"
        | "PasswordResetView"
        | "PasswordResetConfirmView" => &["GET", "POST", "PUT"],
        "DeleteView" | "BaseDeleteView" => &["DELETE", "GET", "POST"],
        // From Django 5 on.
        "LogoutView" => &["POST"],
        "RedirectView" => &["DELETE", "GET", "PATCH", "POST", "PUT"],
        "ListAPIView" | "RetrieveAPIView" | "APIRootView" => &["GET"],
        "CreateAPIView" => &["POST"],
        "DestroyAPIView" => &["DELETE"],
        "UpdateAPIView" => &["PATCH", "PUT"],
        "ListCreateAPIView" => &["GET", "POST"],
        "RetrieveUpdateAPIView" => &["GET", "PATCH", "PUT"],
        "RetrieveDestroyAPIView" => &["DELETE", "GET"],
        "RetrieveUpdateDestroyAPIView" => &["DELETE", "GET", "PATCH", "PUT"],
        "ObtainAuthToken" => &["POST"],
        "object" => &[],
        _ => return Base::Unknown,
    })
}
