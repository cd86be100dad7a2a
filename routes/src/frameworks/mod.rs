//! What the calls of each framework mean.
//!
//! Applications, routers, blueprints and the like are [`Node`]s: they hold what was registered on them, in order. When
//! the evaluation is over, [`collect`] walks from every node that nothing includes down to the routes.

mod aiohttp;
mod bottle;
mod collect;
mod django;
mod django_views;
mod drf;
mod extensions;
mod falcon;
mod flask;
mod flask_apis;
mod handler;
mod litestar;
mod ninja;
mod sanic;
mod starlette;
mod tornado;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::Framework;
use crate::interp::Interp;
use crate::limits::Counter;
use crate::pattern::{Part, Slash};
use crate::value::{Args, Class, Kind, Object, Site, Value};
pub(crate) use collect::collect;
use collect::{Output, Walk, emit, flatten};
use handler::Handler;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    FastApi,
    ApiRouter,
    Starlette,
    StarletteRouter,
    Flask,
    Blueprint,
    AioApp,
    AioTable,
    DrfRouter,
    DrfDefaultRouter,
    Litestar,
    LitestarRouter,
    Sanic,
    SanicBlueprint,
    SanicGroup,
    Tornado,
    NinjaApi,
    NinjaRouter,
    RestfulApi,
    RestxApi,
    RestxNamespace,
    SmorestApi,
    Falcon,
    Bottle,
}

impl What {
    fn framework(self) -> Framework {
        match self {
            Self::FastApi | Self::ApiRouter => Framework::FastApi,
            Self::Starlette | Self::StarletteRouter => Framework::Starlette,
            Self::Flask
            | Self::Blueprint
            | Self::RestfulApi
            | Self::RestxApi
            | Self::RestxNamespace
            | Self::SmorestApi => Framework::Flask,
            Self::AioApp | Self::AioTable => Framework::Aiohttp,
            Self::DrfRouter | Self::DrfDefaultRouter | Self::NinjaApi | Self::NinjaRouter => {
                Framework::Django
            }
            Self::Litestar | Self::LitestarRouter => Framework::Litestar,
            Self::Sanic | Self::SanicBlueprint | Self::SanicGroup => Framework::Sanic,
            Self::Tornado => Framework::Tornado,
            Self::Falcon => Framework::Falcon,
            Self::Bottle => Framework::Bottle,
        }
    }

    /// Does Django's URL configuration take its routes from it, as patterns?
    fn gives_patterns(self) -> bool {
        matches!(self, Self::DrfRouter | Self::DrfDefaultRouter | Self::NinjaApi | Self::NinjaRouter)
    }

    /// Is it an extension's, by way of which others register on what it was given to?
    fn is_flask_api(self) -> bool {
        matches!(self, Self::RestfulApi | Self::RestxApi | Self::SmorestApi)
    }

    /// Can it serve by itself?
    fn is_application(self) -> bool {
        matches!(
            self,
            Self::FastApi
                | Self::Starlette
                | Self::Flask
                | Self::AioApp
                | Self::Litestar
                | Self::Sanic
                | Self::Tornado
                | Self::Falcon
                | Self::Bottle
        )
    }
}

/// An application, router, blueprint...
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) what: What,
    /// Prefix that it was made with.
    pub(crate) prefix: RefCell<Option<Part>>,
    /// Version that goes before all prefixes (Sanic).
    pub(crate) version: RefCell<Option<Part>>,
    /// What was registered on it, with the run that did so.
    pub(crate) entries: RefCell<Vec<(u32, Entry<'a>)>>,
    /// Something includes it.
    pub(crate) attached: Cell<bool>,
    /// The run that made it, and whether that was on a way that may not be taken.
    pub(crate) created: Cell<(u32, bool)>,
    /// The framework's default for a trailing slash was changed.
    pub(crate) slash: Cell<Option<Slash>>,
}

impl<'a> Node<'a> {
    fn new(what: What) -> Self {
        Self {
            what,
            prefix: RefCell::default(),
            version: RefCell::default(),
            entries: RefCell::default(),
            attached: Cell::new(false),
            created: Cell::new((0, false)),
            slash: Cell::new(None),
        }
    }

