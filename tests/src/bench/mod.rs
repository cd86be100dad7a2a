//! `cargo xtask bench`: what watching costs the watched app, and what the agent itself takes.

mod report;
mod usage;
mod wrk;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::agent::{Agent, events};
use crate::places::Places;
use crate::server::Server;
use report::{Report, Round, Side};
use usage::Usage;
use wrk::Wrk;

/// Connections of the load.
const CONNECTIONS: u32 = 32;
/// Part of the bare app's capacity at which latency is measured: a saturated server's latency is only its queue.
const PACE: f64 = 0.7;

const APP: &str = "-m uvicorn app:app --host 127.0.0.1 --port {port} --loop uvloop --http httptools \
                   --no-access-log --log-level warning";

/// Runs the rounds, prints each, and writes the report as Markdown to `output`.
pub(crate) fn run(places: &Places, rounds: u32, seconds: u32, output: &Path) -> Result<bool> {
    let python = places.any_python()?;
    let scratch = places.scratch()?;
    let server = Server::start_with("uvicorn", APP, &python, &places.apps().join("bench"), scratch.path())?;
    let wrk =
        Wrk { port: server.address.port(), seconds, script: places.apps().join("bench").join("paced.lua") };
    println!("warming up");
    let warm = wrk.saturate()?;
    // Each connection answers, waits, and asks again: with all of them this makes the rate aimed at.
    let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / (PACE * warm.rate));
    let mut report = Report::new(&python)?;
    for number in 1..=rounds {
        // Who goes first alternates, so that a drift of the machine favours neither.
        let (bare, watched) = if number % 2 == 1 {
            let bare = measure(&wrk, pause)?;
            (bare, measure_watched(places, &wrk, pause, &server)?)
        } else {
            let watched = measure_watched(places, &wrk, pause, &server)?;
            (measure(&wrk, pause)?, watched)
        };
        let round = Round { bare, watched: watched.0, usage: watched.1 };
        println!("round {number}/{rounds}: {round}");
        report.rounds.push(round);
    }
    std::fs::write(output, report.to_string())
        .with_context(|| format!("cannot write {}", output.display()))?;
    println!("\n{report}");
    Ok(true)
}

fn measure(wrk: &Wrk, pause: Duration) -> Result<Side> {
    Ok(Side { saturated: wrk.saturate()?, paced: wrk.pace(pause)? })
}

fn measure_watched(places: &Places, wrk: &Wrk, pause: Duration, server: &Server) -> Result<(Side, Usage)> {
    let scratch = places.scratch()?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let before = usage::cpu(agent.process.pid())?;
    let side = measure(wrk, pause)?;
    let cpu = usage::cpu(agent.process.pid())? - before;
    let memory_mb = usage::peak_memory_mb(agent.process.pid())?;
    let losses = agent.losses()?;
    let store = agent.store().join("apm.db");
    agent.stop()?;
    let recorded = events(&store)?.len() as u64;
    let answered = side.saturated.requests + side.paced.requests;
    Ok((side, Usage { cpu, memory_mb, answered, recorded, losses }))
}
