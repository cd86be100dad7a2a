//! `cargo xtask deny`: what we depend on is what `deny.toml` allows.

mod advisories;

use std::process::Command;

use anyhow::Result;

use crate::steps::{Outcome, Tally};
use crate::{places, shell, tools};

/// Version of cargo-deny.
const CARGO_DENY: &str = "0.20.2";

/// The task.
pub(crate) fn task() -> Result<()> {
    check()?;
    println!("licences, sources and versions of all dependencies are as deny.toml allows");
    Ok(())
}

/// Licences, sources and versions, from what is on this machine; then vulnerabilities: today's where RustSec's database can be
/// fetched, and else those that were known when our own list was last brought up to date.
pub(crate) fn check() -> Result<Outcome> {
    let program = tools::cargo("cargo-deny", CARGO_DENY, &[])?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--workspace", "--locked", "--log-level", "error"]).args(arguments);
        shell::output(command.current_dir(places::root()))
    };
    deny(&["check", "bans", "licenses", "sources"])?;
    if deny(&["fetch", "db"]).is_err() {
        let crates = advisories::check()?;
        println!(
            "      RustSec's database cannot be fetched; {crates} crates are free of what xtask/advisories.toml lists"
        );
        return Ok(Outcome::Ran(Tally::PASS));
    }
    deny(&["check", "--disable-fetch", "advisories"])?;
    Ok(Outcome::Ran(Tally::PASS))
}