    /// Its entries as they are for an application that was made in `run`. Another run may never take place beside
    /// that one: a factory that nothing calls, a module that can be run as a script.
    fn entries(&self, run: u32) -> Vec<Entry<'a>> {
        let conditional_in = |(by, entry): &(u32, Entry<'a>)| {
            let mut entry = entry.clone();
            let is_elsewhere = *by != 0 && *by != run;
            match &mut entry {
                Entry::Route(route) => route.conditional |= is_elsewhere,
                Entry::Child(child) => child.conditional |= is_elsewhere,
                Entry::Gap(_) => {}
            }
            entry
        };
        self.entries.borrow().iter().map(conditional_in).collect()
    }
}

/// Something registered on a node.
#[derive(Clone, Debug)]
pub(crate) enum Entry<'a> {
    Route(Route),
    Child(Child<'a>),
    /// Routes that are not known lie below this path.
    Gap(Vec<Part>),
}

/// A registered route, before its prefixes are known.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Upper case; empty = any.
    pub(crate) methods: Vec<Rc<str>>,
    pub(crate) path: Vec<Part>,
    pub(crate) handler: Handler,
    pub(crate) websocket: bool,
    pub(crate) conditional: bool,
    pub(crate) slash: Option<Slash>,
}

/// An included router, a mounted application, a registered blueprint.
#[derive(Clone, Debug)]
pub(crate) struct Child<'a> {
    pub(crate) path: Option<Part>,
    pub(crate) object: Rc<Object<'a>>,
    pub(crate) conditional: bool,
}

/// A framework's class by its dotted name, wherever in the package it is re-exported.
fn node_kind(dotted: &str) -> Option<What> {
    let (package, name) = (dotted.split('.').next()?, dotted.rsplit('.').next()?);
    Some(match (package, name) {
        ("fastapi", "FastAPI") => What::FastApi,
        ("fastapi", "APIRouter") | ("fastapi_utils", "InferringRouter") => What::ApiRouter,
        ("starlette", "Starlette") => What::Starlette,
        ("starlette", "Router") => What::StarletteRouter,
        ("flask", "Flask")
        | ("quart", "Quart")
        | ("apiflask", "APIFlask")
        | ("flask_openapi3", "OpenAPI") => What::Flask,
        ("flask" | "quart" | "flask_smorest", "Blueprint")
        | ("apiflask" | "flask_openapi3", "APIBlueprint") => What::Blueprint,
        ("flask_restful", "Api") => What::RestfulApi,
        ("flask_restx" | "flask_restplus", "Api") => What::RestxApi,
        ("flask_restx" | "flask_restplus", "Namespace") => What::RestxNamespace,
        ("flask_smorest", "Api") => What::SmorestApi,
        ("aiohttp", "Application") => What::AioApp,
        ("aiohttp", "RouteTableDef") => What::AioTable,
        ("rest_framework" | "rest_framework_nested", "SimpleRouter" | "BaseRouter") => What::DrfRouter,
        ("rest_framework" | "rest_framework_nested", "DefaultRouter") => What::DrfDefaultRouter,
        ("rest_framework_nested", "NestedSimpleRouter") => What::DrfRouter,
        ("rest_framework_nested", "NestedDefaultRouter") => What::DrfDefaultRouter,
        ("litestar" | "starlite", "Litestar" | "Starlite") => What::Litestar,
        ("litestar" | "starlite", "Router") => What::LitestarRouter,
        ("sanic", "Sanic") => What::Sanic,
        ("sanic", "Blueprint") => What::SanicBlueprint,
        ("sanic", "BlueprintGroup") => What::SanicGroup,
        ("tornado", "Application") => What::Tornado,
        ("falcon", "App" | "API") => What::Falcon,
        ("bottle", "Bottle") => What::Bottle,
        ("ninja", "NinjaAPI") => What::NinjaApi,
        ("ninja", "Router") => What::NinjaRouter,
        _ => return None,
    })
}

/// The node that an instance of this class of the tree is, if one of its ancestors is a framework's.
pub(crate) fn node_for<'a>(class: &Rc<Class<'a>>) -> Option<Node<'a>> {
    class.externals().iter().find_map(|name| node_kind(name)).map(Node::new)
}

/// Does a class of the tree derive from a framework's application?
pub(crate) fn makes_application(class: &Rc<Class<'_>>) -> bool {
    class.externals().iter().any(|name| node_kind(name).is_some_and(What::is_application))
}

