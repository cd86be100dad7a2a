//! Which processes are watched: decided from scans and the kernel's process events, by pid and start time.
//!
//! Decisions only: whoever calls attaches probes and keeps the kernel's filter. A decision is made from what `/proc`
//! says at that moment, so an event that comes late or twice does no harm.

mod policy;

pub use policy::Policy;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::identity::{Lineage, ProcessId};
use super::python::{NotPython, PythonProcess};
use super::service::{is_worker, service_name};
use super::source::{ProcSource, Unseen};
use policy::Rules;

/// Processes remembered; beyond it new ones are left alone and counted.
const MAX_PROCESSES: usize = 32_768;
/// Results of attaching that are kept for one process.
const MAX_ATTACHMENTS: usize = 64;
/// Generations walked up to find an ancestor.
const MAX_DEPTH: usize = 64;
/// A process is looked at again after this time, twice as long, and so on up to [`MAX_PAUSE`]: libraries come later.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What the kernel tells about processes (not threads), in the agent's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// `sched_process_exec`: the process runs another program now.
    Exec(u32),
    /// `sched_process_fork` that made a process, not a thread.
    Fork {
        /// Who forked.
        parent: u32,
        /// The new process.
        child: u32,
    },
    /// `sched_process_exit` of the last thread.
    Exit(u32),
    /// The process has loaded a library.
    Mapped(u32),
}

/// A process that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// All about it, as of the last look.
    pub process: Arc<PythonProcess>,
    /// Its service.
    pub service: Arc<str>,
    /// What was attached to it and what could not be.
    pub attachments: Vec<Attachment>,
}

/// One thing attached to a process, or not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attachment {
    /// What, such as `openssl /usr/lib/x86_64-linux-gnu/libssl.so.3`.
    pub what: String,
    /// Why it could not be attached, and what to do about it; `None` when it is.
    pub problem: Option<String>,
}

/// What to do about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Begin to watch it.
    Watch(Watched),
    /// It is watched already, and has mapped more libraries or called execve to run Python again: attach what is new, and
    /// tell the kernel's filter again, which drops a process at execve.
    Changed(Watched),
    /// It has ended or runs something else: drop what is kept about it.
    Forget(ProcessId),
}

#[derive(Debug)]
struct Entry {
    id: ProcessId,
    /// One of the processes to watch, or a descendant of one.
    in_scope: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Watched {
        watched: Watched,
        look_again: Duration,
        pause: Duration,
    },
    /// A Python process that shall not be watched.
    Excluded {
        service: Arc<str>,
    },
    /// No Python process; remembered because its descendants count.
    Other,
}

impl Kind {
    fn service(&self) -> Option<&Arc<str>> {
        match self {
            Self::Watched { watched, .. } => Some(&watched.service),
            Self::Excluded { service } => Some(service),
            Self::Other => None,
        }
    }
}

/// Which processes are watched.
#[derive(Debug)]
pub struct Registry<S> {
    source: S,
    rules: Rules,
    known: HashMap<u32, Entry>,
    now: Duration,
    overflow: u64,
}

impl<S: ProcSource> Registry<S> {
    /// A registry that knows no process yet: [`scan`](Self::scan) next. Pids named by the policy mean the processes
    /// that bear them now.
    pub fn new(source: S, policy: Policy) -> Self {
        let rules = Rules::new(policy, &source);
        Self { source, rules, known: HashMap::new(), now: Duration::ZERO, overflow: 0 }
    }

    /// Where knowledge about processes comes from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Looks at all processes: at start, and now and then to make up for events that were lost.
    pub fn scan(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let Some(pids) = self.source.pids() else { return decisions };
        let (mut present, mut unknown) = (Vec::new(), BTreeSet::new());
        for pid in pids {
            match self.source.lineage(pid) {
                Ok(lineage) => present.push(lineage),
                Err(Unseen::Gone) => {}
                Err(Unseen::Unknown) => _ = unknown.insert(pid),
            }
        }
        let alive: BTreeSet<ProcessId> = present.iter().map(|lineage| lineage.id).collect();
        let is_gone = |id: &ProcessId| !alive.contains(id) && !unknown.contains(&id.pid);
        let gone: Vec<u32> = self.known.values().map(|e| e.id).filter(is_gone).map(|id| id.pid).collect();
        decisions.extend(gone.into_iter().filter_map(|pid| self.forget(pid)));
        // Parents first: workers take their names.
        present.sort_by_key(|lineage| (lineage.id.start, lineage.id.pid));
        for lineage in present {
            if !matches!(self.known.get(&lineage.id.pid), Some(Entry { kind: Kind::Watched { .. }, .. })) {
                decisions.extend(self.look(lineage, None));
            }
        }
        decisions
    }

