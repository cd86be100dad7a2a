//! Finds the routes of a Python web application in its source, and matches request paths to them.
//!
//! The source is parsed with a real parser and its modules are then *evaluated*, in the order in which Python would
//! import them, over values of which some are unknown. What a framework would learn from running the program (a router
//! included under a prefix, a blueprint registered by a factory, a list of URL patterns put together in a loop) is
//! learned from the same calls here. Nothing of the program runs, and nothing outside the given tree is read.
//!
//! ```text
//! files on disk -> source (walk, module names) -> interp (evaluation) -> frameworks (what each call means)
//!               -> pattern (one route's shape) -> DiscoveredRoute -> Matcher
//! ```
//!
//! What cannot be known is said, never guessed: see [`Counters`].

#![forbid(unsafe_code)]

mod dismantle;
mod frameworks;
mod interp;
mod limits;
mod matcher;
mod pattern;
mod source;
mod value;

pub use limits::{Counter, Counters, Limits};
pub use matcher::{Lookup, Matcher};
pub use pattern::{Converter, Pattern, Slash, Token};

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// A web framework whose routes are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framework {
    /// FastAPI
    FastApi,
    /// Starlette
    Starlette,
    /// Flask, and Quart, which has the same interface
    Flask,
    /// Django, with Django REST framework
    Django,
    /// aiohttp.web
    Aiohttp,
    /// Litestar
    Litestar,
    /// Sanic
    Sanic,
    /// Tornado
    Tornado,
    /// Falcon
    Falcon,
    /// Bottle
    Bottle,
}

impl Framework {
    /// The name shown to the user, as in `/api/discovered`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FastApi => "fastapi",
            Self::Starlette => "starlette",
            Self::Flask => "flask",
            Self::Django => "django",
            Self::Aiohttp => "aiohttp",
            Self::Litestar => "litestar",
            Self::Sanic => "sanic",
            Self::Tornado => "tornado",
            Self::Falcon => "falcon",
            Self::Bottle => "bottle",
        }
    }
}

/// One route of an application: one method and one path template.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscoveredRoute {
    /// Framework that serves it.
    pub framework: Framework,
    /// HTTP method, upper case; `*` = any. A WebSocket route has `GET`, the method of its handshake (RFC 6455, 4.1).
    pub method: String,
    /// Template: a leading slash, each parameter as `{name}`.
    pub route: String,
    /// Template in the framework's own syntax, prefixes included (`/users/<int:id>`, `^users/(?P<pk>\d+)/$`).
    pub raw: String,
    /// File of the handler, relative to the scanned root, with forward slashes. The file that registers the route
    /// where the handler lies outside of the tree.
    pub file: String,
    /// Line of the handler's `def` or `class`, from 1; of the registration where the handler lies outside of the tree.
    pub line: u32,
    /// The handler: `name`, or `Class.name` for a method; empty where it is not known.
    pub function: String,
    /// The route is a WebSocket's.
    pub websocket: bool,
    /// Every prefix of the route is known. Where this is false `route` is what follows the unknown prefix, and the
    /// matcher leaves the route alone.
    pub prefix_known: bool,
    /// The registration stands under a condition that the source alone does not decide.
    pub conditional: bool,
    /// Which application of the tree serves it: routes of one application are tried in their order, applications in
    /// the order of this number.
    pub app: u32,
    /// No route of its own: routes that the source does not tell lie somewhere below this path, those of another
    /// package's URL patterns for one.
    pub gap: bool,
    /// What the matcher tests a path against.
    pub pattern: Pattern,
}

/// An application of the tree: what a server is told to run, or a router that nothing was seen to include.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The number that its routes carry.
    pub number: u32,
    /// Framework.
    pub framework: Framework,
    /// It can serve by itself; a router or blueprint that nothing includes cannot.
    pub serves: bool,
    /// File that makes it, relative to the scanned root; for Django the URL configuration.
    pub file: String,
    /// Line on which it is made, from 1.
    pub line: u32,
    /// Where a server finds it, as file and name: the module variables that hold it, and the factory that nothing
    /// calls (`shop/main.py` and `create_app`). For Django the settings that name its URL configuration.
    pub names: Vec<(String, String)>,
    /// It answers a failure without writing the exception anywhere by default: Django whose settings, all that name its URL
    /// configuration, have `DEBUG` off. False where the source does not decide it.
    pub hides_failures: bool,
}

