//! Routes from the source of the watched services: found by a thread of its own, matched by the capture thread.

mod changes;
mod places;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use apm_core::loss::{Loss, Losses};
use apm_core::python::redact::{is_secret_name, is_secret_text};
use apm_routes::{DiscoveredRoute, Matcher, Options, Scan};

use crate::footprint;
use crate::process::{NamingFacts, Watched};
use crate::server::ScanRefusal;
use crate::store::{self, SourceScan, Writer};
use changes::State;
use places::{Own, Tree, environment, own};

/// Trees whose routes are kept.
const TREES_MAX: usize = 512;
/// Requests to scan that may wait.
const QUEUE: usize = 256;
/// How often the source is looked at for changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often at most because a process of it starts.
const LOOK_AT_START: Duration = Duration::from_secs(1);

/// Matchers by service, shared between the scanning thread and the engine.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<HashMap<Arc<str>, OfService>>>);

/// What the source of a service tells.
struct OfService {
    matcher: Matcher,
    hides_failures: bool,
}

impl Routes {
    /// The template of a request, where the service's source tells.
    pub fn find(&self, service: &str, method: &str, path: &str) -> Option<Arc<str>> {
        let matchers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = matchers.get(service)?.matcher.lookup(method, path).route()?;
        Some(found.route.as_str().into())
    }

    /// Does the source of a service tell that a failure's exception is written nowhere?
    pub fn hides_failures(&self, service: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(service).is_some_and(|of| of.hides_failures)
    }

    fn retain(&self, keeps: impl Fn(&Arc<str>) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|service, _| keeps(service));
    }

    fn set(&self, service: &Arc<str>, own: Own) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let matcher = Matcher::new(own.routes);
        known.insert(Arc::clone(service), OfService { matcher, hides_failures: own.hides_failures });
    }
}

enum Message {
    /// Look at the trees of this process.
    Process(Arc<str>, u32, Box<NamingFacts>),
    /// Look at this tree.
    Look(Tree),
    /// The API has looked at it, and stored what it found.
    Looked(Tree, Box<Read>),
}

/// Asks for scans; cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    queue: SyncSender<Message>,
    routes: Routes,
    not_read: Arc<AtomicU64>,
}

impl Scanner {
    /// Starts the scanning thread, which ends with the last scanner.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(writer: Writer) -> std::io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let routes = Routes::default();
        let not_read = Arc::<AtomicU64>::default();
        let worker = Worker {
            routes: routes.clone(),
            writer,
            trees: HashMap::new(),
            next: 0,
            not_read: Arc::clone(&not_read),
        };
        thread::Builder::new().name("routes".to_owned()).spawn(move || {
            // What reads the ring must not wait for it.
            footprint::stand_last();
            worker.run(&messages);
        })?;
        Ok(Self { queue, routes, not_read })
    }

    /// Sets the counter of trees that were not read since the start.
    pub fn losses(&self, losses: &mut Losses) {
        losses.set(Loss::SourceNotRead, self.not_read.load(Ordering::Relaxed));
    }

    /// Never waits: a tree that finds no room is counted, and read when the process changes or another worker starts.
    fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.not_read.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The routes found so far.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// The source of a process: where its command line says that its application is, the directory of its script, its
    /// working directory. They are read through the process's own root, so that containers work.
    pub fn watch(&self, watched: &Watched) {
        // Where they are is found out by who reads them: the directories of a process may be on a file system that does not answer.
        let process = &watched.process;
        let naming = Box::new(process.naming.clone());
        self.send(Message::Process(Arc::clone(&watched.service), process.id.pid, naming));
    }

    /// A tree that the user named.
    pub fn add(&self, service: &str, path: &Path) {
        self.send(Message::Look(Tree::named(service, path)));
    }

    /// Scans a tree that a client of the API names, below `named` or below the working directory of one of the `watched` processes.
    /// Requests of the service are matched to what it finds from then on.
    ///
    /// # Errors
    /// Why it is not scanned.
    pub fn scan(
        &self,
        service: &str,
        path: &Path,
        named: Option<&Path>,
        watched: &[u32],
    ) -> Result<(PathBuf, SourceScan), ScanRefusal> {
        let tree = Tree::asked_for(service, path, named, watched)?;
        let read = Read::of(&tree).map_err(|e| ScanRefusal::Bad(e.to_string()))?;
        let found = to_store(&read.scan, &read.scan.routes);
        let shown = tree.shown.clone();
        self.send(Message::Looked(tree, Box::new(read)));
        Ok((shown, found))
    }
}

