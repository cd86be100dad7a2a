//! What cannot be known or is too much: named, counted, and never a wrong route, a hang or a crash.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use apm_routes::{Counter, Limits, Matcher, Options, Scan, ScanError, scan};
use common::scanned;
use proptest::prelude::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory for the test");
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
        fs::write(path, text).expect("files can be written");
    }
    directory
}

fn scanned_text(text: &str) -> Scan {
    scanned(tree(&[("app.py", text)]).path())
}

fn templates(scan: &Scan) -> Vec<&str> {
    scan.routes
        .iter()
        .filter(|route| {
            !route.route.contains("docs") && !route.route.contains("openapi") && route.route != "/redoc"
        })
        .map(|route| route.route.as_str())
        .collect()
}

#[test]
fn a_root_that_is_missing_or_a_file_is_an_error() {
    let directory = tree(&[("app.py", "")]);
    for path in [directory.path().join("missing"), directory.path().join("app.py")] {
        assert!(matches!(scan(&Options::new(path)), Err(ScanError::Root { .. })));
    }
}

#[test]
fn an_unknown_prefix_is_said_and_never_matched() {
    let scan = scanned_text(
        "import outside\nfrom fastapi import APIRouter, FastAPI\nr = APIRouter()\n\
         @r.get('/x')\ndef x(): ...\napp = FastAPI()\napp.include_router(r, prefix=outside.PREFIX)\n",
    );
    let route = scan.routes.iter().find(|route| route.function == "x").expect("the route is listed");
    assert!(!route.prefix_known);
    assert_eq!(route.route, "/x");
    assert_eq!(scan.counters.get(Counter::UnknownPrefixes), 1);
    assert_eq!(Matcher::new(scan.routes.clone()).find("GET", "/x"), None);
}

#[test]
fn a_prefix_that_two_ways_set_differently_is_unknown() {
    let scan = scanned_text(
        "import outside\nfrom fastapi import APIRouter, FastAPI\nr = APIRouter()\n\
         @r.get('/x')\ndef x(): ...\napp = FastAPI()\nif outside.flag:\n    p = '/a'\nelse:\n    p = '/b'\n\
         app.include_router(r, prefix=p)\n",
    );
    assert!(scan.routes.iter().any(|route| route.function == "x" && !route.prefix_known));
}

#[test]
fn a_router_that_nothing_includes_is_listed_as_unattached() {
    let scan = scanned_text(
        "from flask import Blueprint\nbp = Blueprint('b', __name__)\n@bp.get('/x')\ndef x(): ...\n",
    );
    assert_eq!(scan.counters.get(Counter::Unattached), 1);
    assert!(!scan.routes[0].prefix_known);
}

#[test]
fn environment_decides_where_it_is_known() {
    let text = "import os\nfrom fastapi import APIRouter, FastAPI\nr = APIRouter(prefix=os.environ.get('BASE', '/base'))\n\
                @r.get('/x')\ndef x(): ...\napp = FastAPI()\napp.include_router(r)\n";
    let directory = tree(&[("app.py", text)]);
    let without = scanned(directory.path());
    assert!(templates(&without).contains(&"/base/x"));
    assert_eq!(without.counters.get(Counter::AssumedDefaults), 1);
    let mut options = Options::new(directory.path());
    options.environment = Some([("BASE".to_owned(), "/other".to_owned())].into());
    let with = scan(&options).expect("the directory can be scanned");
    assert!(templates(&with).contains(&"/other/x"));
    assert_eq!(with.counters.get(Counter::AssumedDefaults), 0);
}

#[test]
fn modules_that_import_each_other_are_understood() {
    let directory = tree(&[
        (
            "app/__init__.py",
            "from flask import Flask\napp = Flask(__name__, static_folder=None)\nfrom app import routes\n",
        ),
        ("app/routes.py", "from app import app\n@app.route('/x')\ndef x(): ...\n"),
        (
            "app/a.py",
            "from flask import Blueprint\nfrom app.b import late\nbp = Blueprint('a', __name__)\n@bp.get(late)\ndef y(): ...\n",
        ),
        ("app/b.py", "from app.a import bp\nfrom app import app\nlate = '/y'\napp.register_blueprint(bp)\n"),
    ]);
    let scan = scanned(directory.path());
    assert!(templates(&scan).contains(&"/x"), "{:?}", templates(&scan));
}

