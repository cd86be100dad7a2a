//! Debian packages the tests need.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Packages by what they are for. All are in Debian 12.
pub(crate) const TEST_PACKAGES: &[&str] = &[
    "python3",
    "python3-venv", // the servers under test; other Pythons are taken where pyenv has them
    "pypy3",        // attributed by thread only
    "wrk",          // load for the benchmark
    "chromium",     // the page tests
    "postgresql",
    "redis-server",
    "mariadb-server-core", // peers of the apps under test
    "mariadb-client-core", // what makes its data directory
    "openssl",             // their certificate
    "prometheus",          // reads /metrics
    "libfaketime",         // tells the agent another time
    "curl",                // asks with secrets
    "libcap2-bin",         // gives the agent's file capabilities
    "libpq-dev",           // psycopg2 from source
    "libmariadb-dev",      // mysqlclient and the mariadb connector
    "pkg-config",          // where mysqlclient finds it
    "libc6-dev",
    "gcc", // the linker that cargo needs
];

/// What compiles the probes: a rustc with its library sources, of the version the committed object was built with.
pub(crate) const EBPF_PACKAGES: &[&str] = &["rustc-web", "rust-web-src"];

/// Installs those of `packages` that are missing. `None` when done, else why it cannot be done here.
pub(crate) fn install(packages: &[&str]) -> Result<Option<String>> {
    if shell::which("dpkg-query").is_none() || shell::which("apt-get").is_none() {
        return Ok(Some(format!("not a Debian or Ubuntu machine: install yourself: {}", packages.join(" "))));
    }
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    println!("      installing {} (apt-get)", missing.join(" "));
    apt_get(&["update"])?;
    let known: Vec<&str> = missing.iter().copied().filter(|package| is_known(package)).collect();
    if !known.is_empty() {
        apt_get(&[&["install", "--yes", "--no-install-recommends"], known.as_slice()].concat())?;
    }
    let unknown: Vec<&str> = missing.into_iter().filter(|package| !known.contains(package)).collect();
    Ok((!unknown.is_empty()).then(|| format!("this distribution has no package {}", unknown.join(", "))))
}

/// Installs `packages` or fails with what is missing.
pub(crate) fn require(packages: &[&str]) -> Result<()> {
    install(packages)?.map_or(Ok(()), |why| bail!(why))
}

fn is_installed(package: &str) -> bool {
    let status = shell::output(Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]));
    status.is_ok_and(|text| text.ends_with("ok installed"))
}

fn is_known(package: &str) -> bool {
    shell::output(Command::new("apt-cache").args(["show", "--no-all-versions", package])).is_ok()
}

fn apt_get(args: &[&str]) -> Result<()> {
    // Waits for another apt that holds the lock instead of failing beside it.
    let mut command = shell::as_root("env")?;
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"])
        .args(args);
    shell::quiet(&mut command).context("apt-get failed; is this machine online?")
}
