//! The page in front of a shop with a database and a second service: what only both ends and real statements can show.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::outgoing::{Postgres, certificate};
use super::page::drive;
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
    vec![Case::new("page/shop", shop).alone()]
}

/// What `tests/shop.mjs` found on the page.
#[derive(Debug, Deserialize)]
struct Shown {
    overview: Overview,
    queries: Queries,
    repeated: Repeated,
    chained: Vec<String>,
    errors: Vec<String>,
    route: Route,
    map: Vec<String>,
    complaints: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Overview {
    tree: String,
    routes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Queries {
    statements: Vec<String>,
    repeats: Vec<String>,
    states: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Repeated {
    finding: String,
    rows: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Route {
    calls: Vec<String>,
    time: String,
}

fn shop(places: &Places) -> Result<Verdict> {
    let python = places.venvs.join("outgoing/bin/python");
    ensure!(python.exists(), "no environment with the clients; run `cargo xtask test`");
    let scratch = places.scratch()?;
    // PostgreSQL does not run as root.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
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

    fs::create_dir_all(&places.screens)?;
    let stop = AtomicBool::new(false);
    let port = shop.address.port();
    let shown: Result<Option<Shown>> = thread::scope(|scope| {
        for &(method, path, rate) in TRAFFIC {
            let stop = &stop;
            scope.spawn(move || shopper(port, method, path, Duration::from_millis(1000 / rate), stop));
        }
        let shown = known(&agent, places.long).and_then(|()| {
            let pictures = places.screens.to_string_lossy();
            drive(places, "shop.mjs", &agent, &[&pictures, "shop"])
        });
        stop.store(true, Ordering::Relaxed);
        shown
    });
    match shown? {
        Some(shown) => judge(&shown),
        None => Ok(Verdict::Skipped("no Chromium or no Node on this machine".to_owned())),
    }
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

fn judge(shown: &Shown) -> Result<Verdict> {
    let one = |what: &str, list: &[String], parts: &[&str]| {
        let found = list.iter().any(|text| parts.iter().all(|part| text.contains(part)));
        ensure!(found, "{what}: nothing has all of {parts:?} in {list:#?}");
        Ok(())
    };
    for (method, path, _) in TRAFFIC {
        let route = path.split('?').next().unwrap_or(path);
        let names =
            HashMap::from([("/products/{n}", "/products/{product_id}"), ("/cart/{n}", "/cart/{cart_id}")]);
        one("routes", &shown.overview.routes, &[method, names.get(route).copied().unwrap_or(route)])?;
    }
    for file in ["catalogue.py", "orders.py", "checkout.py", "cart.py", "main.py"] {
        ensure!(shown.overview.tree.contains(file), "{file} is not in the tree: {}", shown.overview.tree);
    }
    let lines = "SELECT product_id, quantity FROM order_lines WHERE order_id = ?";
    one("statements", &shown.queries.statements, &[lines])?;
    one("N+1", &shown.queries.repeats, &["GET /orders", lines])?;
    one("SQLSTATEs", &shown.queries.states, &["23505", "unique violation", "INSERT INTO products"])?;
    ensure!(shown.repeated.finding.contains("ran 20 times"), "{}", shown.repeated.finding);
    one("the waterfall of /orders", &shown.repeated.rows, &["20 × N+1", lines])?;
    one("the waterfall of /checkout", &shown.chained, &["POST 127.0.0.1:", "/quote", "200"])?;
    one("the callee in it", &shown.chained, &["pricing", "POST /quote"])?;
    one("a statement in it", &shown.chained, &["UPDATE products SET stock = stock - ? WHERE id = ?"])?;
    one("errors", &shown.errors, &["UniqueViolation", "/checkout"])?;
    one("errors", &shown.errors, &["KeyError", "/cart/{cart_id}"])?;
    one("failed requests", &shown.errors, &["500", "/checkout", "UniqueViolationError", "shop"])?;
    one("a route's calls", &shown.route.calls, &["127.0.0.1:"])?;
    ensure!(shown.route.time.contains("Where the time goes"), "{}", shown.route.time);
    one("the map", &shown.map, &["/checkout", "/quote"])?;
    ensure!(shown.complaints.is_empty(), "{:?}", shown.complaints);
    Ok(Verdict::Passed(format!(
        "{} routes, {} statements, {} errors",
        shown.overview.routes.len(),
        shown.queries.statements.len(),
        shown.errors.len()
    )))
}
