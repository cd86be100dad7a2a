//! Where things are on this machine.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::guard::{self, Thing};

/// Python versions the agent is tested with.
pub(crate) const PYTHONS: &[&str] = &["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"];

/// How many of them every run counts on; the later ones come with `--long`.
pub(crate) const COMMON: usize = 6;

/// The Python of the clients, drivers and applications under test: `cargo xtask test` makes their environments on it.
const CLIENTS_ON: &str = "3.11";

/// The machine lacks the Python that a test needs, which is then skipped.
#[derive(Debug)]
pub(crate) struct Absent;

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no Python {CLIENTS_ON}, on which the clients and applications under test run")
    }
}

impl std::error::Error for Absent {}

/// Paths from the command line.
pub(crate) struct Places {
    /// The agent's binary.
    pub(crate) agent: PathBuf,
    /// Root of the workspace.
    pub(crate) root: PathBuf,
    /// Virtual environments, one per Python version, named by it.
    pub(crate) venvs: PathBuf,
    /// Where screenshots go.
    pub(crate) screens: PathBuf,
    /// Node, for the page.
    pub(crate) node: Option<PathBuf>,
    /// Long tests too.
    pub(crate) long: bool,
    /// Write what was measured into the documents.
    pub(crate) write_docs: bool,
}

impl Places {
    /// The Python of this version, if this machine has it.
    pub(crate) fn python(&self, version: &str) -> Option<PathBuf> {
        let python = self.venvs.join(version).join("bin/python");
        python.exists().then_some(python)
    }

    /// The newest Python there is, but rather 3.11, which Debian 12 has.
    pub(crate) fn any_python(&self) -> Result<PathBuf> {
        let mut versions = ["3.11"].iter().chain(PYTHONS.iter().rev());
        versions
            .find_map(|version| self.python(version))
            .context("no Python environment; run `cargo xtask test`")
    }

    /// The Python with the clients and drivers; [`Absent`] where the machine cannot have it.
    pub(crate) fn clients(&self) -> Result<PathBuf> {
        self.environment("outgoing")
    }

    /// The Python with every server and framework; [`Absent`] where the machine cannot have it.
    pub(crate) fn applications(&self) -> Result<PathBuf> {
        self.environment("applications")
    }

    fn environment(&self, name: &str) -> Result<PathBuf> {
        let home = self.venvs.join(name);
        ensure!(home.exists() || self.python(CLIENTS_ON).is_some(), Absent);
        let home = home
            .canonicalize()
            .with_context(|| format!("no Python environment {}; run `cargo xtask test`", home.display()))?;
        Ok(home.join("bin/python"))
    }

    /// The apps under test.
    pub(crate) fn apps(&self) -> PathBuf {
        self.root.join("tests/apps")
    }

    /// A directory for one test, gone afterwards.
    pub(crate) fn scratch(&self) -> Result<Scratch> {
        let directory = tempfile::Builder::new().prefix("apm-tests-").tempdir()?;
        guard::begun(Thing::Tree(directory.path()))?;
        Ok(Scratch { path: directory.path().to_owned(), directory: Some(directory) })
    }
}

/// A directory that is gone when this is, or the run.
pub(crate) struct Scratch {
    path: PathBuf,
    directory: Option<TempDir>,
}

impl Scratch {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.directory.take().map(TempDir::close) {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
        guard::ended(Thing::Tree(&self.path));
    }
}

/// Does `directory` hold `needle` in any of its files, and in which?
pub(crate) fn file_with(directory: &Path, needle: &str) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            if bytes.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}
