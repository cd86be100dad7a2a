//! The same app with a middleware in it and under the agent's eyes: per route the same totals, errors, statements, calls and
//! times, where the work is done in the request's own context. Where it is done in copies of it (`gather`, threads of a
//! pool), the middleware of `backtrack_route101` counts no calls, and the agent all.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Peers, WAIT};
use crate::agent::Agent;
use crate::places::Places;
use crate::port::free_port;
use crate::process::{Process, until};

/// The name that the app gives itself.
const SDK: &str = "by-sdk";
/// Requests per route, one at a time: those that wait for each other would wait where only one of two clocks runs.
const TIMES: u64 = 10;
/// Routes, and the calls that each request makes in copies of its context.
const ROUTES: &[(&str, f64)] =
    &[("own", 0.0), ("statements", 0.0), ("fails", 0.0), ("gather", 3.0), ("threads", 3.0)];

pub(super) fn judge(places: &Places, peers: &Peers) -> Result<String> {
    let python = places.applications()?;
    let scratch = places.scratch()?;
    let (port, collector) = (free_port()?, free_port()?);
    let mut command = Command::new(python);
    command.arg("app.py").arg(port.to_string()).arg(format!("http://127.0.0.1:{collector}/ingest"));
    command.current_dir(places.apps().join("compared"));
    super::environment(&mut command, peers);
    let mut process = Process::start("compared", &mut command, &scratch.path().join("server.log"))?;
    until(WAIT, "the server to listen", || {
        process.check_alive()?;
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
    })?;
    let pid = process.pid();
    let agent =
        Agent::start_on(collector, &places.agent, &["--pid".to_owned(), pid.to_string()], scratch.path())?;
    agent.attached(pid)?;
    // A connection for each request: uvicorn closes one whose handler failed.
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
    let web = config.build().new_agent();
    for number in 0..TIMES {
        for (route, _) in ROUTES {
            let url = format!("http://127.0.0.1:{port}/{route}/{number}");
            let mut answer = web.get(&url).call().with_context(|| url.clone())?;
            answer.body_mut().read_to_string()?;
            let wanted = if *route == "fails" { 500 } else { 200 };
            ensure!(answer.status() == wanted, "{url}: {}\n{}", answer.status(), process.output());
        }
    }
    let status = agent.get("/api/status")?;
    let own = status["processes"][0]["service"].as_str().context("no process")?.to_owned();
    let all = TIMES * ROUTES.len() as u64;
    let count = |service: &str| -> Result<u64> {
        let overview = agent.get(&format!("/api/overview?w=900&service={service}"))?;
        overview["total_requests"].as_u64().context("no total_requests")
    };
    until(WAIT, "both to have told all requests", || {
        Ok((count(SDK)? == all && count(&own)? == all).then_some(()))
    })
    .with_context(|| format!("sdk {:?}, agent {:?} of {all}", count(SDK), count(&own)))?;

    let routes = |service: &str| agent.get(&format!("/api/routes?w=900&service={service}"));
    let (said, seen) = (routes(SDK)?, routes(&own)?);
    let mut worst: f64 = 0.0;
    let mut note = String::new();
    for &(route, copied) in ROUTES {
        let name = format!("/{route}/{{number}}");
        let (said, seen) = (row(&said, &name)?, row(&seen, &name)?);
        for field in ["total", "errors", "avg_db_queries"] {
            let (said, seen) = (figure(said, field)?, figure(seen, field)?);
            ensure!(said == seen, "{name}: {field} is {said} to the middleware and {seen} to the agent");
        }
        let [said_calls, seen_calls] = [figure(said, "avg_outgoing")?, figure(seen, "avg_outgoing")?];
        if copied == 0.0 {
            ensure!(said_calls == seen_calls, "{name}: {said_calls} calls, and {seen_calls} to the agent");
        } else {
            ensure!(seen_calls == copied, "{name}: the agent counts {seen_calls} calls of {copied}");
            ensure!(said_calls == 0.0, "{name}: the middleware counts {said_calls} calls");
            note += &format!("; {route}: {seen_calls} calls a request, {said_calls} by the middleware");
        }
        let [said_ms, seen_ms] = [figure(said, "avg_ms")?, figure(seen, "avg_ms")?];
        let apart = (said_ms - seen_ms).abs();
        let allowed = f64::max(1.0, 0.05 * said_ms);
        ensure!(apart <= allowed, "{name}: {said_ms:.2} ms to the middleware, {seen_ms:.2} ms to the agent");
        worst = worst.max(apart / said_ms);
    }
    sent_by(&agent.get(&format!("/api/queries?w=900&service={own}"))?)?;
    Ok(format!("{all} requests, times at most {:.1} % apart{note}", worst * 100.0))
}

/// Every statement of the routes is sent by the one line of the app that sends statements.
fn sent_by(answer: &Value) -> Result<()> {
    let sleeps = |query: &&Value| query["sql"].as_str().is_some_and(|sql| sql.contains("pg_sleep"));
    let query = answer["queries"].as_array().and_then(|queries| queries.iter().find(sleeps));
    let query = query.with_context(|| format!("no statement of the app's in {answer:#}"))?;
    let [site] = query["call_sites"].as_array().map_or(&[][..], Vec::as_slice) else {
        bail!("not one call site: {query:#}");
    };
    let line = site["site"].as_str().unwrap_or_default();
    let all = site["count"] == query["calls"] && query["calls"] == 3 * TIMES;
    ensure!(all && line.ends_with(" execute") && line.contains("/app.py:"), "{query:#}");
    Ok(())
}

fn row<'a>(answer: &'a Value, route: &str) -> Result<&'a Value> {
    let rows = answer["routes"].as_array().context("no routes")?;
    match rows.iter().find(|row| row["route"] == route) {
        Some(row) => Ok(row),
        None => bail!("{route} is not among {rows:#?}"),
    }
}

/// A figure of a route; the middleware leaves a count of 0 out.
fn figure(row: &Value, field: &str) -> Result<f64> {
    if row[field].is_null() && field.starts_with("avg_") {
        return Ok(0.0);
    }
    row[field].as_f64().with_context(|| format!("{field} is {} in {row}", row[field]))
}
