//! Attributes and items.

use std::rc::Rc;

use ruff_python_ast::Stmt;

use super::{Frame, Interp};
use crate::frameworks;
use crate::limits::{Counter, MAX_ITEMS};
use crate::value::{Args, Binding, Class, Function, Kind, Value};

impl<'a> Interp<'a> {
    pub(crate) fn attr(&mut self, object: &Value<'a>, name: &str) -> Value<'a> {
        match object {
            Value::Module(module) => self.module_attr(&module.clone(), name),
            Value::External(dotted) => match self.setting(dotted, name) {
                Some(value) => value,
                None => Value::External(format!("{dotted}.{name}").into()),
            },
            Value::Class(class) => self.class_attr(class, name),
            Value::Object(_) => self.object_attr(object, name),
            Value::Function(function) => {
                if name == "__name__" {
                    return Value::Str(function.unwrapped().name.clone());
                }
                function.attrs.borrow().get(name).cloned().unwrap_or_else(|| native(object, name))
            }
            Value::Method(method) => method.1.attrs.borrow().get(name).cloned().unwrap_or_default(),
            // Members of `class X(str, Enum)` are evaluated to their plain values.
            Value::Str(_) | Value::Int(_) if name == "value" => object.clone(),
            Value::Str(text) => super::data::attr(text, name).unwrap_or_else(|| native(object, name)),
            Value::Seq(_) | Value::Dict(_) => native(object, name),
            Value::Super(of) => self.super_attr(&of.0.clone(), &of.1.clone(), name),
            Value::Lazy(..) => match self.settled(object.clone()) {
                Value::Lazy(..) => Value::Unknown,
                settled => self.attr(&settled, name),
            },
            _ => Value::Unknown,
        }
    }

    fn class_attr(&mut self, class: &Rc<Class<'a>>, name: &str) -> Value<'a> {
        if name == "__name__" {
            return Value::str(class.name);
        }
        match class.find(name) {
            Some((Value::Function(function), _)) if function.binding == Binding::Class => {
                Value::Method(Rc::new((Value::Class(class.clone()), function)))
            }
            Some((value, _)) => value,
            None => native(&Value::Class(class.clone()), name),
        }
    }

    fn object_attr(&mut self, value: &Value<'a>, name: &str) -> Value<'a> {
        let Value::Object(object) = value else { return Value::Unknown };
        if let Some(found) = object.attrs.borrow().get(name) {
            return found.clone();
        }
        if let Some(class) = &object.class {
            if name == "__class__" {
                return Value::Class(class.clone());
            }
            if let Some((found, owner)) = class.find(name) {
                if !matches!(found, Value::Function(_)) && is_settings(&owner) {
                    self.counters.add(Counter::AssumedDefaults, 1);
                }
                return self.bound(value, found);
            }
        }
        if let Some(found) = frameworks::attr(self, value, name) {
            return found;
        }
        match &object.kind {
            Kind::Plain if object.class.as_ref().is_some_and(|class| class.externals().is_empty()) => {
                Value::Unknown
            }
            _ => native(value, name),
        }
    }

    fn bound(&mut self, this: &Value<'a>, found: Value<'a>) -> Value<'a> {
        let Value::Function(function) = found else { return found };
        match function.binding {
            Binding::Plain => Value::Method(Rc::new((this.clone(), function))),
            Binding::Static => Value::Function(function),
            Binding::Class => {
                let class = match this {
                    Value::Object(object) => object.class.clone().map_or(Value::Unknown, Value::Class),
                    _ => this.clone(),
                };
                Value::Method(Rc::new((class, function)))
            }
            Binding::Property => {
                let site = function.site;
                self.call_function(&function, Some(this.clone()), &Args { site, ..Args::default() })
            }
        }
    }

    fn super_attr(&mut self, this: &Value<'a>, owner: &Rc<Class<'a>>, name: &str) -> Value<'a> {
        for base in &owner.bases {
            if let Value::Class(class) = base
                && let Some((found, _)) = class.find(name)
            {
                return self.bound(this, found);
            }
        }
        native(this, name)
    }

    pub(super) fn set_attr(&mut self, object: &Value<'a>, name: &'a str, value: Value<'a>) {
        match object {
            Value::Object(object) => {
                object.attrs.borrow_mut().insert(name.into(), value);
            }
            Value::Class(class) => {
                class.attrs.borrow_mut().insert(name.into(), value);
            }
            Value::Function(function) => {
                function.attrs.borrow_mut().insert(name.into(), value);
            }
            Value::Module(module) => module.scope.set(name, value),
            _ => {}
        }
    }

    pub(super) fn item(&mut self, object: &Value<'a>, key: &Value<'a>) -> Value<'a> {
        match (object, key) {
            (Value::Seq(seq), Value::Int(index)) => {
                let items = seq.items.borrow();
                let index = if *index < 0 { *index + items.len() as i64 } else { *index };
                usize::try_from(index).ok().and_then(|index| items.get(index)).cloned().unwrap_or_default()
            }
            (Value::Dict(dict), key) => {
                let items = dict.borrow();
                items
                    .iter()
                    .rev()
                    .find(|(known, _)| known.equals(key) == Some(true))
                    .map(|(_, value)| value.clone())
                    .unwrap_or_default()
            }
            (Value::External(name), Value::Str(variable)) if &**name == "os.environ" => {
                self.environment(variable, None)
            }
            // Generic aliases: list[int], web.AppKey[...], APIRouter[...]
            (Value::External(_) | Value::Class(_), _) => object.clone(),
            _ => Value::Unknown,
        }
    }

