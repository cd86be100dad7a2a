//! Where the source of a process is, and which of the applications in it is the process's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use apm_routes::{DiscoveredRoute, Framework, MayRead, Scan};

use crate::process::{NamingFacts, Started, View, commands, environ, started};
use crate::server::ScanRefusal;

/// Directories that hold more than one application's source.
const BROAD: &[&str] = &["/", "/tmp", "/var/tmp", "/var", "/home", "/root", "/usr", "/opt", "/srv", "/etc"];
/// Options of servers that name a directory to import from: uvicorn and hypercorn, gunicorn.
const IMPORT_FROM: &[&str] = &["--app-dir", "--chdir", "--pythonpath"];

/// A tree to scan.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) service: Arc<str>,
    /// Where it is, as the process sees it: what the user reads.
    pub(super) shown: PathBuf,
    /// Where the agent reads it.
    pub(super) access: PathBuf,
    /// The process that it is read through; `None` where the user named the tree.
    pub(super) pid: Option<u32>,
    /// What of it may be read, where that is not all: the process could not have read the rest.
    pub(super) may_read: Option<MayRead>,
    /// Trees of a service are asked for its application in this order.
    pub(super) rank: usize,
    /// What the process may have started from: it tells its application from others in the same tree.
    pub(super) starts: Vec<Start>,
    /// The file of the tree that runs as the script; empty where a server imports the application; `None` where that is
    /// not known.
    pub(super) script: Option<String>,
}

/// A file of a tree, relative to it, and the name in it that the command line gives, if it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    file: String,
    name: Option<String>,
}

impl Tree {
    /// One that the user named.
    pub(super) fn named(service: &str, path: &Path) -> Self {
        let (shown, access) = (path.to_owned(), path.to_owned());
        Self {
            service: service.into(),
            shown,
            access,
            pid: None,
            may_read: None,
            rank: 0,
            starts: Vec::new(),
            script: None,
        }
    }

    /// One that a client of the API names: below the working directory of a watched process, and of it what that process could
    /// read; or below `named`, which the user who started the agent has named.
    pub(super) fn asked_for(
        service: &str,
        path: &Path,
        named: Option<&Path>,
        watched: &[u32],
    ) -> Result<Self, ScanRefusal> {
        if path.is_relative() {
            return Err(ScanRefusal::Bad("it must begin with a slash".into()));
        }
        if let Some(named) = named
            && let Ok(path) = path.canonicalize()
            && path.starts_with(named)
        {
            return match path.is_dir() {
                true => Ok(Self::named(service, &path)),
                false => Err(ScanRefusal::Bad("it is no directory".into())),
            };
        }
        let mut refusal = ScanRefusal::Outside;
        for view in watched.iter().filter_map(|pid| View::of(*pid)) {
            let directory = view.working_directory();
            let Some(within) = view.find(directory).filter(|_| !is_broad(directory)) else { continue };
            match (view.find(path), within.told()) {
                (Some(place), Some(within)) if place.told().is_some_and(|told| told.starts_with(&within)) => {
                    if !place.is_dir() {
                        return Err(ScanRefusal::Bad("it is no directory".into()));
                    }
                    let may_read = Some(MayRead::new(view.may_read_below(&place)));
                    let shown = view.path_of(&place);
                    return Ok(Self { access: place.access, may_read, ..Self::named(service, &shown) });
                }
                // Below it nothing is told of that the process does not know itself.
                (None, _) if normal(path).starts_with(directory) => {
                    refusal = ScanRefusal::Bad("it does not exist, or the process may not read it".into());
                }
                _ => {}
            }
        }
        Err(refusal)
    }
}

