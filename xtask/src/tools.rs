//! Programs of cargo's that a task needs, each of one version, below `target/tools`.

use std::path::PathBuf;

use anyhow::Result;

use crate::{places, shell};

/// The program `name`, which is installed where it is missing or of another version.
pub(crate) fn cargo(name: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let tools = places::target().join("tools");
    let program = tools.join("bin").join(name);
    let stamp = tools.join(format!("{name}.version"));
    if program.exists() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == version) {
        return Ok(program);
    }
    println!("installing {name} {version}");
    let mut install = shell::cargo();
    // Unoptimised: it runs for a second.
    install.args(["install", "--quiet", "--debug", "--locked", "--force"]).args(options);
    install.args([name, "--version", version, "--root"]).arg(&tools);
    shell::quiet(install.env_remove("CARGO_TARGET_DIR").arg("--target-dir").arg(tools.join("build")))?;
    std::fs::write(&stamp, version)?;
    Ok(program)
}
