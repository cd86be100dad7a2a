//! Values end one after the other, not one within the other: of a list within lists, a hundred thousand deep, the end would take
//! more stack than there is, and with it the process.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use crate::value::{Args, Class, Function, Kind, Object, Scope, Seq, Value};

/// Items of a dictionary, in order.
#[derive(Debug, Default)]
pub(crate) struct Dict<'a>(RefCell<Vec<(Value<'a>, Value<'a>)>>);

impl<'a> From<Vec<(Value<'a>, Value<'a>)>> for Dict<'a> {
    fn from(items: Vec<(Value<'a>, Value<'a>)>) -> Self {
        Self(items.into())
    }
}

impl<'a> Deref for Dict<'a> {
    type Target = RefCell<Vec<(Value<'a>, Value<'a>)>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// What holds values.
trait Holds<'a> {
    /// Moves the values that nobody else holds.
    fn empty(&mut self, into: &mut Vec<Value<'a>>);
}

impl<'a> Holds<'a> for Seq<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.append(self.items.get_mut());
    }
}

impl<'a> Holds<'a> for Dict<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.extend(self.0.take().into_iter().flat_map(|(key, value)| [key, value]));
    }
}

impl<'a> Holds<'a> for Scope<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.extend(self.vars.take().into_values());
    }
}

impl<'a> Holds<'a> for Function<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.extend(std::mem::take(&mut self.defaults).into_iter().map(|(_, value)| value));
        into.extend(self.wraps.take().map(Value::Function));
        attributes(&mut self.attrs, into);
        if let Some(scope) = Rc::get_mut(&mut self.scope) {
            scope.empty(into);
        }
    }
}

impl<'a> Holds<'a> for Class<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.append(&mut self.bases);
        into.extend(self.attrs.take().into_values());
        if let Some(scope) = Rc::get_mut(&mut self.scope) {
            scope.empty(into);
        }
    }
}

impl<'a> Holds<'a> for Object<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.extend(self.class.take().map(Value::Class));
        into.extend(self.attrs.take().into_values());
        match &mut self.kind {
            Kind::Opaque { args, .. } => args.empty(into),
            Kind::Partial { function, args } => {
                into.push(std::mem::take(function));
                args.empty(into);
            }
            // Routers are cut where the scan ends, and before that all are held by its list of them.
            Kind::Plain | Kind::Node(_) => {}
        }
    }
}

impl<'a> Holds<'a> for Args<'a> {
    fn empty(&mut self, into: &mut Vec<Value<'a>>) {
        into.append(&mut self.positional);
        into.extend(self.named.drain(..).map(|(_, value)| value));
    }
}

fn attributes<'a>(held: &mut Rc<RefCell<HashMap<Rc<str>, Value<'a>>>>, into: &mut Vec<Value<'a>>) {
    if let Some(attrs) = Rc::get_mut(held) {
        into.extend(attrs.take().into_values());
    }
}

/// Ends what `held` holds and nobody else, and what that holds, and so on.
fn end<'a>(held: &mut impl Holds<'a>) {
    let mut left = Vec::new();
    held.empty(&mut left);
    while let Some(value) = left.pop() {
        match value {
            Value::Seq(held) => emptied(held, &mut left),
            Value::Dict(held) => emptied(held, &mut left),
            Value::Function(held) => emptied(held, &mut left),
            Value::Class(held) => emptied(held, &mut left),
            Value::Object(held) => emptied(held, &mut left),
            Value::Method(held) => {
                if let Some((value, function)) = Rc::into_inner(held) {
                    left.extend([value, Value::Function(function)]);
                }
            }
            Value::Native(held) => left.extend(Rc::into_inner(held).map(|(value, _)| value)),
            Value::Super(held) => {
                if let Some((value, class)) = Rc::into_inner(held) {
                    left.extend([value, Value::Class(class)]);
                }
            }
            Value::Unknown
            | Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Str(_)
            | Value::Module(_)
            | Value::External(_)
            | Value::Lazy(..) => {}
        }
    }
}

fn emptied<'a, T: Holds<'a>>(held: Rc<T>, into: &mut Vec<Value<'a>>) {
    if let Some(mut held) = Rc::into_inner(held) {
        held.empty(into);
    }
}

macro_rules! ends_in_turn {
    ($($held:ident)*) => {
        $(impl Drop for $held<'_> {
            fn drop(&mut self) {
                end(self);
            }
        })*
    };
}

ends_in_turn! { Seq Dict Scope Function Class Object }

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a thread of tests has stack for.
    const DEEP: usize = 200_000;

    #[test]
    fn values_within_values_end_whatever_their_depth() {
        let mut value = Value::None;
        for _ in 0..DEEP {
            value = Value::list(vec![value]);
            value = Value::Dict(Rc::new(vec![(Value::None, value)].into()));
            value = Value::Native(Rc::new((value, "append".into())));
            let args = Args { positional: vec![value], ..Args::default() };
            let kind = Kind::Partial { function: Value::None, args };
            let site = crate::value::Site::default();
            value = Value::Object(Rc::new(Object { class: None, attrs: RefCell::default(), kind, site }));
        }
        drop(value);
    }

    #[test]
    fn what_others_hold_stays() {
        let inner = Value::list(vec![Value::Int(1)]);
        drop(Value::list(vec![inner.clone()]));
        assert_eq!(inner.items().map(|items| items.len()), Some(1));
    }
}
