//! The place of the database.

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use crate::config::Database;
use crate::problem::{Problem, is_of_disk};

/// Can the database be written there? Creates nothing.
pub(super) fn writable(database: &Database) -> Result<String, Problem> {
    let path = &database.path;
    let refused = |why: String| {
        Problem::new(
            format!("cannot write the database {}: {why}", path.display()),
            "--db with a file in a directory that you can write to",
        )
    };
    let refuse = |why: String| Err(refused(why));
    let denied = |error: Errno, what: String| {
        Err(Problem {
            of_disk: is_of_disk(&error.into()),
            ..refused(format!("{what}{}", error.desc().to_lowercase()))
        })
    };
    let shown = format!("{}", path.display());
    if path.is_dir() {
        return refuse("it is a directory".into());
    }
    if path.exists() {
        return match access(path, AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) => Ok(shown),
            Err(error) => denied(error, String::new()),
        };
    }
    // The nearest directory there is: those between it and the file will be made.
    let Some(nearest) = path.ancestors().skip(1).find(|directory| directory.exists()) else {
        return refuse("there is no directory to put it in".into());
    };
    if !nearest.is_dir() {
        return refuse(format!("{} is no directory", nearest.display()));
    }
    match access(nearest, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Ok(shown),
        Err(error) => denied(error, format!("directory {}: ", nearest.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn judge(path: impl AsRef<Path>) -> Result<String, Problem> {
        writable(&Database { path: path.as_ref().into(), owner: None })
    }

    #[test]
    fn directories_to_be_made_are_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/apm.db");
        assert!(judge(&path).is_ok());
        assert!(!directory.path().join("a").exists(), "checking makes nothing");
        let existing = directory.path().join("apm.db");
        std::fs::write(&existing, "").unwrap();
        assert!(judge(existing).is_ok());
    }

    #[test]
    fn places_that_cannot_hold_a_file_are_told() {
        assert!(judge("/").unwrap_err().what.contains("is a directory"));
        let error = judge("/dev/null/x/apm.db").unwrap_err();
        assert!(error.what.starts_with("cannot write the database /dev/null/x/apm.db: "), "{error}");
        assert!(judge("/dev/null/apm.db").unwrap_err().what.contains("/dev/null is no directory"));
    }
}
