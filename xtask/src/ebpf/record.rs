//! The build record beside the object: what it was built with, so that a comparison knows when it means something.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result};

use super::toolchain::Toolchain;
use crate::shell;

/// Compiler, linker and hash of one object, a line each: `name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// rustc's release, `1.96.0`.
    pub(super) rustc: String,
    /// rustc's commit hash.
    pub(super) commit: String,
    /// LLVM of rustc, `22.1.8`.
    pub(super) llvm: String,
    /// bpf-linker's version.
    pub(super) linker: String,
    /// SHA-256 of the object, hexadecimal.
    pub(super) sha256: String,
}

impl Record {
    /// Describes `object` as built with `tools`.
    pub(super) fn of(tools: &Toolchain, object: &Path) -> Result<Self> {
        let version = shell::output(Command::new(&tools.rustc).arg("-vV"))?;
        let linker = shell::output(Command::new(&tools.linker).arg("--version"))?;
        Ok(Self {
            rustc: value(&version, "release")?,
            commit: value(&version, "commit-hash")?,
            llvm: value(&version, "LLVM version")?,
            linker: linker.trim().trim_start_matches("bpf-linker ").to_owned(),
            sha256: Self::sha256(object)?,
        })
    }

    /// SHA-256 of a file, by coreutils.
    pub(super) fn sha256(file: &Path) -> Result<String> {
        let out = shell::output(Command::new("sha256sum").arg(file))?;
        out.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
    }

    /// How the tools behind two records differ in a way that may change bytes; `None` when the bytes must be equal.
    /// LLVM's last number is left out: releases of one minor version gave equal bytes.
    pub(super) fn other_tools(&self, other: &Self) -> Option<String> {
        let minor = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
        let pairs = [
            ("rustc", &self.rustc, &other.rustc),
            ("rustc's commit", &self.commit, &other.commit),
            ("bpf-linker", &self.linker, &other.linker),
        ];
        for (what, committed, here) in pairs {
            if committed != here {
                return Some(format!("{what} is {here} here, {committed} made the committed object"));
            }
        }
        let (committed, here) = (minor(&self.llvm), minor(&other.llvm));
        (committed != here).then(|| format!("LLVM is {here} here, {committed} made the committed object"))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "release: {}", self.rustc)?;
        writeln!(f, "commit-hash: {}", self.commit)?;
        writeln!(f, "LLVM version: {}", self.llvm)?;
        writeln!(f, "bpf-linker: {}", self.linker)?;
        writeln!(f, "sha256: {}", self.sha256)
    }
}

impl FromStr for Record {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(Self {
            rustc: value(text, "release")?,
            commit: value(text, "commit-hash")?,
            llvm: value(text, "LLVM version")?,
            linker: value(text, "bpf-linker")?,
            sha256: value(text, "sha256")?,
        })
    }
}

/// The value of the line `name: value`.
fn value(text: &str, name: &str) -> Result<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.map(|value| value.trim().to_owned()).with_context(|| format!("no line `{name}: ...`"))
}

#[cfg(test)]
mod tests {
    use super::Record;

    fn record() -> Record {
        let text =
            "release: 1.96.0\ncommit-hash: ac68\nLLVM version: 22.1.8\nbpf-linker: 0.13.0\nsha256: 00ff\n";
        text.parse().unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_written() {
        assert_eq!(record().to_string().parse::<Record>().unwrap(), record());
    }

    #[test]
    fn another_patch_of_llvm_still_compares() {
        let other = Record { llvm: "22.1.2".to_owned(), ..record() };
        assert_eq!(record().other_tools(&other), None);
    }

    #[test]
    fn another_compiler_is_named() {
        let other = Record { rustc: "1.97.0".to_owned(), ..record() };
        assert_eq!(
            record().other_tools(&other).as_deref(),
            Some("rustc is 1.97.0 here, 1.96.0 made the committed object")
        );
    }

    #[test]
    fn a_record_without_a_hash_is_refused() {
        assert!("release: 1.96.0\n".parse::<Record>().is_err());
    }
}
