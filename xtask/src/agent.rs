//! Building and starting the agent and the demo.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{dashboard, places, shell};

/// `cargo xtask run`: never comes back when all went well, because the agent takes our place.
pub(crate) fn run(args: &[String]) -> Result<()> {
    with_page();
    let binary = build()?;
    let mut agent = shell::as_root(&binary)?;
    let error = agent.args(args).exec();
    Err(error).with_context(|| format!("cannot start {}", binary.display()))
}

/// `cargo xtask demo`
pub(crate) fn demo(args: &[String]) -> Result<()> {
    with_page();
    let agent = build()?;
    let python = ["python3", "python"].into_iter().find_map(shell::which);
    let Some(python) = python else { bail!("no python3 on the path; install it: apt-get install python3") };
    let mut demo = std::process::Command::new(harness()?);
    demo.arg("--agent").arg(agent).arg("--root").arg(places::root()).arg("demo").arg("--python").arg(python);
    shell::run(demo.arg("--").args(args))
}

/// Builds the page that the agent embeds. Without it the agent works, API included, so a failure does not stop us.
pub(crate) fn with_page() {
    if let Err(error) = dashboard::build() {
        println!("the agent is built without a new dashboard: {error:#}");
    }
}

/// Builds the agent for release; cargo shows its progress, for it takes minutes the first time.
pub(crate) fn build() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--locked", "--release", "--package", "apm-agent"]))?;
    Ok(places::target().join("release/apm-agent"))
}

/// Builds the crate that starts servers, load and agents, beside the agent.
pub(crate) fn harness() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--locked", "--release", "--package", "apm-tests"]))?;
    Ok(places::target().join("release/apm-tests"))
}

/// The same for the tests, from what the unit tests were built from: it need not be fast, and saves a minute or two.
pub(crate) fn test_harness() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--locked", "--workspace", "--bin", "apm-tests"]))?;
    Ok(places::target().join("debug/apm-tests"))
}
