//! What the evaluation follows: Django's settings, routers below routers, numbers and enumerations.

mod common;

use std::collections::BTreeSet;
use std::fs;

use apm_routes::{Application, Matcher, Options, Scan, scan};

fn project(files: &[(&str, &str)], settings: Option<&str>) -> Scan {
    let directory = tempfile::tempdir().expect("a directory for the test");
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
        fs::write(path, text).expect("files can be written");
    }
    let mut options = Options::new(directory.path());
    options.environment =
        settings.map(|name| [("DJANGO_SETTINGS_MODULE".to_owned(), Some(name.to_owned()))].into());
    scan(&options).expect("the directory can be scanned")
}

fn templates(scan: &Scan) -> BTreeSet<&str> {
    let known = scan.routes.iter().filter(|route| route.prefix_known && !route.gap);
    known.map(|route| route.route.as_str()).collect()
}

const URLS: &str = "from django.conf import settings\nfrom django.urls import include, path\ndef view(request): ...\n\
                    below = [path('a/', view)]\n\
                    urlpatterns = [\n    path(settings.PREFIX, include(below)),\n    \
                    path(f'{settings.OTHER}/b/', view),\n    \
                    path(getattr(settings, 'MISSING', 'default/'), view),\n]\n\
                    if settings.EXTRA:\n    urlpatterns += [path('extra/', view)]\n";

#[test]
fn settings_are_read() {
    let settings = "ROOT_URLCONF = 'site.urls'\nPREFIX = 'api/'\nOTHER = 'x'\nEXTRA = True\n";
    let scan = project(&[("site/settings.py", settings), ("site/urls.py", URLS)], None);
    assert_eq!(templates(&scan), BTreeSet::from(["/api/a/", "/x/b/", "/default/", "/extra/"]));
}

#[test]
fn settings_that_differ_are_decided_by_the_environment_alone() {
    let files = [
        ("site/__init__.py", ""),
        ("site/settings/__init__.py", ""),
        (
            "site/settings/base.py",
            "ROOT_URLCONF = 'site.urls'\nPREFIX = 'api/'\nOTHER = 'x'\nEXTRA = False\n",
        ),
        ("site/settings/production.py", "from .base import *\nPREFIX = 'v1/'\n"),
        ("site/urls.py", URLS),
    ];
    let unsure = project(&files, None);
    assert_eq!(templates(&unsure), BTreeSet::from(["/x/b/", "/default/"]));
    let sure = project(&files, Some("site.settings.production"));
    assert_eq!(templates(&sure), BTreeSet::from(["/v1/a/", "/x/b/", "/default/"]));
}

#[test]
fn nested_routers_stand_below_what_their_parents_register() {
    let urls = "from rest_framework import viewsets\nfrom rest_framework_nested import routers\n\
                class Orders(viewsets.ReadOnlyModelViewSet):\n    lookup_field = 'number'\n    \
                lookup_value_regex = '[0-9]+'\n\
                class Lines(viewsets.ReadOnlyModelViewSet): ...\n\
                class Notes(viewsets.ReadOnlyModelViewSet): ...\n\
                router = routers.SimpleRouter()\nrouter.register('orders', Orders)\n\
                lines = routers.NestedSimpleRouter(router, 'orders', lookup='order')\n\
                lines.register('lines', Lines)\n\
                notes = routers.NestedSimpleRouter(lines, 'lines', lookup='line')\n\
                notes.register('notes', Notes)\n\
                urlpatterns = router.urls + lines.urls + notes.urls\n";
    let scan = project(&[("site/settings.py", "ROOT_URLCONF = 'site.urls'\n"), ("site/urls.py", urls)], None);
    let expected = [
        "/orders/",
        "/orders/{number}/",
        "/orders/{order_number}/lines/",
        "/orders/{order_number}/lines/{pk}/",
        "/orders/{order_number}/lines/{line_pk}/notes/",
        "/orders/{order_number}/lines/{line_pk}/notes/{pk}/",
    ];
    assert_eq!(templates(&scan), BTreeSet::from(expected));
}

#[test]
fn numbers_are_counted_with_and_enumerations_looped_over() {
    let text = "from enum import Enum\nfrom fastapi import FastAPI\napp = FastAPI()\n\
                class Kind(str, Enum):\n    old = 'old'\n    new = 'new'\n\
                AREAS = ['a', 'b']\ndef view(): ...\n\
                for n in range(4):\n    app.add_api_route(f'/{AREAS[n % 2]}/{n // 2}/{n * 10}', view)\n\
                for kind in Kind:\n    app.add_api_route(f'/{kind.value}', view)\n";
    let scan = project(&[("app.py", text)], None);
    for path in ["/a/0/0", "/b/0/10", "/a/1/20", "/b/1/30", "/old", "/new"] {
        assert!(templates(&scan).contains(path), "{path}: {:?}", templates(&scan));
    }
}

