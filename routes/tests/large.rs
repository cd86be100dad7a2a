//! The scanner on large applications from PyPI, against what their frameworks report at run time. Each is installed by pip
//! into the target directory, which takes minutes: `cargo test -p apm-routes --test large -- --ignored`.
#![allow(clippy::print_stdout, reason = "figures are there to be read")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use apm_routes::{Counter, Options, scan};
use common::{Row, fixtures, oracle_from};

/// An interpreter of its own with the package installed; made once.
fn installed(name: &str, requirement: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("large").join(name);
    let python = directory.join("bin/python");
    let done = directory.join("installed");
    if !done.exists() {
        let base = std::env::var("APM_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let run = |program: &Path, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).status().expect("the interpreter starts");
            assert!(status.success(), "{} {arguments:?}: {status}", program.display());
        };
        run(Path::new(&base), &["-m", "venv", &directory.to_string_lossy()]);
        run(&python, &["-m", "pip", "install", "--quiet", requirement]);
        std::fs::write(done, requirement).expect("a mark can be left");
    }
    python
}

fn site_packages(python: &Path) -> PathBuf {
    let output = Command::new(python)
        .args(["-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
        .output()
        .expect("the interpreter starts");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// An application and what is known of it.
struct Large<'a> {
    name: &'a str,
    root: &'a Path,
    /// File and name under which a server finds it; for Django the URL configuration, without a name.
    at: (&'a str, &'a str),
    /// As in [`Options::script`].
    script: &'a str,
    /// Environment variables that it is given.
    variables: &'a [(&'a str, &'a str)],
    /// Routes whose handlers lie in the tree.
    routes: usize,
    /// Routes whose handlers lie in other packages: of routers that the tree includes, each counted as opaque.
    elsewhere: usize,
}

/// Both lists must be equal: each route that the framework reports with a handler in the tree is found, with its handler,
/// and nothing else is, but for what is said to stand under a condition.
fn check(app: &Large<'_>, reported: &[Row]) {
    let mut options = Options::new(app.root);
    let given = app.variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let told = |(name, value)| (name, Some(value));
    options.environment = Some(std::env::vars().chain(given).map(told).collect::<BTreeMap<_, _>>());
    options.script = Some(app.script.to_owned());
    // A build for tests is slow, and shares its machine; what the steps allow is to be seen, not what the time allows.
    options.limits.time = Duration::from_secs(900);
    let started = Instant::now();
    let scan = scan(&options).expect("the package can be scanned");
    let took = started.elapsed();
    let (file, name) = (app.at.0.to_owned(), app.at.1.to_owned());
    let is_own = |own: &&apm_routes::Application| {
        own.names.contains(&(file.clone(), name.clone())) || (name.is_empty() && own.file == file)
    };
    let own = scan.apps.iter().find(is_own);
    let own =
        own.unwrap_or_else(|| panic!("{}: {:?} is not among {:#?}", app.name, app.at, scan.apps)).number;
    let key = |method: &str, route: &str| (method.to_owned(), route.to_owned());
    let of_row = |row: &Row| key(&row.method, &row.route);
    let all: BTreeSet<_> = reported.iter().map(of_row).collect();
    let in_tree: BTreeSet<_> = reported.iter().filter(|row| row.file.is_some()).map(of_row).collect();
    let found = || scan.routes.iter().filter(|route| route.app == own && route.prefix_known && !route.gap);
    let mut keys = BTreeSet::new();
    let mut certain = BTreeSet::new();
    for route in found() {
        let mut key = key(&route.method, &route.route);
        // Django does not know which methods a function answers.
        if all.contains(&("?".to_owned(), key.1.clone())) {
            key.0 = "?".into();
        }
        keys.insert(key.clone());
        if !route.conditional {
            certain.insert(key);
        }
    }
    let missed: Vec<_> = in_tree.difference(&keys).collect();
    let invented: Vec<_> = certain.difference(&all).collect();
    let conditional: Vec<_> = keys.difference(&certain).filter(|key| !all.contains(*key)).collect();
    let elsewhere = all.difference(&keys).count();
    let elsewhere_handlers: Vec<_> = reported
        .iter()
        .filter(|row| row.file.is_some())
        .filter(|row| {
            let same = |route: &&apm_routes::DiscoveredRoute| of_row(row) == key(&route.method, &route.route);
            let is_its = |route: &apm_routes::DiscoveredRoute| {
                Some(&route.file) == row.file.as_ref() && route.function == row.function
            };
            found().any(|route| same(&route)) && !found().filter(same).any(is_its)
        })
        .collect();
    let count = |counter| scan.counters.get(counter);
    println!(
        "{}: {} of {} routes with handlers in the tree found, {} invented; {} of other packages, {} opaque includes; {} \
         conditional ones not served now; {} of routers that nothing includes; {} of {} files parsed in {:.1} s",
        app.name,
        in_tree.len() - missed.len(),
        in_tree.len(),
        invented.len(),
        elsewhere,
        count(Counter::Opaque),
        conditional.len(),
        count(Counter::Unattached),
        count(Counter::Parsed),
        count(Counter::Files),
        took.as_secs_f64(),
    );
    assert!(missed.is_empty() && invented.is_empty(), "missed: {missed:#?}\ninvented: {invented:#?}");
    assert!(elsewhere_handlers.is_empty(), "other handlers: {elsewhere_handlers:#?}");
    assert_eq!((in_tree.len(), elsewhere), (app.routes, app.elsewhere), "{}", app.name);
    assert!(elsewhere == 0 || count(Counter::Opaque) > 0, "routes of other packages are not accounted for");
}

#[test]
#[ignore = "installs litellm's proxy and its dependencies: minutes"]
fn litellm_proxy_on_fastapi() {
    let python = installed("litellm", "litellm[proxy]==1.106.2");
    let packages = site_packages(&python);
    let root = packages.join("litellm");
    let variables = [("LITELLM_LOCAL_MODEL_COST_MAP", "True")];
    let target = "litellm.proxy.proxy_server:app";
    let reported = oracle_from(&python, "starlette", &root, target, &packages, &variables);
    let at = ("proxy/proxy_server.py", "app");
    // Its enterprise routes are a package of their own.
    check(
        &Large {
            name: "litellm",
            root: &root,
            at,
            script: "",
            variables: &variables,
            routes: 669,
            elsewhere: 14,
        },
        &reported,
    );
}

#[test]
#[ignore = "installs Calibre-Web and its dependencies: minutes"]
fn calibre_web_on_flask() {
    let python = installed("calibreweb", "calibreweb==0.6.27");
    let root = site_packages(&python).join("calibreweb");
    let path = root.to_string_lossy().into_owned();
    let variables = [("PYTHONPATH", path.as_str())];
    let reported = oracle_from(&python, "flask", &root, "calibreweb_app:app", &fixtures(), &variables);
    let at = ("cps/__init__.py", "app");
    let script = "__main__.py";
    check(
        &Large {
            name: "calibreweb",
            root: &root,
            at,
            script,
            variables: &variables,
            routes: 260,
            elsewhere: 0,
        },
        &reported,
    );
}

#[test]
#[ignore = "installs django-ledger and its dependencies: a minute"]
fn django_ledger_on_django() {
    let python = installed("djangoledger", "django-ledger==0.8.5");
    let root = site_packages(&python).join("django_ledger");
    let reported = oracle_from(&python, "django", &root, "ledger_settings", &fixtures(), &[]);
    let at = ("urls/__init__.py", "");
    check(
        &Large {
            name: "django-ledger",
            root: &root,
            at,
            script: "",
            variables: &[],
            routes: 425,
            elsewhere: 0,
        },
        &reported,
    );
}
