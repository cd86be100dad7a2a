//! The page and the API in front of a shop with a database and a second service: what only both ends and real statements
//! can show.

mod hostile;
mod openapi;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::outgoing::{Postgres, certificate};
use super::page::browser;
use crate::agent::Agent;
use crate::places::Places;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::Server;

/// What shoppers ask for, and how often per second; `{n}` counts up.
const TRAFFIC: &[(&str, &str, u64)] = &[
    ("GET", "/products", 12),
    ("GET", "/products/{n}", 20),
    ("GET", "/search?q={n}", 6),
    ("GET", "/orders", 5),
    ("GET", "/cart/{n}", 10),
    ("PUT", "/cart/{n}", 4),
    ("POST", "/checkout", 8),
    ("GET", "/healthz", 2),
];
/// Numbers from 1 on, and the one to begin with: the shop has 199 carts, so that some soon are not there.
const NUMBERS: u64 = 204;
const FIRST: usize = 190;
const WAIT: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("page/shop", shop).alone(), Case::new("page/hostile", hostile::shown)]
}

fn shop(places: &Places) -> Result<Verdict> {
    let python = places.clients()?;
    let scratch = places.scratch()?;
    let (certificate, key) = certificate(scratch.path())?;
    let postgres = Postgres::start(&scratch.path().join("postgres"), &certificate, &key)?;
    let start = |name: &str, arguments: &str| {
        let directory = scratch.path().join(name);
        fs::create_dir(&directory)?;
        Server::start_with(name, arguments, &python, &places.apps().join(name), &directory)
    };
    let pricing = start("pricing", "main.py {port}")?;
    let arguments = format!("main.py {{port}} {} {}", postgres.port, pricing.address.port());
    let shop = start("shop", &arguments)?;
    let pids = [shop.process.pid(), pricing.process.pid()];
    let watch: Vec<String> = pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]).collect();
    let agent = Agent::start(&places.agent, &watch, scratch.path())?;
    pids.iter().try_for_each(|&pid| agent.attached(pid))?;

    let Some(page) = Page::of(places) else {
        return Ok(Verdict::Skipped("no Chromium or no Node on this machine".to_owned()));
    };
    let stop = AtomicBool::new(false);
    let port = shop.address.port();
    let live = thread::scope(|scope| {
        for &(method, path, rate) in TRAFFIC {
            let stop = &stop;
            scope.spawn(move || shopper(port, method, path, Duration::from_millis(1000 / rate), stop));
        }
        let live = known(&agent, places.long).and_then(|()| page.tests("live", &agent, "shop"));
        stop.store(true, Ordering::Relaxed);
        live
    })?;
    told(&agent)?;
    let still = page.tests("still", &agent, "shop")?;
    let answers = openapi::hold(&agent, "shop", &places.apps().join("shop"))?;
    Ok(Verdict::Passed(format!(
        "{live} tests under traffic, {still} after it; {answers} answers as described"
    )))
}

/// Waits until the agent knows of everything that the page is to show; `full`: and of a minute of it.
fn known(agent: &Agent, full: bool) -> Result<()> {
    let some = |path: &str, list: &str, least: usize| -> Result<bool> {
        Ok(agent.get(path)?[list].as_array().is_some_and(|list| list.len() >= least))
    };
    until(WAIT, "routes, statements, repeats, errors and calls", || {
        Ok((some("/api/routes", "routes", TRAFFIC.len() + 1)?
            && some("/api/queries", "n_plus_one", 1)?
            && some("/api/queries", "errors", 1)?
            && some("/api/error_groups", "groups", 2)?
            && some("/api/route_chains", "chains", 1)?
            && some("/api/discovered", "routes", TRAFFIC.len())?)
        .then_some(()))
    })
    .with_context(|| format!("{:#}", agent.get("/api/queries").unwrap_or(Value::Null)))?;
    if full {
        until(Duration::from_secs(120), "a minute of traffic", || {
            let points = agent.get("/api/timeseries?w=60&bucket=1")?;
            Ok(points["points"].as_array().is_some_and(|list| list.len() >= 60).then_some(()))
        })?;
    }
    Ok(())
}

fn shopper(port: u16, method: &str, path: &str, pause: Duration, stop: &AtomicBool) {
    let client: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for n in (1..=NUMBERS).cycle().skip(FIRST) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let url = format!("http://127.0.0.1:{port}{}", path.replace("{n}", &n.to_string()));
        let body = format!("{{\"product\": {n}}}");
        let answer = match method {
            "POST" => client.post(&url).send(body),
            "PUT" => client.put(&url).send(body),
            _ => client.get(&url).call(),
        };
        // The connection is used again only when its answer was read.
        let _ = answer.map(|mut answer| answer.body_mut().read_to_vec());
        thread::sleep(pause);
    }
}

/// Waits until the agent has told all that was served: until its count stands still.
fn told(agent: &Agent) -> Result<()> {
    let count = || Ok::<_, anyhow::Error>(agent.get("/api/overview?w=900")?["total_requests"].clone());
    let mut last = (count()?, Instant::now());
    until(WAIT, "the agent to have told all requests", || {
        let now = count()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        Ok((last.1.elapsed() > Duration::from_secs(2)).then_some(()))
    })
}

/// The page's tests that need an agent and its traffic.
struct Page<'a> {
    places: &'a Places,
    node: &'a Path,
}

impl<'a> Page<'a> {
    /// `None` where there is no browser.
    fn of(places: &'a Places) -> Option<Self> {
        browser()?;
        Some(Self { places, node: places.node.as_deref()? })
    }

    /// Runs those of `dashboard/tests/agent` whose file name contains `part`, before `agent` and about `service`; gives how
    /// many passed.
    fn tests(&self, part: &str, agent: &Agent, service: &str) -> Result<u64> {
        let mut command = Command::new(self.node);
        command.args(["node_modules/vitest/vitest.mjs", "run", "--project", "agent", part]);
        command.current_dir(self.places.root.join("dashboard")).env("NO_COLOR", "1");
        command.env("APM_AGENT_PAGE", agent.page().trim_end_matches('/')).env("APM_SERVICE", service);
        command.env("SCREENS", &self.places.screens).envs(self.places.long.then_some(("APM_LONG", "1")));
        let done = command.output().context("cannot start Node")?;
        let said = String::from_utf8_lossy(&done.stdout);
        ensure!(done.status.success(), "{part}:\n{said}\n{}", String::from_utf8_lossy(&done.stderr));
        for line in said.lines().filter(|line| line.contains("first contentful paint")) {
            println!("      {line}");
        }
        let passed =
            said.lines().find_map(|line| line.trim().strip_prefix("Tests ")?.trim().split(' ').next());
        passed.and_then(|n| n.parse().ok()).with_context(|| format!("no count of tests in:\n{said}"))
    }
}
