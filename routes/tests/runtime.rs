//! The scanner against the frameworks themselves: each fixture application is imported by a Python that has the
//! frameworks installed, and what it reports at run time must be what the scanner found in the source.
//!
//! Needs `APM_TEST_PYTHON`, the path of such an interpreter; without it each test says that it is skipped.

mod common;

use std::collections::BTreeSet;

use common::{Row, fixture, oracle, scanned};

/// Compares both lists; `extra` are routes that only one side can know, by their path, with the reason at the call.
fn compare(app: &str, framework: &str, target: &str, extra: &[&str]) {
    let Some(reported) = oracle(framework, &fixture(app), target) else { return };
    let known = |row: &Row| !extra.contains(&row.route.as_str());
    let reported: BTreeSet<Row> = reported.into_iter().filter(known).collect();
    let mut found: BTreeSet<Row> = BTreeSet::new();
    for route in scanned(&fixture(app)).routes {
        let mut row = Row::from(&route);
        // The framework does not know which methods a Django function answers: the scanner may say more.
        if framework == "django" && reported.contains(&Row { method: "?".into(), ..row.clone() }) {
            row.method = "?".into();
        }
        // A handler outside of the tree has no file at run time; the scanner names the place of registration.
        if reported.contains(&Row { file: None, ..row.clone() }) {
            row.file = None;
        }
        if known(&row) {
            found.insert(row);
        }
    }
    let missed: Vec<_> = reported.difference(&found).collect();
    let invented: Vec<_> = found.difference(&reported).collect();
    assert!(!reported.is_empty(), "{app}: the framework reported nothing");
    assert!(missed.is_empty() && invented.is_empty(), "{app}\nmissed: {missed:#?}\ninvented: {invented:#?}");
}

#[test]
fn fastapi_reports_the_same() {
    compare("fastapi_app", "starlette", "shop.main:with_health", &[]);
}

#[test]
fn flask_reports_the_same() {
    compare("flask_app", "flask", "wsgi:app", &[]);
}

#[test]
fn django_reports_the_same() {
    // Behind `if settings.DEBUG`, which is off: the scanner lists it as conditional.
    compare("django_app", "django", "portal.settings", &["/__debug__/"]);
}

#[test]
fn django_rest_framework_reports_the_same() {
    compare("drf_app", "django", "api.settings", &[]);
}

#[test]
fn aiohttp_reports_the_same() {
    compare("aiohttp_app", "aiohttp", "app:make_app", &[]);
}

#[test]
fn litestar_reports_the_same() {
    compare("litestar_app", "litestar", "app:app", &[]);
}

#[test]
fn sanic_reports_the_same() {
    compare("sanic_app", "sanic", "app:app", &[]);
}

#[test]
fn tornado_reports_the_same() {
    compare("tornado_app", "tornado", "app:Server", &[]);
}
