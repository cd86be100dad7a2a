//! Facts by file, so that a hundred workers cost one look.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ElfError, ElfFacts};

/// Files kept; a process with every scientific package maps some hundreds.
const MAX_FILES: usize = 8192;

/// A file, whatever its name: the same key means the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// Device.
    pub device: u64,
    /// Inode on the device.
    pub inode: u64,
    /// Last change of its content, nanoseconds since 1970.
    pub modified: i128,
}

impl FileKey {
    /// The key of the file that `access` leads to.
    ///
    /// # Errors
    /// The file is not there, may not be looked at, or is no regular file.
    pub fn of(access: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(access)?;
        if !metadata.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        })
    }
}

/// Facts about files that were looked at; shared by all threads.
#[derive(Debug, Default)]
pub struct ElfCache {
    facts: Known<Option<Arc<ElfFacts>>>,
    holds_python: Known<bool>,
}

/// One answer for each file.
#[derive(Debug)]
struct Known<T>(Mutex<HashMap<FileKey, T>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Known<T> {
    fn get(&self, key: FileKey, find: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(&key) {
            return Ok(answer.clone());
        }
        // Without holding the lock: a slow disk must not stop the others.
        let answer = find()?;
        let mut known = known();
        if known.len() >= MAX_FILES {
            known.clear();
        }
        known.insert(key, answer.clone());
        Ok(answer)
    }
}

impl ElfCache {
    /// Facts about the file that `access` leads to, called `name` in the process. `None` for what is no ELF file.
    ///
    /// # Errors
    /// The file is not there or may not be read.
    pub fn facts(&self, access: &Path, name: &str) -> std::io::Result<(FileKey, Option<Arc<ElfFacts>>)> {
        let key = FileKey::of(access)?;
        let facts = self.facts.get(key, || match ElfFacts::read(access, name) {
            Ok(facts) => Ok(Some(Arc::new(facts))),
            Err(ElfError::Read(_, error)) => Err(error),
            Err(ElfError::Format(..)) => Ok(None),
        })?;
        Ok((key, facts))
    }

    /// Does the file that `access` leads to define a Python interpreter? No, where it cannot be read.
    pub fn holds_python(&self, access: &Path) -> bool {
        let find = || match ElfFacts::holds_python(access) {
            Ok(answer) => Ok(answer),
            Err(ElfError::Read(_, error)) => Err(error),
            Err(ElfError::Format(..)) => Ok(false),
        };
        FileKey::of(access).and_then(|key| self.holds_python.get(key, find)).unwrap_or(false)
    }
}
