//! Reading a Python command line: what is run, and what it was told to serve.

use std::path::{Path, PathBuf};

use super::NamingFacts;
use super::launcher::{self, Launcher};

/// What a command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Module that a server program was told to serve, or that runs as a program: `proj.asgi`.
    pub(super) app: Option<String>,
    /// Script without directory and suffix.
    pub(super) script: Option<String>,
    /// Directory of the project, as far as the arguments tell.
    pub(super) directory: Option<PathBuf>,
    /// Started by a Python parent to work for it.
    pub(super) is_worker: bool,
}

impl Command {
    pub(super) fn parse(facts: &NamingFacts) -> Self {
        if let [title] = facts.cmdline.as_slice()
            && title.contains(' ')
        {
            return Self::of_title(title);
        }
        let program = match Program::parse(&facts.cmdline) {
            Some(program) => program.unwrapped(),
            None => return Self::default(),
        };
        match program {
            Program::Code(code) => Self { is_worker: is_worker_code(code), ..Self::default() },
            Program::Module(module, arguments) => {
                let top = module.split('.').next().unwrap_or(module);
                match Launcher::named(top) {
                    Some(launcher) => Self::of_launcher(launcher, arguments, facts),
                    None => Self { app: Some(module.into()), ..Self::default() },
                }
            }
            Program::Script(path, arguments) => {
                let name = script_name(path);
                match Launcher::named(&name) {
                    Some(launcher) => Self::of_launcher(launcher, arguments, facts),
                    None if name == "manage" => Self {
                        app: launcher::option(arguments, &["--settings"])
                            .or_else(|| facts.django_settings.clone()),
                        directory: in_cwd(facts, Path::new(path).parent()),
                        // The settings that its parent named after its start are in its environment only.
                        is_worker: facts.is_reloaded,
                        ..Self::default()
                    },
                    None => Self {
                        script: Some(name),
                        directory: in_cwd(facts, Path::new(path).parent()),
                        ..Self::default()
                    },
                }
            }
        }
    }

    fn of_launcher(launcher: Launcher, arguments: &[String], facts: &NamingFacts) -> Self {
        let app = launcher.app(arguments, facts);
        // Flask and FastAPI take a path too: `flask --app shop/main.py run`.
        if let Some(path) = app.as_deref().filter(|app| app.contains('/') || app.ends_with(".py")) {
            let path = Path::new(path.split(':').next().unwrap_or(path));
            let script = Some(script_name(&path.to_string_lossy()));
            return Self { script, directory: in_cwd(facts, path.parent()), ..Self::default() };
        }
        let directory = launcher::option(arguments, &["--chdir", "--app-dir", "--workdir", "--working-dir"]);
        Self {
            app: app.map(|app| app.split(':').next().unwrap_or_default().to_owned()),
            directory: directory.and_then(|directory| in_cwd(facts, Some(Path::new(&directory)))),
            ..Self::default()
        }
    }

    /// Titles that programs give themselves: `gunicorn: worker [shop]`,
    /// `[celeryd: celery@host:MainProcess] -active- (worker -A shop)`.
    fn of_title(title: &str) -> Self {
        let words: Vec<String> =
            title.split_whitespace().map(|word| word.trim_matches(['(', ')', '[', ']']).to_owned()).collect();
        let app = if title.starts_with("gunicorn: ") {
            title.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).map(str::to_owned)
        } else if title.contains("celery") {
            launcher::option(&words, &["-A", "--app"])
        } else {
            None
        };
        // Any other title was given by an application to a process of its own making; the nearest ancestor names it.
        let is_worker = app.is_none();
        Self {
            app: app.map(|app| app.split(':').next().unwrap_or_default().to_owned()),
            is_worker,
            ..Self::default()
        }
    }
}

/// What the interpreter runs.
#[derive(Debug, PartialEq, Eq)]
enum Program<'a> {
    Code(&'a str),
    Module(&'a str, &'a [String]),
    Script(&'a str, &'a [String]),
}

