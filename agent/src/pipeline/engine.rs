//! The one thread that turns what the kernel tells into records: capture -> connections -> correlation.

mod inside;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use apm_core::connection::{Limits, Progress, Table};
use apm_core::correlate::{Correlator, LinkCounts, Surroundings as _};
use apm_core::loss::Losses;
use apm_core::record::{ProcessSample, Record};
use apm_core::time::Time;

use super::naming::Naming;
use super::source::Scanner;
use super::status::SOCKETS;
use crate::attribution::Attribution;
use crate::call_sites::CallSites;
use crate::capture::{self, Capture, Captured, ProcessEvent};
use crate::config::Features;
use crate::exceptions::Exceptions;
use crate::process::{self, Attachment, Decision, Policy, Procfs, Registry, Sample, Sampler, Watched};
use crate::python::Interpreters;

/// Events taken from the ring before records are handed on.
const BATCH: usize = 8_192;
/// What waits for later events waits no longer than this where the ring is never found empty.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Times a starting interpreter is looked at again, one turn apart, before it is left to the next library it loads.
const STARTING_TURNS: u32 = 1_000;
/// A full look at `/proc` makes up for events that were lost.
const RESCAN: Duration = Duration::from_secs(60);

/// What the engine knows of itself, for the status page.
pub struct EngineStatus<'a> {
    /// Every watched process with its last sample and its requests in flight.
    pub processes: Vec<(&'a Watched, Option<Sample>, u32)>,
    /// Losses of kernel, connections and protocols.
    pub losses: Losses,
    /// How calls were linked.
    pub links: LinkCounts,
    /// Connections kept, by protocol.
    pub protocols: HashMap<&'static str, usize>,
    /// Events that the probes have written.
    pub events: u64,
    /// Size of the ring, bytes.
    pub ring_bytes: u32,
    /// Bytes in it at the last event.
    pub ring_used: u64,
    /// Most bytes in it at any event.
    pub ring_peak: u64,
    /// The agent's own use of the machine.
    pub own: Option<Sample>,
    /// Files whose file systems do not answer.
    pub silent: Vec<PathBuf>,
}

/// State of the capture thread.
pub struct Engine {
    capture: Capture,
    registry: Registry<Procfs>,
    table: Table,
    correlator: Correlator,
    naming: Naming,
    scanner: Scanner,
    /// `None`: not wanted.
    attribution: Option<Attribution>,
    /// `None`: not wanted.
    exceptions: Option<Exceptions>,
    interpreters: Interpreters,
    /// Variables of functions that raise are wanted.
    locals: bool,
    /// Services whose exceptions are looked at on their way, as a request failed without one that was seen, or as their source
    /// tells that it will; and whose those are: [`apm_agent_ebpf::unwinding`].
    blind: HashMap<Arc<str>, u32>,
    /// Processes that loaded libraries since the last turn.
    mapped: BTreeSet<u32>,
    /// Processes whose interpreter is starting, with the turns that is to be waited for.
    starting: HashMap<u32, u32>,
    sampler: Sampler,
    samples: HashMap<u32, Sample>,
    /// Processes whose samples were stored in the last second, with their service.
    sampled: Vec<(u32, Arc<str>)>,
    losses: Losses,
    progress: Progress,
    life: Vec<ProcessEvent>,
    /// Events up to this moment have been read.
    read_to: Time,
    next_second: Duration,
    next_scan: Duration,
}

impl Engine {
    /// An engine that watches what the policy says, and tells of them what `features` ask for: exceptions only with attribution.
    pub fn new(capture: Capture, policy: Policy, scanner: Scanner, features: Features) -> Self {
        let nonce = capture::now().0 as u32 ^ std::process::id().rotate_left(16);
        let limits = Limits::default();
        let mut engine = Self {
            capture,
            registry: Registry::new(Procfs::default(), policy),
            table: Table::new(Limits {
                tls_patience: limits.tls_patience.filter(|_| features.tls),
                ..limits
            }),
            correlator: Correlator::new(nonce),
            naming: Naming::new(scanner.routes(), features.call_sites.then(CallSites::default)),
            scanner,
            attribution: features.attribution.then(Attribution::new),
            exceptions: features.exceptions.then(Exceptions::default),
            interpreters: Interpreters::default(),
            locals: features.locals,
            blind: HashMap::new(),
            mapped: BTreeSet::new(),
            starting: HashMap::new(),
            sampler: Sampler::default(),
            samples: HashMap::new(),
            sampled: Vec::new(),
            losses: Losses::default(),
            progress: Progress::default(),
            life: Vec::new(),
            read_to: Time(0),
            next_second: Duration::ZERO,
            next_scan: RESCAN,
        };
        let decisions = engine.registry.scan();
        engine.carry_out(decisions);
        engine
    }