    /// Takes note of what the kernel told.
    pub fn on_event(&mut self, event: ProcessEvent) -> Vec<Decision> {
        let mut decisions = Vec::new();
        match event {
            ProcessEvent::Exit(pid) => decisions.extend(self.forget(pid)),
            ProcessEvent::Mapped(pid) => decisions.extend(self.refresh(pid)),
            ProcessEvent::Exec(pid) => match self.source.lineage(pid) {
                Ok(lineage) => decisions.extend(self.look(lineage, None)),
                Err(Unseen::Gone) => decisions.extend(self.forget(pid)),
                // What it runs now is seen when it is next looked at.
                Err(Unseen::Unknown) => self.look_again(pid),
            },
            ProcessEvent::Fork { parent, child } => {
                // Gone already: nothing of it can be told any more. Not known: the next scan tells.
                if let Ok(lineage) = self.source.lineage(child) {
                    decisions.extend(self.look(lineage, Some(parent)));
                }
            }
        }
        decisions
    }

    /// Looks again at processes whose time has come. `now` is any monotonic time; call it every 50 ms or so.
    pub fn tick(&mut self, now: Duration) -> Vec<Decision> {
        self.now = now;
        let due: Vec<u32> = self
            .known
            .iter()
            .filter(
                |(_, entry)| matches!(&entry.kind, Kind::Watched { look_again, .. } if *look_again <= now),
            )
            .map(|(&pid, _)| pid)
            .collect();
        due.into_iter().filter_map(|pid| self.refresh(pid)).collect()
    }

    /// Looks again at a process at the next tick: something hints at a library that was not there before, such as TLS on
    /// one of its sockets.
    pub fn look_again(&mut self, pid: u32) {
        if let Some(Entry { kind: Kind::Watched { look_again, pause, .. }, .. }) = self.known.get_mut(&pid) {
            (*look_again, *pause) = (Duration::ZERO, FIRST_PAUSE);
        }
    }

    /// Notes what was attached to a process, or why not. A later report on the same thing replaces the earlier.
    pub fn report(&mut self, id: ProcessId, attachment: Attachment) {
        let Some(Entry { kind: Kind::Watched { watched, .. }, .. }) =
            self.known.get_mut(&id.pid).filter(|entry| entry.id == id)
        else {
            return;
        };
        let attachments = &mut watched.attachments;
        if let Some(known) = attachments.iter_mut().find(|known| known.what == attachment.what) {
            *known = attachment;
        } else if attachments.len() < MAX_ATTACHMENTS {
            attachments.push(attachment);
        }
    }

    /// The watched process of that pid.
    pub fn get(&self, pid: u32) -> Option<&Watched> {
        match &self.known.get(&pid)?.kind {
            Kind::Watched { watched, .. } => Some(watched),
            _ => None,
        }
    }

