//! The scanner against the frameworks themselves: each fixture application is imported by a Python that has the
//! frameworks installed, and what it reports at run time must be what the scanner found in the source.
//!
//! Needs `APM_TEST_PYTHON`, the path of such an interpreter; without it each test says that it is skipped.
#![allow(clippy::print_stdout, reason = "figures are there to be read")]

mod common;

use std::collections::BTreeSet;

use apm_routes::{Lookup, Matcher};
use common::{Row, fixture, oracle, picked, scanned};

/// Compares both lists.
fn compare(app: &str, framework: &str, target: &str) {
    let Some(reported) = oracle(framework, &fixture(app), target) else { return };
    let reported: BTreeSet<Row> = reported.into_iter().collect();
    let mut found: BTreeSet<Row> = BTreeSet::new();
    for route in scanned(&fixture(app)).routes.into_iter().filter(|route| !route.gap) {
        let row = Row::from(&route);
        // A handler outside of the tree has no file at run time; the scanner names the place of registration.
        let outside = Row { file: None, ..row.clone() };
        // Django does not know which methods a function answers: the scanner may say more.
        let of_any_method = |row: &Row| Row { method: "?".into(), ..row.clone() };
        let mut rows = vec![row.clone(), outside.clone()];
        if framework == "django" {
            rows.extend([of_any_method(&row), of_any_method(&outside)]);
        }
        found.insert(rows.into_iter().find(|row| reported.contains(row)).unwrap_or(row));
    }
    let missed: Vec<_> = reported.difference(&found).collect();
    let invented: Vec<_> = found.difference(&reported).collect();
    assert!(!reported.is_empty(), "{app}: the framework reported nothing");
    assert!(missed.is_empty() && invented.is_empty(), "{app}\nmissed: {missed:#?}\ninvented: {invented:#?}");
}

#[test]
fn fastapi_reports_the_same() {
    compare("fastapi_app", "starlette", "shop.main:with_health");
}

#[test]
fn flask_reports_the_same() {
    compare("flask_app", "flask", "wsgi:app");
}

#[test]
fn extensions_of_flask_report_the_same() {
    compare("flask_apis_app", "flask", "wsgi:app");
}

#[test]
fn django_ninja_reports_the_same() {
    compare("ninja_app", "django", "clinic.settings");
}

#[test]
fn django_reports_the_same() {
    compare("django_app", "django", "portal.settings");
}

#[test]
fn django_rest_framework_reports_the_same() {
    compare("drf_app", "django", "api.settings");
}

#[test]
fn aiohttp_reports_the_same() {
    compare("aiohttp_app", "aiohttp", "app:make_app");
}

#[test]
fn litestar_reports_the_same() {
    compare("litestar_app", "litestar", "app:app");
}

#[test]
fn sanic_reports_the_same() {
    compare("sanic_app", "sanic", "app:app");
}

#[test]
fn tornado_reports_the_same() {
    compare("tornado_app", "tornado", "app:Server");
}

#[test]
fn falcon_reports_the_same() {
    compare("falcon_app", "falcon", "app:create_app");
}

#[test]
fn bottle_reports_the_same() {
    compare("bottle_app", "bottle", "app:app");
}

/// What parameters are tried with: each converter accepts some and refuses others.
const VALUES: &[&str] = &[
    "7",
    "-7",
    "1.5",
    "x",
    "me",
    "a-b",
    "a.b",
    "up",
    "de",
    "2024",
    "2024-01-02",
    "a/b",
    "a%20b",
    "A",
    "9780000000000",
    "0b7bb6ee-6e84-4c5c-a4c9-0a9f6f4a6c11",
    "0B7BB6EE-6E84-4C5C-A4C9-0A9F6F4A6C11",
];

