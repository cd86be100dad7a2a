//! `/proc`, behind a trait.

mod inspect;
mod mappings;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use procfs::ProcError;
use procfs::process::Process;

use super::elf::ElfCache;
use super::identity::{Lineage, ProcessId};
use super::patience::FileSystems;
use super::python::{NotPython, PythonProcess};

/// Bytes of a command line that are kept.
const CMDLINE_MAX: u64 = 32 << 10;
/// Bytes of an environment that are looked at. `execve` takes 2 MiB with the arguments where nobody has changed the limits.
const ENVIRON_MAX: u64 = 2 << 20;

/// Why a process is not to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// It has ended, or is a zombie.
    Gone,
    /// We could not look, for want of file descriptors or memory of our own: that tells nothing of it.
    Unknown,
}

impl From<&ProcError> for Unseen {
    fn from(error: &ProcError) -> Self {
        match error {
            ProcError::Io(error, _) if is_ours(error) => Self::Unknown,
            _ => Self::Gone,
        }
    }
}

/// Is it the agent that lacks something?
fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR))
}

/// Where knowledge about processes comes from; the system's `/proc`, or a table in a test.
pub trait ProcSource {
    /// All processes there are now, in no order; `None` where they cannot be listed.
    fn pids(&self) -> Option<Vec<u32>>;

    /// Identity and parent.
    ///
    /// # Errors
    /// The process is gone, or could not be looked at.
    fn lineage(&self, pid: u32) -> Result<Lineage, Unseen>;

    /// All about a Python process.
    ///
    /// # Errors
    /// What the process is instead.
    fn inspect(&self, pid: u32) -> Result<PythonProcess, NotPython>;

    /// Its command line; empty where there is none.
    fn cmdline(&self, pid: u32) -> Vec<String>;
}

/// The system's `/proc`.
#[derive(Debug, Default)]
pub struct Procfs {
    elf: ElfCache,
    file_systems: FileSystems,
}

impl Procfs {
    /// Facts about the files that processes map.
    pub fn elf(&self) -> &ElfCache {
        &self.elf
    }

    /// Files whose file systems do not answer: processes that map some there are not looked at.
    pub fn silent(&self) -> Vec<PathBuf> {
        self.file_systems.silent()
    }

    /// Every Python process of the machine that may be looked at.
    pub fn scan(&self) -> Vec<PythonProcess> {
        self.pids().into_iter().flatten().filter_map(|pid| self.inspect(pid).ok()).collect()
    }
}

impl ProcSource for Procfs {
    fn pids(&self) -> Option<Vec<u32>> {
        let entries = std::fs::read_dir("/proc").ok()?;
        Some(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    fn lineage(&self, pid: u32) -> Result<Lineage, Unseen> {
        let number = i32::try_from(pid).map_err(|_| Unseen::Gone)?;
        let stat = Process::new(number).and_then(|process| process.stat()).map_err(|e| Unseen::from(&e))?;
        // proc_pid_stat(5): Z is a zombie, X is dead.
        if matches!(stat.state, 'Z' | 'X' | 'x') {
            return Err(Unseen::Gone);
        }
        let parent = u32::try_from(stat.ppid).map_err(|_| Unseen::Gone)?;
        Ok(Lineage { id: ProcessId { pid, start: stat.starttime }, parent })
    }

    fn inspect(&self, pid: u32) -> Result<PythonProcess, NotPython> {
        inspect::inspect(&self.elf, &self.file_systems, pid)
    }

    fn cmdline(&self, pid: u32) -> Vec<String> {
        cmdline(pid)
    }
}

/// Arguments of a process, as it may have rewritten them; empty for a process without any.
fn cmdline(pid: u32) -> Vec<String> {
    // Not the procfs crate's: it fails on arguments that are not UTF-8.
    let bytes = beginning(pid, "cmdline", CMDLINE_MAX);
    let text = String::from_utf8_lossy(&bytes);
    // setproctitle pads with NULs or blanks.
    let text = text.trim_end_matches(['\0', ' ']);
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
}

/// Environment of a process as it began (proc_pid_environ(5)); empty where it cannot be read.
pub(crate) fn environ(pid: u32) -> Vec<u8> {
    beginning(pid, "environ", ENVIRON_MAX)
}

/// The first bytes of a file of a process: it may say that its arguments are all its memory (PR_SET_MM(2const)).
fn beginning(pid: u32, file: &str, max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/{file}"));
    // What was read before an error is all there is.
    let _read = file.and_then(|file| file.take(max).read_to_end(&mut bytes));
    bytes
}

/// Last part of a path, as text.
fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Path that the kernel wrote into `/proc`, without its mark of a deleted file, and whether it had one.
pub(super) fn without_deleted_mark(path: PathBuf) -> (PathBuf, bool) {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(name) => (name.into(), true),
        None => (path, false),
    }
}

/// A path as a process sees it whose root directory the kernel tells as `root`: that of a process in a mere chroot(2) is told from
/// our own root.
pub(super) fn as_seen_within(path: PathBuf, root: Option<&Path>) -> PathBuf {
    let inside = root.and_then(|root| path.strip_prefix(root).ok()).map(|inside| Path::new("/").join(inside));
    inside.unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_lacks_tells_nothing_of_a_process() {
        let seen = |errno| Unseen::from(&ProcError::from(io::Error::from_raw_os_error(errno)));
        assert_eq!(seen(libc::EMFILE), Unseen::Unknown);
        assert_eq!(seen(libc::ENOMEM), Unseen::Unknown);
        assert_eq!(seen(libc::ENOENT), Unseen::Gone);
        assert_eq!(seen(libc::ESRCH), Unseen::Gone);
        assert_eq!(Procfs::default().lineage(u32::MAX), Err(Unseen::Gone));
    }
}
