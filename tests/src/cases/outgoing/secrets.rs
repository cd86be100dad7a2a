//! Secrets in every place where an app handles one: none is in a file, a log line or an answer of the agent.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::peers::{Peers, listening, run};
use crate::agent::Agent;
use crate::places::{Places, file_with};
use crate::port::free_port;
use crate::process::until;

/// Every secret is of this form, the name of its place between the two; see `secret_places.py`.
const SECRET: (&str, &str) = ("hunter2", "Zq9xK4");
/// What is asked for, plain and through TLS.
const PATHS: &[&str] = &[
    "/do",
    "/fail/0",
    "/fail/1",
    "/fail/2",
    "/fail/3",
    "/refused/value",
    "/refused/excerpt",
    "/refused/open",
    "/refused/token",
    "/refused/quotes",
    "/refused/array",
    "/refused/json",
    "/refused/range",
    "/refused/xml",
    "/refused/inner",
    "/refused/context",
    "/refused/copy",
    "/refused/inlined",
    "/refused/mysql",
    "/refused/number",
    "/refused/sqlite",
    // The link of somebody who may set a password anew.
    "/reset/hunter2pathZq9xK4",
    "/last",
];
const SHOWN: Duration = Duration::from_secs(20);
/// Answers in which something of a request, a statement, a call or an exception may be.
const API: &[&str] = &[
    "/api/status",
    "/api/services",
    "/api/overview?w=3600",
    "/api/timeseries?w=3600",
    "/api/heatmap?w=3600",
    "/api/requests?window=3600",
    "/api/requests?window=3600&sort=slow",
    "/api/requests?window=3600&sort=failed",
    "/api/routes?window=3600",
    "/api/route_chains?w=3600",
    "/api/recent_errors?window=3600",
    "/api/error_groups?window=3600",
    "/api/outgoing?window=3600",
    "/api/route_host_calls?w=3600",
    "/api/queries?window=3600",
    "/api/code?w=3600",
    "/api/discovered",
];

