//! The page in a headless browser, on live traffic.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::agent::Agent;
use crate::demo;
use crate::places::Places;
use crate::runner::{Case, Verdict};
use crate::server::Server;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("page/live", live).alone()]
}

/// What `tests/page.mjs` found on the page.
#[derive(Debug, Deserialize)]
struct Shown {
    /// Figure of each tile, by its name.
    tiles: HashMap<String, String>,
    /// Text of each row of the routes table.
    routes: Vec<String>,
    /// Pixels drawn in each chart.
    charts: Vec<u64>,
    /// Errors that the browser reported.
    complaints: Vec<String>,
}

/// Under traffic the page shows tiles with figures, charts that are drawn, and the routes; and it changes by itself.
fn live(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let python = places.any_python()?;
    let server = Server::start_with(
        "the demo app",
        "shop.py {port}",
        &python,
        &places.apps().join("demo"),
        scratch.path(),
    )?;
    let agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    fs::create_dir_all(&places.screens)?;
    let picture = places.screens.join("live.png");
    let stop = AtomicBool::new(false);
    let shown = thread::scope(|scope| {
        scope.spawn(|| demo::traffic(server.address.port(), &stop));
        let shown = drive::<Shown>(places, "page.mjs", &agent, &[&picture.to_string_lossy()]);
        stop.store(true, Ordering::Relaxed);
        shown
    })?;
    let Some(shown) = shown else {
        return Ok(Verdict::Skipped("no Chromium or no Node on this machine".to_owned()));
    };
    for tile in ["rps", "error_rate", "avg", "max", "in_flight", "cpu", "mem"] {
        let figure = shown.tiles.get(tile).with_context(|| format!("no tile {tile}: {shown:?}"))?;
        ensure!(figure.contains(|c: char| c.is_ascii_digit()), "tile {tile} shows {figure:?}");
    }
    ensure!(shown.charts.len() >= 2 && shown.charts.iter().all(|&pixels| pixels > 500), "{:?}", shown.charts);
    for (method, route) in [("GET", "/users/{id}"), ("GET", "/products"), ("POST", "/orders")] {
        let listed = shown.routes.iter().any(|row| row.contains(method) && row.contains(route));
        ensure!(listed, "{method} {route} is not among {:?}", shown.routes);
    }
    ensure!(shown.complaints.is_empty(), "{:?}", shown.complaints);
    Ok(Verdict::Passed(format!(
        "{} routes, {} charts, {}",
        shown.routes.len(),
        shown.charts.len(),
        picture.display()
    )))
}

/// Runs a script of ours that looks at the agent's page, in Node; gives what it found. `None` where there is no browser.
fn drive<T: DeserializeOwned>(
    places: &Places,
    script: &str,
    agent: &Agent,
    arguments: &[&str],
) -> Result<Option<T>> {
    let (Some(browser), Some(node)) = (browser(), &places.node) else { return Ok(None) };
    let mut command = Command::new(node);
    command.arg(places.root.join("tests").join(script)).arg(places.root.join("dashboard"));
    let done =
        command.arg(agent.page()).arg(browser).args(arguments).output().context("cannot start Node")?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "the page could not be read:\n{complaint}");
    Ok(Some(serde_json::from_slice(&done.stdout)?))
}

pub(super) fn browser() -> Option<PathBuf> {
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    known.into_iter().map(PathBuf::from).find(|path| path.exists())
}