#[test]
fn what_a_function_that_nothing_calls_registers_is_conditional() {
    let app = "from flask import Flask, Blueprint\napp = Flask(__name__)\n@app.get('/')\ndef index(): ...\n\
               def pages():\n    bp = Blueprint('p', __name__)\n    @bp.get('/<name>')\n    def page(name): ...\n    return bp\n\
               def configure(config=None):\n    app.config.update(config or {})\n    @app.post('/late')\n    def late(): ...\n    \
               app.register_blueprint(pages(), url_prefix='/pages')\n    return app\n\
               def of_another(app):\n    @app.get('/never')\n    def never(): ...\n\
               class Client:\n    def get(self, path): ...\nclient = Client()\ndef fetch():\n    client.get('/elsewhere')\n";
    let scan = project(&[("shop.py", app)], None);
    let told: Vec<_> = scan
        .routes
        .iter()
        .map(|route| (route.route.as_str(), route.conditional, route.prefix_known))
        .collect();
    let expected = [
        ("/static/{filename}", false, true),
        ("/", false, true),
        ("/late", true, true),
        ("/pages/{name}", true, true),
    ];
    assert_eq!(told, expected);
    // Once it is called, by another module's code, there is no doubt.
    let main = "import flask\nfrom shop import configure\napp = configure({})\n";
    let called = project(&[("shop.py", app), ("main.py", main)], None);
    assert!(called.routes.iter().all(|route| !route.conditional), "{:#?}", called.routes);
}

#[test]
fn an_application_that_another_function_takes_from_a_cache_is_made_all_the_same() {
    let text = "from fastapi import FastAPI\nCACHE = {}\n\
                def create_app(name, again=False):\n    key = (name.hash(), again)\n    if key in CACHE and not again:\n        \
                return CACHE[key]\n    app = FastAPI()\n    @app.get('/items/{item}')\n    def item(): ...\n    \
                CACHE[key] = app\n    return app\n\
                class Client:\n    def __init__(self, app=None):\n        self.app = app or create_app(app)\n";
    assert!(templates(&project(&[("server.py", text)], None)).contains("/items/{item}"));
}

#[test]
fn an_application_of_an_own_class_is_made_with_keywords_put_together() {
    let text = "import tornado.web\nclass Item(tornado.web.RequestHandler):\n    def get(self, item): ...\n\
                HANDLERS = [(r'/items/(?P<item>[0-9]+)', Item), tornado.web.url(r'/last', Item)]\n\
                def below(handler, prefix):\n    return (prefix + handler[0], handler[1])\n\
                class Shop(tornado.web.Application):\n    def __init__(self, options=None, **kwargs):\n        \
                handlers = HANDLERS\n        if options is not None and options.prefix:\n            \
                handlers = [below(handler, options.prefix) for handler in handlers]\n        \
                kwargs.update(handlers=handlers)\n        super().__init__(**kwargs)\n\
                def serve(options):\n    Shop(options=options, debug=True).listen(80)\n";
    assert_eq!(templates(&project(&[("shop.py", text)], None)), BTreeSet::from(["/items/{item}", "/last"]));
}

const ROUTER: &str =
    "from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/{item}')\ndef item(): ...\n";

