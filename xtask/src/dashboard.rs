//! The dashboard's front end.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::steps::{Outcome, Tally};
use crate::{packages, places, shell};

/// Is there a front end with a build to run?
fn sources() -> Option<PathBuf> {
    let dir = places::root().join("dashboard");
    dir.join("package.json").exists().then_some(dir)
}

/// Builds the front end. Gives back why it could not, where that is not an error.
pub(crate) fn build() -> Result<Option<String>> {
    let Some(dir) = sources() else { return Ok(Some("no dashboard/package.json".to_owned())) };
    if shell::which("npm").is_none() {
        return Ok(Some("Node is not installed: the agent is built with the page it has".to_owned()));
    }
    install(&dir)?;
    shell::quiet(npm(&dir).args(["run", "--silent", "build"]))?;
    Ok(None)
}

/// Builds the front end and runs its own tests, installing Node when it is missing.
pub(crate) fn test(filter: Option<&str>) -> Result<Outcome> {
    let Some(dir) = sources() else { return Ok(Outcome::Skipped("no dashboard/package.json".to_owned())) };
    if shell::which("npm").is_none()
        && let Some(why) = packages::install(packages::NODE_PACKAGES)?
    {
        return Ok(Outcome::Skipped(why));
    }
    install(&dir)?;
    shell::quiet(npm(&dir).args(["run", "--silent", "build"]))?;
    let mut command = npm(&dir);
    command.args(["run", "--silent", "test"]);
    if let Some(filter) = filter {
        command.args(["--", "--grep", filter]);
    }
    let mut tally = Tally::default();
    let passed = shell::lines(&mut command, |line| {
        println!("      {line}");
        tally += Tally::parse(line).unwrap_or_default();
    })?;
    if !passed && tally.failed == 0 {
        anyhow::bail!("the dashboard's tests could not run (`npm test` in dashboard/ tells why)");
    }
    Ok(Outcome::Ran(tally))
}

fn install(dir: &std::path::Path) -> Result<()> {
    let lock = dir.join("package-lock.json");
    let stamp = dir.join("node_modules/.package-lock.json");
    let modified = |file: &std::path::Path| file.metadata().and_then(|meta| meta.modified()).ok();
    if modified(&stamp).is_some_and(|installed| modified(&lock).is_none_or(|wanted| wanted <= installed)) {
        return Ok(());
    }
    println!("      npm packages of the dashboard");
    shell::quiet(npm(dir).args(["ci", "--no-audit", "--no-fund"]))
        .context("npm ci failed; is this machine online?")
}

fn npm(dir: &std::path::Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(dir);
    command
}
