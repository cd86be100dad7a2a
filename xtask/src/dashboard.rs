//! The dashboard's front end.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::{Outcome, Tally};
use crate::{node, places, shell};

/// The front end with the Node that builds it.
struct Dashboard {
    sources: PathBuf,
    node: PathBuf,
}

/// `cargo xtask dashboard`: builds `dashboard/dist`, which the agent embeds.
pub(crate) fn build() -> Result<()> {
    let dashboard = Dashboard::find()?.map_err(anyhow::Error::msg)?;
    dashboard.build()
}

/// Builds the front end and runs its own tests: types and form, units, and the built page in Chromium, before made-up data
/// and before `agent`, which needs root.
pub(crate) fn test(agent: &Path, long: bool, filter: Option<&str>) -> Result<Outcome> {
    let dashboard = match Dashboard::find()? {
        Ok(dashboard) => dashboard,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    dashboard.build()?;
    dashboard.install()?;
    shell::quiet(&mut dashboard.npm(&["run", "--silent", "check"]))?;
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for script in ["test", "test:page"] {
        let mut command = dashboard.npm(&["run", "--silent", script, "--", "--passWithNoTests"]);
        command.args(filter.map(|part| format!("--testNamePattern={part}")));
        if shell::is_root() {
            command.env("APM_AGENT_BIN", agent);
        }
        if long {
            command.env("APM_LONG", "1");
        }
        let mut counted = Tally::default();
        let passed = shell::lines(&mut command, |line| {
            // Vitest counts files and tests; only the tests are ours.
            counted += line.trim().strip_prefix("Tests ").and_then(Tally::parse).unwrap_or_default();
            // What failed is told in full on standard error.
            if line.trim_start().starts_with("× ") {
                failures.push(format!("page test {}", line.trim()));
            }
            println!("      {line}");
        })?;
        if !passed && counted.failed == 0 {
            bail!("`npm run {script}` in dashboard/ failed; the lines above tell why");
        }
        if filter.is_some() {
            // Vitest calls those skipped that the filter leaves out.
            counted.skipped = 0;
        }
        tally += counted;
    }
    Ok(Outcome::of(tally, failures))
}

impl Dashboard {
    fn find() -> Result<std::result::Result<Self, String>> {
        let sources = places::root().join("dashboard");
        Ok(node::directory()?.map(|node| Self { sources, node }))
    }

    /// Builds, unless what is built is newer than every source.
    fn build(&self) -> Result<()> {
        let built = modified(&self.sources.join("dist/index.html"));
        if built.is_some() && newest(&self.sources)? <= built {
            return Ok(());
        }
        self.install()?;
        println!("      building the dashboard");
        shell::quiet(&mut self.npm(&["run", "--silent", "build"]))
    }

    /// Installs the locked packages, unless they are.
    fn install(&self) -> Result<()> {
        let installed = modified(&self.sources.join("node_modules/.package-lock.json"));
        if installed.is_some() && installed >= modified(&self.sources.join("package-lock.json")) {
            return Ok(());
        }
        println!("      npm packages of the dashboard");
        shell::quiet(&mut self.npm(&["ci", "--no-audit", "--no-fund"]))
            .context("npm ci failed; is this machine online?")
    }

    fn npm(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.node.join("npm"));
        let rest = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(std::iter::once(self.node.clone()).chain(env::split_paths(&rest)));
        command.args(args).current_dir(&self.sources).env("PATH", path.unwrap_or(rest)).env("NO_COLOR", "1");
        command
    }
}

fn modified(file: &Path) -> Option<std::time::SystemTime> {
    file.metadata().and_then(|meta| meta.modified()).ok()
}

/// When the youngest source below `directory` was changed; what is built or installed there, or tests it, does not count.
fn newest(directory: &Path) -> Result<Option<std::time::SystemTime>> {
    let mut newest = None;
    for entry in directory.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if matches!(name, "dist" | "node_modules" | "tests") {
            continue;
        }
        newest = newest.max(if path.is_dir() { self::newest(&path)? } else { modified(&path) });
    }
    Ok(newest)
}
