//! Statements.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{
    CmpOp, ElifElseClause, ExceptHandler, Expr, Stmt, StmtClassDef, StmtFor, StmtIf, StmtTry,
};

use super::{Frame, Interp};
use crate::limits::{Counter, MAX_ITERATIONS, MAX_NESTING};
use crate::value::{Class, Scope, ScopeKind, Value};

/// How a statement or block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
    /// Returned or raised.
    Leave,
}

/// Name of a module that is run as a script, and of that run among the factories.
const SCRIPT: &str = "__main__";

type Vars<'a> = HashMap<&'a str, Value<'a>>;

impl<'a> Interp<'a> {
    pub(super) fn block(&mut self, frame: &mut Frame<'a>, body: &'a [Stmt]) -> Flow {
        if self.nesting >= MAX_NESTING {
            self.counters.add(Counter::TooDeep, 1);
            return Flow::Next;
        }
        self.nesting += 1;
        let mut flow = Flow::Next;
        for statement in body {
            if !self.step() {
                flow = Flow::Leave;
            } else {
                flow = self.statement(frame, statement);
            }
            if flow != Flow::Next {
                break;
            }
        }
        self.nesting -= 1;
        flow
    }

    fn statement(&mut self, frame: &mut Frame<'a>, statement: &'a Stmt) -> Flow {
        match statement {
            Stmt::FunctionDef(def) => {
                let value = self.function_def(frame, def);
                frame.bind(def.name.as_str(), value);
            }
            Stmt::ClassDef(def) => {
                let value = self.class_def(frame, def);
                frame.bind(def.name.as_str(), value);
            }
            Stmt::Return(statement) => {
                let value = match &statement.value {
                    Some(value) => self.eval(frame, value),
                    None => Value::None,
                };
                frame.returned = Some(match frame.returned.take() {
                    Some(earlier) => earlier.join(value),
                    None => value,
                });
                return Flow::Leave;
            }
            Stmt::Assign(assign) => {
                let value = self.eval(frame, &assign.value);
                for target in &assign.targets {
                    self.assign(frame, target, value.clone());
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.eval(frame, value);
                    self.assign(frame, &assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => {
                let left = self.eval(frame, &assign.target);
                let right = self.eval(frame, &assign.value);
                let value = self.augmented(left, assign.op, right);
                self.assign(frame, &assign.target, value);
            }
            Stmt::Expr(statement) => {
                self.eval(frame, &statement.value);
            }
            // What a module does when it is run as a script is a program of its own, where it is not known which one runs.
            Stmt::If(statement)
                if is_script_guard(&statement.test) && self.run == 0 && self.options.script.is_none() =>
            {
                let id = std::ptr::from_ref(statement).addr();
                self.begin_run(id, frame.file, SCRIPT.into());
                let flow = self.block(frame, &statement.body);
                self.run = 0;
                return match &*statement.elif_else_clauses {
                    [ElifElseClause { test: None, body, .. }] => self.block(frame, body),
                    _ => flow,
                };
            }
            Stmt::If(statement) => return self.if_statement(frame, statement),
            Stmt::For(statement) => return self.for_statement(frame, statement),
            Stmt::While(statement) => {
                let before = frame.scope.vars.borrow().clone();
                self.eval(frame, &statement.test);
                self.unsure(|this| this.block(frame, &statement.body));
                join_into(&frame.scope, before);
                self.block(frame, &statement.orelse);
            }
            Stmt::With(statement) => {
                for item in &statement.items {
                    let value = self.eval(frame, &item.context_expr);
                    if let Some(target) = &item.optional_vars {
                        self.assign(frame, target, value);
                    }
                }
                return self.block(frame, &statement.body);
            }
            Stmt::Try(statement) => return self.try_statement(frame, statement),
            Stmt::Match(statement) => {
                self.eval(frame, &statement.subject);
                let before = frame.scope.vars.borrow().clone();
                for case in &statement.cases {
                    self.unsure(|this| this.block(frame, &case.body));
                }
                join_into(&frame.scope, before);
            }
            Stmt::Import(statement) => self.import(frame, statement),
            Stmt::ImportFrom(statement) => self.import_from(frame, statement),
            Stmt::Global(statement) => {
                let module = module_scope(&frame.scope);
                for name in &statement.names {
                    frame.elsewhere.insert(name.as_str(), module.clone());
                }
            }
            Stmt::Nonlocal(statement) => {
                for name in &statement.names {
                    if let Some(scope) = defining_scope(&frame.scope, name.as_str()) {
                        frame.elsewhere.insert(name.as_str(), scope);
                    }
                }
            }
            Stmt::Raise(_) => return Flow::Leave,
            Stmt::Break(_) => return Flow::Break,
            Stmt::Continue(_) => return Flow::Continue,
            Stmt::Delete(_)
            | Stmt::TypeAlias(_)
            | Stmt::Assert(_)
            | Stmt::Pass(_)
            | Stmt::IpyEscapeCommand(_) => {}
        }
        Flow::Next
    }

    /// Runs code of which it is not known whether the program would run it.
    pub(super) fn unsure<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        self.uncertain += 1;
        let result = run(self);
        self.uncertain -= 1;
        result
    }

    fn if_statement(&mut self, frame: &mut Frame<'a>, statement: &'a StmtIf) -> Flow {
        let clauses = std::iter::once((Some(&*statement.test), &statement.body))
            .chain(statement.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body)));
        let mut ways: Vec<(Flow, Vars<'a>)> = Vec::new();
        let before = frame.scope.vars.borrow().clone();
        let mut decided = false;
        for (test, body) in clauses {
            let truth = match test {
                Some(test) => {
                    let value = self.eval(frame, test);
                    if is_type_checking(test) { Some(false) } else { value.truth() }
                }
                None => Some(true),
            };
            match truth {
                Some(false) => {}
                Some(true) if ways.is_empty() => return self.block(frame, body),
                _ => {
                    let flow = self.unsure(|this| this.block(frame, body));
                    ways.push((flow, frame.scope.vars.replace(before.clone())));
                    if truth == Some(true) {
                        decided = true;
                        break;
                    }
                }
            }
        }
        if !decided {
            ways.push((Flow::Next, before));
        }
        let first = ways[0].0;
        let mut on: Option<Vars<'a>> = None;
        let all_leave = ways.iter().all(|(flow, _)| *flow != Flow::Next);
        for (flow, vars) in ways {
            if flow == Flow::Next || all_leave {
                on = Some(match on {
                    Some(joined) => join(joined, vars),
                    None => vars,
                });
            }
        }
        frame.scope.vars.replace(on.unwrap_or_default());
        if all_leave { first } else { Flow::Next }
    }

    fn for_statement(&mut self, frame: &mut Frame<'a>, statement: &'a StmtFor) -> Flow {
        let iterable = self.eval(frame, &statement.iter);
        match self.iterate(&iterable) {
            Some(items) => {
                if items.len() > MAX_ITERATIONS {
                    self.counters.add(Counter::Stopped, 1);
                }
                for item in items.into_iter().take(MAX_ITERATIONS) {
                    self.assign(frame, &statement.target, item);
                    match self.block(frame, &statement.body) {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Flow::Next,
                        Flow::Leave => return Flow::Leave,
                    }
                }
            }
            None => {
                let before = frame.scope.vars.borrow().clone();
                self.assign(frame, &statement.target, Value::Unknown);
                self.unsure(|this| this.block(frame, &statement.body));
                join_into(&frame.scope, before);
            }
        }
        self.block(frame, &statement.orelse)
    }

    fn try_statement(&mut self, frame: &mut Frame<'a>, statement: &'a StmtTry) -> Flow {
        let mut flow = self.block(frame, &statement.body);
        if flow == Flow::Next {
            flow = self.block(frame, &statement.orelse);
        }
        for handler in &statement.handlers {
            let ExceptHandler::ExceptHandler(handler) = handler;
            let before = frame.scope.vars.borrow().clone();
            if let Some(name) = &handler.name {
                frame.bind(name.as_str(), Value::Unknown);
            }
            if self.unsure(|this| this.block(frame, &handler.body)) == Flow::Next {
                join_into(&frame.scope, before);
            } else {
                frame.scope.vars.replace(before);
            }
        }
        let last = self.block(frame, &statement.finalbody);
        if last == Flow::Next { flow } else { last }
    }

    fn class_def(&mut self, frame: &mut Frame<'a>, def: &'a StmtClassDef) -> Value<'a> {
        let mut bases = Vec::new();
        if let Some(arguments) = &def.arguments {
            for base in &arguments.args {
                bases.push(match self.eval(frame, base) {
                    // Generic[T], Controller[Thing]: the class itself is what counts.
                    Value::Unknown => match base {
                        Expr::Subscript(subscript) => self.eval(frame, &subscript.value),
                        _ => Value::Unknown,
                    },
                    known => known,
                });
            }
        }
        let site = self.site(frame.file, def.name.range.start());
        let scope = self.scope(Some(frame.scope.clone()), ScopeKind::Class, frame.file);
        scope.set("__qualname__", Value::str(def.name.as_str()));
        let mut inner = Frame::new(scope.clone());
        self.block(&mut inner, &def.body);
        let class =
            Rc::new(Class { name: def.name.as_str(), def, site, bases, scope, attrs: Default::default() });
        for value in class.scope.vars.borrow().values() {
            if let Value::Function(function) = value {
                let mut layer = Some(function.clone());
                while let Some(function) = layer {
                    if Rc::ptr_eq(&function.scope, &class.scope) {
                        function.owner.replace(Rc::downgrade(&class));
                    }
                    layer = function.wraps.clone();
                }
            }
        }
        let mut value = Value::Class(class);
        for decorator in def.decorator_list.iter().rev() {
            value = self.decorate(frame, &decorator.expression, value);
        }
        value
    }

