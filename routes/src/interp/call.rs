//! Functions, classes and calls.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use ruff_python_ast::{Expr, ExprCall, ExprLambda, Parameters, StmtFunctionDef};

use super::{Frame, Interp, address};
use crate::frameworks;
use crate::limits::{Counter, MAX_CALLS, MAX_ITEMS};
use crate::value::{Args, Binding, Body, Class, Function, Kind, ScopeKind, Value};

impl<'a> Interp<'a> {
    pub(super) fn function_def(&mut self, frame: &mut Frame<'a>, def: &'a StmtFunctionDef) -> Value<'a> {
        let defaults = self.defaults(frame, Some(&def.parameters));
        let site = self.site(frame.file, def.name.range.start());
        let name: Rc<str> = def.name.as_str().into();
        let qualified = match frame.scope.kind {
            ScopeKind::Class => self.class_name_of(frame).map(|class| format!("{class}.{name}").into()),
            _ => None,
        };
        let function = Function {
            qualified: qualified.unwrap_or_else(|| name.clone()),
            name,
            body: Body::Def(def),
            site,
            scope: frame.scope.clone(),
            defaults,
            binding: Binding::Plain,
            owner: RefCell::new(Weak::new()),
            attrs: Rc::default(),
            wraps: None,
        };
        let mut value = Value::Function(Rc::new(function));
        for decorator in def.decorator_list.iter().rev() {
            value = self.decorate(frame, &decorator.expression, value);
        }
        value
    }

    fn class_name_of(&mut self, frame: &Frame<'a>) -> Option<Rc<str>> {
        frame.scope.get("__qualname__").and_then(|name| name.as_str())
    }

    fn defaults(
        &mut self,
        frame: &mut Frame<'a>,
        parameters: Option<&'a Parameters>,
    ) -> Vec<(&'a str, Value<'a>)> {
        let mut defaults = Vec::new();
        for parameter in parameters.into_iter().flat_map(Parameters::iter_non_variadic_params) {
            if let Some(default) = &parameter.default {
                defaults.push((parameter.parameter.name.as_str(), self.eval(frame, default)));
            }
        }
        defaults
    }

    pub(super) fn lambda(&mut self, frame: &mut Frame<'a>, lambda: &'a ExprLambda) -> Value<'a> {
        let defaults = self.defaults(frame, lambda.parameters.as_deref());
        let site = self.line_site(frame, lambda);
        Value::Function(Rc::new(Function {
            name: "<lambda>".into(),
            qualified: "<lambda>".into(),
            body: Body::Lambda(lambda.parameters.as_deref(), &lambda.body),
            site,
            scope: frame.scope.clone(),
            defaults,
            binding: Binding::Plain,
            owner: RefCell::new(Weak::new()),
            attrs: Rc::default(),
            wraps: None,
        }))
    }

    /// Applies a decorator. A decorator whose result is not known is taken to keep what it decorates.
    pub(super) fn decorate(
        &mut self,
        frame: &mut Frame<'a>,
        decorator: &'a Expr,
        target: Value<'a>,
    ) -> Value<'a> {
        let callee = self.eval(frame, decorator);
        if let (Value::External(name), Value::Function(function)) = (&callee, &target) {
            let binding = match &**name {
                "builtins.staticmethod" => Some(Binding::Static),
                "builtins.classmethod" => Some(Binding::Class),
                "builtins.property"
                | "functools.cached_property"
                | "django.utils.functional.cached_property" => Some(Binding::Property),
                _ => None,
            };
            if let Some(binding) = binding {
                return Value::Function(Rc::new(function.with(binding, Some(function.clone()))));
            }
        }
        let site = self.line_site(frame, decorator);
        let args = Args { positional: vec![target.clone()], site, ..Args::default() };
        match (self.call(&callee, &args), target) {
            (Value::Function(result), Value::Function(original))
                if address(&result) != address(&original) =>
            {
                // A wrapper: what is served is still the function as written.
                Value::Function(Rc::new(result.with(result.binding, Some(original))))
            }
            (result @ (Value::Function(_) | Value::Class(_) | Value::Seq(_)), _) => result,
            (Value::Object(object), target) => match &object.kind {
                Kind::Opaque { .. } => target,
                _ => Value::Object(object),
            },
            (_, target) => target,
        }
    }

    pub(super) fn call_expression(&mut self, frame: &mut Frame<'a>, call: &'a ExprCall) -> Value<'a> {
        let callee = self.eval(frame, &call.func);
        let mut args = Args { site: self.line_site(frame, call), ..Args::default() };
        for argument in call.arguments.args.iter().take(MAX_ITEMS) {
            match argument {
                Expr::Starred(starred) => {
                    let value = self.eval(frame, &starred.value);
                    match self.iterate(&value) {
                        Some(items) => args.positional.extend(items),
                        None => {
                            args.incomplete = true;
                            args.positional.push(Value::Unknown);
                        }
                    }
                }
                _ => {
                    let value = self.eval(frame, argument);
                    args.positional.push(value);
                }
            }
        }
        for keyword in &call.arguments.keywords {
            let value = self.eval(frame, &keyword.value);
            match (&keyword.arg, value) {
                (Some(name), value) => args.named.push((name.as_str().into(), value)),
                (None, Value::Dict(dict)) => {
                    for (key, value) in dict.borrow().iter() {
                        match key.as_str() {
                            Some(name) => args.named.push((name, value.clone())),
                            None => args.incomplete = true,
                        }
                    }
                }
                (None, _) => args.incomplete = true,
            }
        }
        if let Value::External(name) = &callee {
            match &**name {
                "builtins.super" => {
                    return match (&frame.this, args.positional.get(1)) {
                        (Some((this, class)), _) => Value::Super(Rc::new((this.clone(), class.clone()))),
                        _ => Value::Unknown,
                    };
                }
                "builtins.locals" | "builtins.globals" | "builtins.vars" => return Value::Unknown,
                _ => {}
            }
        }
        self.call(&callee, &args)
    }

    /// Calls a value.
    pub(crate) fn call(&mut self, callee: &Value<'a>, args: &Args<'a>) -> Value<'a> {
        match callee {
            Value::Function(function) => self.call_function(function, None, args),
            Value::Method(method) => self.call_function(&method.1.clone(), Some(method.0.clone()), args),
            Value::Class(class) => self.instantiate(class, args),
            Value::External(name) => match super::native::builtin(self, name, args) {
                Some(value) => value,
                None => self.call_external(name, args),
            },
            Value::Native(of) => self.call_native(&of.0.clone(), &of.1.clone(), args),
            Value::Object(object) => match &object.kind {
                Kind::Partial { function, args: bound } => {
                    let positional = bound.positional.iter().chain(&args.positional).cloned().collect();
                    let named = bound.named.iter().chain(&args.named).cloned().collect();
                    self.call(&function.clone(), &Args { positional, named, ..args.clone() })
                }
                _ => match object.class.as_ref().and_then(|class| class.find("__call__")) {
                    Some((Value::Function(function), _)) => {
                        self.call_function(&function, Some(callee.clone()), args)
                    }
                    _ => frameworks::call_object(self, callee, args),
                },
            },
            Value::Lazy(..) => match self.settled(callee.clone()) {
                Value::Lazy(..) => Value::Unknown,
                settled => self.call(&settled, args),
            },
            _ => Value::Unknown,
        }
    }

    fn call_external(&mut self, name: &Rc<str>, args: &Args<'a>) -> Value<'a> {
        if let Some(value) = frameworks::call_external(self, name, args) {
            return value;
        }
        let kind = Kind::Opaque { callee: name.clone(), args: args.clone() };
        Value::Object(self.object(None, kind, args.site))
    }

    fn call_native(&mut self, object: &Value<'a>, name: &str, args: &Args<'a>) -> Value<'a> {
        if let Value::Object(_) | Value::Class(_) = object
            && let Some(value) = frameworks::call_method(self, object, name, args)
        {
            return value;
        }
        super::native::method(self, object, name, args)
    }

    /// Calls a function of the tree; `this` goes before the arguments.
    pub(crate) fn call_function(
        &mut self,
        function: &Rc<Function<'a>>,
        this: Option<Value<'a>>,
        args: &Args<'a>,
    ) -> Value<'a> {
        let id = address(function);
        // A second activation of the same function learns nothing that the first one does not; deep nesting is cut.
        if self.stopped || self.calls.iter().filter(|running| **running == id).count() >= 3 {
            return Value::Unknown;
        }
        if self.calls.len() >= MAX_CALLS as usize {
            self.counters.add(Counter::TooDeep, 1);
            return Value::Unknown;
        }
        self.mark_executed(function);
        let scope = self.scope(Some(function.scope.clone()), ScopeKind::Function, function.site.file);
        let mut frame = Frame::new(scope);
        if let (Some(this), Some(owner)) = (&this, function.owner.borrow().upgrade()) {
            frame.this = Some((this.clone(), owner));
        }
        let parameters = match function.body {
            Body::Def(def) => Some(&*def.parameters),
            Body::Lambda(parameters, _) => parameters,
        };
        bind_parameters(&frame, parameters, function, this, args);
        self.calls.push(id);
        let nesting = std::mem::take(&mut self.nesting);
        let result = match function.body {
            Body::Def(def) => {
                self.block(&mut frame, &def.body);
                if frame.yielded.is_empty() {
                    frame.returned.unwrap_or(Value::None)
                } else {
                    Value::list(frame.yielded)
                }
            }
            Body::Lambda(_, body) => self.eval(&mut frame, body),
        };
        self.nesting = nesting;
        self.calls.pop();
        result
    }

    /// Makes an instance of a class of the tree.
    pub(crate) fn instantiate(&mut self, class: &Rc<Class<'a>>, args: &Args<'a>) -> Value<'a> {
        let node = frameworks::node_for(class);
        let is_node = node.is_some();
        let object = self.object(Some(class.clone()), node.map_or(Kind::Plain, Kind::Node), args.site);
        if let Kind::Node(node) = &object.kind {
            node.created.set((self.run, self.uncertain > 0));
        }
        let value = Value::Object(object.clone());
        match class.find("__init__") {
            Some((Value::Function(init), _)) => {
                self.call_function(&init, Some(value.clone()), args);
            }
            _ if is_node => {
                frameworks::call_method(self, &value, "__init__", args);
            }
            _ => {
                let fields = annotated_fields(class);
                let mut attrs = object.attrs.borrow_mut();
                for (field, value) in fields.iter().zip(&args.positional) {
                    attrs.insert((*field).into(), value.clone());
                }
                for (name, value) in &args.named {
                    attrs.insert(name.clone(), value.clone());
                }
            }
        }
        value
    }
}

