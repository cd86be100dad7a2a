//! Ten thousand connections that are open at the same time.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use super::{Pair, read_answer};
use crate::places::Places;
use crate::runner::Verdict;

const CONNECTIONS: usize = 10_000;
/// File descriptors that client and server each need: one per connection, and some of their own.
const DESCRIPTORS: u64 = CONNECTIONS as u64 + 500;
/// Most memory that they may add to the agent's, MB: 10 KB for each.
const MEMORY: f64 = 100.0;

/// Each connection carries a request, waits while all others open and carry theirs, and carries another.
pub(super) fn all_at_once(places: &Places) -> Result<Verdict> {
    if !may_open(DESCRIPTORS)? {
        return Ok(Verdict::Skipped(format!("a process may not open {DESCRIPTORS} files here")));
    }
    let mut pair = Pair::start(places, "uvicorn-uvloop-httptools", &[])?;
    pair.shown("/warm")?;
    let before = pair.memory_now()?;
    let path = |round: &str, n: usize| format!("/r/200/5/0/whole/{round}{n}");
    let ask = |stream: &mut TcpStream, round: &str, n: usize| -> Result<()> {
        stream.write_all(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path(round, n)).as_bytes())?;
        read_answer(stream).map(|_| ()).with_context(|| path(round, n))
    };
    let mut open = Vec::with_capacity(CONNECTIONS);
    for n in 0..CONNECTIONS {
        let mut stream = pair.connect()?;
        ask(&mut stream, "first", n)?;
        open.push(stream);
    }
    for (n, stream) in open.iter_mut().enumerate() {
        ask(stream, "second", n)?;
    }
    pair.awaited(&path("second", CONNECTIONS - 1))?;
    let grown = super::peak_memory_mb(pair.agent.process.pid())? - before;
    ensure!(grown <= MEMORY, "the agent's memory grew by {grown:.1} MB");
    pair.no_losses()?;
    drop(open);
    pair.shown("/last")?;
    pair.agent.stop()?;
    let events = pair.agent.events()?;
    let seen: Vec<&str> =
        events.iter().map(|event| event.path.as_str()).filter(|path| path.starts_with("/r/")).collect();
    let distinct: HashSet<&str> = seen.iter().copied().collect();
    ensure!(
        seen.len() == 2 * CONNECTIONS && distinct.len() == seen.len(),
        "{} of {} are shown, {} differ",
        seen.len(),
        2 * CONNECTIONS,
        distinct.len()
    );
    Ok(Verdict::Passed(format!(
        "{CONNECTIONS} open, two requests each, every one seen once; memory +{grown:.1} MB"
    )))
}

/// Raises this process's limit of open files, which its children inherit, as far as it may. Does it reach `wanted`?
fn may_open(wanted: u64) -> Result<bool> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a structure of this function's.
    ensure!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0, "getrlimit failed");
    limit.rlim_cur = limit.rlim_max.min(limit.rlim_cur.max(wanted));
    // SAFETY: likewise; it is only read.
    ensure!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0, "setrlimit failed");
    Ok(limit.rlim_cur >= wanted)
}