    /// Binds an assignment's target.
    pub(super) fn assign(&mut self, frame: &mut Frame<'a>, target: &'a Expr, value: Value<'a>) {
        match target {
            Expr::Name(name) => frame.bind(name.id.as_str(), value),
            Expr::Attribute(attribute) => {
                let object = self.eval(frame, &attribute.value);
                self.set_attr(&object, attribute.attr.as_str(), value);
            }
            Expr::Subscript(subscript) => {
                let object = self.eval(frame, &subscript.value);
                let key = self.eval(frame, &subscript.slice);
                self.set_item(&object, key, value);
            }
            Expr::Tuple(tuple) => self.unpack(frame, &tuple.elts, &value),
            Expr::List(list) => self.unpack(frame, &list.elts, &value),
            Expr::Starred(starred) => self.assign(frame, &starred.value, value),
            _ => {}
        }
    }

    fn unpack(&mut self, frame: &mut Frame<'a>, targets: &'a [Expr], value: &Value<'a>) {
        let items = self.iterate(value).unwrap_or_default();
        let starred = targets.iter().position(|target| matches!(target, Expr::Starred(_)));
        for (index, target) in targets.iter().enumerate() {
            let item = match starred {
                Some(star) if index == star => {
                    let end = (items.len() + star + 1).saturating_sub(targets.len()).max(star);
                    Value::list(items.get(star..end).unwrap_or_default().to_vec())
                }
                Some(star) if index > star => {
                    let from_end = targets.len() - index;
                    items
                        .len()
                        .checked_sub(from_end)
                        .and_then(|at| items.get(at))
                        .cloned()
                        .unwrap_or_default()
                }
                _ => items.get(index).cloned().unwrap_or_default(),
            };
            self.assign(frame, target, item);
        }
    }
}