/// Fields of a data class in the order of its constructor, as far as its own body tells.
fn annotated_fields<'a>(class: &Rc<Class<'a>>) -> Vec<&'a str> {
    let mut fields = Vec::new();
    for statement in &class.def.body {
        if let ruff_python_ast::Stmt::AnnAssign(assign) = statement
            && let Expr::Name(name) = &*assign.target
        {
            fields.push(name.id.as_str());
        }
    }
    fields
}

fn bind_parameters<'a>(
    frame: &Frame<'a>,
    parameters: Option<&'a Parameters>,
    function: &Function<'a>,
    this: Option<Value<'a>>,
    args: &Args<'a>,
) {
    let Some(parameters) = parameters else { return };
    let mut given = this.into_iter().chain(args.positional.iter().cloned());
    let mut used: Vec<&str> = Vec::new();
    for parameter in parameters.posonlyargs.iter().chain(&parameters.args) {
        let name = parameter.parameter.name.as_str();
        let value = given.next().or_else(|| args.named(name));
        used.push(name);
        frame.scope.set(name, value.or_else(|| default(function, name)).unwrap_or_default());
    }
    if let Some(rest) = &parameters.vararg {
        let items: Vec<_> = given.collect();
        let value = if args.incomplete { Value::Unknown } else { Value::tuple(items) };
        frame.scope.set(rest.name.as_str(), value);
    }
    for parameter in &parameters.kwonlyargs {
        let name = parameter.parameter.name.as_str();
        used.push(name);
        let value = args.named(name).or_else(|| default(function, name));
        frame.scope.set(name, value.unwrap_or_default());
    }
    if let Some(rest) = &parameters.kwarg {
        let more = args.named.iter().filter(|(name, _)| !used.contains(&&**name));
        let items: Vec<_> = more.map(|(name, value)| (Value::Str(name.clone()), value.clone())).collect();
        let value = if args.incomplete { Value::Unknown } else { Value::Dict(Rc::new(items.into())) };
        frame.scope.set(rest.name.as_str(), value);
    }
}

fn default<'a>(function: &Function<'a>, name: &str) -> Option<Value<'a>> {
    function.defaults.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}
