//! An app that posts its own figures, as SDKs do, is also watched: what it says of itself and what the kernel saw agree.
//!
//! The SDK is the FastAPI middleware of the package `backtrack_route101`.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::Agent;
use crate::load::Address;
use crate::places::Places;
use crate::port::free_port;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::Server;

/// The name that the app gives itself there.
const SDK: &str = "by-sdk";
/// Clients at once; each sends every request, and no two the same one at a time: they would wait for each other where
/// only one of the two clocks runs.
const CLIENTS: usize = REQUESTS.len();
const REQUESTS: &[(&str, &str)] =
    &[("GET", "/users/7"), ("POST", "/orders"), ("GET", "/fail"), ("GET", "/proxy")];
/// How far figures may be apart. A maximum is not compared: it is one request, and a machine that is busy at the wrong
/// moment makes it longer for one clock only.
const TOLERANCE: f64 = 0.01;
const WAIT: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("sdk/backtrack", backtrack).alone()]
}

fn backtrack(places: &Places) -> Result<Verdict> {
    let python = places.applications()?;
    let scratch = places.scratch()?;
    let collector = free_port()?;
    let arguments = format!("app.py {{port}} http://127.0.0.1:{collector}/ingest");
    let apps = places.apps().join("sdk");
    let server = Server::start_with("an app with an SDK", &arguments, &python, &apps, scratch.path())?;
    let pid = server.process.pid();
    let agent =
        Agent::start_on(collector, &places.agent, &["--pid".to_owned(), pid.to_string()], scratch.path())?;
    agent.attached(pid)?;
    send(&server.address)?;

    let count = |service: &str| -> Result<u64> {
        let overview = agent.get(&format!("/api/overview?w=900&service={service}"))?;
        overview["total_requests"].as_u64().context("no total_requests")
    };
    // Those to /proxy make one to /leaf each.
    let all = (CLIENTS * (REQUESTS.len() + 1)) as u64;
    let own = own_name(&agent)?;
    until(WAIT, "both to have told all requests", || {
        Ok((count(SDK)? == all && count(&own)? == all).then_some(()))
    })
    .with_context(|| format!("sdk {:?}, agent {:?} of {all}", count(SDK), count(&own)))?;

    let mut worst: f64 = 0.0;
    let mut compared = 0;
    let mut compare = |what: &str, said: &Value, seen: &Value, fields: &[&str]| -> Result<()> {
        for field in fields {
            let (said, seen) = (number(&said[field], what, field)?, number(&seen[field], what, field)?);
            let apart = if said == seen { 0.0 } else { (said - seen).abs() / said.abs().max(seen.abs()) };
            ensure!(apart <= TOLERANCE, "{what}: {field} is {said} to the SDK and {seen} to the agent");
            worst = worst.max(apart);
            compared += 1;
        }
        Ok(())
    };
    let ask = |path: &str, service: &str| agent.get(&format!("{path}?w=900&service={service}"));
    let overview = ["total_requests", "errors", "error_rate", "avg_duration_ms", "rps"];
    compare("overview", &ask("/api/overview", SDK)?, &ask("/api/overview", &own)?, &overview)?;

    let figures = ["total", "errors", "error_rate", "avg_ms", "rps"];
    let (said, seen) = (ask("/api/routes", SDK)?, ask("/api/routes", &own)?);
    let (said, seen) = (list(&said, "routes")?, list(&seen, "routes")?);
    ensure!(said.len() == REQUESTS.len() + 1 && seen.len() == said.len(), "{said:#?}\n{seen:#?}");
    for route in said {
        let other = same(seen, route, &["method", "route"])?;
        compare(&route["route"].to_string(), route, other, &figures)?;
        if route["route"] == "/proxy" {
            compare("/proxy", route, other, &["avg_outgoing", "avg_outgoing_ms"])?;
        }
    }

    let (said, seen) = (ask("/api/outgoing", SDK)?, ask("/api/outgoing", &own)?);
    let [host] = list(&said, "hosts")? else { anyhow::bail!("{said:#}") };
    let other = same(list(&seen, "hosts")?, host, &["host"])?;
    compare("the host called", host, other, &["calls", "errors", "avg_ms", "total_ms"])?;

    let (said, seen) = (ask("/api/error_groups", SDK)?, ask("/api/error_groups", &own)?);
    let [group] = list(&said, "groups")? else { anyhow::bail!("{said:#}") };
    let other = same(list(&seen, "groups")?, group, &["error_type", "error_message", "affected_routes"])?;
    compare("the error", group, other, &["count", "routes_count"])?;
    let raised = "raise ValueError(\"out of stock\")";
    for group in [group, other] {
        let traceback = group["sample_traceback"].as_str().unwrap_or_default();
        ensure!(traceback.contains(raised), "{traceback}");
    }
    for service in [SDK, &own] {
        let recent = agent.get(&format!("/api/recent_errors?service={service}"))?;
        let errors = list(&recent, "errors")?;
        let named = |error: &Value| error["error"] == "ValueError";
        ensure!(errors.len() == CLIENTS && errors.iter().all(named), "{service}: {recent:#}");
    }
    Ok(Verdict::Passed(format!("{all} requests, {compared} figures, at most {:.2} % apart", worst * 100.0)))
}

/// Sends every request from every client.
fn send(address: &Address) -> Result<()> {
    let port = address.port();
    let client = move |first: usize| -> Result<()> {
        // A connection for each request: uvicorn closes one whose handler failed.
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
        let http = config.build().new_agent();
        for (method, path) in REQUESTS.iter().cycle().skip(first).take(REQUESTS.len()) {
            let url = format!("http://127.0.0.1:{port}{path}");
            let answer = if *method == "POST" { http.post(&url).send("{}") } else { http.get(&url).call() };
            let mut answer = answer.with_context(|| format!("{method} {path}"))?;
            answer.body_mut().read_to_string()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|first| scope.spawn(move || client(first))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })
}

/// The name that the agent gave the app.
fn own_name(agent: &Agent) -> Result<String> {
    let status = agent.get("/api/status")?;
    Ok(status["processes"][0]["service"].as_str().context("no process")?.to_owned())
}

fn list<'a>(answer: &'a Value, name: &str) -> Result<&'a [Value]> {
    answer[name].as_array().map(Vec::as_slice).with_context(|| format!("no {name} in {answer:#}"))
}

/// The row with the same fields.
fn same<'a>(rows: &'a [Value], row: &Value, fields: &[&str]) -> Result<&'a Value> {
    let found = rows.iter().find(|other| fields.iter().all(|field| other[field] == row[field]));
    found.with_context(|| format!("{row:#} is not among {rows:#?}"))
}

fn number(value: &Value, what: &str, field: &str) -> Result<f64> {
    value.as_f64().with_context(|| format!("{what}: {field} is {value}"))
}
