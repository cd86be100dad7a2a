//! Prometheus scrapes the agent and answers with the agent's figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::Agent;
use crate::places::Places;
use crate::port::free_port;
use crate::process::{Process, until};
use crate::runner::{Case, Verdict};
use crate::server::Server;

/// Debian's.
const PROMETHEUS: &str = "/usr/bin/prometheus";
/// What is sent: method, path, how often, and the route that it belongs to.
const REQUESTS: &[(&str, &str, u64, &str)] = &[
    ("GET", "/products?page=2", 30, "/products"),
    ("GET", "/users/3", 25, "/users/{id}"),
    ("GET", "/users/17", 5, "/users/{id}"),
    ("POST", "/orders", 20, "/orders"),
];
const WAIT: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("metrics/prometheus", prometheus)]
}

fn prometheus(places: &Places) -> Result<Verdict> {
    if !Path::new(PROMETHEUS).exists() {
        return Ok(Verdict::Skipped("no Prometheus on this machine".to_owned()));
    }
    let scratch = places.scratch()?;
    let python = places.any_python()?;
    let demo = places.apps().join("demo");
    let server = Server::start_with("the demo app", "shop.py {port}", &python, &demo, scratch.path())?;
    let agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let mut statuses = BTreeMap::<(String, String, String), u64>::new();
    for &(method, path, times, route) in REQUESTS {
        for _ in 0..times {
            let status = send(server.address.port(), method, path)?;
            *statuses.entry((method.into(), route.into(), format!("{}xx", status / 100))).or_default() += 1;
        }
    }
    let (_process, port) = scrape(agent.page().trim_end_matches('/'), scratch.path())?;
    let ask = |query: &str| -> Result<Vec<Value>> {
        let mut answer =
            ureq::get(format!("http://127.0.0.1:{port}/api/v1/query")).query("query", query).call()?;
        let answer: Value = answer.body_mut().read_json()?;
        Ok(answer["data"]["result"].as_array().with_context(|| format!("{query}: {answer:#}"))?.clone())
    };
    let counted = || -> Result<BTreeMap<(String, String, String), u64>> {
        let rows = ask("sum by (method, route, status) (apm_requests_total)")?;
        let label = |row: &Value, name: &str| row["metric"][name].as_str().unwrap_or_default().to_owned();
        let key = |row: &Value| (label(row, "method"), label(row, "route"), label(row, "status"));
        // A series is there from the first request of its route on, at 0 for the other classes of status.
        let counts = rows.iter().map(|row| Ok((key(row), value(row)? as u64)));
        Ok(counts.collect::<Result<Vec<_>>>()?.into_iter().filter(|(_, count)| *count > 0).collect())
    };
    until(WAIT, "Prometheus to have every request", || Ok((counted()? == statuses).then_some(())))
        .with_context(|| format!("Prometheus has {:#?}, sent were {statuses:#?}", counted()))?;

    let one = |query: &str| -> Result<f64> {
        let rows = ask(query)?;
        ensure!(rows.len() == 1, "{query} gives {rows:?}");
        value(&rows[0])
    };
    ensure!(one("up")? == 1.0, "the agent is not up");
    let sent: u64 = REQUESTS.iter().map(|(_, _, times, _)| times).sum();
    ensure!(one("sum(apm_request_duration_seconds_count)")? == sent as f64, "the histogram lacks requests");
    let overview = agent.get("/api/overview?w=900")?;
    let average =
        one("sum(apm_request_duration_seconds_sum) / sum(apm_request_duration_seconds_count)")? * 1e3;
    let ours = overview["avg_duration_ms"].as_f64().context("no average")?;
    ensure!(
        (average - ours).abs() <= 0.01 * ours,
        "on average {average} ms to Prometheus, {ours} to the page"
    );
    ensure!(
        one("sum(apm_request_errors_total)")? == overview["errors"].as_f64().unwrap_or(-1.0),
        "{overview:#}"
    );
    ensure!(one("apm_watched_processes")? == 1.0, "not one process");
    for positive in
        ["apm_service_memory_bytes", "apm_agent_memory_bytes", "apm_store_size_bytes", "apm_store_ok"]
    {
        ensure!(one(positive)? > 0.0, "{positive} is not positive");
    }
    let losses = ask("apm_losses_total")?;
    ensure!(!losses.is_empty(), "no losses are counted");
    Ok(Verdict::Passed(format!("{} series of requests, {} kinds of loss", statuses.len(), losses.len())))
}

/// Starts Prometheus, which scrapes the agent every second. Gives its port, too.
fn scrape(agent: &str, scratch: &Path) -> Result<(Process, u16)> {
    let port = free_port()?;
    let config = scratch.join("prometheus.yml");
    let target = agent.trim_start_matches("http://");
    let jobs = format!("scrape_configs: [{{job_name: apm, static_configs: [{{targets: ['{target}']}}]}}]");
    fs::write(&config, format!("global: {{scrape_interval: 1s}}\n{jobs}\n"))?;
    let mut command = Command::new(PROMETHEUS);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", scratch.join("prometheus").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut process = Process::start("prometheus", &mut command, &scratch.join("prometheus.log"))?;
    until(WAIT, "Prometheus to be ready", || {
        process.check_alive()?;
        Ok(ureq::get(format!("http://127.0.0.1:{port}/-/ready")).call().ok().map(drop))
    })
    .with_context(|| process.output())?;
    Ok((process, port))
}

/// Sends one request; gives its status.
fn send(port: u16, method: &str, path: &str) -> Result<u16> {
    let client: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("http://127.0.0.1:{port}{path}");
    let mut answer =
        if method == "POST" { client.post(&url).send("{}")? } else { client.get(&url).call()? };
    answer.body_mut().read_to_vec()?;
    Ok(answer.status().as_u16())
}

/// The value of a row of an instant vector, which Prometheus writes as a text.
fn value(row: &Value) -> Result<f64> {
    let text = row["value"][1].as_str().with_context(|| format!("no value: {row}"))?;
    Ok(text.parse()?)
}
