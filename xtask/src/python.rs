//! One virtual environment per Python version that this machine has, under `target/venv`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::steps::{Outcome, Tally};
use crate::{places, shell};

pub(crate) mod unstable;

/// Versions the agent is tested with; each has its pinned packages in `tests/requirements`.
pub(crate) const VERSIONS: &[&str] = &["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"];

/// The one that runs the clients and drivers of the tests of outgoing traffic.
const CLIENTS_ON: &str = "3.11";

/// Name of the environment with every server and framework.
const APPLICATIONS: &str = "applications";

/// Holds the pins that what lies beside it was installed by.
const STAMP: &str = "installed.txt";

/// Makes the virtual environments that are missing or out of date. Gives back the versions this machine lacks.
pub(crate) fn prepare() -> Result<Vec<&'static str>> {
    let mut absent = Vec::new();
    for &version in VERSIONS {
        match interpreter(version) {
            Some(python) => environment(version, &format!("python{version}.txt"), &python)?,
            None => absent.push(version),
        }
    }
    if let Some(python) = interpreter(CLIENTS_ON) {
        clients(&python)?;
        environment(APPLICATIONS, "applications.txt", &python)?;
        aside(APPLICATIONS, "uvloop-0.22", "applications-uvloop.txt", &[])?;
    }
    Ok(absent)
}

/// The environment of the tests that follow requests through servers and frameworks, if this machine can have it.
pub(crate) fn applications() -> Option<PathBuf> {
    Some(home(APPLICATIONS)).filter(|home| home.join("bin/python").exists())
}

/// The environment with the SDKs that the agent is measured beside.
pub(crate) fn peers() -> Result<()> {
    let python = interpreter(CLIENTS_ON).with_context(|| format!("no Python {CLIENTS_ON} for the SDKs"))?;
    environment("peers", "peers.txt", &python)
}

/// The environment of the tests of outgoing traffic: psycopg2 twice, from its wheel and from source, and C clients of MySQL,
/// whose directories are named as those of libraries, so that their lines are not taken for the application's.
fn clients(python: &Path) -> Result<()> {
    environment("outgoing", "outgoing.txt", python)?;
    aside("outgoing", "psycopg2-source", "outgoing-source.txt", &["--no-binary", "psycopg2"])?;
    aside("outgoing", "mysql-c/site-packages", "outgoing-mysql-c.txt", &[])?;
    // It wants a libmariadb newer than Ubuntu 22.04's; the test of what is absent says so.
    if aside("outgoing", "mariadb/site-packages", "outgoing-mariadb.txt", &[]).is_err() {
        println!("      outgoing-mariadb.txt: cannot be built here");
    }
    Ok(())
}

/// Packages of another version than those of the environment `name`, in a directory of it.
fn aside(name: &str, directory: &str, requirements: &str, options: &[&str]) -> Result<()> {
    let target = home(name).join(directory);
    let pins = Pins::read(requirements)?;
    if pins.are_in(&target) {
        return Ok(());
    }
    println!("      {requirements}: packages into {}", target.display());
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("cannot remove {}", target.display()))?;
    }
    let mut pip = Command::new(home(name).join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(options);
    shell::quiet(pip.arg("--target").arg(&target).arg("--requirement").arg(&pins.file))?;
    pins.stamp(&target)
}

/// A file of pinned packages.
struct Pins {
    file: PathBuf,
    text: String,
}

impl Pins {
    fn read(requirements: &str) -> Result<Self> {
        let file = places::root().join("tests/requirements").join(requirements);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self { file, text })
    }

    /// Was what is in `directory` installed by these very pins?
    fn are_in(&self, directory: &Path) -> bool {
        fs::read_to_string(directory.join(STAMP)).is_ok_and(|installed| installed == self.text)
    }

    /// Says so of `directory`.
    fn stamp(&self, directory: &Path) -> Result<()> {
        Ok(fs::write(directory.join(STAMP), &self.text)?)
    }
}

/// The tests of the optional header hook (`sdk/python`), on every Python of this machine.
pub(crate) fn hook() -> Result<Outcome> {
    let test = places::root().join("sdk/python/tests/test_headers.py");
    let mut tally = Tally::default();
    for python in VERSIONS.iter().filter_map(|version| interpreter(version)) {
        shell::quiet(Command::new(python).arg("-B").arg(&test))?;
        tally += Tally::PASS;
    }
    Ok(Outcome::Ran(tally))
}

/// Where the environment of `version` is.
pub(crate) fn home(version: &str) -> PathBuf {
    places::target().join("venv").join(version)
}

fn environment(name: &str, requirements: &str, python: &Path) -> Result<()> {
    let (pins, venv) = (Pins::read(requirements)?, home(name));
    if pins.are_in(&venv) {
        return Ok(());
    }
    println!("      {requirements}: packages into {}", venv.display());
    shell::quiet(Command::new(python).args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&pins.file);
    shell::quiet(&mut pip)?;
    pins.stamp(&venv)
}

/// The interpreter of `version`: pyenv's newest, else the one on the path. Never a shim: a shim is a shell script
/// that looks at the directory it is called from.
fn interpreter(version: &str) -> Option<PathBuf> {
    let pyenv = std::env::var_os("PYENV_ROOT").map_or_else(|| places::home().join(".pyenv"), PathBuf::from);
    let name = format!("python{version}");
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(pyenv.join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let patch = entry.file_name().to_str()?.strip_prefix(version)?.strip_prefix('.')?.parse().ok()?;
            let python = entry.path().join("bin").join(&name);
            python.exists().then_some((patch, python))
        })
        .collect();
    found.sort();
    let system = ["/usr/bin", "/usr/local/bin"].map(|dir| Path::new(dir).join(&name));
    found.pop().map(|(_, python)| python).or_else(|| system.into_iter().find(|python| python.exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_pins_installed_is_out_of_date() {
        let directory = tempfile::tempdir().unwrap();
        let pins = |text: &str| Pins { file: PathBuf::new(), text: text.to_owned() };
        assert!(!pins("a==1").are_in(directory.path()), "nothing is installed");
        pins("a==1").stamp(directory.path()).unwrap();
        assert!(pins("a==1").are_in(directory.path()));
        assert!(!pins("a==2").are_in(directory.path()), "another version is wanted");
    }
}