#[test]
fn modules_that_an_application_looks_for_are_found() {
    let main = |loop_head: &str, import: &str| {
        format!(
            "import importlib, os, pkgutil\nfrom fastapi import FastAPI\nimport api\napp = FastAPI(openapi_url=None)\n\
             for {loop_head}:\n    module = importlib.import_module({import})\n    \
             app.include_router(module.router, prefix='/' + name)\n"
        )
    };
    let found = |loop_head: &str, import: &str| {
        let main = main(loop_head, import);
        let files = [
            ("main.py", main.as_str()),
            ("api/__init__.py", ""),
            ("api/users.py", ROUTER),
            ("api/v2/__init__.py", ROUTER),
            ("api/v2/not_asked_for.py", ROUTER),
        ];
        let scan = project(&files, None);
        templates(&scan).into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let expected = BTreeSet::from(["/users/{item}".to_owned(), "/v2/{item}".to_owned()]);
    assert_eq!(found("_, name, _ in pkgutil.iter_modules(api.__path__)", "f'api.{name}'"), expected);
    let beside = "_, name, _ in pkgutil.iter_modules([os.path.join(os.path.dirname(__file__), 'api')])";
    assert_eq!(found(beside, "'.' + name, package='api'"), expected);
    let prefixed = "name in [info.name for info in pkgutil.iter_modules(api.__path__, 'api.')]";
    let expected = BTreeSet::from(["/api.users/{item}".to_owned(), "/api.v2/{item}".to_owned()]);
    assert_eq!(found(prefixed, "name"), expected);
}

#[test]
fn what_is_registered_on_the_current_app_is_the_applications() {
    let app = "from flask import Flask\ndef create_app():\n    app = Flask(__name__, static_folder=None)\n    \
               with app.app_context():\n        from . import routes\n    return app\n";
    let routes = "from flask import current_app as app\n@app.route('/items/<item>')\ndef item(item): ...\n";
    let files = [("shop/__init__.py", app), ("shop/routes.py", routes)];
    let scan = project(&files, None);
    assert_eq!(templates(&scan), BTreeSet::from(["/items/{item}"]));
    assert!(!scan.routes[0].conditional);
    // Of two applications it may be either's.
    let scan = project(
        &[files[0], files[1], ("other.py", "from flask import Flask\nother = Flask('other')\n")],
        None,
    );
    let of_item = scan.routes.iter().filter(|route| route.route == "/items/{item}");
    assert!(of_item.clone().count() == 2 && of_item.clone().all(|route| route.conditional));
}

#[test]
fn modules_are_found_by_the_names_of_their_files() {
    let found = |loop_head: &str, name: &str| {
        let main = format!(
            "import glob, importlib, os\nfrom pathlib import Path\nfrom fastapi import FastAPI\n\
             app = FastAPI(openapi_url=None)\nHERE = os.path.dirname(__file__)\nfor file in {loop_head}:\n    \
             name = {name}\n    if not name.startswith('_'):\n        \
             app.include_router(importlib.import_module('api.' + name).router, prefix='/' + name)\n"
        );
        let files = [("main.py", main.as_str()), ("api/__init__.py", ""), ("api/users.py", ROUTER)];
        let scan = project(&files, None);
        templates(&scan).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = ["/users/{item}"];
    assert_eq!(found("(Path(__file__).parent / 'api').glob('*.py')", "file.stem"), expected);
    assert_eq!(found("(Path(__file__).parent / 'api').iterdir()", "file.name.removesuffix('.py')"), expected);
    assert_eq!(found("os.listdir(os.path.join(HERE, 'api'))", "file[:-3]"), expected);
    let base = "os.path.splitext(os.path.basename(file))[0]";
    assert_eq!(found("glob.glob(os.path.join(HERE, 'api', '[!_]*.py'))", base), expected);
    // What lies outside of the tree is not looked at.
    assert_eq!(found("os.listdir('/')", "file[:-3]"), [""; 0]);
    assert_eq!(found("os.listdir(os.path.join(HERE, '..', '..'))", "file[:-3]"), [""; 0]);
}

#[test]
fn parts_of_texts_and_lists_are_taken() {
    let text = "from fastapi import APIRouter, FastAPI\napp = FastAPI(openapi_url=None)\nBASE = '/api/v1/'\n\
                @app.get(BASE[:-1] + '/items')\ndef items(): ...\n@app.get(BASE[4:7] + BASE[-100:4] + BASE[9:])\ndef odd(): ...\n\
                for router in [APIRouter(prefix='/a'), APIRouter(prefix='/b')][1:]:\n    \
                router.add_api_route('/x', items)\n    app.include_router(router)\n";
    let scan = project(&[("main.py", text)], None);
    assert_eq!(templates(&scan), BTreeSet::from(["/api/v1/items", "/v1/api", "/b/x"]));
}

/// One line makes the application of the server, which then has a route more, and that of a worker.
#[test]
fn applications_that_one_line_makes_have_each_all_their_routes() {
    let files = [
        (
            "shop/__init__.py",
            "from flask import Flask\ndef create_app():\n    app = Flask(__name__)\n    \
             @app.route('/users/<int:id>')\n    def user(id): ...\n    return app\n",
        ),
        ("make_celery.py", "import flask\nfrom shop import create_app\nflask_app = create_app()\n"),
        (
            "wsgi.py",
            "import flask\nfrom shop import create_app\napp = create_app()\n\
             @app.route('/<path:path>')\ndef spa(path): ...\n",
        ),
        ("again.py", "import flask\nfrom shop import create_app\napp = create_app()\n"),
    ];
    let scan = project(&files, None);
    let of = |file: &str| {
        let named = |app: &&Application| app.names.iter().any(|(named, _)| named == file);
        let app = scan.apps.iter().find(named).unwrap_or_else(|| panic!("{file}: {:#?}", scan.apps));
        let routes = scan.routes.iter().filter(|route| route.app == app.number);
        let known: BTreeSet<&str> = routes.map(|route| route.route.as_str()).collect();
        (app.number, known)
    };
    assert!(of("make_celery.py").1.contains("/users/{id}"));
    assert!(of("wsgi.py").1.is_superset(&BTreeSet::from(["/users/{id}", "/{path}"])), "{:?}", of("wsgi.py"));
    assert_eq!(of("again.py"), of("make_celery.py"), "the same is told once");
}

#[test]
fn falcon_asks_sinks_before_static_files() {
    let text = "import falcon\ndef proxy(request, response, path): ...\napp = falcon.App()\n\
                app.add_sink(proxy, '/')\napp.add_static_route('/static', '/srv')\n";
    let scan = project(&[("app.py", text)], None);
    let matcher = Matcher::new(scan.routes);
    let found = matcher.find("GET", "/static/x").map(|found| found.line);
    assert_eq!(found, Some(2), "where the sink is");
}
