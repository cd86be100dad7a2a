//! Exceptions that the probes saw, put into words: names, lines and source are read from the process and its files.

mod source;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use apm_agent_ebpf::{ARGUMENTS_MAX, Raised as Event, RaisedFrame, raised_flags, relation, seen_at};
use apm_core::correlate::Raised;
use apm_core::loss::{Loss, Losses};
use apm_core::python::lines::line_of;
use apm_core::python::message::{Wording, message};
use apm_core::python::traceback::{Exception, Frame, Relation};
use apm_core::time::Time;

use crate::capture::{Capture, CaptureError};
use crate::process::PythonProcess;
use crate::process::cpython::objects::{Class, Code, ObjectLayout, Objects};
use source::Sources;

/// Code objects and classes remembered per process; past that, all are read anew.
const OBJECTS_MAX: usize = 16_384;
/// Reports that wait for their last exception, one per thread.
const PENDING_MAX: usize = 1_024;

/// A code object: where, the place of its name, its first line.
type CodeKey = (u64, u64, u32);

/// What is known of a process.
struct Process {
    minor: u8,
    objects: Objects,
    codes: HashMap<CodeKey, Arc<Names>>,
    classes: HashMap<u64, Arc<Class>>,
    sources: Sources,
}

/// A code object, its names ready to be shared.
struct Names {
    file: Arc<str>,
    name: Arc<str>,
    qualified: Arc<str>,
    code: Code,
}

/// Puts exceptions into words.
#[derive(Default)]
pub struct Exceptions {
    processes: HashMap<u32, Process>,
    /// By thread.
    pending: HashMap<u32, Raised>,
    losses: Losses,
}

impl Exceptions {
    /// Looks at the exceptions of a process from now on. False where its version is not known.
    ///
    /// # Errors
    /// Its memory cannot be read, or the kernel's table is full; in words for the user.
    pub fn attach(&mut self, capture: &mut Capture, process: &PythonProcess) -> Result<bool, String> {
        let pid = process.id.pid;
        let Some(layout) = process.version.and_then(ObjectLayout::of) else { return Ok(false) };
        let objects =
            Objects::open(pid, layout).map_err(|error| format!("its memory cannot be read: {error}"))?;
        capture.look_at_exceptions(pid, layout.raising).map_err(|error: CaptureError| error.to_string())?;
        let process = Process {
            minor: layout.minor,
            objects,
            codes: HashMap::new(),
            classes: HashMap::new(),
            sources: Sources::new(pid),
        };
        self.processes.insert(pid, process);
        Ok(true)
    }

    /// Is it looked at?
    pub fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// The process is gone, or runs another program.
    pub fn process_gone(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Takes one event; gives back the report that it completes.
    pub fn take(&mut self, event: &Event) -> Option<Raised> {
        let Some(process) = self.processes.get_mut(&event.tgid) else {
            self.losses.add(Loss::ExceptionsUnread, 1);
            return None;
        };
        let exception = process.exception(event, &mut self.losses);
        let mut report = match self.pending.remove(&event.tid) {
            Some(report) if event.depth > 0 && report.root == event.root => report,
            unfinished => {
                // Its rest, or the beginning of this one, found no room in the ring.
                self.losses.add(
                    Loss::ExceptionsUnread,
                    u64::from(unfinished.is_some()) + u64::from(event.depth > 0),
                );
                if event.depth > 0 {
                    return None;
                }
                Raised {
                    request: event.request,
                    root: event.root,
                    time: Time(event.time),
                    at_response: event.seen_at == seen_at::RESPONSE,
                    chain: Vec::new(),
                }
            }
        };
        report.chain.push(exception);
        if event.flags & raised_flags::LAST != 0 {
            return Some(report);
        }
        if self.pending.len() >= PENDING_MAX {
            self.losses.add(Loss::ExceptionsUnread, self.pending.len() as u64);
            self.pending.clear();
        }
        self.pending.insert(event.tid, report);
        None
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

impl Process {
    fn exception(&mut self, event: &Event, losses: &mut Losses) -> Exception {
        let class = self.class(event.ty);
        let known = event.arguments.min(ARGUMENTS_MAX as u64) as usize;
        let values: Vec<_> = event.values[..known].iter().map(|value| self.value(value)).collect();
        let is = |name| class.as_ref().is_some_and(|class| class.is(name));
        let wording = if is("KeyError") {
            Wording::Key
        } else if is("OSError") {
            let filename = &event.values[ARGUMENTS_MAX];
            let has = filename.ty != 0 && self.class(filename.ty).is_some_and(|class| !class.is("NoneType"));
            Wording::Os { filename: has.then(|| self.value(filename)) }
        } else {
            Wording::Plain
        };
        if class.is_none() {
            losses.add(Loss::ExceptionsUnread, 1);
        }
        let count = usize::try_from(event.frames).unwrap_or(0).min(event.traceback.len());
        let mut frames = Vec::with_capacity(count);
        for frame in &event.traceback[..count] {
            match self.frame(frame) {
                Some(frame) => frames.push(frame),
                None => losses.add(Loss::FramesUnread, 1),
            }
        }
        Exception {
            class: class.map_or_else(|| "<unknown exception>".to_owned(), |class| class.name.clone()),
            message: message(&wording, &values, event.arguments),
            frames,
            cut: event.flags & raised_flags::CUT != 0,
            relation: match event.relation {
                relation::CAUSE => Some(Relation::Cause),
                relation::CONTEXT => Some(Relation::Context),
                _ => None,
            },
        }
    }

    fn frame(&mut self, frame: &RaisedFrame) -> Option<Frame> {
        let names = self.code((frame.code, frame.name, frame.first_line))?;
        let line = match u32::try_from(frame.line) {
            Ok(line @ 1..) => Some(line),
            _ => line_of(self.minor, &names.code.lines, frame.first_line, u32::try_from(frame.lasti).ok()?),
        };
        Some(Frame {
            source: line.and_then(|line| self.sources.line(&names.file, line)),
            file: Arc::clone(&names.file),
            name: Arc::clone(&names.name),
            qualified: Arc::clone(&names.qualified),
            line,
        })
    }

    fn code(&mut self, key: CodeKey) -> Option<Arc<Names>> {
        if let Some(known) = self.codes.get(&key) {
            return Some(Arc::clone(known));
        }
        let code = self.objects.code(key.0, key.1, key.2)?;
        let names = Arc::new(Names {
            file: code.file.as_str().into(),
            name: code.name.as_str().into(),
            qualified: code.qualified.as_str().into(),
            code,
        });
        if self.codes.len() >= OBJECTS_MAX {
            self.codes.clear();
        }
        self.codes.insert(key, Arc::clone(&names));
        Some(names)
    }

    fn class(&mut self, address: u64) -> Option<Arc<Class>> {
        if let Some(known) = self.classes.get(&address) {
            return Some(Arc::clone(known));
        }
        let class = Arc::new(self.objects.class(address)?);
        if self.classes.len() >= OBJECTS_MAX {
            self.classes.clear();
        }
        self.classes.insert(address, Arc::clone(&class));
        Some(class)
    }
}