impl<'a> Program<'a> {
    /// Skips the interpreter and its options: `python3 -X dev -um shop` (Python's manual, "Command line and environment").
    fn parse(cmdline: &'a [String]) -> Option<Self> {
        let (program, mut rest) = cmdline.split_first()?;
        let base = Path::new(program).file_name()?.to_str()?;
        if !crate::process::elf::is_python_name(base) {
            return Some(Self::Script(program, rest));
        }
        while let Some((argument, after)) = rest.split_first() {
            if argument == "-" {
                return None;
            }
            if argument == "--check-hash-based-pycs" {
                rest = after.get(1..)?;
                continue;
            }
            let Some(flags) = argument.strip_prefix('-').filter(|flags| !flags.starts_with('-')) else {
                if argument.starts_with("--") {
                    rest = after;
                    continue;
                }
                return Some(Self::Script(argument, after));
            };
            let Some(at) = flags.find(['c', 'm', 'X', 'W', 'Q']) else {
                rest = after;
                continue;
            };
            // The value follows in the same argument or is the next.
            let (value, after) = match &flags[at + 1..] {
                "" => {
                    let (value, after) = after.split_first()?;
                    (value.as_str(), after)
                }
                value => (value, after),
            };
            match flags.as_bytes()[at] {
                b'c' => return Some(Self::Code(value)),
                b'm' => return Some(Self::Module(value, after)),
                _ => rest = after,
            }
        }
        None
    }

    /// Looks through programs that run another program in the same process: `coverage run -m uvicorn main:app`.
    fn unwrapped(self) -> Self {
        const WRAPPERS: &[&str] = &[
            "coverage",
            "debugpy",
            "ddtrace-run",
            "opentelemetry-instrument",
            "newrelic-admin",
            "memray",
            "scalene",
            "viztracer",
            "cProfile",
            "profile",
            "kernprof",
            "pdb",
            "sentry-prefork",
        ];
        let (name, arguments) = match &self {
            Self::Code(_) => return self,
            Self::Module(module, arguments) => ((*module).to_owned(), *arguments),
            Self::Script(path, arguments) => (script_name(path), *arguments),
        };
        if !WRAPPERS.contains(&name.as_str()) {
            return self;
        }
        for (at, argument) in arguments.iter().enumerate() {
            let after = &arguments[at + 1..];
            if argument == "-m" {
                return match after.split_first() {
                    Some((module, after)) => Self::Module(module, after),
                    None => self,
                };
            }
            if argument.ends_with(".py") || Launcher::named(&script_name(argument)).is_some() {
                return Self::Script(argument, after);
            }
        }
        self
    }
}

/// `/srv/shop/run.py` -> `run`; `/venv/lib/python3.11/site-packages/uvicorn/__main__.py` -> `uvicorn`
fn script_name(path: &str) -> String {
    let path = Path::new(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".py").or_else(|| name.strip_suffix(".pyc")).unwrap_or(&name);
    if stem == "__main__"
        && let Some(package) = path.parent().and_then(Path::file_name)
    {
        return package.to_string_lossy().into_owned();
    }
    stem.to_owned()
}

/// Code that multiprocessing, joblib and their kin hand to a fresh interpreter.
fn is_worker_code(code: &str) -> bool {
    code.starts_with("from multiprocessing")
        || code.starts_with("from joblib")
        || code.starts_with("from loky")
}

fn in_cwd(facts: &NamingFacts, directory: Option<&Path>) -> Option<PathBuf> {
    let directory = directory?;
    if directory.is_absolute() {
        return Some(directory.into());
    }
    // `.` and `..` would hide the names that count.
    let mut path = facts.cwd.clone()?;
    for part in directory.components() {
        match part {
            std::path::Component::ParentDir => {
                path.pop();
            }
            std::path::Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    Some(path)
}