    /// All watched processes, in no order.
    pub fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.known.values().filter_map(|entry| match &entry.kind {
            Kind::Watched { watched, .. } => Some(watched),
            _ => None,
        })
    }

    /// Processes left alone because too many were known.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    fn forget(&mut self, pid: u32) -> Option<Decision> {
        let entry = self.known.remove(&pid)?;
        matches!(entry.kind, Kind::Watched { .. }).then_some(Decision::Forget(entry.id))
    }

    /// Looks at a process that is new, was forked by `parent` just now, or has called execve.
    fn look(&mut self, lineage: Lineage, parent: Option<u32>) -> Vec<Decision> {
        let pid = lineage.id.pid;
        let mut decisions = Vec::new();
        // The pid has been handed out again: nothing of its predecessor may survive.
        if self.known.get(&pid).is_some_and(|entry| entry.id != lineage.id) {
            decisions.extend(self.forget(pid));
        }
        let in_scope = self.in_scope(lineage, parent);
        if self.rules.is_own(pid) || (!in_scope && !self.rules.keeps_outsiders()) {
            return decisions;
        }
        let kind = match in_scope.then(|| self.source.inspect(pid)) {
            Some(Ok(process)) if process.id == lineage.id => self.classify(process, parent),
            // Replaced between two looks: its own events will tell.
            Some(Ok(_) | Err(NotPython::NoSuchProcess(_) | NotPython::Zombie(_))) => {
                decisions.extend(self.forget(pid));
                return decisions;
            }
            // As it was, until the next look at it or the next scan.
            Some(Err(NotPython::Unknown(..))) => {
                self.look_again(pid);
                return decisions;
            }
            Some(Err(_)) | None => Kind::Other,
        };
        let before = match self.known.get(&pid) {
            Some(Entry { kind: Kind::Watched { watched, .. }, .. }) => Some(watched.clone()),
            _ => None,
        };
        match (&kind, before) {
            (Kind::Watched { watched, .. }, None) => decisions.push(Decision::Watch(watched.clone())),
            (Kind::Watched { watched, .. }, Some(_)) => decisions.push(Decision::Changed(watched.clone())),
            (_, Some(_)) => decisions.push(Decision::Forget(lineage.id)),
            (_, None) => {}
        }
        if matches!(kind, Kind::Other) && !self.rules.needs_others() {
            self.known.remove(&pid);
        } else if self.known.len() < MAX_PROCESSES || self.known.contains_key(&pid) {
            self.known.insert(pid, Entry { id: lineage.id, in_scope, kind });
        } else {
            self.overflow += 1;
            decisions.retain(|decision| !matches!(decision, Decision::Watch(_)));
        }
        decisions
    }

    fn classify(&self, process: PythonProcess, forked_by: Option<u32>) -> Kind {
        let forked_from = forked_by.and_then(|parent| self.known.get(&parent)).map(|entry| &entry.kind);
        // A fork without execve is the same program: it shares its parent's fate and name.
        if let Some(Kind::Excluded { service }) = forked_from {
            return Kind::Excluded { service: service.clone() };
        }
        let ancestor = self.ancestor(process.parent);
        let service: Arc<str> = match (forked_from.and_then(Kind::service), self.rules.service()) {
            (_, Some(name)) => name.into(),
            (Some(service), None) => service.clone(),
            (None, None) => {
                service_name(&process.naming, ancestor.and_then(Kind::service).map(AsRef::as_ref)).into()
            }
        };
        let of_excluded = matches!(ancestor, Some(Kind::Excluded { .. })) && is_worker(&process.naming);
        if of_excluded || self.rules.excludes(&service, &process.naming.cmdline) {
            return Kind::Excluded { service };
        }
        let watched = Watched { process: Arc::new(process), service, attachments: Vec::new() };
        Kind::Watched { watched, look_again: self.now + FIRST_PAUSE, pause: FIRST_PAUSE }
    }

    /// Is the process one to be watched, if it is Python?
    fn in_scope(&self, lineage: Lineage, forked_by: Option<u32>) -> bool {
        let mut at = lineage;
        for depth in 0..MAX_DEPTH {
            if let Some(scope) = self.rules.scope_of(at.id) {
                return scope;
            }
            if let Some(entry) = self.known.get(&at.id.pid).filter(|entry| entry.id == at.id) {
                return entry.in_scope;
            }
            let parent = forked_by.filter(|_| depth == 0).unwrap_or(at.parent);
            match self.source.lineage(parent) {
                Ok(parent) if parent.id.start <= at.id.start => at = parent,
                _ => break,
            }
        }
        self.rules.scope_of_strangers()
    }

    /// The nearest Python process from `pid` upwards.
    fn ancestor(&self, pid: u32) -> Option<&Kind> {
        let mut pid = pid;
        for _ in 0..MAX_DEPTH {
            let lineage = self.source.lineage(pid).ok()?;
            let kind = self.known.get(&pid).filter(|entry| entry.id == lineage.id).map(|entry| &entry.kind);
            if let Some(kind) = kind.filter(|kind| kind.service().is_some()) {
                return Some(kind);
            }
            pid = lineage.parent;
        }
        None
    }

    fn refresh(&mut self, pid: u32) -> Option<Decision> {
        let entry = self.known.get_mut(&pid)?;
        let Kind::Watched { watched, look_again, pause } = &mut entry.kind else { return None };
        let process = match self.source.inspect(pid) {
            Ok(process) if process.id == entry.id => process,
            Err(NotPython::Unknown(..)) => {
                *look_again = self.now + *pause;
                return None;
            }
            _ => return self.forget(pid),
        };
        *pause = (*pause * 2).min(MAX_PAUSE);
        *look_again = self.now + *pause;
        let before = &watched.process;
        let changed = (&process.runtime, &process.tls, process.sends_in_tasks)
            != (&before.runtime, &before.tls, before.sends_in_tasks);
        // The name stays: a title that the program gives itself later must not split its figures.
        watched.process = Arc::new(process);
        changed.then(|| Decision::Changed(watched.clone()))
    }
}

#[cfg(test)]
mod tests;
