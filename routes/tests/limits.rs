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
    options.environment = Some([("BASE".to_owned(), Some("/other".to_owned()))].into());
    let with = scan(&options).expect("the directory can be scanned");
    assert!(templates(&with).contains(&"/other/x"));
    assert_eq!(with.counters.get(Counter::AssumedDefaults), 0);
    // Set, to what is not to be told: neither that nor the default.
    options.environment = Some([("BASE".to_owned(), None)].into());
    let secret = scan(&options).expect("the directory can be scanned");
    let known = |path: &str| secret.routes.iter().any(|route| route.route == path && route.prefix_known);
    assert!(!known("/x") && !known("/base/x"), "{:?}", templates(&secret));
    assert_eq!(secret.counters.get(Counter::UnknownPrefixes), 1);
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

/// Source that is made to be endless or endlessly deep for whoever walks over what it registers.
#[test]
fn registrations_that_hold_themselves_are_cut_and_counted() {
    let mounts = "from starlette.applications import Starlette\nfrom starlette.routing import Mount\n";
    let fast = "from fastapi import APIRouter, FastAPI\napp = FastAPI()\nr = APIRouter()\n";
    for (name, text) in [
        ("a mount of its own list", format!("{mounts}r = []\nr.append(Mount('/a', routes=r))\nStarlette(routes=r)\n")),
        (
            "a list of patterns in itself",
            "from django.urls import include, path\nurlpatterns = []\nurlpatterns.append(path('a', include(urlpatterns)))\n"
                .into(),
        ),
        (
            "a list of blueprints in itself",
            "from sanic import Blueprint, Sanic\nl = []\nl.append(l)\napp = Sanic('x')\nBlueprint.group(l)\napp.blueprint(l)\n"
                .into(),
        ),
        ("a router in itself, several times", format!("{fast}{}app.include_router(r)\n", "r.include_router(r)\n".repeat(3))),
        (
            "mounts a hundred deep",
            format!("{mounts}r = []\nfor a in range(100):\n    r = [Mount('/a', routes=r)]\nStarlette(routes=r)\n"),
        ),
    ] {
        let directory = tree(&[("app.py", &text)]);
        let mut options = Options::new(directory.path());
        options.limits.steps_each = 100_000;
        let scan = scan(&options).expect("the directory can be scanned");
        assert!(scan.counters.get(Counter::TooDeep) > 0, "{name}: {:?}", scan.counters);
    }
    // Wrappers that share what they wrap: ten to the twenty ways down.
    let wrapped = format!(
        "{fast}x = 1\n{}app.get('/x')(x)\napp.mount('/m', x)\n",
        "x = o(x, x, x, x, x, x, x, x, x, x)\n".repeat(20)
    );
    assert!(templates(&scanned_text(&format!("import outside as o\n{wrapped}"))).contains(&"/x"));
    assert_eq!(
        scanned_text("a = []\nb = []\na.append(b)\nb.append(a)\nif a == b:\n    import flask\n").routes,
        []
    );
    let long = format!("{fast}@app.get('{}')\ndef f(): ...\n", "/{a}".repeat(100_000));
    let scan = scanned_text(&long);
    assert!(!templates(&scan).iter().any(|route| route.contains("{a}")));
    assert_eq!(scan.counters.get(Counter::TooLong), 1);
    let scan = scanned_text(&format!("import flask\nx = {}", "f\"{".repeat(600_000)));
    assert_eq!(scan.counters.get(Counter::TooDeep), 1);
}

