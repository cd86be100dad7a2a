//! The scanner on two large applications from PyPI, against what their frameworks report at run time. Each is installed
//! by pip into the target directory, which takes minutes: `cargo test -p apm-routes --test large -- --ignored`.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use apm_routes::{Options, scan};
use common::{fixtures, oracle_from};

type Key = (String, String);

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

/// Least share of the framework's routes whose handlers lie in the tree that the scanner must find, and least share
/// of the scanner's unconditional routes that the framework must know.
struct Goal {
    recall: f64,
    precision: f64,
}

fn check(name: &str, root: &Path, reported: &[common::Row], goal: &Goal) {
    let mut options = Options::new(root);
    // A build for tests is slow, and shares its machine; what the steps allow is to be seen, not what the time allows.
    options.limits.time = Duration::from_secs(900);
    let scan = scan(&options).expect("the package can be scanned");
    let key = |method: &str, route: &str| -> Key { (method.to_owned(), route.to_owned()) };
    let all: BTreeSet<Key> = reported.iter().map(|row| key(&row.method, &row.route)).collect();
    let in_tree = reported.iter().filter(|row| row.file.is_some()).map(|row| key(&row.method, &row.route));
    let in_tree: BTreeSet<Key> = in_tree.collect();
    let known = || scan.routes.iter().filter(|route| route.prefix_known);
    let found: BTreeSet<Key> = known().map(|route| key(&route.method, &route.route)).collect();
    // HEAD beside GET is not told apart from the HEAD that a framework adds by itself.
    let is_told = |found_key: &&Key| found_key.0 != "HEAD" || !found.contains(&key("GET", &found_key.1));
    let certain: BTreeSet<Key> =
        known().filter(|route| !route.conditional).map(|route| key(&route.method, &route.route)).collect();
    let certain: BTreeSet<&Key> = certain.iter().filter(is_told).collect();
    let missed: Vec<_> = in_tree.difference(&found).collect();
    let invented: Vec<_> = certain.iter().filter(|found_key| !all.contains(**found_key)).collect();
    let share = |part: usize, whole: usize| 1.0 - part as f64 / whole.max(1) as f64;
    let (recall, precision) = (share(missed.len(), in_tree.len()), share(invented.len(), certain.len()));
    let figures = format!(
        "{name}: the framework reports {} routes with handlers in the tree, {} found (recall {recall:.3}); \
         {} unconditional routes found, {} of them unknown to the framework (precision {precision:.3})",
        in_tree.len(),
        in_tree.len() - missed.len(),
        certain.len(),
        invented.len(),
    );
    assert!(in_tree.len() > 200, "{figures}");
    assert!(
        recall >= goal.recall && precision >= goal.precision,
        "{figures}\nmissed: {missed:#?}\ninvented: {invented:#?}"
    );
    eprintln!("{figures}");
}

#[test]
#[ignore = "installs litellm's proxy and its dependencies: minutes"]
fn litellm_proxy_on_fastapi() {
    let python = installed("litellm", "litellm[proxy]==1.106.2");
    let packages = site_packages(&python);
    let root = packages.join("litellm");
    let variables = [("LITELLM_LOCAL_MODEL_COST_MAP", "True")];
    let reported =
        oracle_from(&python, "starlette", &root, "litellm.proxy.proxy_server:app", &packages, &variables);
    // Ten routes are made from a JSON file; two feature routers are included on their first request only.
    check("litellm", &root, &reported, &Goal { recall: 0.98, precision: 0.92 });
}

#[test]
#[ignore = "installs Calibre-Web and its dependencies: minutes"]
fn calibre_web_on_flask() {
    let python = installed("calibreweb", "calibreweb==0.6.27");
    let root = site_packages(&python).join("calibreweb");
    let path = root.to_string_lossy().into_owned();
    let variables = [("PYTHONPATH", path.as_str())];
    let reported = oracle_from(&python, "flask", &root, "calibreweb_app:app", &fixtures(), &variables);
    check("calibreweb", &root, &reported, &Goal { recall: 1.0, precision: 1.0 });
}