/// Environment of a process as it began (proc_pid_environ(5)); empty where it cannot be read.
pub(super) fn environment(pid: u32) -> BTreeMap<String, String> {
    let bytes = environ(pid);
    let text = String::from_utf8_lossy(&bytes);
    text.split('\0').filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

/// The trees of a process, the likeliest first.
pub(super) fn of_process(
    service: &Arc<str>,
    pid: u32,
    naming: &NamingFacts,
    environment: &BTreeMap<String, String>,
) -> Vec<Tree> {
    let (Some(cwd), Some(view)) = (&naming.cwd, View::of(pid)) else { return Vec::new() };
    let is_broad = |path: &Path| is_broad(path) || Some(path) == naming.home.as_deref();
    let words = Words { command: command(&view, cwd, naming), ..Words::of(naming) };
    let exists = |path: &Path| view.find(path).is_some();
    let mut shown = words.module_directories(cwd, environment, &exists, &is_broad);
    if shown.is_empty() {
        shown.extend(words.installed(cwd, naming, &view, &exists));
    }
    shown.extend(words.script_directory(cwd));
    shown.push(cwd.clone());
    let mut trees: Vec<Tree> = Vec::new();
    for shown in shown.into_iter().filter(|path| !is_broad(path)) {
        let Some(place) = view.find(&shown) else { continue };
        if trees.iter().any(|tree| tree.shown == shown) {
            continue;
        }
        let starts = words.starts(cwd, &shown);
        // Behind those that the user names.
        let rank = trees.len() + 1;
        let script = words.script_in(cwd, &shown, &place.access);
        trees.push(Tree {
            service: Arc::clone(service),
            shown,
            may_read: Some(MayRead::new(view.may_read_below(&place))),
            access: place.access,
            pid: Some(pid),
            rank,
            starts,
            script,
        });
    }
    trees
}

/// The module that the command of an installed package imports, where the command line runs one.
fn command(view: &View, cwd: &Path, naming: &NamingFacts) -> Option<String> {
    match started(naming)? {
        Started::Command(path) => {
            commands::module_of(view, &cwd.join(path)).filter(|dotted| module(dotted).is_some())
        }
        Started::Module(_) => None,
    }
}

/// What a command line names.
struct Words<'a> {
    scripts: Vec<&'a str>,
    /// Dotted modules, with the name behind their colon.
    modules: Vec<(&'a str, Option<&'a str>)>,
    directories: Vec<&'a str>,
    /// What follows `-m`.
    run_module: Option<&'a str>,
    /// The module that the command imports which it runs.
    command: Option<String>,
}

impl<'a> Words<'a> {
    fn of(naming: &'a NamingFacts) -> Self {
        let mut words = Self {
            scripts: Vec::new(),
            modules: Vec::new(),
            directories: Vec::new(),
            run_module: None,
            command: None,
        };
        let mut rest = naming.cmdline.iter().skip(1).map(String::as_str);
        while let Some(word) = rest.next() {
            let (option, value) = word.split_once('=').map_or((word, None), |(o, v)| (o, Some(v)));
            if IMPORT_FROM.contains(&option) {
                words.directories.extend(value.or_else(|| rest.next()));
            } else if word == "-m" && words.run_module.is_none() {
                words.run_module = rest.next();
                words.modules.extend(words.run_module.and_then(module));
            } else if word.starts_with('-') {
            } else if Path::new(word).extension().is_some_and(|e| e == "py") {
                words.scripts.push(word);
            } else {
                words.modules.extend(module(word));
            }
        }
        words.modules.extend(naming.flask_app.as_deref().and_then(module));
        words
    }

    /// Directories outside of the working directory's own that a module of the command line is imported from.
    fn module_directories(
        &self,
        cwd: &Path,
        environment: &BTreeMap<String, String>,
        exists: &impl Fn(&Path) -> bool,
        is_broad: &impl Fn(&Path) -> bool,
    ) -> Vec<PathBuf> {
        let listed = environment.get("PYTHONPATH").map_or("", String::as_str).split(':');
        let directories = self.directories.iter().copied().chain(listed).filter(|path| !path.is_empty());
        let directories: Vec<PathBuf> = directories.map(|path| normal(&cwd.join(path))).collect();
        let mut found = Vec::new();
        for (dotted, _) in &self.modules {
            let has =
                |directory: &&PathBuf| files_of(dotted).iter().any(|file| exists(&directory.join(file)));
            if let Some(directory) = directories.iter().find(has) {
                let package = directory.join(dotted.split('.').next().unwrap_or(dotted));
                found.push(if is_broad(directory) { package } else { directory.clone() });
            }
        }
        found
    }

    /// The package of a module of the command line where it is an installed one: below the prefix of the interpreter or of
    /// the script that it runs.
    fn installed(
        &self,
        cwd: &Path,
        naming: &NamingFacts,
        view: &View,
        exists: &impl Fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        let started = naming.cmdline.iter().take(2).map(|word| normal(&cwd.join(word)));
        let prefixes = started.filter_map(|path| Some(path.parent()?.parent()?.to_owned()));
        let prefixes = prefixes.chain([PathBuf::from("/usr/local")]);
        let mut directories = vec![PathBuf::from("/usr/lib/python3/dist-packages")];
        for library in prefixes.map(|prefix| prefix.join("lib")) {
            let place = view.find(&library);
            let Some(listing) = place.and_then(|place| std::fs::read_dir(place.access).ok()) else {
                continue;
            };
            let names = listing.flatten().map(|entry| entry.file_name());
            for version in names.filter(|name| name.to_string_lossy().starts_with("python3")) {
                directories
                    .extend(["site-packages", "dist-packages"].map(|d| library.join(&version).join(d)));
            }
        }
        let modules = self.modules.iter().map(|(dotted, _)| *dotted).filter(|dotted| dotted.contains('.'));
        modules.chain(self.command.as_deref()).find_map(|dotted| {
            let has =
                |directory: &&PathBuf| files_of(dotted).iter().any(|file| exists(&directory.join(file)));
            let directory = directories.iter().find(has)?;
            Some(directory.join(dotted.split('.').next()?))
        })
    }

