//! Load that can be halted and let on again at once, to compare two servers within a fraction of a second.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::CONNECTIONS;
use super::usage;
use super::wrk::parsed;
use crate::process::{Process, until};

/// Of one measurement at least. What a machine's speed does within it, it does to both servers.
const SLICE: Duration = Duration::from_millis(200);
/// A slice has so many requests of each connection at least: they begin together, and must have spread by its end.
const EACH: f64 = 10.0;
/// Looks at whether a halted server still works.
const LOOK: Duration = Duration::from_millis(5);
/// A server that works has this much of that time.
const WORKS: Duration = Duration::from_millis(1);
/// An agent may take this long to have done what a slice gave it to do.
const AGENT_RESTS: Duration = Duration::from_millis(500);
/// Longer than any round: a flow ends with its round.
const LONG: &str = "-d3600s";

/// A wrk that has kept-alive connections to a server, halted except while it is measured.
pub(super) struct Flow {
    wrk: Process,
    /// The server's.
    pid: u32,
    /// That of the agent that watches the server, if one does.
    agent: Option<u32>,
    /// Bytes that wrk reads for each answer.
    answer: f64,
    /// How long a request of each connection takes at full load.
    all: Duration,
}

/// What a server did in a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    /// Requests answered per second.
    pub(super) rate: f64,
    /// CPU time of the app per request, microseconds.
    pub(super) app_us: f64,
}

impl Flow {
    /// A flow of requests for `url` to the server `pid`, which `agent` may watch and whose answers have so many bytes; wrk
    /// writes to `log`.
    pub(super) fn start(url: &str, pid: u32, agent: Option<u32>, answer: f64, log: &Path) -> Result<Self> {
        let mut command = Command::new("wrk");
        // Its own patience is shorter than a pause may be.
        command.args(["-t1", "--latency", LONG, "--timeout", "60s", &format!("-c{CONNECTIONS}"), url]);
        let wrk = Process::start("wrk", &mut command, log)?;
        let mut flow = Self { wrk, pid, agent, answer, all: Duration::ZERO };
        // All connections are made, and the app has come to speed.
        thread::sleep(Duration::from_secs(1));
        let begin = flow.answers()?;
        thread::sleep(SLICE);
        let rate = (flow.answers()? - begin) / SLICE.as_secs_f64();
        flow.all = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate.max(f64::from(CONNECTIONS)));
        flow.halt()?;
        Ok(flow)
    }

    /// Lets it on for a slice.
    pub(super) fn slice(&mut self) -> Result<Full> {
        self.wrk.check_alive()?;
        self.wrk.signal(libc::SIGCONT);
        // First it reads the answers that came when it was halted.
        thread::sleep(self.all.max(4 * LOOK));
        let (begin, answers, cpu) = (Instant::now(), self.answers()?, usage::cpu(self.pid)?);
        thread::sleep(SLICE.max(self.all.mul_f64(EACH)));
        let (took, answers, cpu) = (begin.elapsed(), self.answers()? - answers, usage::cpu(self.pid)? - cpu);
        self.halt()?;
        Ok(Full { rate: answers / took.as_secs_f64(), app_us: cpu.as_secs_f64() * 1e6 / answers })
    }

    /// Ends it; gives the number of requests that were answered in all.
    pub(super) fn end(mut self) -> Result<u64> {
        self.wrk.signal(libc::SIGCONT);
        // The signal must find its first thread awake, which is the one that it ends.
        thread::sleep(LOOK);
        self.wrk.stop(libc::SIGINT, Duration::from_secs(10))?;
        Ok(parsed(&self.wrk.output())?.requests)
    }

    /// Answers that were read since it began, and a constant: `rchar` of proc_pid_io(5) counts what read(2) gave, of sockets too,
    /// and what else wrk reads it has read at its start.
    fn answers(&self) -> Result<f64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.wrk.pid()))?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("rchar: ")).context("no rchar in io")?;
        Ok(bytes.parse::<f64>()? / self.answer)
    }

    /// Halts it, and waits until the server has answered what was asked last, and the agent has done its part: the other
    /// server's slice is not to pay for it.
    fn halt(&self) -> Result<()> {
        self.wrk.signal(libc::SIGSTOP);
        until(Duration::from_secs(10), "a server to answer what it was asked", || rests(self.pid))?;
        let Some(agent) = self.agent else { return Ok(()) };
        // What it does all the time it may do in any slice.
        let deadline = Instant::now() + AGENT_RESTS;
        while Instant::now() < deadline && rests(agent)?.is_none() {}
        Ok(())
    }
}

/// Has the process `pid` not worked for some milliseconds?
fn rests(pid: u32) -> Result<Option<()>> {
    let before = usage::cpu(pid)?;
    thread::sleep(LOOK);
    Ok((usage::cpu(pid)? - before < WORKS).then_some(()))
}