/// What a tree holds.
struct Read {
    scan: Scan,
    /// What its files were like; `None` where that changed meanwhile: it is to be read again.
    state: Option<State>,
}

impl Read {
    fn of(tree: &Tree) -> Result<Self, apm_routes::ScanError> {
        let mut options = Options::new(&tree.access);
        let variables = tree.pid.map(environment).filter(|variables| !variables.is_empty());
        // A path may be made of one; a secret does not become the name of a route.
        let told = |(name, value): (String, String)| {
            let is_secret = is_secret_name(&name) || is_secret_text(&value);
            (name, (!is_secret).then_some(value))
        };
        options.environment = variables.map(|variables| variables.into_iter().map(told).collect());
        options.script.clone_from(&tree.script);
        options.may_read.clone_from(&tree.may_read);
        let before = changes::state(&tree.access, &[]);
        let scan = apm_routes::scan(&options)?;
        // A large tree takes 100 MB as it is read.
        footprint::give_back_memory();
        let after = changes::state(&tree.access, &[]);
        let state = match &scan.data_files[..] {
            _ if after != before => None,
            [] => after,
            // Which files it reads as data is known only now.
            files => changes::state(&tree.access, files),
        };
        Ok(Self { scan, state })
    }
}

/// What the store keeps: routes whose whole path is known; the others are counted among what the scan met.
fn to_store(scan: &Scan, routes: &[DiscoveredRoute]) -> SourceScan {
    let row = |route: &DiscoveredRoute| store::DiscoveredRoute {
        framework: route.framework.name().to_owned(),
        method: route.method.clone(),
        route: route.route.clone(),
        file: route.file.clone(),
        line: route.line,
        function: (!route.function.is_empty()).then(|| route.function.clone()),
        conditional: route.conditional,
    };
    let met = scan.counters.iter().filter(|(_, count)| *count > 0);
    SourceScan {
        routes: routes.iter().filter(|route| route.prefix_known && !route.gap).map(row).collect(),
        counters: met.map(|(counter, count)| (counter.name().to_owned(), count)).collect::<BTreeMap<_, _>>(),
    }
}

/// A tree that was looked at.
struct Known {
    tree: Tree,
    /// Trees are numbered as they come.
    number: u64,
    read: Read,
    /// When it was read, or a process that started had it looked at for changes.
    looked: Instant,
}

impl Known {
    fn has_changed(&self) -> bool {
        let now = changes::state(&self.tree.access, &self.read.scan.data_files);
        now.is_some() && now != self.read.state
    }
}

/// Trees are told apart by service and by where they are, as the process sees it: workers of one service share a tree,
/// whichever of them it is read through.
type Key = (Arc<str>, PathBuf);

fn key(tree: &Tree) -> Key {
    (Arc::clone(&tree.service), tree.shown.clone())
}

struct Worker {
    routes: Routes,
    writer: Writer,
    trees: HashMap<Key, Known>,
    /// Number of the next tree.
    next: u64,
    not_read: Arc<AtomicU64>,
}