    /// The directory of the script, where it lies outside of the working directory.
    fn script_directory(&self, cwd: &Path) -> Option<PathBuf> {
        let parent = normal(&cwd.join(self.scripts.first()?)).parent()?.to_owned();
        (!parent.starts_with(cwd)).then_some(parent)
    }

    /// Which file of the tree is `__main__`.
    fn script_in(&self, cwd: &Path, tree: &Path, access: &Path) -> Option<String> {
        let inside =
            |path: &Path| path.strip_prefix(tree).ok().map(|file| file.to_string_lossy().into_owned());
        if let Some(script) = self.scripts.first() {
            return Some(inside(&normal(&cwd.join(script))).unwrap_or_default());
        }
        if self.modules.iter().any(|(_, name)| name.is_some()) {
            return Some(String::new());
        }
        let run = self.run_module?.replace('.', "/");
        let files = [format!("{run}/__main__.py"), format!("{run}.py")];
        Some(files.into_iter().find(|file| access.join(file).is_file()).unwrap_or_default())
    }

    fn starts(&self, cwd: &Path, tree: &Path) -> Vec<Start> {
        let mut starts = Vec::new();
        for script in &self.scripts {
            if let Ok(file) = normal(&cwd.join(script)).strip_prefix(tree) {
                starts.push(Start { file: file.to_string_lossy().into_owned(), name: None });
            }
        }
        // The tree may be the package itself.
        let own_name =
            tree.file_name().map(|name| format!("{}/", name.to_string_lossy())).unwrap_or_default();
        let command = self.command.iter().map(|dotted| (dotted.as_str(), None));
        for (dotted, name) in self.modules.iter().copied().chain(command) {
            let name = name.map(str::to_owned);
            for file in files_of(dotted) {
                if let Some(inside) = file.strip_prefix(&own_name) {
                    starts.push(Start { file: inside.to_owned(), name: name.clone() });
                }
                starts.push(Start { file, name: name.clone() });
            }
        }
        starts
    }
}

/// `package.module`, `package.module:app` or `package.module:make()` as module and name.
fn module(word: &str) -> Option<(&str, Option<&str>)> {
    let (dotted, name) = word.split_once(':').map_or((word, None), |(module, name)| (module, Some(name)));
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !part.starts_with(char::is_numeric)
    };
    let name = name.map(|name| name.split('(').next().unwrap_or(name)).filter(|name| is_name(name));
    dotted.split('.').all(is_name).then_some((dotted, name))
}

fn files_of(dotted: &str) -> [String; 2] {
    let path = dotted.replace('.', "/");
    [format!("{path}.py"), format!("{path}/__init__.py")]
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// Does a directory hold more than one application's source?
pub(super) fn is_broad(path: &Path) -> bool {
    BROAD.iter().any(|broad| path == Path::new(broad))
}

/// The process's own application.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Its routes.
    pub(super) routes: Vec<DiscoveredRoute>,
    /// It answers a failure without writing the exception anywhere.
    pub(super) hides_failures: bool,
}

