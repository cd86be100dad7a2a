//! Routes that the source does not tell, as those of other packages: no other route is taken for them.

mod common;

use apm_routes::{Counter, Matcher, Scan};
use common::scanned;

fn scan(text: &str) -> Scan {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("app.py"), text).expect("files can be written");
    scanned(directory.path())
}

/// The template of each path as the application answers `GET`, `-` where none is told.
fn told<const N: usize>(text: &str, paths: [&str; N]) -> [String; N] {
    let matcher = Matcher::new(scan(text).routes);
    paths.map(|path| matcher.lookup("GET", path).route().map_or("-".into(), |route| route.route.clone()))
}

#[test]
fn what_stands_behind_an_include_of_another_package_is_found() {
    let text = "from django.contrib import admin\nfrom django.urls import include, path\n\
                from ninja_extra import NinjaExtraAPI\napi = NinjaExtraAPI()\ndef view(request): ...\n\
                urlpatterns = [\n\
                path('', view),\n\
                path('admin/', admin.site.urls),\n\
                path('', include('django_prometheus.urls')),\n\
                path('health', view),\n\
                path('accounts/', include('django.contrib.auth.urls')),\n\
                path('accounts/signup/', view),\n\
                path('accounts/<str:name>/profile/', view),\n\
                path('accounts/<str:name>/', view),\n\
                path('api/', api.urls),\n\
                path('<path:page>', view),\n]\n";
    let paths = [
        "/",
        "/health",
        "/accounts/signup/",
        "/accounts/bob/profile/",
        // The other package's, or this application's: the source does not tell.
        "/accounts/login/",
        "/admin/auth/user/",
        "/api/items",
        "/metrics",
        "/some/page",
    ];
    let expected =
        ["/", "/health", "/accounts/signup/", "/accounts/{name}/profile/", "-", "-", "-", "-", "-"];
    assert_eq!(told(text, paths), expected);
    assert_eq!(scan(text).counters.get(Counter::Opaque), 4);
}

#[test]
fn what_stands_before_an_include_of_another_package_is_not_doubted() {
    let text = "from django.urls import include, path\ndef view(request): ...\n\
                urlpatterns = [path('<slug:page>/', view), path('', include('wagtail.urls'))]\n";
    assert_eq!(told(text, ["/about/", "/about/us/"]), ["/{page}/", "-"]);
}

#[test]
fn a_route_for_all_the_rest_does_not_take_those_of_included_routers() {
    let text = "import outside\nfrom fastapi import FastAPI\napp = FastAPI()\n\
                app.include_router(outside.users, prefix='/users')\n\
                @app.get('/users/{user}/orders')\ndef orders(): ...\n\
                @app.get('/{page:path}')\ndef page(): ...\n";
    let paths = ["/users/me", "/users/7/orders", "/about", "/"];
    assert_eq!(told(text, paths), ["-", "/users/{user}/orders", "/{page}", "/{page}"]);
}

#[test]
fn a_router_under_an_unknown_prefix_leaves_a_route_for_all_the_rest_in_doubt() {
    let text = "import outside\nfrom flask import Blueprint, Flask\napp = Flask(__name__)\n\
                bp = Blueprint('b', __name__)\n@bp.get('/x')\ndef x(): ...\n\
                app.register_blueprint(bp, url_prefix=outside.PREFIX)\n\
                @app.get('/@<name>')\ndef at(): ...\n@app.get('/<path:page>')\ndef page(): ...\n";
    assert_eq!(told(text, ["/v1/x", "/@bob", "/static/a.css"]), ["-", "/@{name}", "/static/{filename}"]);
}

#[test]
fn an_extension_that_adds_routes_leaves_a_route_for_all_the_rest_in_doubt() {
    let app = |extension: &str| {
        format!(
            "from flask import Flask\nfrom {extension} import Extension\napp = Flask(__name__)\n\
             later = Extension()\nlater.init_app(app)\n@app.get('/<path:page>')\ndef page(): ...\n"
        )
    };
    assert_eq!(told(&app("flask_admin"), ["/admin/"]), ["-"]);
    assert_eq!(told(&app("flask_sqlalchemy"), ["/admin/"]), ["/{page}"]);
}

#[test]
fn routes_are_put_into_the_list_of_an_application() {
    let text = "from fastapi import FastAPI\nfrom starlette.routing import Mount, Route\n\
                app = FastAPI()\ndef view(): ...\n@app.get('/{page:path}')\ndef page(): ...\n\
                app.router.routes.insert(0, Route('/first/{a}', view))\n\
                app.routes.append(Mount('/last', routes=[Route('/{b}', view)]))\n";
    let scan = scan(text);
    assert!(scan.routes.iter().any(|route| route.route == "/last/{b}"));
    let matcher = Matcher::new(scan.routes);
    let found = |path| matcher.find("GET", path).map(|route| route.route.as_str());
    assert_eq!([found("/first/1"), found("/last/1")], [Some("/first/{a}"), Some("/{page}")]);
}

#[test]
fn a_rule_that_redirects_to_its_slash_goes_before_a_route_for_all_the_rest() {
    let text = "from flask import Flask\napp = Flask(__name__)\n@app.get('/about/')\ndef about(): ...\n\
                @app.get('/<path:page>')\ndef page(): ...\n";
    assert_eq!(told(text, ["/about", "/about/", "/other"]), ["/about/", "/about/", "/{page}"]);
}
