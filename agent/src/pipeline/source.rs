//! Routes from the source of the watched services: found by a thread of its own, matched by the capture thread.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime};

use apm_routes::{DiscoveredRoute, Matcher};

use crate::process::Watched;
use crate::store::{self, Writer};

/// Services whose source is kept.
const SERVICES_MAX: usize = 256;
/// Requests to scan that may wait.
const QUEUE: usize = 256;
/// How often the source is looked at for changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Entries of a tree that are looked at for changes.
const ENTRIES_MAX: usize = 20_000;
/// Directories that hold no source of the application.
const FOREIGN: &[&str] = &["node_modules", "site-packages", "__pycache__", ".git", ".venv", "venv", ".tox"];

/// Directories that hold more than one application's source.
const BROAD: &[&str] = &["/", "/tmp", "/var/tmp", "/var", "/home", "/root", "/usr", "/opt", "/srv", "/etc"];

/// A tree to scan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tree {
    service: Arc<str>,
    /// Where it is, as the process sees it: what the user reads.
    shown: PathBuf,
    /// Where the agent reads it.
    access: PathBuf,
    /// Files that the process may have started from, relative to the tree: they tell its application from others in
    /// the same tree. Empty where the user named the tree.
    entries: Vec<String>,
}

/// Matchers by service, shared between the scanning thread and the engine.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<HashMap<Arc<str>, Arc<Matcher>>>>);

impl Routes {
    /// The template of a request, where the service's source tells.
    pub fn find(&self, service: &str, method: &str, path: &str) -> Option<Arc<str>> {
        let matchers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = matchers.get(service)?.lookup(method, path).route()?;
        Some(found.route.as_str().into())
    }

    fn set(&self, service: &Arc<str>, routes: Vec<DiscoveredRoute>) {
        let mut matchers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if matchers.len() < SERVICES_MAX || matchers.contains_key(service) {
            matchers.insert(Arc::clone(service), Arc::new(Matcher::new(routes)));
        }
    }
}

/// Asks for scans; cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    queue: SyncSender<Tree>,
    routes: Routes,
}

impl Scanner {
    /// Starts the scanning thread, which ends with the last scanner.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(writer: Writer) -> std::io::Result<Self> {
        let (queue, trees) = sync_channel(QUEUE);
        let routes = Routes::default();
        let thread_routes = routes.clone();
        thread::Builder::new()
            .name("routes".to_owned())
            .spawn(move || scan_forever(&trees, &thread_routes, &writer))?;
        Ok(Self { queue, routes })
    }

    /// The routes found so far.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// The source of a process: its working directory, and the directory of its script. They are read through the
    /// process's own root, so that containers work.
    pub fn watch(&self, watched: &Watched) {
        let naming = &watched.process.naming;
        let Some(cwd) = naming.cwd.clone() else { return };
        // Too broad to be one application's source.
        let is_broad =
            |path: &Path| BROAD.iter().any(|b| path == Path::new(b)) || Some(path) == naming.home.as_deref();
        let script = naming
            .cmdline
            .iter()
            .skip(1)
            .find(|word| Path::new(word).extension().is_some_and(|e| e == "py"))
            .and_then(|word| cwd.join(word).parent().map(Path::to_owned))
            .filter(|parent| !parent.starts_with(&cwd));
        let root = PathBuf::from(format!("/proc/{}/root", watched.process.id.pid));
        for shown in script.into_iter().chain([cwd.clone()]).filter(|path| !is_broad(path)) {
            let access = root.join(shown.strip_prefix("/").unwrap_or(&shown));
            // A full queue is looked at again when the process changes or another worker starts.
            let entries = entries(&naming.cmdline, &cwd, &shown);
            let _full =
                self.queue.try_send(Tree { service: Arc::clone(&watched.service), shown, access, entries });
        }
    }

    /// A tree that the user named.
    pub fn add(&self, service: &str, path: &Path) {
        let (shown, access) = (path.to_owned(), path.to_owned());
        let tree = Tree { service: service.into(), shown, access, entries: Vec::new() };
        let _full = self.queue.try_send(tree);
    }
}

/// Scans `path` for the API.
///
/// # Errors
/// Why it cannot be scanned, for the user.
pub(super) fn scan(path: &Path) -> Result<Vec<store::DiscoveredRoute>, String> {
    let scan = apm_routes::scan(&apm_routes::Options::new(path)).map_err(|e| e.to_string())?;
    Ok(scan.routes.iter().map(row).collect())
}

fn row(route: &DiscoveredRoute) -> store::DiscoveredRoute {
    store::DiscoveredRoute {
        framework: route.framework.name().to_owned(),
        method: route.method.clone(),
        route: route.route.clone(),
        file: route.file.clone(),
        line: route.line,
        function: (!route.function.is_empty()).then(|| route.function.clone()),
    }
}