/// `__name__ == "__main__"`
fn is_script_guard(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let is_name = |expr: &Expr| matches!(expr, Expr::Name(name) if name.id.as_str() == "__name__");
    let is_main = |expr: &Expr| matches!(expr, Expr::StringLiteral(text) if text.value.to_str() == SCRIPT);
    matches!(&*compare.ops, [CmpOp::Eq])
        && is_name(&compare.left)
        && compare.comparators.first().is_some_and(is_main)
}

fn is_type_checking(test: &Expr) -> bool {
    match test {
        Expr::Name(name) => name.id.as_str() == "TYPE_CHECKING",
        Expr::Attribute(attribute) => attribute.attr.as_str() == "TYPE_CHECKING",
        _ => false,
    }
}

fn module_scope<'a>(scope: &Rc<Scope<'a>>) -> Rc<Scope<'a>> {
    let mut scope = scope.clone();
    while let Some(parent) = scope.parent.clone() {
        scope = parent;
    }
    scope
}

fn defining_scope<'a>(scope: &Rc<Scope<'a>>, name: &str) -> Option<Rc<Scope<'a>>> {
    let mut outer = scope.parent.clone();
    while let Some(scope) = outer {
        if scope.kind == ScopeKind::Function && scope.vars.borrow().contains_key(name) {
            return Some(scope);
        }
        outer = scope.parent.clone();
    }
    None
}

/// What names stand for after either of two ways.
fn join<'a>(mut one: Vars<'a>, other: Vars<'a>) -> Vars<'a> {
    for (name, value) in other {
        let joined = match one.remove(name) {
            Some(first) => first.join(value),
            None => value,
        };
        one.insert(name, joined);
    }
    one
}

fn join_into<'a>(scope: &Rc<Scope<'a>>, before: Vars<'a>) {
    let after = scope.vars.take();
    scope.vars.replace(join(before, after));
}