#[test]
fn a_table_of_routes_in_json_is_read_within_the_tree_only() {
    let text = "import json\nimport os\nfrom pathlib import Path\nfrom fastapi import FastAPI\napp = FastAPI()\nHERE = Path(__file__).parent\n\
                def add(table):\n    for row in table:\n        getattr(app, row['method'].lower())(row['path'])(view)\n\
                def view(): ...\n\
                with open(HERE / 'data' / 'table.json') as f:\n    add(json.load(f)['routes'])\n\
                add(json.loads((HERE / 'more.json').read_text()))\n\
                with open(os.path.join(os.path.dirname(__file__), '..', 'outside.json')) as f:\n    add(json.load(f))\n\
                add(json.loads((HERE / 'link.json').read_text()))\nadd(json.loads((HERE / 'folder' / 'x.json').read_text()))\n\
                app.get(str(HERE))(view)\n";
    let directory = tree(&[
        ("web/app.py", text),
        (
            "web/data/table.json",
            r#"{"routes": [{"method": "GET", "path": "/a/{id}"}, {"method": "POST", "path": "/b"}]}"#,
        ),
        ("web/more.json", r#"[{"method": "GET", "path": "/c"}]"#),
        ("outside.json", r#"[{"method": "GET", "path": "/outside"}]"#),
        ("elsewhere/x.json", r#"[{"method": "GET", "path": "/linked"}]"#),
    ]);
    let web = directory.path().join("web");
    std::os::unix::fs::symlink("../elsewhere/x.json", web.join("link.json")).expect("a link can be made");
    std::os::unix::fs::symlink("../elsewhere", web.join("folder")).expect("a link can be made");
    let scan = scanned(&web);
    let found: Vec<_> = templates(&scan).into_iter().map(str::to_owned).collect();
    assert!(["/a/{id}", "/b", "/c"].iter().all(|route| found.contains(&(*route).to_owned())), "{found:?}");
    assert!(
        !found
            .iter()
            .any(|route| route.contains("outside") || route.contains("linked") || route.contains("root"))
    );
    assert_eq!(scan.data_files, ["data/table.json", "more.json"]);
}

#[test]
fn links_out_of_the_tree_are_not_followed_and_pipes_not_waited_for() {
    let app = "from flask import Flask\napp = Flask(__name__, static_folder=None)\n@app.get('/outside')\ndef x(): ...\n";
    let directory = tree(&[("outside/app.py", app), ("web/own.py", "from flask import Flask\n")]);
    let web = directory.path().join("web");
    std::os::unix::fs::symlink("../outside/app.py", web.join("app.py")).expect("a link can be made");
    std::os::unix::fs::symlink("../outside", web.join("package")).expect("a link can be made");
    std::os::unix::fs::symlink(".", web.join("again")).expect("a link can be made");
    let status =
        std::process::Command::new("mkfifo").arg(web.join("pipe.py")).status().expect("mkfifo starts");
    assert!(status.success());
    let scan = scanned(&web);
    assert!(scan.routes.is_empty(), "{:?}", templates(&scan));
    assert_eq!(scan.counters.get(Counter::Files), 1);
}

#[test]
fn what_only_a_script_registers_is_said_to_be_conditional() {
    let directory = tree(&[
        (
            "web.py",
            "from flask import Flask\napp = Flask(__name__, static_folder=None)\n@app.get('/always')\ndef always(): ...\n",
        ),
        (
            "run.py",
            "from web import app\ndef extra(): ...\ndef main():\n    app.add_url_rule('/script', view_func=extra)\n    app.run()\n\
             if __name__ == '__main__':\n    main()\n",
        ),
    ]);
    let with = |script: Option<&str>| {
        if script.is_none() {
            // Where nothing says which file is the script, those that speak of a framework are looked at.
            let text = fs::read_to_string(directory.path().join("run.py")).expect("it is there");
            fs::write(directory.path().join("run.py"), format!("import flask\n{text}"))
                .expect("files can be written");
        }
        let mut options = Options::new(directory.path());
        options.script = script.map(str::to_owned);
        let scan = scan(&options).expect("the directory can be scanned");
        let mut routes: Vec<_> = scan.routes.iter().map(|r| (r.route.clone(), r.conditional)).collect();
        routes.sort();
        routes
    };
    let always = ("/always".to_owned(), false);
    assert_eq!(with(Some("run.py")), [always.clone(), ("/script".to_owned(), false)]);
    assert_eq!(with(Some("")), std::slice::from_ref(&always));
    assert_eq!(with(None), [always, ("/script".to_owned(), true)]);
}

#[test]
fn settings_tell_whether_a_failure_shows() {
    let urls = ("shop/urls.py", "from django.urls import path\nurlpatterns = [path('x', print)]\n");
    let named = "INSTALLED_APPS = ['django.contrib.admin']\nROOT_URLCONF = 'shop.urls'\n";
    let hides = |settings: &[(&str, &str)]| {
        let files: Vec<_> = settings.iter().map(|(file, debug)| (*file, format!("{named}{debug}"))).collect();
        let files: Vec<_> = files.iter().map(|(file, text)| (*file, text.as_str())).chain([urls]).collect();
        let scan = scanned(tree(&files).path());
        assert_eq!(scan.apps.len(), 1, "{:?}", scan.apps);
        scan.apps[0].hides_failures
    };
    assert!(hides(&[("shop/settings.py", "DEBUG = False")]));
    assert!(hides(&[("shop/settings.py", "")]), "off is what Django takes");
    assert!(!hides(&[("shop/settings.py", "DEBUG = True")]));
    assert!(!hides(&[("shop/settings.py", "import sys\nDEBUG = sys.argv[1] == 'on'")]), "nobody knows");
    assert!(!hides(&[("shop/live.py", "DEBUG = False"), ("shop/local.py", "DEBUG = True")]), "one of both");
}

#[test]
fn lists_within_lists_end_whatever_their_depth() {
    let brackets = (150, "[".repeat(150), "]".repeat(150));
    let text = format!(
        "import flask\nx = []\nfor a in range(100):\n  for b in range(100):\n    x = {}x{}\n\
         app = flask.Flask('x')\n@app.get('/after')\ndef after(): ...\n",
        brackets.1, brackets.2
    );
    assert!(templates(&scanned_text(&text)).contains(&"/after"));
}

#[test]
fn what_one_step_makes_counts_as_so_many_steps() {
    let text = "import flask\nfor a in range(2000):\n  for b in range(2000):\n    y = range(10000)\n";
    let scan = scanned_text(text);
    assert_eq!(scan.counters.get(Counter::Stopped), 1, "{:?}", scan.counters);
}

#[test]
fn an_expression_too_large_to_be_tested_quickly_is_not() {
    let text = "from django.urls import re_path\nurlpatterns = [re_path(r'^(?:a?){100000}$', lambda request: 0)]\n\
                ROOT_URLCONF = 'app'\n";
    let scan = scanned_text(text);
    assert_eq!(scan.counters.get(Counter::Unmatchable), 1, "{:?}", scan.counters);
}