/// Requests around every template of the app: parameters of all kinds, with and without a slash, several methods.
fn requests(matcher: &Matcher) -> Vec<(String, String)> {
    let mut requests = BTreeSet::new();
    for route in matcher.routes() {
        for value in VALUES {
            let mut path = String::new();
            let mut rest = route.route.as_str();
            while let Some((before, after)) = rest.split_once('{') {
                path.push_str(before);
                path.push_str(value);
                rest = after.split_once('}').map_or("", |(_, rest)| rest);
            }
            path.push_str(rest);
            let stem = path.trim_end_matches('/').to_owned();
            for path in [
                path,
                format!("{stem}/"),
                if stem.is_empty() { "/".into() } else { stem.clone() },
                format!("{stem}/x"),
            ] {
                for method in ["GET", "POST", "PUT", route.method.as_str()] {
                    if method != "*" {
                        requests.insert((method.to_owned(), path.clone()));
                    }
                }
            }
        }
    }
    requests.into_iter().collect()
}

/// The matcher must pick what the framework picks. `is_method_blind`: the framework leaves methods to the handler.
fn compare_picks(app: &str, framework: &str, target: &str, is_method_blind: bool) {
    let matcher = Matcher::new(scanned(&fixture(app)).routes);
    let requests = requests(&matcher);
    let Some(theirs) = picked(framework, &fixture(app), target, &requests) else { return };
    let mut wrong = Vec::new();
    for ((method, path), theirs) in requests.iter().zip(&theirs) {
        let found = matcher.lookup(method, path);
        // A handshake is not told from another GET by its path; what is conditional may not be there.
        if found.route().is_some_and(|route| route.websocket || route.conditional) {
            continue;
        }
        let ours = match found {
            Lookup::Route(route) => route.function.clone(),
            Lookup::MethodNotAllowed(route) if is_method_blind => route.function.clone(),
            Lookup::Redirect(_) => "redirect".into(),
            Lookup::MethodNotAllowed(_) => "405".into(),
            Lookup::None => "none".into(),
        };
        // Litestar looks at the method before it converts parameters: 405 for what is 404 by another method.
        if framework == "litestar" && ours == "none" && theirs == "405" {
            continue;
        }
        let class = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
        if ours != *theirs && !(is_method_blind && class(&ours) == class(theirs)) {
            wrong.push(format!("{method} {path}: {ours} instead of {theirs}"));
        }
    }
    println!("{app}: {} requests, {} picked otherwise", requests.len(), wrong.len());
    assert!(theirs.len() == requests.len() && theirs.iter().any(|pick| pick == "none"));
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{app}: {wrong:#?}");
}

#[test]
fn fastapi_picks_the_same() {
    compare_picks("fastapi_app", "starlette", "shop.main:with_health", false);
}

#[test]
fn flask_picks_the_same() {
    compare_picks("flask_app", "flask", "wsgi:app", false);
}

#[test]
fn extensions_of_flask_pick_the_same() {
    compare_picks("flask_apis_app", "flask", "wsgi:app", false);
}

#[test]
fn django_ninja_picks_the_same() {
    compare_picks("ninja_app", "django", "clinic.settings", true);
}

#[test]
fn django_picks_the_same() {
    compare_picks("django_app", "django", "portal.settings", true);
}

#[test]
fn django_rest_framework_picks_the_same() {
    compare_picks("drf_app", "django", "api.settings", true);
}

#[test]
fn aiohttp_picks_the_same() {
    compare_picks("aiohttp_app", "aiohttp", "app:make_app", false);
}

#[test]
fn litestar_picks_the_same() {
    compare_picks("litestar_app", "litestar", "app:app", false);
}

#[test]
fn sanic_picks_the_same() {
    compare_picks("sanic_app", "sanic", "app:app", false);
}

#[test]
fn tornado_picks_the_same() {
    compare_picks("tornado_app", "tornado", "app:Server", false);
}

#[test]
fn falcon_picks_the_same() {
    compare_picks("falcon_app", "falcon", "app:create_app", false);
}

#[test]
fn bottle_picks_the_same() {
    compare_picks("bottle_app", "bottle", "app:app", false);
}
