//! Expressions.

use std::rc::Rc;

use ruff_python_ast::{
    BoolOp, CmpOp, Comprehension, Expr, ExprCompare, ExprFString, ExprSlice, FStringPart,
    InterpolatedStringElement, Number, Operator, UnaryOp,
};
use ruff_text_size::{Ranged, TextSize};

use super::{Frame, Interp};
use crate::limits::{Counter, MAX_ITEMS, MAX_ITERATIONS, MAX_NESTING, MAX_STRING};
use crate::value::{ScopeKind, Site, Value};

impl<'a> Interp<'a> {
    pub(super) fn site(&mut self, file: usize, offset: TextSize) -> Site {
        let sources = self.sources;
        let line = sources.parsed(file, &mut self.counters).map_or(0, |parsed| parsed.line(offset));
        Site { file, line }
    }

    pub(super) fn eval(&mut self, frame: &mut Frame<'a>, expr: &'a Expr) -> Value<'a> {
        if !self.step() {
            return Value::Unknown;
        }
        if self.nesting >= MAX_NESTING {
            self.counters.add(Counter::TooDeep, 1);
            return Value::Unknown;
        }
        self.nesting += 1;
        let value = self.expression(frame, expr);
        self.nesting -= 1;
        // What nobody else holds was made now.
        match &value {
            Value::Seq(made) if Rc::strong_count(made) == 1 => self.charge(made.items.borrow().len()),
            Value::Dict(made) if Rc::strong_count(made) == 1 => self.charge(made.borrow().len()),
            _ => {}
        }
        value
    }

    fn expression(&mut self, frame: &mut Frame<'a>, expr: &'a Expr) -> Value<'a> {
        match expr {
            Expr::StringLiteral(literal) => Value::str(literal.value.to_str()),
            Expr::FString(fstring) => self.fstring(frame, fstring),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(int) => int.as_i64().map_or(Value::Unknown, Value::Int),
                _ => Value::Unknown,
            },
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NoneLiteral(_) => Value::None,
            Expr::Name(name) => self.name(frame, name.id.as_str()),
            Expr::Attribute(attribute) => {
                let object = self.eval(frame, &attribute.value);
                self.attr(&object, attribute.attr.as_str())
            }
            Expr::Subscript(subscript) => {
                let object = self.eval(frame, &subscript.value);
                if let Expr::Slice(slice) = &*subscript.slice {
                    return self.slice(frame, &object, slice);
                }
                let key = self.eval(frame, &subscript.slice);
                self.item(&object, &key)
            }
            Expr::Call(call) => self.call_expression(frame, call),
            Expr::List(list) => Value::list(self.elements(frame, &list.elts)),
            Expr::Set(set) => Value::list(self.elements(frame, &set.elts)),
            Expr::Tuple(tuple) => Value::tuple(self.elements(frame, &tuple.elts)),
            Expr::Dict(dict) => {
                let mut items = Vec::new();
                for item in dict.items.iter().take(MAX_ITEMS) {
                    let value = self.eval(frame, &item.value);
                    match &item.key {
                        Some(key) => items.push((self.eval(frame, key), value)),
                        None => {
                            if let Value::Dict(other) = value {
                                items.extend(other.borrow().iter().cloned());
                            }
                        }
                    }
                }
                Value::Dict(Rc::new(items.into()))
            }
            Expr::BinOp(operation) => {
                let left = self.eval(frame, &operation.left);
                let right = self.eval(frame, &operation.right);
                self.binary(&left, operation.op, &right)
            }
            Expr::BoolOp(operation) => self.boolean(frame, operation.op, &operation.values),
            Expr::UnaryOp(operation) => {
                let operand = self.eval(frame, &operation.operand);
                match (operation.op, operand) {
                    (UnaryOp::Not, operand) => {
                        operand.truth().map_or(Value::Unknown, |truth| Value::Bool(!truth))
                    }
                    (UnaryOp::USub, Value::Int(value)) => {
                        value.checked_neg().map_or(Value::Unknown, Value::Int)
                    }
                    _ => Value::Unknown,
                }
            }
            Expr::Compare(compare) => self.compare(frame, compare),
            Expr::If(choice) => {
                let test = self.eval(frame, &choice.test);
                match test.truth() {
                    Some(true) => self.eval(frame, &choice.body),
                    Some(false) => self.eval(frame, &choice.orelse),
                    None => {
                        let one = self.unsure(|this| this.eval(frame, &choice.body));
                        let other = self.unsure(|this| this.eval(frame, &choice.orelse));
                        one.join(other)
                    }
                }
            }
            Expr::Named(named) => {
                let value = self.eval(frame, &named.value);
                self.assign(frame, &named.target, value.clone());
                value
            }
            Expr::Lambda(lambda) => self.lambda(frame, lambda),
            Expr::Await(awaited) => self.eval(frame, &awaited.value),
            Expr::Starred(starred) => self.eval(frame, &starred.value),
            Expr::ListComp(comp) => self.comprehension(frame, &comp.generators, &[&comp.elt]),
            Expr::SetComp(comp) => self.comprehension(frame, &comp.generators, &[&comp.elt]),
            Expr::Generator(comp) => self.comprehension(frame, &comp.generators, &[&comp.elt]),
            Expr::DictComp(comp) => match &comp.key {
                Some(key) => self.dict_comprehension(frame, &comp.generators, key, &comp.value),
                None => Value::Unknown,
            },
            Expr::Yield(yielded) => {
                if let Some(value) = &yielded.value {
                    let value = self.eval(frame, value);
                    frame.yielded.push(value);
                }
                Value::Unknown
            }
            Expr::YieldFrom(yielded) => {
                let value = self.eval(frame, &yielded.value);
                let items = self.iterate(&value).unwrap_or_default();
                frame.yielded.extend(items);
                Value::Unknown
            }
            Expr::TString(_)
            | Expr::BytesLiteral(_)
            | Expr::EllipsisLiteral(_)
            | Expr::Slice(_)
            | Expr::IpyEscapeCommand(_) => Value::Unknown,
        }
    }

    /// `object[from:to]`
    fn slice(&mut self, frame: &mut Frame<'a>, object: &Value<'a>, slice: &'a ExprSlice) -> Value<'a> {
        let mut bound = |bound: &'a Option<Box<Expr>>| match bound {
            None => Some(None),
            Some(bound) => match self.eval(frame, bound) {
                Value::Int(at) => Some(Some(at)),
                Value::None => Some(None),
                _ => None,
            },
        };
        let (Some(from), Some(to), None) = (bound(&slice.lower), bound(&slice.upper), &slice.step) else {
            return Value::Unknown;
        };
        let range = |len: usize| {
            let at = |bound: i64| {
                let bound = if bound < 0 { bound + i64::try_from(len).unwrap_or(i64::MAX) } else { bound };
                usize::try_from(bound).unwrap_or(0).min(len)
            };
            let (from, to) = (from.map_or(0, at), to.map_or(len, at));
            from..to.max(from)
        };
        match object {
            Value::Str(text) => {
                let range = range(text.chars().count());
                Value::str(text.chars().skip(range.start).take(range.len()).collect::<String>())
            }
            Value::Seq(seq) => {
                let items = seq.items.borrow();
                let items = items[range(items.len())].to_vec();
                if seq.is_tuple { Value::tuple(items) } else { Value::list(items) }
            }
            _ => Value::Unknown,
        }
    }

    fn elements(&mut self, frame: &mut Frame<'a>, elements: &'a [Expr]) -> Vec<Value<'a>> {
        let mut items = Vec::new();
        for element in elements.iter().take(MAX_ITEMS) {
            match element {
                Expr::Starred(starred) => {
                    let value = self.eval(frame, &starred.value);
                    match self.iterate(&value) {
                        Some(more) => items.extend(more),
                        None => items.push(value),
                    }
                }
                _ => items.push(self.eval(frame, element)),
            }
        }
        items
    }

    fn fstring(&mut self, frame: &mut Frame<'a>, fstring: &'a ExprFString) -> Value<'a> {
        let mut text = String::new();
        let mut known = true;
        for part in &fstring.value {
            match part {
                FStringPart::Literal(literal) => text.push_str(literal),
                FStringPart::FString(fstring) => {
                    for element in &fstring.elements {
                        match element {
                            InterpolatedStringElement::Literal(literal) => text.push_str(literal),
                            InterpolatedStringElement::Interpolation(element) => {
                                let value = self.eval(frame, &element.expression);
                                let plain = element.format_spec.is_none() && element.debug_text.is_none();
                                match display(&value) {
                                    Some(shown) if plain => text.push_str(&shown),
                                    _ => known = false,
                                }
                            }
                        }
                    }
                }
            }
        }
        if known && text.len() <= MAX_STRING { Value::str(text) } else { Value::Unknown }
    }

    fn boolean(&mut self, frame: &mut Frame<'a>, op: BoolOp, values: &'a [Expr]) -> Value<'a> {
        let mut result: Option<Value<'a>> = None;
        for value in values {
            let value = self.eval(frame, value);
            let decides = match op {
                BoolOp::Or => value.truth() == Some(true),
                BoolOp::And => value.truth() == Some(false),
            };
            if decides && result.is_none() {
                return value;
            }
            // An operand that is known not to decide is passed over; one that is not known may be the result.
            result = Some(match result {
                Some(earlier) if earlier.truth().is_none() => earlier.join(value),
                _ => value,
            });
            if decides {
                break;
            }
        }
        result.unwrap_or_default()
    }

    fn compare(&mut self, frame: &mut Frame<'a>, compare: &'a ExprCompare) -> Value<'a> {
        let left = self.eval(frame, &compare.left);
        let [op] = &*compare.ops else { return Value::Unknown };
        let right = self.eval(frame, &compare.comparators[0]);
        let result = match op {
            CmpOp::Eq | CmpOp::Is => left.equals(&right),
            CmpOp::NotEq | CmpOp::IsNot => left.equals(&right).map(|equal| !equal),
            CmpOp::In | CmpOp::NotIn => {
                let found = contains(&left, &right);
                found.map(|found| found == (*op == CmpOp::In))
            }
            CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE => match (&left, &right) {
                (Value::Int(a), Value::Int(b)) => Some(match op {
                    CmpOp::Lt => a < b,
                    CmpOp::LtE => a <= b,
                    CmpOp::Gt => a > b,
                    _ => a >= b,
                }),
                _ => None,
            },
        };
        result.map_or(Value::Unknown, Value::Bool)
    }

    pub(super) fn binary(&mut self, left: &Value<'a>, op: Operator, right: &Value<'a>) -> Value<'a> {
        match (left, op, right) {
            (Value::Str(a), Operator::Add, Value::Str(b)) if a.len() + b.len() <= MAX_STRING => {
                Value::str(format!("{a}{b}"))
            }
            // Paths: texts cannot be divided.
            (Value::Str(_), Operator::Div, Value::Str(_)) => {
                super::data::join(&[left.clone(), right.clone()])
            }
            (Value::Str(format), Operator::Mod, right) => super::native::percent(format, right),
            (Value::Int(a), Operator::Add, Value::Int(b)) => {
                a.checked_add(*b).map_or(Value::Unknown, Value::Int)
            }
            (Value::Int(a), Operator::Sub, Value::Int(b)) => {
                a.checked_sub(*b).map_or(Value::Unknown, Value::Int)
            }
            (Value::Int(a), Operator::Mult, Value::Int(b)) => {
                a.checked_mul(*b).map_or(Value::Unknown, Value::Int)
            }
            // Rounded towards minus infinity, unlike Rust's.
            (Value::Int(a), Operator::FloorDiv, Value::Int(b)) if *b > 0 => Value::Int(a.div_euclid(*b)),
            (Value::Int(a), Operator::Mod, Value::Int(b)) if *b > 0 => Value::Int(a.rem_euclid(*b)),
            (left, Operator::Add, right) => self.concatenated(left, right),
            (Value::Dict(a), Operator::BitOr, Value::Dict(b)) => {
                let merged: Vec<_> =
                    a.borrow().iter().chain(b.borrow().iter()).take(MAX_ITEMS).cloned().collect();
                Value::Dict(Rc::new(merged.into()))
            }
            _ => Value::Unknown,
        }
    }

    /// Lists put together; what is not known of one side does not take the other with it.
    fn concatenated(&mut self, left: &Value<'a>, right: &Value<'a>) -> Value<'a> {
        let is_list = |value: &Value<'a>| matches!(value, Value::Seq(_) | Value::Object(_));
        if !is_list(left) && !is_list(right) {
            return Value::Unknown;
        }
        let (a, b) = (self.iterate(left), self.iterate(right));
        if a.is_none() && b.is_none() {
            return Value::Unknown;
        }
        let items: Vec<_> = a.into_iter().chain(b).flatten().take(MAX_ITEMS).collect();
        match left {
            Value::Seq(seq) if seq.is_tuple => Value::tuple(items),
            _ => Value::list(items),
        }
    }

    pub(super) fn augmented(&mut self, left: Value<'a>, op: Operator, right: Value<'a>) -> Value<'a> {
        if let (Value::Seq(seq), Operator::Add) = (&left, op)
            && !seq.is_tuple
        {
            let more = self.iterate(&right).unwrap_or_default();
            let mut items = seq.items.borrow_mut();
            let room = MAX_ITEMS.saturating_sub(items.len());
            items.extend(more.into_iter().take(room));
            drop(items);
            return left;
        }
        self.binary(&left, op, &right)
    }

    fn comprehension(
        &mut self,
        frame: &mut Frame<'a>,
        generators: &'a [Comprehension],
        elements: &[&'a Expr],
    ) -> Value<'a> {
        let mut inner = self.inner(frame);
        let mut items = Vec::new();
        let known = self.generate(&mut inner, generators, &mut |this, frame| {
            for element in elements {
                let value = this.eval(frame, element);
                if items.len() < MAX_ITEMS {
                    items.push(value);
                }
            }
        });
        if known { Value::list(items) } else { Value::Unknown }
    }

    fn dict_comprehension(
        &mut self,
        frame: &mut Frame<'a>,
        generators: &'a [Comprehension],
        key: &'a Expr,
        value: &'a Expr,
    ) -> Value<'a> {
        let mut inner = self.inner(frame);
        let mut items = Vec::new();
        let known = self.generate(&mut inner, generators, &mut |this, frame| {
            let pair = (this.eval(frame, key), this.eval(frame, value));
            if items.len() < MAX_ITEMS {
                items.push(pair);
            }
        });
        if known { Value::Dict(Rc::new(items.into())) } else { Value::Unknown }
    }

    fn inner(&mut self, frame: &Frame<'a>) -> Frame<'a> {
        let scope = self.scope(Some(frame.scope.clone()), ScopeKind::Function, frame.file);
        let mut inner = Frame::new(scope);
        inner.this.clone_from(&frame.this);
        inner
    }

    /// Runs `each` for every known combination; once, with unknown items, and false where they are not known.
    fn generate(
        &mut self,
        frame: &mut Frame<'a>,
        generators: &'a [Comprehension],
        each: &mut dyn FnMut(&mut Self, &mut Frame<'a>),
    ) -> bool {
        let Some((generator, more)) = generators.split_first() else {
            each(self, frame);
            return true;
        };
        let iterable = self.eval(frame, &generator.iter);
        let Some(items) = self.iterate(&iterable) else {
            self.assign(frame, &generator.target, Value::Unknown);
            self.unsure(|this| this.generate(frame, more, each));
            return false;
        };
        let mut known = true;
        for item in items.into_iter().take(MAX_ITERATIONS) {
            self.assign(frame, &generator.target, item);
            let mut truth = Some(true);
            for test in &generator.ifs {
                let value = self.eval(frame, test);
                truth = match (truth, value.truth()) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                };
            }
            known &= match truth {
                Some(true) => self.generate(frame, more, each),
                Some(false) => true,
                None => self.unsure(|this| this.generate(frame, more, each)),
            };
        }
        known
    }

    pub(super) fn line_site(&mut self, frame: &Frame<'a>, node: &impl Ranged) -> Site {
        self.site(frame.file, node.start())
    }
}

fn contains<'a>(item: &Value<'a>, of: &Value<'a>) -> Option<bool> {
    if let (Value::Str(part), Value::Str(whole)) = (item, of) {
        return Some(whole.contains(&**part));
    }
    let mut all_known = true;
    for candidate in of.items()? {
        match candidate.equals(item) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(false)
}

/// `str()` of a value, where it is known.
pub(super) fn display(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Bool(value) => Some(if *value { "True" } else { "False" }.into()),
        Value::None => Some("None".into()),
        _ => None,
    }
}