/// Calls something external; `None` where it means nothing to any framework.
pub(crate) fn call_external<'a>(
    interp: &mut Interp<'a>,
    name: &Rc<str>,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    if let Some(what) = node_kind(name) {
        let node = Node::new(what);
        node.created.set((interp.run, interp.uncertain > 0));
        let value = Value::Object(interp.object(None, Kind::Node(node), args.site));
        call_method(interp, &value, "__init__", args);
        extensions::made(interp, name, &value);
        return Some(value);
    }
    extensions::handed(interp, name, args);
    match name.split('.').next()? {
        "django" => django::call(interp, name, args),
        "rest_framework" => drf::call(interp, name, args),
        "litestar" | "starlite" => litestar::call(interp, name, args),
        "sanic" => sanic::call(interp, name, args),
        "bottle" => bottle::call(interp, name, args),
        "flask" | "quart" => flask::call(interp, name, args),
        _ => None,
    }
}

/// Calls a method of a node, or of a class of the tree that inherits it from a framework.
pub(crate) fn call_method<'a>(
    interp: &mut Interp<'a>,
    object: &Value<'a>,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    if let Some((owner, node)) = object.node() {
        let owner = owner.clone();
        return match node.what {
            What::FastApi | What::ApiRouter | What::Starlette | What::StarletteRouter => {
                starlette::method(interp, &owner, node, name, args)
            }
            What::Flask | What::Blueprint => flask::method(interp, &owner, node, name, args),
            What::RestfulApi | What::RestxApi | What::RestxNamespace | What::SmorestApi => {
                flask_apis::method(interp, &owner, node, name, args)
            }
            What::AioApp | What::AioTable => aiohttp::method(interp, &owner, node, name, args),
            What::DrfRouter | What::DrfDefaultRouter => drf::method(interp, &owner, node, name, args),
            What::Litestar | What::LitestarRouter => litestar::method(interp, &owner, node, name, args),
            What::Sanic | What::SanicBlueprint | What::SanicGroup => {
                sanic::method(interp, &owner, node, name, args)
            }
            What::Tornado => tornado::method(interp, &owner, node, name, args),
            What::Falcon => falcon::method(interp, node, name, args),
            What::Bottle => bottle::method(interp, &owner, node, name, args),
            What::NinjaApi | What::NinjaRouter => ninja::method(interp, &owner, node, name, args),
        };
    }
    if let Value::Object(of) = object
        && let Kind::Opaque { callee, .. } = &of.kind
    {
        extensions::handed(interp, &callee.clone(), args);
    }
    match (object, name) {
        (Value::Object(list), "append" | "extend" | "insert") if starlette::is_routes(list) => {
            starlette::add_to_routes(interp, list, name, args);
            Some(Value::None)
        }
        (Value::Class(_), "as_view") => {
            let mut positional = vec![object.clone()];
            positional.extend(args.positional.iter().cloned());
            let args = Args { positional, ..args.clone() };
            let kind = Kind::Opaque { callee: "as_view".into(), args };
            let site = args_site(&kind);
            Some(Value::Object(interp.object(None, kind, site)))
        }
        _ => None,
    }
}

fn args_site(kind: &Kind<'_>) -> Site {
    match kind {
        Kind::Opaque { args, .. } => args.site,
        _ => Site::default(),
    }
}

/// Calls an object that is no node: a decorator that a framework's call returned.
pub(crate) fn call_object<'a>(interp: &mut Interp<'a>, callee: &Value<'a>, args: &Args<'a>) -> Value<'a> {
    let Value::Object(object) = callee else { return Value::Unknown };
    let Kind::Opaque { callee: name, args: given } = &object.kind else { return Value::Unknown };
    let target = args.positional.first().cloned().unwrap_or_default();
    match &**name {
        // `registering` makes a decorator whose call is a call of the node's method with one more argument.
        "@register" => {
            let (Some(node), Some(method)) =
                (given.positional.first(), given.positional.get(1).and_then(Value::as_str))
            else {
                return Value::Unknown;
            };
            let mut positional = vec![target.clone()];
            positional.extend(given.positional.iter().skip(2).cloned());
            call_method(interp, node, &method, &Args { positional, ..given.clone() });
            target
        }
        "@litestar" => litestar::decorate(interp, given, &target),
        "@note" => handler::note(interp, given, &target),
        _ => {
            // What an unknown decorator or wrapper makes of it: still to be found under it.
            let kind = Kind::Opaque { callee: name.clone(), args: args.clone() };
            Value::Object(interp.object(None, kind, args.site))
        }
    }
}

