//! The unit as systemd reads it: every line is known, and what is left open to the service stays little.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// Most exposure that `systemd-analyze security` may find, in tenths (0 to 100). Probes, other users' processes and their
/// source take the rest.
const EXPOSURE: u32 = 40;

/// Checks the unit below `root`, where a package was installed. Gives back what was found, for the user.
pub(super) fn check(root: &Path, scratch: &Path) -> Result<String> {
    if shell::which("systemd-analyze").is_none() {
        return Ok("the unit is not checked: no systemd-analyze".to_owned());
    }
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/apm-agent.service"))?;
    // Programs and configuration lie below the root, of which systemd knows nothing here.
    let inside = unit.replace("ExecStart=/usr", &format!("ExecStart={}/usr", root.display()));
    ensure!(inside != unit, "the unit starts nothing below /usr");
    let copy = scratch.join("apm-agent.service");
    fs::write(&copy, inside)?;
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&copy);
    let output = verify.output().context("cannot start systemd-analyze")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("apm-agent.service")).collect();
    ensure!(output.status.success() && about_us.is_empty(), "systemd refuses the unit:\n{said}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE}")]);
    let found = shell::output(security.arg(&copy)).context("the unit is more open than it was")?;
    let exposure =
        found.lines().find_map(|line| line.split("Overall exposure level for apm-agent.service: ").nth(1));
    Ok(format!("the unit's exposure is {}", exposure.context("systemd-analyze tells no exposure")?.trim()))
}
