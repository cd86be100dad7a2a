//! The wall clock is set while an agent runs.
//!
//! The machine's own clock is everybody's, so the agent alone is told another time: by libfaketime, which stands between it
//! and `clock_gettime(CLOCK_REALTIME)`. The agent is the one that users run. The kernel's clock, which the events carry, is
//! not touched, as it is not when a clock is set.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{SHOWN, request};
use crate::agent::Agent;
use crate::places::Places;
use crate::process::until;
use crate::runner::Verdict;
use crate::server::{Server, kind};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// What the clock is set to, as libfaketime has it, by seconds beside the true time.
const STEPS: [(&str, f64); 5] =
    [("+0", 0.0), ("+86400", 86_400.0), ("-7200", -7200.0), ("+1.5", 1.5), ("+0", 0.0)];
/// Requests after each step.
const SENT: usize = 50;
/// Most seconds between a request and the clock that it is shown with.
const OFF: f64 = 5.0;

/// Every request is seen once whatever the clock does, those since the last step carry the new time, and the agent goes on.
pub(super) fn stepped(places: &Places) -> Result<Verdict> {
    if !Path::new(LIBRARY).exists() {
        return Ok(Verdict::Skipped("no libfaketime on this machine".to_owned()));
    }
    let scratch = places.scratch()?;
    let server = Server::start(kind("http.server"), &places.any_python()?, &places.apps(), scratch.path())?;
    let pid = server.process.pid();
    let setting = scratch.path().join("clock");
    fs::write(&setting, STEPS[0].0)?;
    let file = setting.display().to_string();
    let environment = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    // Longer than any step: by the clock set forth, requests of a moment ago are as old as it says.
    let arguments = ["--pid", &pid.to_string(), "--retention", "604800"].map(str::to_owned);
    let mut agent = Agent::start_in(&environment, &places.agent, &arguments, scratch.path())?;
    agent.attached(pid)?;
    for (step, (setting_text, seconds)) in STEPS.iter().enumerate() {
        fs::write(&setting, setting_text)?;
        // The agent looks at the clock from time to time: a request shows when it has.
        until(SHOWN, "the clock to be taken over", || {
            let path = format!("/probe/{step}");
            send(&server, &path)?;
            Ok(times(&agent, &path)?.iter().any(|ts| (ts - now() - seconds).abs() < OFF).then_some(()))
        })
        .with_context(|| format!("set to {setting_text}"))?;
        for n in 0..SENT {
            send(&server, &format!("/at/{step}/{n}"))?;
        }
        let last = format!("/at/{step}/{}", SENT - 1);
        let ts = until(SHOWN, &format!("{last} to be listed"), || Ok(times(&agent, &last)?.pop()))?;
        ensure!(
            (ts - now() - seconds).abs() < OFF,
            "{last} is shown at {ts}, the clock is {}",
            now() + seconds
        );
        let lately = agent.get("/api/overview?w=60")?["total_requests"].as_u64().context("no total")?;
        ensure!(lately >= SENT as u64, "step {step}: {lately} requests in the last minute");
    }
    let losses = agent.losses()?;
    ensure!(losses.is_empty(), "losses: {losses:?}");
    agent.stop()?;
    let events = agent.events()?;
    for (step, n) in (0..STEPS.len()).flat_map(|step| (0..SENT).map(move |n| (step, n))) {
        let path = format!("/at/{step}/{n}");
        let times = events.iter().filter(|event| event.path == path).count();
        ensure!(times == 1, "{path} is there {times} times");
    }
    let long = events.iter().map(|event| event.duration_ms).fold(0.0, f64::max);
    ensure!(long < 60_000.0, "a request is said to have taken {long} ms");
    Ok(Verdict::Passed(format!(
        "a day forth, two hours and a day back, 1.5 s forth and back: {} requests, each once",
        STEPS.len() * SENT
    )))
}

/// The true time.
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

fn send(server: &Server, path: &str) -> Result<()> {
    use std::io::{Read, Write};
    let crate::load::Address::Tcp(address) = &server.address else { anyhow::bail!("not TCP") };
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(request(path).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1."), "{path}: {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// When requests for `path` are said to have ended.
fn times(agent: &Agent, path: &str) -> Result<Vec<f64>> {
    let requests = agent.get("/api/requests?window=300&limit=1000")?;
    let requests = requests["requests"].as_array().context("no list of requests")?;
    Ok(requests.iter().filter(|one| one["path"] == path).filter_map(|one| one["ts"].as_f64()).collect())
}
