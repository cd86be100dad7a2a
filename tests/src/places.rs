//! Where things are on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Python versions the agent is tested with.
pub(crate) const PYTHONS: &[&str] = &["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"];

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

    /// The apps under test.
    pub(crate) fn apps(&self) -> PathBuf {
        self.root.join("tests/apps")
    }

    /// A directory for one test, gone afterwards.
    pub(crate) fn scratch(&self) -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("apm-tests-").tempdir()?)
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
