//! Every failed request shows the traceback that the server itself logged for it, and no other.

mod client;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::outgoing::peers::certificate;
use crate::agent::Agent;
use crate::places::{COMMON, PYTHONS, Places, file_with};
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::Server;
use client::{Client, Speaks, Transport};

/// Ways to fail in `failing.py`.
const WAYS: &[&str] = &[
    "division",
    "key",
    "generator",
    "c_code",
    "cause",
    "context",
    "nested",
    "missing_file",
    "no_message",
    "two_arguments",
    "unicode_message",
    "recursion",
    "lambdas",
    "changed",
    "swapped",
];
/// Answers 503 after a library has handled an exception of the application's.
const UNRELATED: &str = "/unrelated";
/// Requests for each way, and for the endpoint that is healthy.
const TIMES: usize = 20;
const WAIT: Duration = Duration::from_secs(20);

/// A server that logs the exceptions it answers with 500.
struct Kind {
    name: &'static str,
    arguments: &'static str,
    /// Where its ways to fail are.
    prefixes: &'static [&'static str],
    /// It writes nothing while an exception is at hand: its log is a file, and exceptions have to be seen on their way.
    quiet: bool,
    /// Its source tells so: its first failure shows its exception too.
    settled: bool,
    /// How it is asked.
    speaks: Speaks,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "fastapi",
        arguments: "-m uvicorn fastapi_app:app --port {port} --no-access-log --log-level warning",
        prefixes: &["/async/", "/thread/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "flask",
        arguments: "-m gunicorn -b 127.0.0.1:{port} --log-level warning flask_app:app",
        prefixes: &["/fail/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "aiohttp",
        arguments: "aiohttp_app.py {port}",
        prefixes: &["/fail/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "django",
        arguments: "django_app.py runserver 127.0.0.1:{port}",
        prefixes: &["/fail/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "quiet-django",
        arguments: "quiet_django_app.py runserver 127.0.0.1:{port}",
        prefixes: &["/fail/"],
        quiet: true,
        settled: false,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "silent-django",
        arguments: "../silent/manage.py runserver 127.0.0.1:{port} --noreload",
        prefixes: &["/fail/"],
        quiet: true,
        settled: true,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "quiet-flask",
        arguments: "-m gunicorn -b 127.0.0.1:{port} --log-level critical quiet_flask_app:app",
        prefixes: &["/fail/"],
        quiet: true,
        settled: false,
        speaks: Speaks::Http1,
    },
    Kind {
        name: "fastapi-h2",
        arguments: "-m hypercorn -b 127.0.0.1:{port} --log-level warning --certfile {certificate} --keyfile {key} \
                    fastapi_app:app",
        prefixes: &["/async/", "/thread/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http2(Transport::Tls),
    },
    Kind {
        name: "fastapi-h2c-uvloop",
        arguments: "-m hypercorn -k uvloop -b 127.0.0.1:{port} --log-level warning fastapi_app:app",
        prefixes: &["/async/", "/thread/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http2(Transport::Plain),
    },
    Kind {
        name: "asgi-h2c",
        arguments: "-m hypercorn -b 127.0.0.1:{port} --log-level warning asgi_app:app",
        prefixes: &["/fail/"],
        quiet: false,
        settled: false,
        speaks: Speaks::Http2(Transport::Plain),
    },
];

pub(super) fn cases() -> Vec<Case> {
    let of = |(nth, kind): (usize, &'static Kind)| {
        if let Speaks::Http2(_) = kind.speaks {
            // What differs between Pythons is seen with HTTP/1: each on another one.
            let version = PYTHONS[nth % COMMON];
            let name = format!("exceptions/{}/{version}", kind.name);
            return vec![Case::new(name, move |places| tracebacks(places, kind, version))];
        }
        Case::on_pythons(&format!("exceptions/{}", kind.name), nth, move |places, version| {
            tracebacks(places, kind, version)
        })
    };
    KINDS.iter().enumerate().flat_map(of).collect()
}

fn tracebacks(places: &Places, kind: &Kind, version: &str) -> Result<Verdict> {
    let Some(python) = places.python(version) else {
        return Ok(Verdict::Skipped(format!("no Python {version}")));
    };
    let scratch = places.scratch()?;
    let apps = places.apps().join("exceptions");
    let (certificate, key) = match kind.speaks {
        Speaks::Http2(Transport::Tls) => certificate(scratch.path())?,
        _ => Default::default(),
    };
    let arguments = kind
        .arguments
        .replace("{certificate}", &certificate.display().to_string())
        .replace("{key}", &key.display().to_string());
    let server = Server::start_with(kind.name, &arguments, &python, &apps, scratch.path())?;
    // One kind is watched without variables.
    let with_locals = kind.name != "aiohttp";
    let pid = server.process.pid();
    let mut arguments = vec!["--pid".to_owned(), pid.to_string()];
    if !with_locals {
        arguments.push("--no-locals".to_owned());
    }
    let mut agent = Agent::start(&places.agent, &arguments, scratch.path())?;
    agent.attached(pid)?;
    agent.attached_to_first("exceptions")?;
    let mut client = Client::new(&kind.speaks, server.address.port(), &python, &apps)?;
    let mut paths = Vec::new();
    for prefix in kind.prefixes {
        paths.extend(WAYS.iter().map(|way| format!("{prefix}{way}")));
    }
    let mut wanted = (paths.len() + 1) * TIMES;
    if kind.settled {
        agent.attached_to_any("exceptions on their way")?;
    } else if kind.quiet {
        // What the first failure does not show tells that exceptions have to be looked at on their way.
        ensure!(client.get(&paths[0])? == 500, "{} did not fail", paths[0]);
        wanted += 1;
        agent.attached_to_any("exceptions on their way")?;
    }
    for _ in 0..TIMES {
        ensure!(client.get("/healthy")? == 200, "the healthy endpoint failed");
        for (path, status) in paths.iter().zip(client.get_all(&paths)?) {
            ensure!(status == 500, "{path} did not fail: {status}");
        }
    }
    if kind.name.ends_with("django") {
        ensure!(client.get(UNRELATED)? == 503, "{UNRELATED} did not fail");
        wanted += 1;
    }
    until(WAIT, &format!("{wanted} requests to be recorded"), || {
        Ok((agent.events()?.len() >= wanted).then_some(()))
    })
    .with_context(|| {
        let mut recorded: HashMap<String, usize> = HashMap::new();
        for event in agent.events().unwrap_or_default() {
            *recorded.entry(event.path).or_default() += 1;
        }
        format!("recorded {recorded:?}; losses {:?}", agent.losses())
    })?;
    let mut log = server.process.output();
    if kind.quiet {
        ensure!(!log.contains("Traceback"), "the server is not quiet:\n{}", tail(&log));
        log = std::fs::read_to_string(server.truth.join("errors.log"))?;
    }
    let service = service(&agent)?;
    let groups = agent.get(&format!("/api/error_groups?w=600&limit=200&service={service}"))?;
    let losses = agent.losses()?;
    agent.stop()?;
    if let Some(file) = file_with(agent.store(), "marked-secret-word")? {
        bail!("{} holds a variable that must not be shown", file.display());
    }
    ensure!(losses.is_empty(), "{losses:?}");
    let groups = without_doubtful(&groups, kind)?;
    judge(&groups, &paths, &log, version, with_locals)
        .with_context(|| format!("losses {losses:?}; server's log:\n{}", tail(&log)))
}

fn service(agent: &Agent) -> Result<String> {
    let status = agent.get("/api/status")?;
    let name = status["processes"][0]["service"].as_str();
    Ok(name.context("/api/status names no service")?.to_owned())
}

/// The groups of requests that failed with their exception, which is certain; that of the one that failed by itself, which
/// shows where exceptions are seen on their way, is said to be doubtful.
fn without_doubtful(groups: &Value, kind: &Kind) -> Result<Vec<Value>> {
    let (mut certain, mut doubtful) = (Vec::new(), 0);
    for group in groups["groups"].as_array().context("no groups")? {
        let link = group["sample_link"].as_str().with_context(|| format!("no link: {group:#}"))?;
        let own = group["affected_routes"]
            .as_array()
            .is_some_and(|all| all.iter().any(|at| at["route"] == UNRELATED));
        if own {
            doubtful += 1;
            ensure!(
                kind.quiet && link == "raised",
                "{UNRELATED} is said to fail with an exception: {group:#}"
            );
        } else {
            ensure!(link != "raised", "not known to be the failure: {group:#}");
            certain.push(group.clone());
        }
    }
    ensure!(
        doubtful == usize::from(kind.quiet && kind.name.ends_with("django")),
        "{doubtful} doubtful exceptions"
    );
    Ok(certain)
}

/// One group for each path, of as many requests as failed there, with a traceback that stands in the log.
fn judge(groups: &[Value], paths: &[String], log: &str, version: &str, with_locals: bool) -> Result<Verdict> {
    let log = comparable(log, version);
    let (mut frames, mut compared) = (0, 0);
    let mut seen: HashMap<String, usize> = HashMap::new();
    for group in groups {
        let traceback =
            group["sample_traceback"].as_str().with_context(|| format!("no traceback: {group}"))?;
        ensure!(
            group["count"] == TIMES,
            "{} of {TIMES} requests have this traceback:\n{traceback}\nall groups: {:?}",
            group["count"],
            groups.iter().map(|g| (&g["error_type"], &g["count"], &g["affected_routes"])).collect::<Vec<_>>()
        );
        let ours = comparable(traceback, version);
        ensure!(log.contains(&ours), "the server logged no such traceback:\n{traceback}");
        if traceback.contains("in division") && group["error_type"] == "ZeroDivisionError" {
            let locals = &group["sample_locals"];
            let wanted = if with_locals { locals_of_division() } else { Value::Null };
            ensure!(*locals == wanted, "locals {locals}");
            compared += 1;
        }
        frames += ours.matches("  File ").count();
        *seen.entry(traceback.to_owned()).or_default() += 1;
    }
    ensure!(compared > 0, "no variables were compared");
    ensure!(
        groups.len() == paths.len(),
        "{} groups of errors for {} ways to fail:\n{:#?}",
        groups.len(),
        paths.len(),
        seen.keys()
    );
    Ok(Verdict::Passed(format!("{} tracebacks of {frames} frames equal the server's", groups.len())))
}

/// Variables of `division` in `failing.py`: what is secret by its name or its value does not show.
fn locals_of_division() -> Value {
    serde_json::json!({
        "rid": "7", "note": "'three words here'", "ratio": "2.5", "flag": "True", "nothing": "None", "one": "1",
        "password": "<redacted>", "contact": "<redacted>", "card": "<redacted>", "later": later(),
    })
}

/// Of a long text the start is shown, without its last word.
fn later() -> String {
    let words = "a card ".repeat(15);
    format!("'{}'...", words.trim_end())
}

/// A log or traceback without what differs by rule: marks under source lines, and from 3.13 on the source lines, of which
/// Python shows several where a statement has several.
fn comparable(text: &str, version: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let is_mark = !line.trim().is_empty() && line.trim().chars().all(|c| "^~".contains(c));
        let is_source = line.starts_with("    ");
        if !(is_mark || is_source && matches!(version, "3.13" | "3.14" | "3.15")) {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    lines
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(80)..].join("\n")
}
