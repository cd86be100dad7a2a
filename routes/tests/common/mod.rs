//! What the tests share: fixtures, scans, and the frameworks' own word.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::Command;

use apm_routes::{DiscoveredRoute, Options, Scan, scan};
use serde_json::Value;

/// Directory of the fixture applications.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/apps/routes")
}

/// Directory of one fixture application.
pub(crate) fn fixture(name: &str) -> PathBuf {
    fixtures().join(name)
}

/// A scan of a directory.
pub(crate) fn scanned(root: &Path) -> Scan {
    scan(&Options::new(root)).expect("the directory can be scanned")
}

/// What both sides can tell of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) route: String,
    pub(crate) method: String,
    pub(crate) websocket: bool,
    pub(crate) function: String,
    pub(crate) file: Option<String>,
}

impl From<&DiscoveredRoute> for Row {
    fn from(route: &DiscoveredRoute) -> Self {
        Self {
            route: route.route.clone(),
            method: route.method.clone(),
            websocket: route.websocket,
            function: route.function.clone(),
            file: Some(route.file.clone()),
        }
    }
}

/// The interpreter to ask, if there is one.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("APM_TEST_PYTHON").ok();
    if python.is_none() {
        println!("skipped: APM_TEST_PYTHON names no interpreter with the frameworks installed");
    }
    python
}

/// What the framework reports of an application at run time; `None` where there is no interpreter to ask.
pub(crate) fn oracle(framework: &str, root: &Path, target: &str) -> Option<Vec<Row>> {
    let python = python()?;
    Some(oracle_from(Path::new(&python), framework, root, target, root, &[]))
}

/// As [`oracle`], by a given interpreter, with the place to import from and further environment variables.
pub(crate) fn oracle_from(
    python: &Path,
    framework: &str,
    root: &Path,
    target: &str,
    path: &Path,
    variables: &[(&str, &str)],
) -> Vec<Row> {
    let output = Command::new(python)
        .arg(fixtures().join("oracle.py"))
        .args([framework, &root.to_string_lossy(), target, &path.to_string_lossy()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(variables.iter().copied())
        .output()
        .expect("the interpreter starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Applications may print while they are imported; the answer is the last line.
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer: Value =
        serde_json::from_str(stdout.lines().last().unwrap_or("")).expect("the answer is JSON");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    answer
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| Row {
            route: text(row, "route"),
            method: text(row, "method"),
            websocket: row["websocket"].as_bool() == Some(true),
            function: text(row, "function"),
            file: row["file"].as_str().map(str::to_owned),
        })
        .collect()
}

/// Which handler the framework picks for each request, asked at run time: its name, or `redirect`, `405`, `none`.
pub(crate) fn picked(
    framework: &str,
    root: &Path,
    target: &str,
    requests: &[(String, String)],
) -> Option<Vec<String>> {
    let python = python()?;
    let asked = serde_json::to_string(requests).expect("texts are JSON");
    let file = tempfile::NamedTempFile::new().expect("a file for the requests");
    std::fs::write(file.path(), asked).expect("the requests can be written");
    let output = Command::new(python)
        .arg(fixtures().join("picks.py"))
        .args([framework, &root.to_string_lossy(), target])
        .arg(file.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the interpreter starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(serde_json::from_str(stdout.lines().last().unwrap_or("")).expect("the answer is a list of texts"))
}
