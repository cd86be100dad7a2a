//! What the agent takes.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;

use crate::store::{lay_out_queries, open};

/// The agent's side of one round.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    /// CPU time, user and system.
    pub(super) cpu: Duration,
    /// Peak resident memory.
    pub(super) memory_mb: f64,
    /// Requests that the load saw answered.
    pub(super) answered: u64,
    /// Events in the store. May exceed `answered` by the requests in flight when the load ended: see [`Self::surplus`].
    pub(super) recorded: u64,
    /// Calls or statements in the store, of which each request makes one.
    pub(super) made: u64,
    /// Loss counters that are not zero.
    pub(super) losses: Vec<(String, u64)>,
}

impl Usage {
    /// Answered requests without an event.
    pub(super) fn lost(&self) -> u64 {
        self.answered.saturating_sub(self.recorded)
    }

    /// Events beyond the answered requests. More of them than were in flight when the loads ended, and some are not of these
    /// requests; as many may be lost unseen.
    pub(super) fn surplus(&self) -> u64 {
        self.recorded.saturating_sub(self.answered)
    }

    /// Calls or statements that are missing.
    pub(super) fn not_made(&self) -> u64 {
        self.answered.saturating_sub(self.made)
    }

    /// CPU time per request, microseconds.
    pub(super) fn cpu_per_request_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered.max(1) as f64
    }
}

/// Outgoing calls in the database at `path`.
pub(super) fn calls(path: &Path) -> Result<u64> {
    count(&open(path)?, "SELECT count(*) FROM call WHERE status = 200")
}

/// Statements of the app's own in the database at `path`; the pool has others. asyncpg has prepared them while it was warmed
/// up, before the agent came.
pub(super) fn queries(path: &Path) -> Result<u64> {
    const QUERY: &str = "
        SELECT count(*) FROM query
        JOIN series ON series.id = query.series
        JOIN statement ON statement.id = series.b
        WHERE statement.text = '<prepared before attach>' AND query.row_count = 1";
    let database = open(path)?;
    lay_out_queries(&database)?;
    count(&database, QUERY)
}

/// Requests in the database at `path`.
pub(super) fn requests(path: &Path) -> Result<u64> {
    count(&open(path)?, "SELECT count(*) FROM event")
}

fn count(database: &Connection, query: &str) -> Result<u64> {
    Ok(database.query_row(query, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// CPU time of a process so far, to the moment (clock_getcpuclockid(3)).
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    // SAFETY: both write to the variable that they are given; zeros are a time.
    let spent = unsafe {
        let known = libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock);
        ensure!(known == 0, "process {pid} has no clock: {}", io::Error::from_raw_os_error(known));
        let mut spent: libc::timespec = std::mem::zeroed();
        ensure!(
            libc::clock_gettime(clock, &raw mut spent) == 0,
            "process {pid}: {}",
            io::Error::last_os_error()
        );
        spent
    };
    Ok(Duration::new(spent.tv_sec.cast_unsigned(), spent.tv_nsec.cast_unsigned() as u32))
}

/// What a write and a read of this process take, nanoseconds: the least of many tries, which others on the machine disturb
/// least.
pub(super) fn write_and_read_ns() -> Result<f64> {
    const TRIES: u32 = 500;
    const EACH: u32 = 1000;
    let (mut one, mut other) = UnixStream::pair()?;
    let mut bytes = [0; 128];
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let begin = Instant::now();
        for _ in 0..EACH {
            one.write_all(&bytes)?;
            other.read_exact(&mut bytes)?;
        }
        least = least.min(begin.elapsed());
    }
    Ok(least.as_secs_f64() * 1e9 / f64::from(EACH))
}

/// Time of all processors since the machine began: what others on the same host took of it, and all; clock ticks (proc(5),
/// `/proc/stat`).
pub(super) fn stolen() -> Result<[u64; 2]> {
    const STEAL: usize = 7;
    // Guests' time is contained in the first two.
    const KINDS: usize = 8;
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks =
        line.split_whitespace().skip(1).take(KINDS).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    Ok([*ticks.get(STEAL).context("short /proc/stat")?, ticks.iter().sum()])
}

/// Resident memory of a process now, in units of 1,000,000 bytes; [`peak_memory_mb`] counts from here on.
pub(crate) fn restart_peak_memory_mb(pid: u32) -> Result<f64> {
    // proc(5): 5 sets the peak to the present value.
    fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    peak_memory_mb(pid)
}

/// Largest resident memory of a process so far, in units of 1,000,000 bytes.
pub(crate) fn peak_memory_mb(pid: u32) -> Result<f64> {
    of_status(pid, "VmHWM:")
}

/// Resident memory of a process now, in units of 1,000,000 bytes.
pub(super) fn memory_mb(pid: u32) -> Result<f64> {
    of_status(pid, "VmRSS:")
}

/// A line of `/proc/PID/status` that gives kB.
fn of_status(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0 / 1e6)
}