fn scan_forever(trees: &Receiver<Tree>, routes: &Routes, writer: &Writer) {
    let mut known: HashMap<Tree, Option<SystemTime>> = HashMap::new();
    let mut found: HashMap<Tree, Vec<DiscoveredRoute>> = HashMap::new();
    loop {
        match trees.recv_timeout(LOOK_AGAIN) {
            Ok(tree) => {
                // Workers of one service share a tree, whichever of them it is read through.
                let same = known.keys().find(|k| k.service == tree.service && k.shown == tree.shown).cloned();
                if same.as_ref().is_some_and(|same| same.access.exists()) || known.len() >= SERVICES_MAX {
                    continue;
                }
                if let Some(gone) = same {
                    known.remove(&gone);
                    found.remove(&gone);
                }
                let changed = newest(&tree.access);
                take(&tree, &mut found, routes, writer);
                known.insert(tree, changed);
            }
            Err(RecvTimeoutError::Timeout) => {
                for (tree, seen) in &mut known {
                    let now = newest(&tree.access);
                    if now.is_some() && now != *seen {
                        *seen = now;
                        take(tree, &mut found, routes, writer);
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn take(tree: &Tree, found: &mut HashMap<Tree, Vec<DiscoveredRoute>>, routes: &Routes, writer: &Writer) {
    let scanned = match apm_routes::scan(&apm_routes::Options::new(&tree.access)) {
        Ok(scan) => scan.routes,
        Err(error) => {
            tracing::debug!("no routes of {} from source: {error}", tree.service);
            return;
        }
    };
    tracing::info!("{}: {} routes found in {}", tree.service, scanned.len(), tree.shown.display());
    let rows = scanned.iter().map(row).collect();
    if let Err(error) = writer.replace_discovered(&tree.service, &tree.shown.to_string_lossy(), rows) {
        tracing::warn!("routes of {} are not stored: {error}", tree.service);
    }
    found.insert(tree.clone(), scanned);
    let of_service = found.iter().filter(|(t, _)| t.service == tree.service);
    let all = of_service.flat_map(|(tree, routes)| own(routes, &tree.entries)).collect();
    routes.set(&tree.service, all);
}

/// Files of `tree` that a process with this command line may have started from: its script, and the modules it names as
/// `package.module`, `package.module:app` or `package/module.py`.
fn entries(cmdline: &[String], cwd: &Path, tree: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for word in cmdline.iter().skip(1).filter(|word| !word.starts_with('-')) {
        if word.ends_with(".py") {
            if let Ok(file) = cwd.join(word).strip_prefix(tree) {
                files.push(file.to_string_lossy().into_owned());
            }
            continue;
        }
        let module = word.split(':').next().unwrap_or_default().trim_end_matches("()");
        let is_name = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !part.starts_with(char::is_numeric)
        };
        if module.split('.').all(is_name) {
            let path = module.replace('.', "/");
            files.extend([format!("{path}.py"), format!("{path}/__init__.py")]);
        }
    }
    files
}

/// The routes of the process's own application. Where the tree holds several and none can be told from the entries,
/// there are none: paths are then grouped by what they look like.
fn own(routes: &[DiscoveredRoute], entries: &[String]) -> Vec<DiscoveredRoute> {
    let apps: BTreeSet<u32> = routes.iter().map(|route| route.app).collect();
    if entries.is_empty() || apps.len() <= 1 {
        return routes.to_vec();
    }
    let started: BTreeSet<u32> =
        routes.iter().filter(|route| entries.contains(&route.file)).map(|route| route.app).collect();
    routes.iter().filter(|route| started.contains(&route.app)).cloned().collect()
}

/// When the youngest Python file below `root` was changed; `None` where there is none.
fn newest(root: &Path) -> Option<SystemTime> {
    let mut newest = None;
    let mut entries = 0;
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(children) = std::fs::read_dir(directory) else { continue };
        for child in children.flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return newest;
            }
            let Ok(kind) = child.file_type() else { continue };
            let name = child.file_name();
            if kind.is_dir() {
                if !FOREIGN.iter().any(|foreign| name == *foreign) {
                    directories.push(child.path());
                }
            } else if kind.is_file() && Path::new(&name).extension().is_some_and(|e| e == "py") {
                newest = newest.max(child.metadata().and_then(|m| m.modified()).ok());
            }
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_started_application_is_told_from_its_neighbours() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let at = Path::new("/srv/shop");
        assert_eq!(
            entries(&words("python uvicorn web.main:app --port 80"), at, at),
            ["uvicorn.py", "uvicorn/__init__.py", "web/main.py", "web/main/__init__.py", "80.py"][..4]
                .to_vec()
        );
        assert_eq!(entries(&words("python web/run.py"), at, at), ["web/run.py"]);
        let directory = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            let text = format!(
                "from flask import Flask\napp = Flask(__name__)\n@app.route('/{name}/<x>')\ndef view(x):\n    return x\n"
            );
            std::fs::write(directory.path().join(format!("{name}.py")), text).unwrap();
        }
        let scan = apm_routes::scan(&apm_routes::Options::new(directory.path())).unwrap();
        let found = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(|&e| e.to_owned()).collect();
            let own = own(&scan.routes, &entries);
            own.iter().map(|r| r.route.clone()).filter(|r| !r.starts_with("/static")).collect::<Vec<_>>()
        };
        assert_eq!(found(&["two.py"]), ["/two/{x}"]);
        assert!(found(&["manage.py"]).is_empty());
        assert_eq!(found(&[]).len(), 2);
    }

    #[test]
    fn a_change_of_any_python_file_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(newest(directory.path()), None);
        let file = directory.path().join("pkg").join("app.py");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "x = 1").unwrap();
        let first = newest(directory.path());
        assert!(first.is_some());
        let later = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert!(newest(directory.path()) > first);
        std::fs::create_dir(directory.path().join("venv")).unwrap();
        let foreign = directory.path().join("venv/other.py");
        std::fs::write(&foreign, "").unwrap();
        let much_later = later + Duration::from_secs(5);
        std::fs::File::options().write(true).open(&foreign).unwrap().set_modified(much_later).unwrap();
        assert_eq!(newest(directory.path()), Some(later));
    }
}
