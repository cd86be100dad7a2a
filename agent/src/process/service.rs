//! The name of the service a process belongs to.

mod command;
mod launcher;
mod surroundings;

pub(super) use surroundings::{container_id, otel_resource_service};

use std::path::{Path, PathBuf};

use command::Command;

/// What a name is derived from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamingFacts {
    /// Arguments; one text with blanks where the program replaced them (setproctitle).
    pub cmdline: Vec<String>,
    /// Working directory, as the process sees it.
    pub cwd: Option<PathBuf>,
    /// `HOME`
    pub home: Option<PathBuf>,
    /// Path of the control group.
    pub control_group: String,
    /// `OTEL_SERVICE_NAME`, or `service.name` of `OTEL_RESOURCE_ATTRIBUTES` (OpenTelemetry's environment variable
    /// specification).
    pub otel_service: Option<String>,
    /// `FLASK_APP`
    pub flask_app: Option<String>,
    /// `DJANGO_SETTINGS_MODULE`
    pub django_settings: Option<String>,
    /// `RUN_MAIN`: Django's autoreloader started it, as what it is itself (`django.utils.autoreload`).
    pub is_reloaded: bool,
}

/// Longest name; longer ones are cut.
const MAX_NAME: usize = 64;

/// Names that tell nothing about a service: the conventions of frameworks and tutorials.
const GENERIC: &[&str] = &[
    "main",
    "app",
    "application",
    "server",
    "asgi",
    "wsgi",
    "api",
    "run",
    "manage",
    "src",
    "__main__",
    "__init__",
    "index",
    "start",
    "serve",
    "create_app",
    "celery",
    "celeryapp",
    "celery_app",
    "settings",
    "config",
    "project",
    "code",
    "bin",
    "current",
    "lib",
    "backend",
    "web",
    "python",
];

pub(super) fn is_generic(name: &str) -> bool {
    GENERIC.contains(&name)
}

/// Name of the service that the process runs, by the first of: OpenTelemetry's variables; what the server program
/// was told to serve; the systemd unit; the script; the directory. A name that tells nothing (`main:app`) gives way to
/// the next, and is taken when nothing better comes.
///
/// `ancestor` is the service of the nearest Python ancestor: workers that multiprocessing starts have no name of their
/// own and take it.
pub fn service_name(facts: &NamingFacts, ancestor: Option<&str>) -> String {
    let command = Command::parse(facts);
    let name = facts.otel_service.clone().or_else(|| match ancestor {
        Some(ancestor) if command.is_worker => Some(ancestor.to_owned()),
        _ => None,
    });
    let name = name
        .or_else(|| command.app.as_deref().and_then(telling))
        .or_else(|| surroundings::unit(&facts.control_group))
        .or_else(|| command.script.as_deref().and_then(telling))
        .or_else(|| surroundings::directory(command.directory.as_deref(), facts.home.as_deref()))
        .or_else(|| surroundings::directory(facts.cwd.as_deref(), facts.home.as_deref()))
        .or_else(|| command.app.as_deref().and_then(first_part))
        .or_else(|| command.script.as_deref().and_then(first_part))
        .unwrap_or_else(|| "python".into());
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

/// What a command line starts.
#[derive(Debug, PartialEq, Eq)]
pub enum Started {
    /// A module, by its dotted name.
    Module(String),
    /// A command of an installed package.
    Command(PathBuf),
}

/// What the command line starts, if that is a module or what may be the command of a package.
pub fn started(facts: &NamingFacts) -> Option<Started> {
    let command = Command::parse(facts);
    if let Some(module) = command.app {
        return Some(Started::Module(module));
    }
    let script = command.script?;
    // The interpreter comes first, but for a program that holds it.
    let is_it = |path: &&Path| path.file_name().is_some_and(|name| *name == *script);
    let path = facts.cmdline.iter().take(2).map(Path::new).find(is_it)?;
    path.parent()?.ends_with("bin").then(|| Started::Command(path.to_owned()))
}

/// Has the process no name of its own: a worker that a Python parent started?
pub(super) fn is_worker(facts: &NamingFacts) -> bool {
    facts.otel_service.is_none() && Command::parse(facts).is_worker
}

/// The telling part of a module path: `proj.asgi` -> `proj`, `shop` -> `shop`, `main` -> none.
fn telling(module: &str) -> Option<String> {
    // The one server of Python's own library that people run.
    if module == "http.server" {
        return Some(module.to_owned());
    }
    let mut parts: Vec<&str> = module.split('.').filter(|part| !part.is_empty()).collect();
    while parts.last().is_some_and(|part| is_generic(part)) {
        parts.pop();
    }
    let first = parts.iter().position(|part| !is_generic(part))?;
    Some(parts[first..].join("."))
}

fn first_part(module: &str) -> Option<String> {
    module.split('.').find(|part| !part.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