pub(super) fn judge(places: &Places, peers: &Peers) -> Result<String> {
    let scratch = places.scratch()?;
    let (port, tls_port) = (free_port()?, free_port()?);
    let [http, https, _] = peers.http_ports;
    let [_, http2] = peers.http2_ports;
    let mut command = Command::new(&peers.python);
    command.arg(peers.apps.join("secret_places.py")).args([port, tls_port].map(|port| port.to_string()));
    command.arg(&peers.certificate).arg(&peers.key);
    let ports = [http, https, http2, peers.postgres.port, peers.redis()?.port, peers.mariadb()?.port];
    command.args(ports.map(|port| port.to_string())).env_remove("PYTHONPATH");
    let app = listening("secrets", &mut command, &scratch.path().join("app.log"), &[port, tls_port])?;
    let options = ["--pid".to_owned(), app.pid().to_string(), "--log-level".to_owned(), "debug".to_owned()];
    let mut agent = Agent::start(&places.agent, &options, scratch.path())?;
    agent.attached(app.pid())?;
    agent.attached_to_first("exceptions")?;
    agent.attached_to_first("call sites")?;

    for base in [format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{tls_port}")] {
        for (n, path) in PATHS.iter().enumerate() {
            let said = run(Command::new("curl")
                .args(["--silent", "--show-error", "--insecure", "--max-time", "60"])
                .args(["--header", &format!("Authorization: Bearer {}", secret("in"))])
                .args(["--header", &format!("X-Api-Key: {}", secret("inkey"))])
                .args(["--cookie", &format!("session={}", secret("incookie"))])
                .args(["--user-agent", "curl"])
                .args(["--data", &format!("pin={}", secret("inbody")), "--request", "POST"])
                .arg(format!("{base}{path}?q={}&n={n}", secret("inquery"))))?;
            ensure!(said == secret("answer"), "{path}: {said}");
        }
    }
    ensure!(!app.output().contains("AssertionError"), "the app failed otherwise:\n{}", app.output());
    let requests = until(SHOWN, "all requests to be shown", || {
        let shown = agent.get("/api/requests?window=3600")?;
        let shown = shown["requests"].as_array().context("no list of requests")?.clone();
        Ok((shown.len() == 2 * PATHS.len()).then_some(shown))
    })?;
    let mut answers = String::new();
    let details = requests.iter().filter_map(|one| one["request_id"].as_str());
    let details = details.flat_map(|id| [format!("/api/request/{id}"), format!("/api/trace/{id}")]);
    let service = requests[0]["service"].as_str().context("no service")?;
    let snapshots = [
        format!("/api/route/snapshot?service={service}&method=POST&route=%2Fdo&w=3600"),
        format!("/api/folder/snapshot?service={service}&w=3600"),
    ];
    for path in API.iter().map(|&path| path.to_owned()).chain(snapshots).chain(details) {
        answers += &agent.get(&path).with_context(|| path.clone())?.to_string();
    }
    // What is looked through holds all that the secrets stood in.
    let host = |port: u16| format!("127.0.0.1:{port}");
    let telling = [
        "/upload/2",
        "/reset/{token}",
        "/ok/4",
        "INSERT INTO items",
        "COPY items",
        "HSET",
        "AUTH",
        "EVAL",
        "mysql",
        "ValueError",
        "KeyError",
        "ConnectionError",
        "InvalidTextRepresentation",
        "UndefinedColumn",
        "InvalidXmlDocument",
        "DivisionByZero",
        "BadCopyFileFormat",
        "ProgrammingError",
        "sqlite3.OperationalError",
        "LINE 1: <redacted>",
        "JSON data, line 1: <redacted>",
        "near '<redacted>' at line 1",
        "password=<redacted>",
        "postgres://<redacted>@db",
    ];
    let missing: Vec<String> = telling
        .iter()
        .map(|&text| text.to_owned())
        .chain([host(http), host(https), host(http2)])
        .filter(|text| !answers.contains(text))
        .collect();
    ensure!(missing.is_empty(), "not in any answer: {missing:?}; the app says:\n{}", app.output());
    nowhere(&agent, &answers, "while it runs")?;
    let fails = |path: &&&str| path.starts_with("/fail/") || path.starts_with("/refused/");
    let failures = 2 * PATHS.iter().filter(fails).count();
    let failed = requests.iter().filter(|one| one["status"] == 500).count();
    ensure!(failed == failures, "{failed} requests failed, not {failures}:\n{}", app.output());
    agent.stop()?;
    nowhere(&agent, "", "after its end")?;
    Ok(format!(
        "in requests, answers, 28 statements and 16 refused ones, commands, calls and failures, plain and TLS: none in {} bytes of answers, files and log",
        answers.len()
    ))
}

fn secret(place: &str) -> String {
    format!("{}{place}{}", SECRET.0, SECRET.1)
}

/// Fails where a secret is in the store's files, in the log or in `answers`.
fn nowhere(agent: &Agent, answers: &str, when: &str) -> Result<()> {
    for part in [SECRET.0, SECRET.1] {
        if let Some(file) = file_with(agent.store(), part)? {
            let bytes = std::fs::read(&file)?;
            anyhow::bail!(
                "{when}: in {}: {}",
                file.display(),
                around(&String::from_utf8_lossy(&bytes), part)
            );
        }
        let log = agent.process.output();
        ensure!(!log.contains(part), "{when}: in the log: {}", around(&log, part));
        ensure!(!answers.contains(part), "{when}: in an answer: {}", around(answers, part));
    }
    Ok(())
}

/// Every place where `part` is, with what stands around it.
fn around(text: &str, part: &str) -> String {
    let places = text.match_indices(part).map(|(at, _)| {
        let (from, to) = (at.saturating_sub(60), (at + 60).min(text.len()));
        text[text.floor_char_boundary(from)..text.floor_char_boundary(to)].escape_debug().to_string()
    });
    places.take(20).collect::<Vec<_>>().join("\n")
}
