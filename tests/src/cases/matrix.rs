//! Every server on every Python: the agent's record equals the app's own, one to one.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::load::{Fate, Load, SECRET, Sent, Until};
use crate::places::{PYTHONS, Places, file_with};
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::{KINDS, Kind, Server};
use crate::{score, truth};

/// Requests per server and version; `--long` sends ten times as many.
const REQUESTS: u64 = 2000;
/// Concurrent connections.
const CLIENTS: u64 = 8;

pub(super) fn cases() -> Vec<Case> {
    let of = |(nth, kind): (usize, &'static Kind)| {
        Case::on_pythons(&format!("one-to-one/{}", kind.name), nth, move |places, version| {
            let Some(python) = places.python(version) else {
                return Ok(Verdict::Skipped(format!("Python {version} is not on this machine")));
            };
            let scratch = places.scratch()?;
            let server = Server::start(kind, &python, &places.apps(), scratch.path())?;
            let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
            let sent = load(kind, &server, places).run();
            one_to_one(&mut agent, server, &sent).map(Verdict::Passed)
        })
    };
    KINDS.iter().enumerate().flat_map(of).collect()
}

/// The harness itself: what the clients and the app wrote down must be equal before an agent is judged by it.
pub(super) fn harness() -> Vec<Case> {
    let all = PYTHONS.iter().flat_map(|&version| KINDS.iter().map(move |kind| (version, kind)));
    let case = |(version, kind): (&'static str, &'static Kind)| {
        Case::new(format!("harness/{}/{version}", kind.name), move |places| {
            let Some(python) = places.python(version) else {
                return Ok(Verdict::Skipped(format!("Python {version} is not on this machine")));
            };
            let scratch = places.scratch()?;
            let server = Server::start(kind, &python, &places.apps(), scratch.path())?;
            let sent = load(kind, &server, places).run();
            let log = finish(server, &sent)?;
            score::app_against_load(&sent, &log)?;
            let timed = log.iter().filter(|one| one.read.is_some()).count();
            ensure!(timed * 2 > log.len(), "only {timed} of {} requests were timed by the app", log.len());
            Ok(Verdict::Passed(format!("{} requests, {timed} timed", log.len())))
        })
    };
    all.map(case).collect()
}

fn load(kind: &Kind, server: &Server, places: &Places) -> Load<'static> {
    let requests = if places.long { 10 * REQUESTS } else { REQUESTS };
    let until = Until::Requests(requests);
    Load {
        address: server.address.clone(),
        clients: CLIENTS,
        traits: kind.traits,
        seed: 7,
        until,
        pause: Duration::ZERO,
    }
}

/// Waits until the app has written down all that was answered, ends the server and reads what it wrote.
pub(super) fn finish(mut server: Server, sent: &[Sent]) -> Result<Vec<truth::Served>> {
    let answered: HashSet<&str> =
        sent.iter().filter(|one| one.fate == Fate::Answered).map(|one| one.path.as_str()).collect();
    let directory = server.truth.clone();
    // A line is written when the connection's next bytes, or its end, arrive. What is still missing then is told by
    // the comparison.
    let _ = until(Duration::from_secs(5), "the app's log", || {
        let log = truth::read(&directory)?;
        let known = log.iter().filter(|one| answered.contains(one.path.as_str())).count();
        Ok((known >= answered.len()).then_some(()))
    });
    let _ = server.process.stop(libc::SIGTERM, Duration::from_secs(2));
    drop(server);
    truth::read(&directory)
}

/// Stops server and agent and compares their records.
pub(super) fn one_to_one(agent: &mut Agent, server: Server, sent: &[Sent]) -> Result<String> {
    let log = finish(server, sent)?;
    score::app_against_load(sent, &log)?;
    // The agent flushes at intervals and at its end: its end is awaited, not guessed.
    let losses = agent.losses()?;
    agent.stop()?;
    let events = until(Duration::from_secs(1), "the database to open", || Ok(agent.events().ok()))?;
    let report = score::agent_against_app(sent, &log, &events);
    let report = report.with_context(|| format!("losses: {losses:?}\n{}", agent.process.output()))?;
    if let Some(file) = file_with(agent.store(), SECRET)? {
        anyhow::bail!("a credential, query value or body reached {}", file.display());
    }
    Ok(report.to_string())
}
