//! The fixture applications against lists kept beside the tests; needs no Python. `UPDATE_GOLDEN=1` writes the lists
//! anew, for review by eye and by the tests in `runtime.rs`.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{fixture, scanned};

fn listing(app: &str) -> String {
    let scan = scanned(&fixture(app));
    let mut text = String::new();
    for route in &scan.routes {
        if route.gap {
            writeln!(text, "{} not known below {}", route.framework.name(), route.route)
                .expect("a string takes it all");
            continue;
        }
        let kind = if route.websocket { " websocket" } else { "" };
        let conditional = if route.conditional { " conditional" } else { "" };
        writeln!(
            text,
            "{} {} {} {}:{} {} raw={}{kind}{conditional}",
            route.framework.name(),
            route.method,
            route.route,
            route.file,
            route.line,
            route.function,
            route.raw
        )
        .expect("a string takes it all");
    }
    for (counter, value) in scan.counters.iter().filter(|(_, value)| *value > 0) {
        writeln!(text, "{} {value}", counter.name()).expect("a string takes it all");
    }
    text
}

fn check(app: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{app}.txt"));
    let found = listing(app);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).expect("the list can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the list is there");
    assert_eq!(found, expected, "{app}");
}

#[test]
fn fastapi() {
    check("fastapi_app");
}

#[test]
fn flask() {
    check("flask_app");
}

#[test]
fn extensions_of_flask() {
    check("flask_apis_app");
}

#[test]
fn django_ninja() {
    check("ninja_app");
}

#[test]
fn django() {
    check("django_app");
}

#[test]
fn django_rest_framework() {
    check("drf_app");
}

#[test]
fn aiohttp() {
    check("aiohttp_app");
}

#[test]
fn litestar() {
    check("litestar_app");
}

#[test]
fn sanic() {
    check("sanic_app");
}

#[test]
fn tornado() {
    check("tornado_app");
}

#[test]
fn falcon() {
    check("falcon_app");
}

#[test]
fn bottle() {
    check("bottle_app");
}
