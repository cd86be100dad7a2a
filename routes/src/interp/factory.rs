//! Application factories that nothing in the tree calls: `uvicorn --factory`, `flask --app`, `main()` behind a guard.

use std::collections::HashSet;
use std::rc::Rc;

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, Stmt, StmtFunctionDef};

use super::{Factory, Interp, address};
use crate::frameworks;
use crate::source::Parsed;
use crate::value::{Args, Class, Function, Loading, Module, Value};

/// Names of classes whose call makes an application.
const APPLICATIONS: &[&str] = &[
    "FastAPI",
    "Starlette",
    "Flask",
    "Quart",
    "APIFlask",
    "OpenAPI",
    "Application",
    "Litestar",
    "Sanic",
    "App",
    "Bottle",
];

/// Methods by which something is registered on an application, a router or the like.
const REGISTER: &[&str] = &[
    "add_api_route",
    "add_get",
    "add_handlers",
    "add_namespace",
    "add_post",
    "add_resource",
    "add_route",
    "add_router",
    "add_routes",
    "add_subapp",
    "add_url_rule",
    "blueprint",
    "delete",
    "get",
    "include_router",
    "merge",
    "mount",
    "patch",
    "post",
    "put",
    "register",
    "register_api",
    "register_blueprint",
    "route",
    "websocket",
];

/// Rounds in which functions that call a factory are found to be factories themselves.
const ROUNDS: usize = 4;

impl<'a> Interp<'a> {
    /// Runs every function and method that makes an application, itself or by calling one that does, and that did not
    /// run yet, with unknown arguments.
    pub(super) fn run_factories(&mut self) {
        let modules = self.finished.clone();
        let mut makers: HashSet<String> = APPLICATIONS.iter().map(|&name| name.to_owned()).collect();
        // Those of the tree's own classes of application, too.
        for module in &modules {
            let vars = module.scope.vars.borrow();
            let classes = vars
                .values()
                .filter_map(|value| if let Value::Class(class) = value { Some(class) } else { None });
            let of_application = classes.filter(|class| frameworks::makes_application(class));
            makers.extend(of_application.map(|class| class.name.to_owned()));
        }
        for _ in 0..ROUNDS {
            let known = makers.len();
            for module in &modules {
                for (class, function) in self.factories_of(module, &makers) {
                    if class.is_none() {
                        makers.insert(function.name.to_string());
                    }
                    self.run_factory(class, &function);
                }
            }
            if makers.len() == known {
                break;
            }
        }
        self.run = 0;
    }

    /// Runs every function that registers something on an application or the like of its module, and that nothing ran: what calls
    /// it may be no part of the tree (an installed script), or stand behind what is not followed.
    pub(super) fn run_registrars(&mut self) {
        for module in self.finished.clone() {
            if self.out_of_time() {
                break;
            }
            let Some(parsed) = self.own_source(&module) else { continue };
            for statement in &parsed.module.body {
                let Stmt::FunctionDef(def) = statement else { continue };
                let is_node = |name: &str| {
                    let value = module.scope.get(name).map(|value| self.settled(value));
                    value.is_some_and(|value| value.node().is_some())
                };
                if !registered_on(def).into_iter().any(is_node) {
                    continue;
                }
                let Some(Value::Function(function)) = module.scope.get(def.name.as_str()) else { continue };
                let function = function.unwrapped();
                let id = address(&function);
                if self.runs_of(id).next().is_none() {
                    self.run_factory(None, &function);
                }
            }
        }
        self.run = 0;
    }

    fn run_factory(&mut self, class: Option<Rc<Class<'a>>>, function: &Rc<Function<'a>>) {
        let id = address(function);
        let ran = self.executed.contains(&(id, 0)) || self.factories.iter().any(|factory| factory.id == id);
        if ran || self.out_of_time() {
            return;
        }
        self.begin_run(id, function.site.file, function.qualified.clone());
        self.budget();
        let args = Args { incomplete: true, site: function.site, ..Args::default() };
        let this = class.map(|class| self.instantiate(&class, &args));
        self.call_function(function, this, &args);
    }

    /// What is made from now on is made by this code, which may never run.
    pub(super) fn begin_run(&mut self, id: usize, file: usize, name: Rc<str>) {
        self.run = u32::try_from(self.factories.len() + 1).unwrap_or(u32::MAX);
        self.factories.push(Factory { id, run: self.run, file, name });
    }

    /// The syntax tree of a module that has run, if it is no test and speaks of a framework.
    fn own_source(&mut self, module: &Module<'a>) -> Option<&'a Parsed> {
        let file = module.file?;
        let is_test = self.sources.tree.is_test(file) && !self.options.include_tests;
        if is_test || module.state.get() != Loading::Done {
            return None;
        }
        let sources = self.sources;
        let parsed = sources.parsed(file, &mut self.counters)?;
        (parsed.mentions.framework || parsed.mentions.application).then_some(parsed)
    }

    fn factories_of(
        &mut self,
        module: &Rc<Module<'a>>,
        makers: &HashSet<String>,
    ) -> Vec<(Option<Rc<Class<'a>>>, Rc<Function<'a>>)> {
        let Some(parsed) = self.own_source(module) else { return Vec::new() };
        let mut found = Vec::new();
        for statement in &parsed.module.body {
            match statement {
                Stmt::FunctionDef(def) if makes_application(&def.body, makers) => {
                    if let Some(Value::Function(function)) = module.scope.get(def.name.as_str()) {
                        found.push((None, function.unwrapped()));
                    }
                }
                Stmt::ClassDef(def) => {
                    let Some(Value::Class(class)) = module.scope.get(def.name.as_str()) else { continue };
                    for statement in &def.body {
                        if let Stmt::FunctionDef(method) = statement
                            && makes_application(&method.body, makers)
                            && let Some(Value::Function(function)) = class.scope.get(method.name.as_str())
                        {
                            found.push((Some(class.clone()), function.unwrapped()));
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// Names, none of them a parameter, on which the function registers something.
fn registered_on(def: &StmtFunctionDef) -> Vec<&str> {
    #[derive(Default)]
    struct Search<'x>(Vec<&'x str>);
    impl<'x> Visitor<'x> for Search<'x> {
        fn visit_expr(&mut self, expr: &'x Expr) {
            if let Expr::Call(call) = expr
                && let Expr::Attribute(attribute) = &*call.func
                && let Expr::Name(name) = &*attribute.value
                && REGISTER.contains(&attribute.attr.as_str())
            {
                self.0.push(name.id.as_str());
            }
            walk_expr(self, expr);
        }
    }
    let mut search = Search::default();
    search.visit_body(&def.body);
    let is_parameter = |name: &str| def.parameters.iter().any(|parameter| parameter.name() == name);
    search.0.retain(|name| !is_parameter(name));
    search.0
}

fn makes_application(body: &[Stmt], makers: &HashSet<String>) -> bool {
    struct Search<'m> {
        makers: &'m HashSet<String>,
        found: bool,
    }
    impl<'x> Visitor<'x> for Search<'_> {
        fn visit_expr(&mut self, expr: &'x Expr) {
            if let Expr::Call(call) = expr {
                let name = match &*call.func {
                    Expr::Name(name) => name.id.as_str(),
                    Expr::Attribute(attribute) => attribute.attr.as_str(),
                    _ => "",
                };
                self.found |= self.makers.contains(name);
            }
            walk_expr(self, expr);
        }
    }
    let mut search = Search { makers, found: false };
    search.visit_body(body);
    search.found
}
