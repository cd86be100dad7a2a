//! What the agent's options turn off is not there, and all else is; and an agent that is told of no process watches those that
//! come later.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::call_sites::peer;
use super::matrix::finish;
use crate::agent::Agent;
use crate::load::{Load, Until};
use crate::places::Places;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::score;
use crate::server::{Server, kind};
use crate::store;

/// Requests to the app; each makes one call, and fails.
const REQUESTS: usize = 20;
const WAIT: Duration = Duration::from_secs(20);
/// Probes that options turn off.
const PROBES: [&str; 3] = ["attribution", "call sites", "exceptions"];

/// What is found of the requests: calls linked to the one that makes them, calls with their line in the app, and requests
/// with their traceback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    linked: usize,
    sites: usize,
    tracebacks: usize,
}

const ALL: Found = Found { linked: REQUESTS, sites: REQUESTS, tracebacks: REQUESTS };

/// A case, its option, and what is found with it. Exceptions and lines are read where attribution looks.
const OPTIONS: &[(&str, Option<&str>, Found)] = &[
    ("none", None, ALL),
    ("no-attribution", Some("--no-attribution"), Found { linked: 0, sites: 0, tracebacks: 0 }),
    ("no-call-sites", Some("--no-call-sites"), Found { sites: 0, ..ALL }),
    ("no-exceptions", Some("--no-exceptions"), Found { tracebacks: 0, ..ALL }),
];

pub(super) fn cases() -> Vec<Case> {
    let each = |&(name, option, wanted): &'static (&str, Option<&str>, Found)| {
        Case::new(format!("options/{name}"), move |places| turned_off(places, option, wanted))
    };
    let mut cases: Vec<Case> = OPTIONS.iter().map(each).collect();
    // It puts probes on every Python of the machine.
    cases.push(Case::new("options/no-pid", started_later).alone());
    cases
}

fn turned_off(places: &Places, option: Option<&str>, wanted: Found) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let python = places.any_python()?;
    let apps = places.apps().join("options");
    let arguments = format!("app.py {{port}} {}", peer()?);
    let server = Server::start_with("an app that fails", &arguments, &python, &apps, scratch.path())?;
    let pid = server.process.pid();
    let mut arguments = vec!["--pid".to_owned(), pid.to_string()];
    arguments.extend(option.map(str::to_owned));
    let mut agent = Agent::start(&places.agent, &arguments, scratch.path())?;
    agent.attached(pid)?;
    let on = [wanted.linked > 0, wanted.sites > 0, wanted.tracebacks > 0];
    for (probe, _) in PROBES.iter().zip(on).filter(|(_, on)| *on) {
        agent.attached_to_first(probe)?;
    }
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(WAIT));
    let web = config.build().new_agent();
    for number in 0..REQUESTS {
        let url = format!("http://127.0.0.1:{}/fail/{number}", server.address.port());
        let mut answer = web.get(&url).call().with_context(|| url.clone())?;
        answer.body_mut().read_to_vec()?;
        ensure!(answer.status() == 500, "{url}: {}\n{}", answer.status(), server.process.output());
    }
    let status = agent.get("/api/status")?;
    let probes = status["processes"][0]["probes"].as_array().context("/api/status names no probes")?;
    for (name, on) in PROBES.iter().zip(on) {
        let there = probes.iter().any(|probe| probe["name"] == *name && probe["attached"] == true);
        ensure!(there == on, "{name} is attached: {there}; {probes:#?}");
    }
    let service = status["processes"][0]["service"].as_str().context("no service")?;
    until(WAIT, "all requests to be counted", || {
        let overview = agent.get(&format!("/api/overview?w=600&service={service}"))?;
        Ok((overview["total_requests"] == REQUESTS).then_some(()))
    })?;
    let groups = agent.get(&format!("/api/error_groups?w=600&service={service}"))?;
    let groups = groups["groups"].as_array().context("no groups")?;
    let traced = groups.iter().filter(|group| {
        group["sample_traceback"].as_str().is_some_and(|text| text.contains("ValueError: out of stock"))
    });
    let tracebacks = traced.filter_map(|group| group["count"].as_u64()).sum::<u64>() as usize;
    let losses = agent.losses()?;
    agent.stop()?;
    let events = agent.events()?;
    ensure!(events.len() == REQUESTS && events.iter().all(|event| event.status == 500), "{events:?}");
    let (linked, sites) = calls(&agent.store().join("apm.db"))?;
    let found = Found { linked, sites, tracebacks };
    ensure!(found == wanted, "{found:?} instead of {wanted:?}; losses {losses:?}\n{groups:#?}");
    Ok(Verdict::Passed(format!("{REQUESTS} requests and calls: {found:?}")))
}

/// Calls that are linked to a request, and those that have a line; there are as many as requests.
fn calls(database: &Path) -> Result<(usize, usize)> {
    let store = store::open(database)?;
    let sql = "SELECT count(*), count(request_id), count(call_site) FROM call WHERE path LIKE '/called/%'";
    let [all, linked, sites]: [i64; 3] =
        store.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    ensure!(all == REQUESTS as i64, "{all} calls are recorded of {REQUESTS}");
    Ok((linked as usize, sites as usize))
}

/// An agent without `--pid`: a server that nobody told it of, and that comes after it, is watched from its first request on.
fn started_later(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let mut agent = Agent::start(&places.agent, &[], scratch.path())?;
    let name = "uvicorn-asyncio-h11";
    let server = Server::start(kind(name), &places.any_python()?, &places.apps(), scratch.path())?;
    agent.attached(server.process.pid())?;
    let load = Load {
        address: server.address.clone(),
        clients: 4,
        traits: kind(name).traits,
        seed: 91,
        until: Until::Requests(300),
        pause: Duration::ZERO,
    };
    let sent = load.run();
    let log = finish(server, &sent)?;
    score::app_against_load(&sent, &log)?;
    agent.stop()?;
    // Others of this machine are watched as well.
    let ours: HashSet<&str> = sent.iter().map(|one| one.path.as_str()).collect();
    let mut events = agent.events()?;
    events.retain(|event| ours.contains(event.path.as_str()));
    Ok(Verdict::Passed(score::agent_against_app(&sent, &log, &events)?.to_string()))
}
