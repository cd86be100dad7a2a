//! `cargo xtask bench`: what watching costs the watched app, and what the agent itself takes.

pub(crate) mod attach;
pub(crate) mod exceptions;
pub(crate) mod footprint;
pub(crate) mod peers;
mod report;
mod stage;
mod usage;
mod wrk;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::{Agent, events};
use crate::places::Places;
use report::{Report, Round, Side};
use stage::{Served, Stage};
use usage::Usage;
pub(crate) use usage::{peak_memory_mb, restart_peak_memory_mb};
use wrk::Wrk;

/// Connections of the load.
const CONNECTIONS: u32 = 32;
/// Part of the bare app's capacity at which latency is measured: a saturated server's latency is only its queue.
const PACE: f64 = 0.7;

/// What a request makes the app do beside answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Nothing,
    /// One SQL statement, over a pool of asyncpg.
    Query,
    /// One HTTP call, by httpx.
    Call,
}

/// What is asked of which server.
struct Workload {
    /// Its name in the report.
    name: &'static str,
    /// `http` or `https`
    scheme: &'static str,
    path: &'static str,
    does: Does,
}

const WORKLOADS: &[Workload] = &[
    Workload { name: "/ping", scheme: "http", path: "/ping", does: Does::Nothing },
    Workload { name: "/ping, HTTPS", scheme: "https", path: "/ping", does: Does::Nothing },
    Workload { name: "/db, asyncpg", scheme: "http", path: "/db", does: Does::Query },
    Workload { name: "/db, asyncpg, TLS", scheme: "http", path: "/db-tls", does: Does::Query },
    Workload { name: "/call, httpx", scheme: "http", path: "/call", does: Does::Call },
    Workload { name: "/call, httpx, TLS", scheme: "http", path: "/call-tls", does: Does::Call },
];

/// Runs the rounds of every workload whose name contains `only`, prints each, and writes the report as Markdown to `output`.
pub(crate) fn run(
    places: &Places,
    rounds: u32,
    seconds: u32,
    only: Option<&str>,
    output: &Path,
) -> Result<bool> {
    let workloads =
        || WORKLOADS.iter().filter(|workload| only.is_none_or(|only| workload.name.contains(only)));
    ensure!(workloads().next().is_some(), "no workload has {} in its name", only.unwrap_or_default());
    let stage = Stage::start(places)?;
    let mut report = Report::new(&places.any_python()?)?;
    for workload in workloads() {
        let server = match (workload.does, workload.scheme) {
            (Does::Nothing, "https") => &stage.ping_tls,
            (Does::Nothing, _) => &stage.ping,
            (Does::Query | Does::Call, _) => &stage.calling,
        };
        let url = format!("{}://127.0.0.1:{}{}", workload.scheme, server.port, workload.path);
        let wrk = Wrk { url, seconds, script: places.apps().join("bench").join("paced.lua") };
        println!("{}: warming up", workload.name);
        let warm = wrk.saturate()?;
        // Each connection answers, waits, and asks again: with all of them this makes the rate aimed at.
        let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / (PACE * warm.rate));
        for number in 1..=rounds {
            // Who goes first alternates, so that a drift of the machine favours neither.
            let (bare, watched) = if number % 2 == 1 {
                let bare = measure(&wrk, pause, server.process.pid())?;
                (bare, measure_watched(places, &wrk, pause, server, workload.does)?)
            } else {
                let watched = measure_watched(places, &wrk, pause, server, workload.does)?;
                (measure(&wrk, pause, server.process.pid())?, watched)
            };
            let round = Round { bare, watched: watched.0, usage: watched.1 };
            println!("{}: round {number}/{rounds}: {round}", workload.name);
            report.add(workload.name, round);
        }
    }
    report.ends()?;
    std::fs::write(output, report.to_string())
        .with_context(|| format!("cannot write {}", output.display()))?;
    println!("\n{report}");
    Ok(true)
}

/// Loads the app whose process is `pid`.
fn measure(wrk: &Wrk, pause: Duration, pid: u32) -> Result<Side> {
    let before = usage::cpu(pid)?;
    let saturated = wrk.saturate()?;
    let app_us = (usage::cpu(pid)? - before).as_secs_f64() * 1e6 / saturated.requests.max(1) as f64;
    Ok(Side { saturated, paced: wrk.pace(pause)?, alone: wrk.alone()?, app_us })
}

fn measure_watched(
    places: &Places,
    wrk: &Wrk,
    pause: Duration,
    server: &Served,
    does: Does,
) -> Result<(Side, Usage)> {
    let scratch = places.scratch()?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let before = usage::cpu(agent.process.pid())?;
    let side = measure(wrk, pause, server.process.pid())?;
    let cpu = usage::cpu(agent.process.pid())? - before;
    let memory_mb = peak_memory_mb(agent.process.pid())?;
    let losses = agent.losses()?;
    let store = agent.store().join("apm.db");
    agent.stop()?;
    let answered = side.requests();
    let recorded = events(&store)?.len() as u64;
    let made = match does {
        Does::Nothing => answered,
        Does::Query => usage::queries(&store)?,
        Does::Call => usage::calls(&store)?,
    };
    Ok((side, Usage { cpu, memory_mb, answered, recorded, made, losses }))
}
