//! The page in a headless browser, on live traffic.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::load::{Load, Until};
use crate::places::Places;
use crate::runner::{Case, Verdict};
use crate::server::{Server, kind};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("page/live", live)]
}

/// After traffic the page shows its tiles with figures, both charts drawn, and the routes.
fn live(places: &Places) -> Result<Verdict> {
    let Some(browser) = browser() else {
        return Ok(Verdict::Skipped("no Chromium on this machine".to_owned()));
    };
    let scratch = places.scratch()?;
    let name = "uvicorn-uvloop-httptools";
    let server = Server::start(kind(name), &places.any_python()?, &places.apps(), scratch.path())?;
    let agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let until = Until::Requests(2500);
    let pause = Duration::from_millis(8);
    Load { address: server.address.clone(), clients: 6, traits: kind(name).traits, seed: 31, until, pause }
        .run();
    fs::create_dir_all(&places.screens)?;
    let shot = places.screens.join("live.png");
    let mut command = Command::new(&browser);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1400,1400",
    ]);
    command.arg(format!("--user-data-dir={}", scratch.path().join("browser").display()));
    command.args(["--virtual-time-budget=8000", "--dump-dom"]);
    command.arg(format!("--screenshot={}", shot.display())).arg(agent.page());
    let done = command.output().context("cannot start the browser")?;
    let dom = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success(), "the browser ended with {}", done.status);
    for text in ["RPS", "GET", "POST", "/r/"] {
        ensure!(dom.contains(text), "the page does not show {text}:\n{dom}");
    }
    ensure!(shot.metadata().is_ok_and(|file| file.len() > 20_000), "no picture at {}", shot.display());
    Ok(Verdict::Passed(format!("picture at {}", shot.display())))
}

fn browser() -> Option<PathBuf> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}
