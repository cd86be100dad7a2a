//! Agents and apps that are killed or replaced: the app fails no request for the agent's sake, and what comes after is seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Pair, SHOWN, request};
use crate::agent::Agent;
use crate::load::{Fate, Load, Until};
use crate::places::Places;
use crate::process::until;
use crate::runner::Verdict;
use crate::server::kind;

/// The agent is killed under load and started again: no request fails, the store is taken up where it was, and
/// all requests since then are seen.
pub(super) fn agent_killed(places: &Places) -> Result<Verdict> {
    let kills = if places.long { 10 } else { 1 };
    let scratch = places.scratch()?;
    let python = places.any_python()?;
    let name = "uvicorn-asyncio-h11";
    let server = crate::server::Server::start(kind(name), &python, &places.apps(), scratch.path())?;
    let pid = server.process.pid();
    let stop = AtomicBool::new(false);
    let load = |until, seed| Load {
        address: server.address.clone(),
        clients: 4,
        traits: kind(name).traits,
        seed,
        until,
        pause: Duration::from_millis(5),
    };
    let (sent, mut agent) = thread::scope(|scope| {
        let under_load = load(Until::Stopped(&stop), 71);
        let sending = scope.spawn(move || under_load.run());
        let lives = || -> Result<Agent> {
            let mut agent = Agent::watch(&places.agent, pid, scratch.path())?;
            for _ in 0..kills {
                recording(&agent)?;
                // The kernel takes all probes off before the process is gone.
                agent.process.stop(libc::SIGKILL, Duration::from_secs(60))?;
                agent = Agent::watch(&places.agent, pid, scratch.path())?;
            }
            recording(&agent)?;
            Ok(agent)
        };
        let agent = lives();
        stop.store(true, Ordering::Relaxed);
        (sending.join().expect("the load does not panic"), agent)
    });
    let agent = agent.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let failed: Vec<_> = sent.iter().filter(|one| matches!(one.fate, Fate::Failed(_))).collect();
    ensure!(failed.is_empty(), "requests failed: {failed:?}");
    let notices = agent.get("/api/status")?["store"]["notices"].clone();
    ensure!(notices.as_array().is_some_and(Vec::is_empty), "the store was not taken up: {notices}");
    let after = load(Until::Requests(300), 72).run();
    let failed: Vec<_> = after.iter().filter(|one| matches!(one.fate, Fate::Failed(_))).collect();
    ensure!(failed.is_empty(), "requests failed after the last start: {failed:?}");
    agent.stop()?;
    let events = agent.events()?;
    let mut missing = after.iter().filter(|one| matches!(one.fate, Fate::Answered));
    let missing = missing.find(|one| !events.iter().any(|event| event.path == one.path));
    ensure!(missing.is_none(), "not seen after the last start: {missing:?}");
    let unknown = events.iter().find(|event| !sent.iter().chain(&after).any(|one| one.path == event.path));
    ensure!(unknown.is_none(), "never sent: {unknown:?}");
    Ok(Verdict::Passed(format!(
        "{kills} times killed; {} requests answered meanwhile, none failed; {} after it, all seen",
        sent.len(),
        after.len()
    )))
}

/// Waits until the agent has written some of the requests that are being sent.
fn recording(agent: &Agent) -> Result<()> {
    until(SHOWN, "requests to be shown", || {
        let total = agent.get("/api/overview?w=2")?["total_requests"].as_u64().context("no total")?;
        Ok((total > 20).then_some(()))
    })
}

/// An app that puts another program image in its process's place: same number, other memory, other sockets.
pub(super) fn app_execs(places: &Places) -> Result<Verdict> {
    const TIMES: u32 = 2;
    let mut pair = Pair::start_with(places, "faults/streams.py {port}", &[])?;
    for n in 0..TIMES {
        pair.shown(&format!("/before/{n}"))?;
        pair.send(request("/exec").as_bytes())?;
        until(SHOWN, "the app to listen again", || {
            Ok(pair.send(request("/up").as_bytes()).is_ok_and(|answer| !answer.is_empty()).then_some(()))
        })?;
        pair.shown(&format!("/after/{n}"))?;
    }
    pair.no_losses()?;
    pair.agent.stop()?;
    let events = pair.agent.events()?;
    let count = |path: &str| events.iter().filter(|event| event.path.starts_with(path)).count();
    ensure!(count("/before/") == TIMES as usize && count("/after/") == TIMES as usize, "{events:?}");
    Ok(Verdict::Passed(format!(
        "{TIMES} times, seen before and after; {} of {TIMES} requests that it never ended",
        count("/exec")
    )))
}
