//! `cargo xtask deny`: what we depend on is what `deny.toml` allows.

use std::process::Command;

use anyhow::Result;

use crate::steps::{Outcome, Tally};
use crate::{places, shell, tools};

/// Version of cargo-deny.
const CARGO_DENY: &str = "0.20.2";

/// The task.
pub(crate) fn task() -> Result<()> {
    if let Outcome::Skipped(why) = check()? {
        println!("vulnerabilities are not looked for: {why}");
    }
    println!("licences, sources and versions of all dependencies are as deny.toml allows");
    Ok(())
}

/// Licences, sources and versions, from what is on this machine; then vulnerabilities, which are skipped where the list of
/// them cannot be fetched.
pub(crate) fn check() -> Result<Outcome> {
    let program = tools::cargo("cargo-deny", CARGO_DENY, &[])?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--workspace", "--locked", "--log-level", "error"]).args(arguments);
        shell::output(command.current_dir(places::root()))
    };
    deny(&["check", "bans", "licenses", "sources"])?;
    if deny(&["fetch", "db"]).is_err() {
        return Ok(Outcome::Skipped("the advisory database cannot be fetched".to_owned()));
    }
    deny(&["check", "--disable-fetch", "advisories"])?;
    Ok(Outcome::Ran(Tally::PASS))
}