/// A decorator that, applied to a handler, calls `method` of the node with the handler before these arguments.
fn registering<'a>(
    interp: &mut Interp<'a>,
    node: &Rc<Object<'a>>,
    method: &str,
    args: &Args<'a>,
) -> Value<'a> {
    let mut positional = vec![Value::Object(node.clone()), Value::str(method)];
    positional.extend(args.positional.iter().cloned());
    let args = Args { positional, ..args.clone() };
    let site = args.site;
    Value::Object(interp.object(None, Kind::Opaque { callee: "@register".into(), args }, site))
}

/// Attribute of a framework object; `None` for a method.
pub(crate) fn attr<'a>(interp: &mut Interp<'a>, object: &Value<'a>, name: &str) -> Option<Value<'a>> {
    let (_, node) = object.node()?;
    match (node.what, name) {
        (What::FastApi | What::Starlette | What::AioApp | What::Sanic, "router" | "app") => {
            Some(object.clone())
        }
        (What::FastApi | What::ApiRouter | What::Starlette | What::StarletteRouter, "routes") => {
            Some(starlette::routes(interp, object))
        }
        (What::DrfRouter | What::DrfDefaultRouter, "urls") => Some(drf::urls(interp, object)),
        (What::NinjaApi, "urls") => Some(ninja::urls(interp, object)),
        (What::Litestar, "asgi_handler") => Some(object.clone()),
        (_, "prefix" | "url_prefix" | "path") => match &*node.prefix.borrow() {
            Some(Part::Text(text)) => Some(Value::Str(text.clone())),
            _ => Some(Value::Unknown),
        },
        (_, "config" | "state" | "extensions" | "logger" | "ctx" | "jinja_env" | "dependency_overrides") => {
            Some(Value::Unknown)
        }
        _ => None,
    }
}

/// Items of a framework object that can be looped over or unpacked.
pub(crate) fn iterate<'a>(interp: &mut Interp<'a>, object: &Value<'a>) -> Option<Vec<Value<'a>>> {
    let _ = interp;
    let (_, node) = object.node()?;
    (node.what == What::AioTable).then(|| vec![object.clone()])
}

/// Adds an entry to a node.
fn add<'a>(interp: &Interp<'a>, node: &Node<'a>, entry: Entry<'a>) {
    if let Entry::Child(child) = &entry
        && let Kind::Node(inner) = &child.object.kind
    {
        inner.attached.set(true);
    }
    node.entries.borrow_mut().push((interp.run, entry));
}

/// Counts what is not known of a node, and notes that routes lie below `path` which are not told.
fn missed<'a>(interp: &mut Interp<'a>, node: &Node<'a>, counter: Counter, path: Option<Part>) {
    interp.counters.add(counter, 1);
    add(interp, node, Entry::Gap(path.into_iter().collect()));
}

/// Includes what is registered on an application, router or the like below `path`, or notes that it is not known.
fn include<'a>(interp: &mut Interp<'a>, node: &Node<'a>, path: Option<Part>, included: &Value<'a>) {
    let Some((object, _)) = included.node() else { return missed(interp, node, Counter::Opaque, path) };
    let conditional = interp.uncertain > 0;
    add(interp, node, Entry::Child(Child { path, object: object.clone(), conditional }));
}

/// A path argument as a part; counted where it is not known.
fn path_part(value: Option<Value<'_>>) -> Option<Part> {
    match value? {
        Value::Str(text) => Some(Part::Text(text)),
        Value::None => None,
        _ => Some(Part::Unknown),
    }
}

/// Upper-case methods of a list of texts; `None` where they are not known or not given.
fn methods_of(value: Option<&Value<'_>>) -> Option<Vec<Rc<str>>> {
    let names = match value? {
        Value::Str(one) => vec![one.clone()],
        list => list.strings()?,
    };
    let mut methods: Vec<Rc<str>> = names.iter().map(|name| name.to_uppercase().into()).collect();
    methods.sort();
    methods.dedup();
    Some(methods)
}
