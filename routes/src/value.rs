//! What the evaluation computes with: Python values, of which some are unknown.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use ruff_python_ast::{Expr, Parameters, StmtClassDef, StmtFunctionDef};

use crate::dismantle::Dict;
use crate::frameworks::Node;
use crate::limits::MAX_DATA_NESTING;

/// A Python value, as far as it is known. `'a` is the life of the syntax trees.
#[derive(Clone, Debug, Default)]
pub(crate) enum Value<'a> {
    /// Anything.
    #[default]
    Unknown,
    None,
    Bool(bool),
    Int(i64),
    Str(Rc<str>),
    /// A list, tuple or set.
    Seq(Rc<Seq<'a>>),
    Dict(Rc<Dict<'a>>),
    /// A module or namespace package of the tree.
    Module(Rc<Module<'a>>),
    /// Something outside of the tree, by its dotted name.
    External(Rc<str>),
    Function(Rc<Function<'a>>),
    /// A function with the instance or class it was looked up on.
    Method(Rc<(Value<'a>, Rc<Function<'a>>)>),
    Class(Rc<Class<'a>>),
    /// An instance, or an object of a framework.
    Object(Rc<Object<'a>>),
    /// Attribute of a value whose meaning is built in: a string's, a list's or a framework object's method.
    Native(Rc<(Value<'a>, Rc<str>)>),
    /// `super()` within a method.
    Super(Rc<(Value<'a>, Rc<Class<'a>>)>),
    /// What a partially imported module will hold under this name.
    Lazy(Rc<Module<'a>>, Rc<str>),
}

#[derive(Debug)]
pub(crate) struct Seq<'a> {
    pub(crate) items: RefCell<Vec<Value<'a>>>,
    pub(crate) is_tuple: bool,
}

#[derive(Debug)]
pub(crate) struct Module<'a> {
    /// File of the tree; `None` for a namespace package.
    pub(crate) file: Option<usize>,
    /// Folder in which submodules lie.
    pub(crate) folder: std::path::PathBuf,
    pub(crate) scope: Rc<Scope<'a>>,
    pub(crate) state: Cell<Loading>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loading {
    No,
    Running,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    Module,
    Class,
    Function,
}

/// Names and what they stand for.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) vars: RefCell<HashMap<&'a str, Value<'a>>>,
    pub(crate) parent: Option<Rc<Scope<'a>>>,
    pub(crate) kind: ScopeKind,
    /// File whose code runs in it.
    pub(crate) file: usize,
}

impl<'a> Scope<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.vars.borrow().get(name).cloned()
    }

    pub(crate) fn set(&self, name: &'a str, value: Value<'a>) {
        self.vars.borrow_mut().insert(name, value);
    }

    /// Looks a name up as code in this scope does: class scopes further out are not seen.
    pub(crate) fn lookup(&self, name: &str) -> Option<Value<'a>> {
        if let Some(found) = self.get(name) {
            return Some(found);
        }
        let mut outer = self.parent.clone();
        while let Some(scope) = outer {
            if scope.kind != ScopeKind::Class
                && let Some(found) = scope.get(name)
            {
                return Some(found);
            }
            outer = scope.parent.clone();
        }
        None
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    Def(&'a StmtFunctionDef),
    Lambda(Option<&'a Parameters>, &'a Expr),
}

/// How attribute look-up treats a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    Plain,
    Static,
    Class,
    Property,
}

/// A function of the tree.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub(crate) name: Rc<str>,
    pub(crate) body: Body<'a>,
    pub(crate) site: Site,
    pub(crate) scope: Rc<Scope<'a>>,
    pub(crate) defaults: Vec<(&'a str, Value<'a>)>,
    pub(crate) binding: Binding,
    /// Class whose body defines it.
    pub(crate) owner: RefCell<Weak<Class<'a>>>,
    /// What decorators and frameworks noted on it.
    pub(crate) attrs: Rc<RefCell<HashMap<Rc<str>, Value<'a>>>>,
    /// Name with its class, `Class.name`.
    pub(crate) qualified: Rc<str>,
    /// The function that this one was returned for by a decorator.
    pub(crate) wraps: Option<Rc<Function<'a>>>,
}

impl<'a> Function<'a> {
    /// The function as written, under the wrappers of its decorators.
    pub(crate) fn unwrapped(self: &Rc<Self>) -> Rc<Self> {
        let mut inner = self.clone();
        while let Some(next) = inner.wraps.clone() {
            inner = next;
        }
        inner
    }

    pub(crate) fn with(&self, binding: Binding, wraps: Option<Rc<Function<'a>>>) -> Self {
        Self {
            name: self.name.clone(),
            body: self.body,
            site: self.site,
            scope: self.scope.clone(),
            defaults: self.defaults.clone(),
            binding,
            owner: RefCell::new(self.owner.borrow().clone()),
            attrs: self.attrs.clone(),
            qualified: self.qualified.clone(),
            wraps,
        }
    }
}

/// A place in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    pub(crate) file: usize,
    /// From 1.
    pub(crate) line: u32,
}

/// A class of the tree.
#[derive(Debug)]
pub(crate) struct Class<'a> {
    pub(crate) name: &'a str,
    pub(crate) def: &'a StmtClassDef,
    pub(crate) site: Site,
    pub(crate) bases: Vec<Value<'a>>,
    pub(crate) scope: Rc<Scope<'a>>,
    /// Attributes by which external decorators and calls were noted.
    pub(crate) attrs: RefCell<HashMap<Rc<str>, Value<'a>>>,
}

impl<'a> Class<'a> {
    /// The class and its ancestors of the tree, nearest first, with the names of the external ones in between.
    pub(crate) fn ancestry(self: &Rc<Self>) -> Vec<Ancestor<'a>> {
        let mut found = Vec::new();
        self.collect(&mut found, 0);
        found
    }

    fn collect(self: &Rc<Self>, found: &mut Vec<Ancestor<'a>>, depth: u32) {
        if depth > 30 || found.len() > 200 {
            return;
        }
        found.push(Ancestor::Known(self.clone()));
        for base in &self.bases {
            match base {
                Value::Class(class) => class.collect(found, depth + 1),
                Value::External(name) => found.push(Ancestor::External(name.clone())),
                _ => found.push(Ancestor::Unknown),
            }
        }
    }

    /// An attribute of the class or of one of its ancestors of the tree, with the class that has it.
    pub(crate) fn find(self: &Rc<Self>, name: &str) -> Option<(Value<'a>, Rc<Class<'a>>)> {
        self.ancestry().into_iter().find_map(|ancestor| match ancestor {
            Ancestor::Known(class) => {
                let found = class.attrs.borrow().get(name).cloned().or_else(|| class.scope.get(name))?;
                Some((found, class))
            }
            _ => None,
        })
    }

    /// External ancestors, by dotted name.
    pub(crate) fn externals(self: &Rc<Self>) -> Vec<Rc<str>> {
        let external = |ancestor| match ancestor {
            Ancestor::External(name) => Some(name),
            _ => None,
        };
        self.ancestry().into_iter().filter_map(external).collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Ancestor<'a> {
    Known(Rc<Class<'a>>),
    External(Rc<str>),
    Unknown,
}

/// An instance of a class of the tree, an object of a framework, or both.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) class: Option<Rc<Class<'a>>>,
    pub(crate) attrs: RefCell<HashMap<Rc<str>, Value<'a>>>,
    pub(crate) kind: Kind<'a>,
    /// Where it was made.
    pub(crate) site: Site,
}

/// What an object is to the frameworks.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// An instance of a class of the tree.
    Plain,
    /// Result of a call of something external, with its arguments.
    Opaque { callee: Rc<str>, args: Args<'a> },
    /// An application, router, blueprint...
    Node(Node<'a>),
    /// `functools.partial`
    Partial { function: Value<'a>, args: Args<'a> },
}

/// Arguments of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args<'a> {
    pub(crate) positional: Vec<Value<'a>>,
    pub(crate) named: Vec<(Rc<str>, Value<'a>)>,
    /// A `*args` or `**kwargs` with unknown content stood among them.
    pub(crate) incomplete: bool,
    pub(crate) site: Site,
}

impl<'a> Args<'a> {
    /// An argument by its name.
    pub(crate) fn named(&self, name: &str) -> Option<Value<'a>> {
        self.named.iter().find(|(given, _)| &**given == name).map(|(_, value)| value.clone())
    }

    /// An argument by position or name; `None` where it was not given.
    pub(crate) fn get(&self, position: usize, name: &str) -> Option<Value<'a>> {
        self.positional.get(position).cloned().or_else(|| self.named(name))
    }

    /// The same arguments without the first positional one.
    pub(crate) fn rest(&self) -> Self {
        Self { positional: self.positional.iter().skip(1).cloned().collect(), ..self.clone() }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn str(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub(crate) fn list(items: Vec<Value<'a>>) -> Self {
        Self::Seq(Rc::new(Seq { items: RefCell::new(items), is_tuple: false }))
    }

    pub(crate) fn tuple(items: Vec<Value<'a>>) -> Self {
        Self::Seq(Rc::new(Seq { items: RefCell::new(items), is_tuple: true }))
    }

    pub(crate) fn as_str(&self) -> Option<Rc<str>> {
        match self {
            Self::Str(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Items of a list, tuple or set; keys of a dictionary.
    pub(crate) fn items(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::Seq(seq) => Some(seq.items.borrow().clone()),
            Self::Dict(dict) => Some(dict.borrow().iter().map(|(key, _)| key.clone()).collect()),
            _ => None,
        }
    }

    /// Texts of a list, tuple or set; `None` where one is not known.
    pub(crate) fn strings(&self) -> Option<Vec<Rc<str>>> {
        self.items()?.iter().map(Self::as_str).collect()
    }

    pub(crate) fn node(&self) -> Option<(&Rc<Object<'a>>, &Node<'a>)> {
        match self {
            Self::Object(object) => match &object.kind {
                Kind::Node(node) => Some((object, node)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Truth, where it is known.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Int(value) => Some(*value != 0),
            Self::Str(text) => Some(!text.is_empty()),
            Self::Seq(seq) => Some(!seq.items.borrow().is_empty()),
            Self::Dict(dict) => Some(!dict.borrow().is_empty()),
            Self::Function(_) | Self::Class(_) | Self::Module(_) => Some(true),
            Self::Object(object) if matches!(object.kind, Kind::Node(_)) => Some(true),
            _ => None,
        }
    }

    /// Equality, where it is known.
    pub(crate) fn equals(&self, other: &Self) -> Option<bool> {
        self.equals_within(other, 0)
    }

    fn equals_within(&self, other: &Self, depth: u32) -> Option<bool> {
        match (self, other) {
            // Lists can hold each other.
            (Self::Seq(a), Self::Seq(b)) if !Rc::ptr_eq(a, b) => {
                if a.is_tuple != b.is_tuple || depth > MAX_DATA_NESTING {
                    return None;
                }
                let (a, b) = (a.items.borrow(), b.items.borrow());
                if a.len() != b.len() {
                    return Some(false);
                }
                let mut result = Some(true);
                for (a, b) in a.iter().zip(b.iter()) {
                    match a.equals_within(b, depth + 1) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => result = None,
                    }
                }
                result
            }
            (Self::Str(a), Self::Str(b)) => Some(a == b),
            (Self::Int(a), Self::Int(b)) => Some(a == b),
            (Self::Bool(a), Self::Bool(b)) => Some(a == b),
            (Self::None, Self::None) => Some(true),
            (Self::None, Self::Str(_) | Self::Int(_) | Self::Bool(_) | Self::Seq(_) | Self::Dict(_))
            | (Self::Str(_) | Self::Int(_) | Self::Bool(_) | Self::Seq(_) | Self::Dict(_), Self::None) => {
                Some(false)
            }
            _ if self.same(other) => Some(true),
            _ => None,
        }
    }

    /// The very same object, or an equal plain value.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, Self::Unknown) | (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Str(a), Self::Str(b)) | (Self::External(a), Self::External(b)) => a == b,
            (Self::Seq(a), Self::Seq(b)) => Rc::ptr_eq(a, b),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            (Self::Module(a), Self::Module(b)) => Rc::ptr_eq(a, b),
            (Self::Function(a), Self::Function(b)) => Rc::ptr_eq(a, b),
            (Self::Class(a), Self::Class(b)) => Rc::ptr_eq(a, b),
            (Self::Object(a), Self::Object(b)) => Rc::ptr_eq(a, b),
            (Self::Method(a), Self::Method(b)) => Rc::ptr_eq(a, b),
            (Self::Native(a), Self::Native(b)) => Rc::ptr_eq(a, b),
            (Self::Lazy(a, x), Self::Lazy(b, y)) => Rc::ptr_eq(a, b) && x == y,
            _ => false,
        }
    }

    /// What a name stands for after two ways through the code: the value both agree on; where they do not, the one
    /// that says more, unless both are plain values, of which neither may be picked.
    pub(crate) fn join(self, other: Self) -> Self {
        if self.same(&other) {
            return self;
        }
        match (&self, &other) {
            (Self::Unknown | Self::None, Self::Str(_) | Self::Int(_) | Self::Bool(_))
            | (Self::Str(_) | Self::Int(_) | Self::Bool(_), _) => Self::Unknown,
            (Self::Unknown | Self::None, _) => other,
            (Self::External(_), Self::Class(_) | Self::Function(_) | Self::Object(_)) => other,
            (Self::Seq(_), Self::Seq(_)) if other.unknowns(0) < self.unknowns(0) => other,
            _ => self,
        }
    }

    /// Items of a list, of the lists in it and of calls, that are not known.
    fn unknowns(&self, depth: u32) -> usize {
        let of = |items: &[Self]| items.iter().map(|item| item.unknowns(depth + 1)).sum();
        match self {
            Self::Unknown => 1,
            Self::Seq(seq) if depth < 2 => of(&seq.items.borrow()),
            Self::Object(object) if depth < 2 => match &object.kind {
                Kind::Opaque { args, .. } => of(&args.positional),
                _ => 0,
            },
            _ => 0,
        }
    }
}