#[test]
fn virtual_environments_tests_and_hidden_folders_are_left_out() {
    let app =
        "from flask import Flask\napp = Flask(__name__, static_folder=None)\n@app.get('/x')\ndef x(): ...\n";
    let directory = tree(&[
        ("env/pyvenv.cfg", ""),
        ("env/lib/app.py", app),
        ("lib/site-packages/app.py", app),
        (".hidden/app.py", app),
        ("node_modules/x/app.py", app),
        ("tests/app.py", app),
        ("test_app.py", app),
    ]);
    assert!(scanned(directory.path()).routes.is_empty());
    let mut options = Options::new(directory.path());
    options.include_tests = true;
    assert_eq!(scan(&options).expect("the directory can be scanned").routes.len(), 2);
}

#[test]
fn endless_code_is_cut_and_counted() {
    let scan = scanned_text(
        "from fastapi import FastAPI\napp = FastAPI()\ndef f(n):\n    return f(n) + f(n) + f(n)\nf(1)\n\
         while True:\n    f(2)\nx = [1] * 10\nfor a in range(2000):\n  for b in range(2000):\n    for c in range(2000):\n      x = 1\n",
    );
    assert!(scan.counters.get(Counter::Stopped) >= 1);
    assert!(scan.routes.iter().any(|route| route.route == "/docs"));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let size = 100_000;
    for text in [
        format!("from flask import Flask\nx = {}{}", "[".repeat(size), "]".repeat(size)),
        format!("from flask import Flask\nx = y{}", ".a".repeat(size)),
        format!("from flask import Flask\nx = {}1", "-".repeat(size)),
        format!("from flask import Flask\nx = {}1", "not ".repeat(size)),
        format!("from flask import Flask\nx = f{}", "()".repeat(size)),
        format!("from flask import Flask\nx = {}1", "lambda: ".repeat(size)),
        format!("from flask import Flask\nx = {}1", "1 if a else ".repeat(size)),
        format!("from flask import Flask\nx = 1{}", " + 1".repeat(size)),
        format!("from flask import Flask\nx = 1{}", " ** 1".repeat(size)),
    ] {
        scanned_text(&text);
    }
}

#[test]
fn caps_on_files_and_bytes_are_counted() {
    let directory =
        tree(&[("a.py", "import flask\n"), ("b.py", "import flask\n"), ("c.py", "import flask\n")]);
    let mut options = Options::new(directory.path());
    options.limits = Limits { files: 2, file_bytes: 5, ..Limits::default() };
    let found = scan(&options).expect("the directory can be scanned");
    assert_eq!(found.counters.get(Counter::BeyondCaps), 1);
    assert_eq!(found.counters.get(Counter::TooLarge), 2);
    options.limits = Limits { time: Duration::ZERO, ..Limits::default() };
    assert!(scan(&options).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any part of a real source file, cut anywhere and stirred: no panic.
    #[test]
    fn damaged_source_never_panics(from in 0usize..3000, len in 0usize..3000, junk in "[\\[\\](){}:'\"\\\\ \n@.,=a-z]{0,20}") {
        let fixture = common::fixture("fastapi_app/shop");
        let mut text = String::from("from fastapi import *\n");
        for file in ["main.py", "routers/users.py", "routers/files.py", "routers/items.py", "mounted.py"] {
            text.push_str(&fs::read_to_string(fixture.join(file)).expect("the fixture is there"));
        }
        let cut = |at: usize| (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let (a, b) = (cut(from), cut(from + len));
        scanned_text(&format!("{}{junk}{}", &text[..a], &text[b..]));
    }

    /// Any path against every route of every fixture: no panic, and a found route belongs to the list.
    #[test]
    fn any_path_is_answered(path in "(/|[a-z0-9.%-]|é){0,40}", method in "GET|POST|[A-Z]{0,3}") {
        for app in ["fastapi_app", "flask_app", "django_app", "sanic_app"] {
            let matcher = Matcher::new(cached(app).routes);
            let found = matcher.lookup(&method, &path).route();
            prop_assert!(found.is_none_or(|route| matcher.routes().contains(route)));
        }
    }
}

fn cached(app: &str) -> Scan {
    use std::collections::HashMap;
    use std::sync::Mutex;
    static SCANS: Mutex<Option<HashMap<String, Scan>>> = Mutex::new(None);
    let mut scans = SCANS.lock().expect("no test panicked with it");
    let scans = scans.get_or_insert_with(HashMap::new);
    scans.entry(app.to_owned()).or_insert_with(|| scanned(Path::new(&common::fixture(app)))).clone()
}
