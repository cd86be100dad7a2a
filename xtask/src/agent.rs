//! Building and starting the agent, the demo and the benchmark.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{dashboard, packages, places, python, shell};

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

/// `cargo xtask bench`
pub(crate) fn bench(rounds: u32, seconds: u32, only: Option<&str>) -> Result<()> {
    packages::require(&[
        "python3",
        "python3-venv",
        "wrk",
        "postgresql",
        "openssl",
        "libpq-dev",
        "libc6-dev",
        "gcc",
    ])?;
    let absent = python::prepare()?;
    if absent.len() == python::VERSIONS.len() {
        bail!("no Python between {} and {} found", python::VERSIONS[0], python::VERSIONS[absent.len() - 1]);
    }
    let agent = build()?;
    let mut bench = shell::as_root(harness()?)?;
    bench
        .arg("--agent")
        .arg(agent)
        .arg("--root")
        .arg(places::root())
        .arg("--venvs")
        .arg(places::target().join("venv"));
    bench.arg("bench").args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
    if let Some(only) = only {
        bench.args(["--only", only]);
    }
    let report = places::target().join("bench.md");
    shell::run(bench.arg("--report").arg(&report))?;
    if only.is_some() {
        return Ok(());
    }
    publish(&fs::read_to_string(report)?)
}

/// Writes the measured report to docs/performance.md, and its first table to the README between the markers.
fn publish(report: &str) -> Result<()> {
    const BEGIN: &str = "<!-- begin: cargo xtask bench -->";
    const END: &str = "<!-- end: cargo xtask bench -->";
    let docs = places::root().join("docs");
    fs::create_dir_all(&docs)?;
    let heading = "# What watching costs\n\nMeasured and written by `cargo xtask bench`.\n\n";
    fs::write(docs.join("performance.md"), format!("{heading}{report}"))?;
    let readme = places::root().join("README.md");
    let text = fs::read_to_string(&readme)?;
    let (before, rest) = text.split_once(BEGIN).context("README.md has no marker for the table")?;
    let (_, after) = rest.split_once(END).context("README.md has no end marker for the table")?;
    let summary = report.split("\nEach round:").next().unwrap_or(report).trim();
    fs::write(&readme, format!("{before}{BEGIN}\n{summary}\n{END}{after}"))?;
    println!("written to docs/performance.md and README.md");
    Ok(())
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
