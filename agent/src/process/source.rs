//! `/proc`, behind a trait.

mod inspect;
mod mappings;

use std::path::{Path, PathBuf};

use super::elf::ElfCache;
use super::identity::{Lineage, ProcessId};
use super::python::{NotPython, PythonProcess};

/// Where knowledge about processes comes from; the system's `/proc`, or a table in a test.
pub trait ProcSource {
    /// All processes there are now, in no order.
    fn pids(&self) -> Vec<u32>;

    /// Identity and parent; `None` when the process is gone or a zombie.
    fn lineage(&self, pid: u32) -> Option<Lineage>;

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
}

impl Procfs {
    /// Facts about the files that processes map.
    pub fn elf(&self) -> &ElfCache {
        &self.elf
    }

    /// Every Python process of the machine that may be looked at.
    pub fn scan(&self) -> Vec<PythonProcess> {
        self.pids().into_iter().filter_map(|pid| self.inspect(pid).ok()).collect()
    }

    fn process(pid: u32) -> Option<procfs::process::Process> {
        procfs::process::Process::new(i32::try_from(pid).ok()?).ok()
    }
}

impl ProcSource for Procfs {
    fn pids(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    fn lineage(&self, pid: u32) -> Option<Lineage> {
        let stat = Self::process(pid)?.stat().ok()?;
        // proc_pid_stat(5): Z is a zombie, X is dead.
        if matches!(stat.state, 'Z' | 'X' | 'x') {
            return None;
        }
        let parent = u32::try_from(stat.ppid).ok()?;
        Some(Lineage { id: ProcessId { pid, start: stat.starttime }, parent })
    }

    fn inspect(&self, pid: u32) -> Result<PythonProcess, NotPython> {
        inspect::inspect(&self.elf, pid)
    }

    fn cmdline(&self, pid: u32) -> Vec<String> {
        cmdline(pid)
    }
}

/// Arguments of a process, as it may have rewritten them; empty for a process without any.
fn cmdline(pid: u32) -> Vec<String> {
    // Not the procfs crate's: it fails on arguments that are not UTF-8.
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // setproctitle pads with NULs or blanks.
    let text = text.trim_end_matches(['\0', ' ']);
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
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
