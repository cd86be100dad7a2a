//! Reading the memory of another process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Memory of a process, through `/proc/PID/mem`, proc_pid_mem(5). Reading stops nothing; what is read may change
/// meanwhile, so pointers are followed with checks at every step.
pub(super) struct Memory(File);

impl Memory {
    /// Opens it; needs the right to trace the process.
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/mem")).map(Self)
    }

    /// The word at an address.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// The `u32` at an address.
    pub(super) fn half(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// Bytes from an address up to the first NUL, of `N` at most; `None` where there is none.
    pub(super) fn text<const N: usize>(&self, address: u64) -> Option<String> {
        let mut bytes = [0; N];
        let len = self.0.read_at(&mut bytes, address).ok()?;
        let end = bytes[..len].iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
    }

    /// All bytes of a range; empty where it cannot be read.
    pub(super) fn range(&self, start: u64, end: u64) -> Vec<u8> {
        let Ok(len) = usize::try_from(end.saturating_sub(start)) else { return Vec::new() };
        let mut bytes = vec![0; len];
        match self.0.read_exact_at(&mut bytes, start) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }
}
