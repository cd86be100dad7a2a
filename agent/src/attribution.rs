//! Attribution of calls to requests: which processes it works for, and what is probed for it.
//!
//! The work is done by the probes (`agent-ebpf/src/attribution`); here their layouts are checked and handed over, and
//! the functions that decide which code runs are probed, once per file.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use apm_agent_ebpf::python_flags;

use crate::capture::{Capture, Point};
use crate::process::cpython::functions::{self, Found, Function, Library, Role};
use crate::process::cpython::{self, Refusal};
use crate::process::{Attachment, PythonProcess};

/// How long a process has to look wrong until that is told: a thread may have been stopped while it starts or ends, on a busy
/// machine for longer than a look takes.
const DOUBT: Duration = Duration::from_secs(2);

/// What was done about a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachReport {
    /// What was attached now, and what could not be.
    pub attachments: Vec<Attachment>,
    /// The interpreter is still starting: attach again soon, or when it has loaded another library.
    pub not_ready: bool,
}

/// Which processes are attributed.
#[derive(Debug, Default)]
pub struct Attribution {
    /// Processes whose layout the probes have.
    known: HashSet<u32>,
    /// Processes that look wrong, since when.
    doubted: HashMap<u32, Instant>,
}

impl Attribution {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes what the process does from now on, as far as it can be; call it again when the process has loaded a
    /// library, was forked or runs another program. A forked child works from its first instruction by what its parent
    /// had, but only a call for it keeps the probes on its libraries when the parent ends.
    pub fn attach(&mut self, capture: &mut Capture, process: &PythonProcess) -> AttachReport {
        let report = self.look(capture, process);
        let is_wrong = report.attachments.iter().any(|attachment| attachment.problem.is_some());
        if is_wrong && !cpython::is_mapped(process) {
            // It ended, or began another program, while it was looked at: that is told by an event of its own.
            return AttachReport::default();
        }
        if !is_wrong && !report.not_ready {
            self.doubted.remove(&process.id.pid);
        }
        report
    }

    fn look(&mut self, capture: &mut Capture, process: &PythonProcess) -> AttachReport {
        let mut report = AttachReport::default();
        let pid = process.id.pid;
        let mut put = |what: &str, problem: Option<String>| {
            report.attachments.push(Attachment { what: what.to_owned(), problem });
        };
        const WHAT: &str = "attribution";
        match cpython::inspect(process) {
            Err(Refusal::NotReady) => report.not_ready = true,
            Err(refusal @ Refusal::Unknown(_)) => {
                let problem = capture.attribute(pid, cpython::by_thread()).err().map(|e| e.to_string());
                put(WHAT, problem.or(Some(refusal.to_string())));
                self.known.insert(pid);
            }
            Err(Refusal::Gone) => {}
            Err(Refusal::Misfit(..) | Refusal::Unreadable(_)) if self.is_in_doubt(pid) => {
                report.not_ready = true;
            }
            Err(refusal) => put(WHAT, Some(refusal.to_string())),
            Ok(mut layout) => {
                // Probing takes a while, and a context that is copied before all is probed would be taken for whatever
                // stood at its address before: until then by thread, which needs no probe.
                if !self.known.contains(&pid) {
                    let _reported_below = capture.attribute_at_first(pid, cpython::by_thread());
                }
                for found in functions::libraries(process) {
                    if found.library == Library::Uvloop {
                        layout.flags |= python_flags::UVLOOP;
                    }
                    match probe(capture, process, &found) {
                        Probed::Already => {}
                        Probed::NotFound(problem) => put(&what(&found), Some(problem)),
                        Probed::Now(result) => put(&what(&found), result.err()),
                    }
                }
                let problem = capture.attribute(pid, layout).err().map(|error| error.to_string());
                if self.known.insert(pid) || problem.is_some() {
                    put(WHAT, problem);
                }
            }
        }
        report
    }

    /// Something looks wrong in the process: is that too new to be told?
    fn is_in_doubt(&mut self, pid: u32) -> bool {
        self.doubted.entry(pid).or_insert_with(Instant::now).elapsed() < DOUBT
    }

    /// The process is gone, or runs another program. [`Capture::forget`] takes its layout and probes away.
    pub fn process_gone(&mut self, pid: u32) {
        self.known.remove(&pid);
        self.doubted.remove(&pid);
    }
}

/// What came of probing a library.
enum Probed {
    /// It was probed before.
    Already,
    /// What is to be probed was not found in it.
    NotFound(String),
    /// It is probed now, or the kernel refused.
    Now(Result<(), String>),
}

/// A library, in words for the user.
fn what(found: &Found) -> String {
    format!("{} in {}", found.library.name(), found.path.display())
}

fn probe(capture: &mut Capture, process: &PythonProcess, found: &Found) -> Probed {
    let (pid, what) = (process.id.pid, found.library.name());
    if capture.joins_functions(pid, found.key, what) {
        if found.library == Library::Contexts {
            capture.joins_functions(pid, found.key, Library::Queue.name());
        }
        return Probed::Already;
    }
    let functions = match functions::functions(process, found) {
        Ok(functions) => functions,
        Err(problem) => return Probed::NotFound(problem),
    };
    let mut attach = |what, functions: &[Function]| {
        let points: Vec<Point> = functions.iter().flat_map(points).collect();
        capture.attach_functions(pid, found.key, what, &found.access, &points)
    };
    let mut result = attach(what, &functions);
    if found.library == Library::Contexts && result.is_ok() {
        let queue = Library::Queue.name();
        result =
            attach(queue, &functions::builtin_queue(found)).map_err(|problem| format!("{queue}: {problem}"));
    }
    Probed::Now(result)
}

/// The programs for a function.
fn points(function: &Function) -> impl Iterator<Item = Point> {
    let Function { role, offset, size } = *function;
    let programs: &[&'static str] = match role {
        Role::MakesContext => &["python_context"],
        Role::Puts => &["python_queue_put"],
        Role::GeventPuts => &["gevent_queue_put"],
        Role::Gets => &["python_queue_get"],
        Role::UvloopConnects => &["uvloop_connection", "uvloop_connection_return"],
        Role::UvloopWrites => &["uvloop_write"],
        Role::UvloopResolves => &["uvloop_lookup"],
        Role::GreenletSwitches => &["greenlet_switch"],
        Role::GreenletMade => &["greenlet_new"],
    };
    programs.iter().map(move |program| Point { program, offset, size, cookie: None })
}