    pub(super) fn set_item(&mut self, object: &Value<'a>, key: Value<'a>, value: Value<'a>) {
        match (object, &key) {
            (Value::Dict(dict), _) => {
                let mut items = dict.borrow_mut();
                match items.iter().position(|(known, _)| known.equals(&key) == Some(true)) {
                    Some(at) => items[at].1 = value,
                    None if items.len() < MAX_ITEMS => items.push((key, value)),
                    None => {}
                }
            }
            (Value::Seq(seq), Value::Int(index)) => {
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                if let Some(item) = seq.items.borrow_mut().get_mut(index) {
                    *item = value;
                }
            }
            _ => {}
        }
    }

    /// An environment variable: the process's own where its environment is known, else the default, as assumed.
    pub(super) fn environment(&mut self, name: &str, default: Option<Value<'a>>) -> Value<'a> {
        if let Some(environment) = &self.options.environment {
            return match environment.get(name) {
                Some(Some(value)) => Value::str(value.as_str()),
                Some(None) => Value::Unknown,
                None => default.unwrap_or(Value::None),
            };
        }
        match default {
            Some(default) => {
                self.counters.add(Counter::AssumedDefaults, 1);
                default
            }
            None => Value::Unknown,
        }
    }

    /// Items that a loop over the value would see; `None` where they are not known.
    pub(super) fn iterate(&mut self, value: &Value<'a>) -> Option<Vec<Value<'a>>> {
        match self.settled(value.clone()) {
            Value::Object(object) => {
                let items = frameworks::iterate(self, &Value::Object(object.clone()));
                items.or_else(|| object.attrs.borrow().get("__items__").and_then(Value::items))
            }
            Value::Class(class) => members(&class),
            value => value.items(),
        }
    }

    pub(super) fn name(&mut self, frame: &Frame<'a>, name: &'a str) -> Value<'a> {
        let scope = frame.elsewhere.get(name).unwrap_or(&frame.scope);
        match scope.lookup(name) {
            Some(value) => self.settled(value),
            None => Value::External(format!("builtins.{name}").into()),
        }
    }

    /// A function's note of its own, such as the methods that a decorator allows.
    pub(crate) fn note(&mut self, function: &Rc<Function<'a>>, name: &str, value: Value<'a>) {
        function.attrs.borrow_mut().insert(name.into(), value);
    }
}

/// An attribute whose meaning is built in, to be called.
pub(super) fn native<'a>(object: &Value<'a>, name: &str) -> Value<'a> {
    Value::Native(Rc::new((object.clone(), name.into())))
}

/// Members of an enumeration, in their order, as their plain values.
fn members<'a>(class: &Rc<Class<'a>>) -> Option<Vec<Value<'a>>> {
    let is_enumeration = |name: &Rc<str>| matches!(&**name, "enum.Enum" | "enum.StrEnum" | "enum.IntEnum");
    if !class.externals().iter().any(is_enumeration) {
        return None;
    }
    let name_of = |statement: &'a Stmt| match statement {
        Stmt::Assign(assign) => assign.targets.first()?.as_name_expr().map(|name| name.id.as_str()),
        _ => None,
    };
    let names = class.def.body.iter().filter_map(name_of).filter(|name| !name.starts_with('_'));
    Some(names.map(|name| class.scope.get(name).unwrap_or_default()).collect())
}

/// Does the class read its fields from the environment (pydantic settings)?
fn is_settings(class: &Rc<Class<'_>>) -> bool {
    class.externals().iter().any(|name| name.ends_with("BaseSettings"))
}
