//! What the pipeline does about processes, and a log of what the probes tell.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use apm_agent::attribution::Attribution;
use apm_agent::capture::{Capture, CaptureOptions, Captured, ProcessEvent};
use apm_agent::process::{ProcSource, Procfs};
use apm_core::exchange::{ConnId, Direction, Origin};
use apm_core::loss::Losses;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A chunk, as far as scores need it.
pub(crate) struct Seen {
    pub(crate) conn: ConnId,
    pub(crate) direction: Direction,
    pub(crate) head: Vec<u8>,
    pub(crate) origin: Origin,
}

/// Probes on some processes and their descendants.
pub(crate) struct Watch {
    capture: Capture,
    attribution: Attribution,
    procfs: Procfs,
    watched: BTreeSet<u32>,
    starting: Vec<u32>,
    problems: Vec<String>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            capture: Capture::start(CaptureOptions { ring_bytes: 8 << 20 }).expect("capture starts"),
            attribution: Attribution::new(),
            procfs: Procfs::default(),
            watched: BTreeSet::new(),
            starting: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Watches a process that has just been started.
    pub(crate) fn add(&mut self, pid: u32) {
        self.capture.watch(pid).expect("room for a process");
        self.attach(pid);
    }

    /// Watches a process that runs, with its children.
    pub(crate) fn add_tree(&mut self, root: u32) {
        self.add(root);
        for pid in self.procfs.pids().unwrap_or_default() {
            if self.procfs.lineage(pid).is_ok_and(|lineage| lineage.parent == root) {
                self.add(pid);
            }
        }
    }

    fn attach(&mut self, pid: u32) {
        self.watched.insert(pid);
        let ready = match self.procfs.inspect(pid) {
            Ok(process) => {
                let report = self.attribution.attach(&mut self.capture, &process);
                let problems = report.attachments.into_iter().filter_map(|a| Some((a.what, a.problem?)));
                self.problems.extend(problems.map(|(what, problem)| format!("{what}: {problem}")));
                !report.not_ready
            }
            Err(_) => false,
        };
        self.starting.retain(|starting| *starting != pid);
        if !ready && self.procfs.lineage(pid).is_ok() {
            self.starting.push(pid);
        }
    }

    /// Takes events until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut unwanted = Vec::new();
        while !done(self) {
            assert!(Instant::now() < deadline, "waited in vain for {what}; {:?}", self.problems);
            self.turn(&mut unwanted);
        }
    }

    /// Takes events until nothing starts any more: what a server does before it serves is over.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        let mut unwanted = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while quiet < 20 {
            assert!(Instant::now() < deadline, "the server does not settle; {:?}", self.problems);
            quiet = if self.turn(&mut unwanted) == 0 && self.starting.is_empty() { quiet + 1 } else { 0 };
        }
    }

    /// Takes events until `done`, and then what is still under way; returns the chunks. Meanwhile the processes are
    /// attached to again and again, as they are when they load a library: whatever their threads do, that succeeds.
    pub(crate) fn collect(&mut self, mut done: impl FnMut() -> bool) -> Vec<Seen> {
        let deadline = Instant::now() + PATIENCE;
        let mut log = Vec::new();
        let mut quiet = 0;
        // Work in the background goes on for some milliseconds after the last answer.
        while quiet < 10 {
            assert!(Instant::now() < deadline, "the load did not end; {:?}", self.problems);
            quiet = if self.turn(&mut log) == 0 && done() { quiet + 1 } else { 0 };
            for pid in self.watched.clone() {
                self.attach(pid);
            }
        }
        log
    }

    fn turn(&mut self, log: &mut Vec<Seen>) -> usize {
        self.capture.wait(Duration::from_millis(10));
        let mut changed = std::mem::take(&mut self.starting);
        self.starting.clone_from(&changed);
        let mut replaced = Vec::new();
        let count = self.capture.drain(usize::MAX, |event| match event {
            Captured::Chunk(chunk) => log.push(Seen {
                conn: chunk.conn,
                direction: chunk.direction,
                head: chunk.head.to_vec(),
                origin: chunk.origin,
            }),
            Captured::Process(ProcessEvent::Fork { pid, .. } | ProcessEvent::Mapped { pid }) => {
                changed.push(pid);
            }
            // Whatever a watched process becomes is watched here.
            Captured::Process(ProcessEvent::Exec { pid, watched: true }) => replaced.push(pid),
            _ => {}
        });
        for pid in replaced {
            self.capture.watch(pid).expect("room for a process");
            changed.push(pid);
        }
        changed.sort_unstable();
        changed.dedup();
        for pid in changed {
            self.attach(pid);
        }
        count
    }

    /// Prints what went wrong.
    pub(crate) fn report(&self) {
        let mut losses = Losses::default();
        self.capture.read_losses(&mut losses);
        let losses: Vec<_> = losses.iter().filter(|(_, n)| *n > 0).collect();
        println!("problems {:?}, losses {losses:?}", self.problems);
    }

    /// There was no problem; or, of an interpreter that is `unknown`, just that.
    pub(crate) fn stop(self, unknown: Option<&str>) {
        let expected = |problem: &String| unknown.is_some_and(|name| problem.contains(name));
        assert!(self.problems.iter().all(expected), "{:?}", self.problems);
        assert_eq!(self.problems.is_empty(), unknown.is_none(), "nothing is said of {unknown:?}");
    }
}
