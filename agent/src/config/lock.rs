//! One agent per database: the second would fight the first for it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::PathBuf;

use super::Database;
use crate::problem::Problem;

/// Held by the agent that writes a database; let go of when it is dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What became of the database.
#[derive(Debug)]
pub enum Claim {
    /// It is this agent's.
    Held(Lock),
    /// Its disk takes no file, for this reason.
    Refused(String),
}

impl Database {
    /// Makes the database's file where it is absent, and claims it.
    ///
    /// # Errors
    /// Another agent holds it, or no file can be made there, but for what the disk itself refuses.
    pub fn claim(&self) -> Result<Claim, Problem> {
        match self.prepare().and_then(|()| self.lock()) {
            Ok(lock) => Ok(Claim::Held(lock)),
            Err(problem) if problem.of_disk => Ok(Claim::Refused(problem.what)),
            Err(problem) => Err(problem),
        }
    }

    /// Claims the database: flock(2) on a file beside it, which holds the pid for the user to read. The file stays, empty
    /// of meaning without the lock.
    ///
    /// # Errors
    /// Another agent holds it, or the file cannot be made.
    pub fn lock(&self) -> Result<Lock, Problem> {
        let path = self.lock_path();
        let refuse = |error: std::io::Error| {
            Problem::of_file(
                &error,
                format!("cannot lock the database with {}: {error}", path.display()),
                "--db with a file in a directory that you can write to",
            )
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.taken(&mut file)),
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
        if let Some(owner) = self.owner {
            fchown(&file, Some(owner.uid), Some(owner.gid)).map_err(refuse)?;
        }
        file.set_len(0).map_err(refuse)?;
        writeln!(file, "{}", std::process::id()).map_err(refuse)?;
        Ok(Lock { _file: file })
    }

    /// Does no other agent hold the database? Makes nothing.
    ///
    /// # Errors
    /// One does.
    pub fn not_locked(&self) -> Result<(), Problem> {
        // Absent or unreadable: whether it can be claimed will be seen when it is.
        let Ok(mut file) = File::open(self.lock_path()) else { return Ok(()) };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(self.taken(&mut file)),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    fn taken(&self, file: &mut File) -> Problem {
        let mut text = String::new();
        let by = match file.read_to_string(&mut text) {
            Ok(_) if !text.trim().is_empty() => format!(" (pid {})", text.trim()),
            _ => String::new(),
        };
        Problem::new(
            format!("another apm-agent{by} is running with the database {}", self.path.display()),
            "its dashboard, or --db and --port for a second agent",
        )
    }

    fn lock_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_agent_is_told_who_the_first_is() {
        let place = tempfile::tempdir().unwrap();
        let database = Database { path: place.path().join("apm.db"), owner: None };
        assert_eq!(database.not_locked(), Ok(()));
        let lock = database.lock().unwrap();
        let pid = format!("(pid {})", std::process::id());
        assert!(database.not_locked().unwrap_err().what.contains(&pid));
        assert!(database.lock().unwrap_err().what.contains(&pid));
        drop(lock);
        assert_eq!(database.not_locked(), Ok(()));
        database.lock().unwrap();
    }

    #[test]
    fn databases_side_by_side_do_not_mind_each_other() {
        let place = tempfile::tempdir().unwrap();
        let lock = |name: &str| Database { path: place.path().join(name), owner: None }.lock();
        let (one, two) = (lock("one.db"), lock("two.db"));
        assert!(one.is_ok() && two.is_ok());
    }

    #[test]
    fn lock_that_is_a_link_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("target");
        std::os::unix::fs::symlink(&target, place.path().join("apm.db.lock")).unwrap();
        assert!(Database { path: place.path().join("apm.db"), owner: None }.lock().is_err());
        assert!(!target.exists());
    }
}
