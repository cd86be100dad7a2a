//! Which function or class serves a route, and which methods it knows.

use std::rc::Rc;

use crate::interp::Interp;
use crate::limits::MAX_WRAPPED;
use crate::value::{Ancestor, Args, Class, Kind, Site, Value};

/// Where a route is served.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub(crate) site: Site,
    /// `function` or `Class.method`; empty where it is not known.
    pub(crate) name: Rc<str>,
    /// It is a function or class of the tree.
    pub(crate) in_tree: bool,
}

/// Methods that class-based handlers can have, as attribute and as method.
const VERBS: &[(&str, &str)] = &[
    ("get", "GET"),
    ("post", "POST"),
    ("put", "PUT"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
    ("head", "HEAD"),
    ("options", "OPTIONS"),
    ("trace", "TRACE"),
];

impl Handler {
    /// The handler behind a value that was given for one; `site` is where it was registered.
    pub(super) fn of(value: &Value<'_>, site: Site) -> Self {
        Self::find(value, site).unwrap_or_else(|| Self::outside("", site))
    }

    /// Something outside of the tree, by its dotted name, registered at `site`.
    pub(super) fn outside(dotted: &str, site: Site) -> Self {
        Self { site, name: last(dotted).into(), in_tree: false }
    }

    fn inside(name: impl Into<Rc<str>>, site: Site) -> Self {
        Self { site, name: name.into(), in_tree: true }
    }

    fn find(value: &Value<'_>, site: Site) -> Option<Self> {
        let mut outermost = None;
        let inside = under_wrappers(value, |value| {
            let found = Self::own(value, site);
            if let Some(found) = found.as_ref().filter(|found| !found.in_tree) {
                outermost.get_or_insert_with(|| found.clone());
            }
            found.filter(|found| found.in_tree)
        });
        // login_required(view), csrf_exempt(View.as_view()): the view is what serves.
        inside.or(outermost)
    }

    /// What serves, without a look under wrappers.
    fn own(value: &Value<'_>, site: Site) -> Option<Self> {
        match value {
            Value::Function(function) => {
                let function = function.unwrapped();
                Some(Self::inside(function.qualified.clone(), function.site))
            }
            Value::Method(method) => {
                let function = method.1.unwrapped();
                Some(Self::inside(function.qualified.clone(), function.site))
            }
            Value::Class(class) => Some(Self::inside(class.name, class.site)),
            Value::External(name) => Some(Self::outside(name, site)),
            Value::Object(object) => match &object.kind {
                Kind::Partial { .. } => None,
                Kind::Opaque { callee, .. } => {
                    Some(Self::outside(callee.strip_suffix(".as_view").unwrap_or(callee), site))
                }
                Kind::Plain | Kind::Node(_) => {
                    let class = object.class.as_ref()?;
                    Some(Self::inside(class.name, class.site))
                }
            },
            _ => None,
        }
    }

    /// The method of a class that serves `verb`, where the class of the tree has it.
    pub(super) fn of_verb(class: &Rc<Class<'_>>, verb: &str) -> Self {
        match class.find(&verb.to_lowercase()) {
            Some((Value::Function(function), _)) => {
                let function = function.unwrapped();
                Self::inside(function.qualified.clone(), function.site)
            }
            _ => Self::inside(class.name, class.site),
        }
    }
}

fn last(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}

/// The first that `pick` takes of a value and of what it wraps: the arguments of external calls and of
/// `functools.partial`, each before its next. Bounded, since wrappers can be wrapped without end and share what they
/// wrap.
pub(super) fn under_wrappers<'a, R>(
    value: &Value<'a>,
    mut pick: impl FnMut(&Value<'a>) -> Option<R>,
) -> Option<R> {
    let mut left = vec![value.clone()];
    for _ in 0..MAX_WRAPPED {
        let value = left.pop()?;
        if let Some(found) = pick(&value) {
            return Some(found);
        }
        let Value::Object(object) = &value else { continue };
        match &object.kind {
            Kind::Opaque { args, .. } => {
                let given = args.positional.iter().chain(args.named.iter().map(|(_, value)| value));
                let first = left.len();
                left.extend(given.take(MAX_WRAPPED).cloned());
                left[first..].reverse();
            }
            Kind::Partial { function, .. } => left.push(function.clone()),
            Kind::Plain | Kind::Node(_) => {}
        }
    }
    None
}

/// The class of the tree behind `Class`, `Class.as_view()` or wrappers around them; `None` where a function comes first.
pub(super) fn class_of<'a>(value: &Value<'a>) -> Option<Rc<Class<'a>>> {
    under_wrappers(value, |value| match value {
        Value::Class(class) => Some(Some(class.clone())),
        Value::Function(_) | Value::Method(_) => Some(None),
        _ => None,
    })
    .flatten()
}

/// What an external base class of a class-based handler adds.
pub(super) enum Base {
    /// It has these methods.
    Methods(&'static [&'static str]),
    /// Nothing is known about it.
    Unknown,
}

/// Methods of a class-based handler, upper case, in a fixed order; `None` where an ancestor is not known.
pub(super) fn class_methods(class: &Rc<Class<'_>>, base: impl Fn(&str) -> Base) -> Option<Vec<Rc<str>>> {
    let mut methods: Vec<Rc<str>> = Vec::new();
    for ancestor in class.ancestry() {
        match ancestor {
            Ancestor::Known(class) => {
                let defined = VERBS.iter().filter(|(attribute, _)| {
                    class.scope.get(attribute).is_some_and(|value| !matches!(value, Value::None))
                });
                methods.extend(defined.map(|(_, method)| Rc::from(*method)));
            }
            Ancestor::External(name) => match base(&name) {
                Base::Methods(known) => methods.extend(known.iter().map(|method| Rc::from(*method))),
                Base::Unknown => return None,
            },
            Ancestor::Unknown => return None,
        }
    }
    methods.sort();
    methods.dedup();
    Some(methods)
}

/// Applies a decorator that notes something on a function: the first argument is the note's name, the second its value.
pub(super) fn note<'a>(interp: &mut Interp<'a>, given: &Args<'a>, target: &Value<'a>) -> Value<'a> {
    if let (Some(name), Some(value), Value::Function(function)) =
        (given.positional.first().and_then(Value::as_str), given.positional.get(1), target)
    {
        interp.note(function, &name, value.clone());
    }
    target.clone()
}

/// A note that a decorator left on the function behind a value.
pub(super) fn noted<'a>(value: &Value<'a>, name: &str) -> Option<Value<'a>> {
    under_wrappers(value, |value| {
        let mut layer = match value {
            Value::Function(function) => Some(function.clone()),
            Value::Method(method) => Some(method.1.clone()),
            _ => None,
        };
        while let Some(function) = layer {
            if let Some(found) = function.attrs.borrow().get(name) {
                return Some(found.clone());
            }
            layer = function.wraps.clone();
        }
        None
    })
}