/// The process's own application. Where the tree holds several and none can be told from the start, there are no routes:
/// paths are then grouped by what they look like.
pub(super) fn own(scan: &Scan, tree: &Tree) -> Own {
    if tree.pid.is_none() {
        return Own { routes: scan.routes.clone(), hides_failures: false };
    }
    let serving: Vec<_> = scan.apps.iter().filter(|app| app.serves).collect();
    let is_started = |file: &str| tree.starts.iter().any(|start| start.file == file);
    let by_name = |(file, name): &(String, String)| {
        tree.starts.iter().any(|start| start.file == *file && start.name.as_deref() == Some(name))
    };
    let with_handlers =
        |number: u32| scan.routes.iter().any(|route| route.app == number && is_started(&route.file));
    let tests: [&dyn Fn(&apm_routes::Application) -> bool; 4] = [
        &|app| app.names.iter().any(by_name),
        &|app| is_started(&app.file) || app.names.iter().any(|(file, _)| is_started(file)),
        &|app| with_handlers(app.number),
        // manage.py, wsgi.py and asgi.py name settings, not an application.
        &|app| app.framework == Framework::Django,
    ];
    let mut own = BTreeSet::new();
    if let [only] = &serving[..] {
        own.insert(only.number);
    }
    for (index, test) in tests.iter().enumerate() {
        if own.is_empty() {
            own = serving.iter().filter(|app| test(app)).map(|app| app.number).collect();
            // Several projects in one tree: nothing says which.
            if index == 3 && own.len() > 1 {
                own.clear();
            }
        }
    }
    let mut apps = scan.apps.iter().filter(|app| own.contains(&app.number)).peekable();
    Own {
        routes: scan.routes.iter().filter(|route| own.contains(&route.app)).cloned().collect(),
        hides_failures: apps.peek().is_some() && apps.all(|app| app.hides_failures),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn naming(line: &str, cwd: &str) -> NamingFacts {
        NamingFacts {
            cmdline: line.split(' ').map(str::to_owned).collect(),
            cwd: Some(cwd.into()),
            ..NamingFacts::default()
        }
    }

    fn own_routes(root: &Path, line: &str) -> Vec<String> {
        let cwd = root.to_string_lossy();
        let facts = naming(line, &cwd);
        let service = Arc::from("s");
        let tree = of_process(&service, std::process::id(), &facts, &BTreeMap::new()).pop().unwrap();
        let scan = apm_routes::scan(&apm_routes::Options::new(&tree.access)).unwrap();
        own(&scan, &tree).routes.iter().map(|route| route.route.clone()).collect()
    }

    #[test]
    fn the_started_application_is_told_from_its_neighbours() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            let app = |variable: &str| {
                format!(
                    "{variable} = Flask(__name__, static_folder=None)\n@{variable}.route('/{name}/{variable}')\ndef {variable}_view():\n    return ''\n"
                )
            };
            let text = format!("from flask import Flask\n{}{}", app("app"), app("admin"));
            fs::write(directory.path().join(format!("{name}.py")), text).unwrap();
        }
        let own = |line: &str| own_routes(directory.path(), line);
        assert_eq!(own("python -m gunicorn two:admin"), ["/two/admin"]);
        assert_eq!(own("python -m gunicorn -w 2 one:app --port 80"), ["/one/app"]);
        assert_eq!(own("python two.py"), ["/two/app", "/two/admin"]);
        assert!(own("python manage.py").is_empty());
    }

    #[test]
    fn a_tree_with_one_application_needs_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let text = "from flask import Blueprint, Flask\nlost = Blueprint('lost', __name__)\n@lost.get('/lost')\n\
                    def lost_view(): ...\ndef make():\n    app = Flask(__name__, static_folder=None)\n    \
                    app.add_url_rule('/x', view_func=lost_view)\n    return app\n";
        fs::write(directory.path().join("web.py"), text).unwrap();
        assert_eq!(own_routes(directory.path(), "python -m something else"), ["/x"]);
    }

    #[test]
    fn modules_are_found_where_python_would_import_them_from() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for file in [
            "work/x.txt",
            "src/shop/main.py",
            "v/lib/python3.11/site-packages/shop/api/app.py",
            "v/bin/python",
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let cwd = root.join("work").to_string_lossy().into_owned();
        let service = Arc::from("s");
        let shown = |line: &str, pythonpath: &str| {
            let line = line.replace("ROOT", &root.to_string_lossy());
            let environment = BTreeMap::from([("PYTHONPATH".to_owned(), pythonpath.to_owned())]);
            let trees = of_process(&service, std::process::id(), &naming(&line, &cwd), &environment);
            let inside = |tree: Tree| tree.shown.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            trees.into_iter().map(inside).collect::<Vec<_>>()
        };
        assert_eq!(shown("python -m uvicorn shop.main:app --app-dir ../src", ""), ["src", "work"]);
        assert_eq!(shown("python -m gunicorn --chdir=ROOT/src shop.main:app", ""), ["src", "work"]);
        assert_eq!(
            shown("python -m hypercorn shop.main:app", &format!("/nowhere:{}/src", root.display())),
            ["src", "work"]
        );
        assert_eq!(
            shown("ROOT/v/bin/python -m uvicorn shop.api.app:app", ""),
            ["v/lib/python3.11/site-packages/shop", "work"]
        );
        fs::write(root.join("v/bin/shop"), "#!python\nfrom shop.cli import main\nmain()\n").unwrap();
        fs::write(root.join("v/lib/python3.11/site-packages/shop/cli.py"), "").unwrap();
        let installed = ["v/lib/python3.11/site-packages/shop", "work"];
        assert_eq!(shown("ROOT/v/bin/python ROOT/v/bin/shop serve", ""), installed);
        assert_eq!(shown("../v/bin/python ../v/bin/shop", ""), installed);
        fs::write(root.join("v/bin/shop"), "from /etc import main\n").unwrap();
        assert_eq!(shown("ROOT/v/bin/python ROOT/v/bin/shop", ""), ["work"]);
        assert_eq!(shown("python ../src/shop/main.py", ""), ["src/shop", "work"]);
        assert_eq!(shown("python -m uvicorn nowhere.app:app", ""), ["work"]);
    }
}