/// Result of a scan.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The routes, application by application, each in the order in which the framework would try them; with the gaps
    /// between them.
    pub routes: Vec<DiscoveredRoute>,
    /// The applications that the routes belong to, by their number.
    pub apps: Vec<Application>,
    /// Files that the application reads as data (JSON), relative to the scanned root: the routes may depend on them.
    pub data_files: Vec<String>,
    /// What was read, skipped and not understood.
    pub counters: Counters,
}

impl Scan {
    /// Number of routes by framework name.
    pub fn by_framework(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for route in self.routes.iter().filter(|route| !route.gap) {
            *counts.entry(route.framework.name()).or_insert(0) += 1;
        }
        counts
    }
}

/// What to scan.
#[derive(Clone, Debug)]
pub struct Options {
    /// Root directory of the source. For a process in a container this is below `/proc/PID/root`.
    pub root: PathBuf,
    /// Directories below the root that stand on the application's `sys.path`. The root itself, its `src` and the
    /// folders above each package are tried without being named here.
    pub import_roots: Vec<PathBuf>,
    /// Environment of the process, where known: it decides `os.environ` look-ups. Without it their defaults are
    /// taken, and counted as assumed. A variable of value `None` is set, to what is not to be told.
    pub environment: Option<BTreeMap<String, Option<String>>>,
    /// The file that runs as the script, relative to the root (`manage.py`); empty where a server imports the application.
    /// It decides what `__name__ == "__main__"` is. `None`: not known, and what such a condition guards is conditional.
    pub script: Option<String>,
    /// Also start from test files (`tests/`, `test_*.py`, `conftest.py`).
    pub include_tests: bool,
    /// Which files and directories of the tree may be read; `None`: all that can be.
    pub may_read: Option<MayRead>,
    /// Caps.
    pub limits: Limits,
}

/// Decides whether a file or directory, once open, may be read: the scan may have more rights than whose source it is.
#[derive(Clone)]
pub struct MayRead(Arc<dyn Fn(&File) -> bool + Send + Sync>);

impl MayRead {
    /// By a function.
    pub fn new(decide: impl Fn(&File) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    pub(crate) fn lets(this: Option<&Self>, file: &File) -> bool {
        this.is_none_or(|may_read| (may_read.0)(file))
    }
}

impl std::fmt::Debug for MayRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MayRead(..)")
    }
}

impl Options {
    /// A scan of `root` with the default caps.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            import_roots: Vec::new(),
            environment: None,
            script: None,
            include_tests: false,
            may_read: None,
            limits: Limits::default(),
        }
    }
}

/// Why a scan could not be done at all. What goes wrong inside a scan is counted instead.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The root does not exist, is no directory, or may not be read.
    #[error("cannot scan {path}: {reason}")]
    Root {
        /// The root as given.
        path: PathBuf,
        /// The system's word on it.
        reason: std::io::Error,
    },
    /// The scan's thread could not be started, or died.
    #[error("the scan could not run: {0}")]
    Thread(String),
}

/// Scans a source tree. Blocks for as long as the caps allow; runs on a thread of its own, whose stack is large enough
/// for the deepest nesting that the caps allow.
pub fn scan(options: &Options) -> Result<Scan, ScanError> {
    let tree = source::Tree::walk(options)?;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("route-scan".into())
            .stack_size(limits::STACK_BYTES)
            .spawn_scoped(scope, || interp::run(&tree, options))
            .map_err(|error| ScanError::Thread(error.to_string()))?
            .join()
            .map_err(|_| ScanError::Thread("it panicked".into()))
    })
}