impl Worker {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut due = Instant::now() + LOOK_AGAIN;
        loop {
            match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Message::Process(service, pid, naming)) => {
                    let trees = places::of_process(&service, pid, &naming, &environment(pid));
                    trees.into_iter().for_each(|tree| self.look(tree, Instant::now()));
                }
                Ok(Message::Look(tree)) => self.look(tree, Instant::now()),
                Ok(Message::Looked(tree, read)) => self.looked(tree, *read),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Messages may never cease: each process that starts is one.
            if Instant::now() >= due {
                self.look_again();
                due = Instant::now() + LOOK_AGAIN;
            }
        }
    }

    /// A process uses a tree. A server that starts anew because its source has changed serves the new routes at once.
    fn look(&mut self, tree: Tree, now: Instant) {
        let known = self.trees.get_mut(&key(&tree)).filter(|known| known.tree.access.exists());
        let Some(known) = known else { return self.take(tree) };
        if now.saturating_duration_since(known.looked) < LOOK_AT_START {
            return;
        }
        known.looked = now;
        if known.has_changed() {
            // What the tree's first process said of its application holds: the command line of a worker says nothing.
            let tree = known.tree.clone();
            self.take(tree);
        }
    }

    /// The user has named a tree; named again, it is the last that was.
    fn looked(&mut self, tree: Tree, read: Read) {
        let service = Arc::clone(&tree.service);
        self.trees.remove(&key(&tree));
        self.keep(tree, read);
        self.publish(&service, false);
    }

    fn look_again(&mut self) {
        let changed: Vec<_> =
            self.trees.values().filter(|known| known.has_changed()).map(|known| known.tree.clone()).collect();
        changed.into_iter().for_each(|tree| self.take(tree));
    }

    fn take(&mut self, tree: Tree) {
        let read = match Read::of(&tree) {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!("no routes of {} from source: {error}", tree.service);
                return;
            }
        };
        let service = Arc::clone(&tree.service);
        self.keep(tree, read);
        self.publish(&service, true);
    }

    fn keep(&mut self, tree: Tree, read: Read) {
        let key = key(&tree);
        if self.trees.len() >= TREES_MAX {
            // Those of processes that have ended.
            self.trees.retain(|_, known| known.tree.access.exists());
            self.routes.retain(|service| self.trees.keys().any(|(of, _)| of == service));
        }
        if self.trees.len() >= TREES_MAX && !self.trees.contains_key(&key) {
            tracing::warn!("more than {TREES_MAX} source trees: {} is left out", tree.shown.display());
            self.not_read.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // What is read again, as it has changed, keeps its place.
        let number = self.trees.get(&key).map_or(self.next, |known| known.number);
        self.next += 1;
        self.trees.insert(key, Known { tree, number, read, looked: Instant::now() });
    }

    /// One service has one application: it is taken from the first of its trees that holds it.
    fn publish(&self, service: &Arc<str>, is_to_store: bool) {
        let mut trees: Vec<_> = self.trees.values().filter(|known| known.tree.service == *service).collect();
        // Of several that the user named, the last; of those of processes, the first.
        let number = |known: &Known| match known.tree.pid {
            None => u64::MAX - known.number,
            Some(_) => known.number,
        };
        trees.sort_by_key(|known| (known.tree.rank, number(known)));
        let of = |known: &Known| own(&known.read.scan, &known.tree);
        let has_routes = |known: &&&Known| !of(known).routes.is_empty();
        let Some(chosen) = trees.iter().find(has_routes).or(trees.first()) else { return };
        let own = of(chosen);
        let shown = chosen.tree.shown.to_string_lossy();
        let found = own.routes.iter().filter(|route| !route.gap).count();
        tracing::info!("{service}: {found} routes found in {shown}");
        let stored = is_to_store.then(|| to_store(&chosen.read.scan, &own.routes));
        // First: whoever sees that they are found may ask for them.
        self.routes.set(service, own);
        if let Some(scan) = stored
            && let Err(error) = self.writer.replace_discovered(service, &shown, scan)
        {
            tracing::warn!("routes of {service} are not stored: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an application of one route.
    fn app(root: &Path, route: &str) {
        std::fs::create_dir_all(root).unwrap();
        let text =
            format!("from flask import Flask\napp = Flask('x')\n@app.route('{route}')\ndef f(): ...\n");
        std::fs::write(root.join("app.py"), text).unwrap();
    }

    /// A worker with a store in a directory.
    fn worker(directory: &Path) -> Worker {
        let (writer, _reader) =
            store::Store::open(&directory.join("apm.db"), store::Options::default()).unwrap();
        let (routes, not_read) = (Routes::default(), Arc::default());
        Worker { routes, writer, trees: HashMap::new(), next: 0, not_read }
    }

    /// As a server with `--reload` does after an edit.
    #[test]
    fn a_process_that_starts_has_changed_source_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut worker = worker(directory.path());
        let routes = worker.routes.clone();
        let known = || ["/a", "/bb", "/ccc"].map(|path| routes.find("shop", "GET", path).is_some());
        let root = directory.path().join("app");
        app(&root, "/a");
        let start = Instant::now();
        let tree = || Tree::named("shop", &root);
        worker.look(tree(), start);
        assert_eq!(known(), [true, false, false]);
        app(&root, "/bb");
        let of_worker = Tree { rank: 1, ..tree() };
        worker.look(of_worker, start + 2 * LOOK_AT_START);
        assert_eq!(known(), [false, true, false]);
        assert!(
            worker.trees.values().all(|known| known.tree.rank == 0),
            "what its first process said is kept"
        );
        // Many may start at a time.
        let looked = Instant::now() + 2 * LOOK_AT_START;
        worker.look(tree(), looked);
        app(&root, "/ccc");
        worker.look(tree(), looked + LOOK_AT_START / 2);
        assert_eq!(known(), [false, true, false]);
        worker.look(tree(), looked + LOOK_AT_START);
        assert_eq!(known(), [false, false, true]);
        worker.writer.shutdown();
    }

    #[test]
    fn of_the_trees_that_a_user_names_the_last_counts_until_another_does() {
        let directory = tempfile::tempdir().unwrap();
        let app = |name: &str, route: &str| {
            let root = directory.path().join(name);
            app(&root, route);
            root
        };
        let mut worker = worker(directory.path());
        let routes = worker.routes.clone();
        let name = |worker: &mut Worker, root: &Path| {
            let tree = Tree::named("shop", root);
            let read = Read::of(&tree).unwrap();
            worker.looked(tree, read);
        };
        let known = || ["/a", "/b", "/c"].map(|path| routes.find("shop", "GET", path).is_some());
        let (a, b) = (app("a", "/a"), app("b", "/b"));
        name(&mut worker, &a);
        assert_eq!(known(), [true, false, false]);
        name(&mut worker, &b);
        assert_eq!(known(), [false, true, false]);
        // The other changes, and is not named for that.
        app("a", "/c");
        worker.look_again();
        assert_eq!(known(), [false, true, false]);
        name(&mut worker, &a);
        assert_eq!(known(), [false, false, true]);
        worker.writer.shutdown();
    }

    #[test]
    fn an_asked_for_tree_lies_below_what_was_named_or_where_a_watched_process_is() {
        let (named, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = named.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("link")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        let own = [std::process::id()];
        let ask = |path: &Path, watched: &[u32]| Tree::asked_for("s", path, Some(&root), watched);
        assert!(ask(&root, &[]).is_ok_and(|tree| tree.may_read.is_none()));
        for path in
            [outside.path(), &root.join("link"), &root.join("../"), &root.join("nothing"), Path::new("/")]
        {
            assert!(matches!(ask(path, &own), Err(ScanRefusal::Outside)), "{path:?}");
        }
        assert!(matches!(ask(&root.join("file"), &[]), Err(ScanRefusal::Bad(_))));
        let here = std::env::current_dir().unwrap();
        let tree = ask(&here.join("src/process/../../src"), &own).unwrap();
        assert_eq!(tree.shown, here.join("src"), "as it is, however it is asked for");
        assert!(tree.may_read.is_some() && tree.access.join("lib.rs").exists());
        assert!(matches!(ask(&here.join("src"), &[]), Err(ScanRefusal::Outside)));
        assert!(matches!(ask(&here.join("nothing"), &own), Err(ScanRefusal::Bad(_))));
        assert!(matches!(ask(&here.join("Cargo.toml"), &own), Err(ScanRefusal::Bad(_))));
        assert!(matches!(ask(here.parent().unwrap(), &own), Err(ScanRefusal::Outside)));
        assert!(matches!(ask(Path::new("src"), &own), Err(ScanRefusal::Bad(_))), "whose?");
    }
}