    /// Processes watched now.
    pub fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.registry.watched()
    }

    /// Waits for events, at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        self.capture.wait(timeout);
    }

    /// Does so much wait in the ring that the next events may find no room?
    pub fn is_behind(&self) -> bool {
        self.capture.is_filling()
    }

    /// Takes what the ring holds; pushes the records that are complete. Returns how many events there were.
    pub fn step(&mut self, out: &mut Vec<Record>) -> usize {
        let Self { capture, table, progress, life, correlator, exceptions, interpreters, naming, .. } = self;
        let begun = capture::now();
        let count = capture.drain(BATCH, |event| match event {
            Captured::Chunk(chunk) => table.chunk(&chunk, progress),
            Captured::Connecting(conn, origin) => table.connecting(conn, origin),
            Captured::Opened(mut info, error) => {
                info.caller = table.caller(info.id);
                if error.is_none() {
                    correlator.connected(&info);
                }
                table.opened(info, error, progress);
            }
            Captured::Changed(change) => {
                table.changed(change.conn, change.change, change.time, change.moved, progress);
            }
            Captured::Bound { stream, socket } => table.bound(stream, socket),
            Captured::Named { conn, path, is_peers } => table.named(conn, path, is_peers),
            Captured::Raised(event) => {
                let exceptions = exceptions.as_mut();
                if let Some(raised) = exceptions.and_then(|exceptions| exceptions.take(event, interpreters)) {
                    correlator.raised(raised);
                }
            }
            Captured::Left(event) => {
                let exceptions = exceptions.as_mut();
                if let Some(raised) = exceptions.and_then(|exceptions| exceptions.left(&event, interpreters))
                {
                    correlator.raised(raised);
                }
            }
            Captured::Stack(stack) => {
                if let Some(call_sites) = &mut naming.call_sites {
                    call_sites.sent(stack);
                }
            }
            Captured::Begun(begun) => {
                if let Some(call_sites) = &mut naming.call_sites {
                    call_sites.begun(begun);
                }
            }
            Captured::Queued { conn, pos, len, by } => table.queued(conn, pos, len, by),
            Captured::Unresolved(failed) => correlator.unresolved(failed),
            Captured::Process(event) => life.push(event),
        });
        if let Some(exceptions) = &mut self.exceptions {
            exceptions.mute(&mut self.capture);
        }
        self.read_stacks(false);
        if !self.life.is_empty() {
            for event in std::mem::take(&mut self.life) {
                self.process(event);
            }
        }
        self.read_stacks(true);
        // What waits for later events waits until those are read, however long a look at processes took meanwhile.
        self.read_to = match count < BATCH {
            true => begun,
            false => self.read_to.max(Time(begun.0.saturating_sub(BEHIND_MAX.as_nanos() as u64))),
        };
        self.table.tick(self.read_to, &mut self.progress);
        let told = out.len();
        self.correlator.take(&mut self.progress, &self.naming, out);
        self.correlator.settle(self.read_to, out);
        self.notice_blindness(&out[told..]);
        for info in self.table.take_ignored() {
            self.capture.ignore(&info);
        }
        for info in self.table.take_over() {
            self.capture.remove(&info);
            self.correlator.connection_over(info.id, out);
        }
        let uptime = Duration::from_nanos(capture::now().0);
        self.look_again();
        let decisions = self.registry.tick(uptime);
        self.carry_out(decisions);
        count
    }

    /// Once a second: samples, clock, losses. True when a second has begun.
    pub fn second(&mut self, out: &mut Vec<Record>) -> bool {
        let now = capture::now();
        let uptime = Duration::from_nanos(now.0);
        if uptime < self.next_second {
            return false;
        }
        self.next_second = uptime + Duration::from_secs(1);
        self.naming.set_clock();
        self.correlator.tick(self.read_to, &self.naming, out);
        self.expect_blindness();
        if uptime > self.next_scan {
            self.next_scan = uptime + RESCAN;
            let mut decisions = self.registry.scan();
            let refused = self.registry.watched().filter(|w| w.attachments.iter().any(is_refused));
            decisions.extend(refused.cloned().map(Decision::Changed));
            self.carry_out(decisions);
        }
        self.losses.merge(&self.table.take_losses());
        if let Some(exceptions) = &mut self.exceptions {
            self.losses.merge(&exceptions.take_losses());
        }
        if let Some(call_sites) = &mut self.naming.call_sites {
            call_sites.second(&mut self.capture);
            self.losses.merge(&call_sites.take_losses());
        }
        let own = std::process::id();
        let pids: Vec<u32> = self.registry.watched().map(|w| w.process.id.pid).chain([own]).collect();
        self.samples = self.sampler.sample(pids, uptime).into_iter().map(|s| (s.id.pid, s)).collect();
        let serving = self.table.serving();
        let ts = self.naming.unix(now);
        for (pid, service) in std::mem::take(&mut self.sampled) {
            let is_watched = self.registry.watched().any(|w| w.process.id.pid == pid && w.service == service);
            if !is_watched {
                // Its last figures are no longer of now.
                let nothing = ProcessSample { ts, service, pid, ..ProcessSample::default() };
                out.push(Record::Sample(Box::new(nothing)));
            }
        }
        for watched in self.registry.watched() {
            let pid = watched.process.id.pid;
            self.sampled.push((pid, Arc::clone(&watched.service)));
            let sample = self.samples.get(&pid);
            out.push(Record::Sample(Box::new(ProcessSample {
                ts,
                service: Arc::clone(&watched.service),
                pid,
                cpu_pct: sample.and_then(|s| s.cpu_pct),
                mem_mb: sample.map(|s| s.mem_mb),
                in_flight: serving.get(&pid).copied().unwrap_or(0),
                ..ProcessSample::default()
            })));
        }
        true
    }

    /// What the status page shows.
    pub fn status(&self) -> EngineStatus<'_> {
        let serving = self.table.serving();
        let mut losses = self.losses.clone();
        self.capture.read_losses(&mut losses);
        self.correlator.losses(&mut losses);
        self.scanner.losses(&mut losses);
        EngineStatus {
            processes: self
                .registry
                .watched()
                .map(|watched| {
                    let pid = watched.process.id.pid;
                    (watched, self.samples.get(&pid).copied(), serving.get(&pid).copied().unwrap_or(0))
                })
                .collect(),
            losses,
            links: self.correlator.links(),
            protocols: self.table.protocols(),
            events: self.capture.events(),
            ring_bytes: self.capture.ring_bytes(),
            ring_used: self.capture.ring_used(),
            ring_peak: self.capture.ring_peak(),
            own: self.samples.get(&std::process::id()).copied(),
            silent: self.registry.source().silent(),
        }
    }

    /// The agent stops: what was read is handed out.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        // What the ring holds now; more may come while this runs, and is not waited for.
        for _ in 0..64 {
            if self.step(out) < BATCH {
                break;
            }
        }
        self.table.drain(&mut self.progress);
        let open: u32 = self.table.serving().values().sum();
        if open > 0 {
            tracing::info!("{open} requests were still open and are not stored");
        }
        self.correlator.take(&mut self.progress, &self.naming, out);
        self.correlator.drain(&self.naming, out);
    }

    fn process(&mut self, event: ProcessEvent) {
        let (event, pid) = match event {
            ProcessEvent::Fork { parent, pid } => {
                (process::ProcessEvent::Fork { parent, child: pid }, Some(pid))
            }
            ProcessEvent::Mapped { pid } => {
                self.mapped.insert(pid);
                return;
            }
            ProcessEvent::Exec { pid, .. } => {
                self.program_gone(pid);
                (process::ProcessEvent::Exec(pid), Some(pid))
            }
            ProcessEvent::Exit { pid, time } => {
                self.table.process_ended(pid, time);
                (process::ProcessEvent::Exit(pid), None)
            }
        };
        let decisions = self.registry.on_event(event);
        self.carry_out(decisions);
        // The kernel side watches a child, and what it executes, from its first instruction; the user may not want it.
        if let Some(pid) = pid
            && self.registry.get(pid).is_none()
        {
            self.capture.forget(pid);
        }
    }

    fn carry_out(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Watch(watched) | Decision::Changed(watched) => {
                    let pid = watched.process.id.pid;
                    self.naming.name(pid, &watched.service);
                    let was_refused = watched.attachments.iter().any(is_refused);
                    let result = self.capture.watch(pid);
                    if let Err(error) = &result
                        && !was_refused
                    {
                        tracing::warn!("cannot watch process {pid}: {error}");
                    }
                    let refused = result.is_err();
                    if refused || was_refused {
                        let problem = result.err().map(|error| error.to_string());
                        self.registry
                            .report(watched.process.id, Attachment { what: SOCKETS.to_owned(), problem });
                    }
                    if refused {
                        continue;
                    }
                    tracing::debug!("watching process {pid} as {}", watched.service);
                    self.attach_libraries(&watched);
                    self.attribute(&watched);
                    self.scanner.watch(&watched);
                }
                Decision::Forget(id) => {
                    self.naming.forget(id.pid);
                    self.capture.forget(id.pid);
                    self.starting.remove(&id.pid);
                    self.program_gone(id.pid);
                }
            }
        }
    }

    /// Looks again at processes that have loaded libraries, or whose interpreter was starting.
    fn look_again(&mut self) {
        let mapped = std::mem::take(&mut self.mapped);
        for &pid in &mapped {
            let decisions = self.registry.on_event(process::ProcessEvent::Mapped(pid));
            self.carry_out(decisions);
        }
        let starting: Vec<u32> = self.starting.keys().copied().collect();
        for pid in mapped.into_iter().chain(starting) {
            if let Some(watched) = self.registry.get(pid).cloned() {
                self.attribute(&watched);
            }
        }
    }

    fn attribute(&mut self, watched: &Watched) {
        let Some(attribution) = &mut self.attribution else { return };
        let id = watched.process.id;
        let report = attribution.attach(&mut self.capture, &watched.process);
        let refused = report.attachments.iter().any(|a| a.what == "attribution" && a.problem.is_some());
        if !report.not_ready && !refused && !self.interpreters.knows(id.pid) {
            self.look_inside(watched);
        }
        for attachment in report.attachments {
            self.registry.report(id, attachment);
        }
        let left = self.starting.remove(&id.pid).unwrap_or(STARTING_TURNS);
        if report.not_ready && left > 0 {
            self.starting.insert(id.pid, left - 1);
        }
    }

    fn attach_libraries(&mut self, watched: &Watched) {
        let id = watched.process.id;
        for library in &watched.process.tls {
            let result = if library.visible {
                self.capture.attach_tls(id.pid, library)
            } else {
                Err(format!("{} has no functions that can be probed: its traffic is not seen", library.kind))
            };
            let what = match &library.version {
                Some(version) => format!("{version} in {}", library.file.path.display()),
                None => format!("{} in {}", library.kind, library.file.path.display()),
            };
            self.registry.report(id, Attachment { what, problem: result.err() });
        }
        // Every process has one, so that only a failure is worth a word.
        if let Some(libc) = &watched.process.libc
            && let Err(problem) = self.capture.attach_libc(id.pid, libc)
        {
            let what = format!("name lookups in {}", libc.path.display());
            self.registry.report(id, Attachment { what, problem: Some(problem) });
        }
    }
}

/// Did the kernel's table of watched processes have no room?
fn is_refused(attachment: &Attachment) -> bool {
    attachment.what == SOCKETS && attachment.problem.is_some()
}
