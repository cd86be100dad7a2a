//! Which process is meant: a pid alone is not enough, because the kernel hands it out again.

/// A process, for ever: its pid and when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// Thread-group id in the agent's pid namespace.
    pub pid: u32,
    /// Start in clock ticks since boot: field 22 of `/proc/PID/stat`, proc_pid_stat(5). It survives execve.
    pub start: u64,
}

/// A process and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The process.
    pub id: ProcessId,
    /// Its parent now; 1 or a subreaper once the parent is gone.
    pub parent: u32,
}
