//! What stops the agent, said so that the user can mend it.

use std::fmt;
use std::io::{self, ErrorKind};

/// Something the user has to change before the agent can do what was asked: one sentence, and what to do about it.
///
/// Displayed as `what. Try: remedy`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// What is wrong, without a full stop.
    pub what: String,
    /// What to do, in the imperative, without a full stop.
    pub remedy: String,
    /// The command line or configuration is wrong (exit code 2), rather than the machine (exit code 1).
    #[serde(skip)]
    pub usage: bool,
    /// It is the disk that refuses (read-only, full, failing), whatever path on it is named: what was to be kept there can be
    /// kept in memory.
    #[serde(skip)]
    pub of_disk: bool,
}

impl Problem {
    /// The machine does not allow what was asked.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), usage: false, of_disk: false }
    }

    /// The command line or the configuration file is wrong.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(what, remedy) }
    }

    /// The same, of an error of the file system.
    pub fn of_file(error: &io::Error, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { of_disk: is_of_disk(error), ..Self::new(what, remedy) }
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. Try: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// Is it the disk that refuses, whatever is to be written to it?
pub fn is_of_disk(error: &io::Error) -> bool {
    use ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), ReadOnlyFilesystem | StorageFull | QuotaExceeded)
        || error.raw_os_error() == Some(libc::EIO)
}
