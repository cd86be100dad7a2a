//! House rules that no compiler knows, as code. Each failure says where, and how to mend it.

mod rules;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::steps::{Outcome, Tally};
use crate::{places, shell};

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Line, from 1; 0 for the whole file.
    line: usize,
    /// What is wrong and how to mend it.
    text: String,
}

/// A rule looks at one file: its path from the root and its text.
type Rule = fn(&Path, &str) -> Vec<Finding>;

/// `cargo xtask tidy`
pub(crate) fn task() -> Result<()> {
    println!("{}", check()?.line()?);
    Ok(())
}

/// Checks every file that git knows or would add. Each rule counts as one test.
pub(crate) fn check() -> Result<Outcome> {
    if !places::root().join(".git").exists() {
        return Ok(Outcome::Skipped(
            "not a git checkout: which files are the project's is not known".to_owned(),
        ));
    }
    let files = files()?;
    let mut tally = Tally::default();
    for &(name, rule) in rules::ALL {
        let mut broken = 0;
        for (path, text) in &files {
            for finding in rule(path, text) {
                println!("      {}:{}: {} [{name}]", path.display(), finding.line, finding.text);
                broken += 1;
            }
        }
        if broken == 0 {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
    if tally.failed > 0 {
        bail!("{tally}: the lines above say what to change");
    }
    Ok(Outcome::Ran(tally))
}

/// Text files of the project with their paths from the root.
fn files() -> Result<Vec<(PathBuf, String)>> {
    let root = places::root();
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    // Root may run this on another user's checkout, which git refuses without the first argument.
    let mut git = Command::new("git");
    git.arg("-c").arg(format!("safe.directory={}", root.display())).args(list).current_dir(&root);
    let names = shell::output(&mut git)?;
    let names = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    let read = |path: PathBuf| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text));
    Ok(names.filter_map(read).collect())
}
