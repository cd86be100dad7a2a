//! Exceptions that the probes saw, put into words: names, lines and source are read from the process and its files.

use std::collections::HashMap;
use std::time::Duration;

use apm_agent_ebpf::{ARGUMENTS_MAX, Muted, Raised as Event, raised_flags, relation, seen_at};
use apm_core::correlate::Raised;
use apm_core::loss::{Loss, Losses};
use apm_core::python::message::{Wording, message};
use apm_core::python::place::{Place, place};
use apm_core::python::traceback::{Exception, Relation};
use apm_core::time::Time;

use crate::capture::Capture;
use crate::python::{Interpreter, Interpreters};

/// Reports that wait for their last exception, one per thread.
const PENDING_MAX: usize = 1_024;
/// Exceptions that may leave a function of a library without having passed the application before it is muted.
const NOISE_MAX: u32 = 50;
/// How long it is then.
const MUTED_FOR: Duration = Duration::from_secs(10);
/// Functions that are counted; past that, all are counted anew.
const NOISY_MAX: usize = 16_384;

/// Puts exceptions into words.
#[derive(Default)]
pub struct Exceptions {
    /// By thread.
    pending: HashMap<u32, Raised>,
    /// Functions that exceptions left for nothing, and how often.
    noise: HashMap<Muted, u32>,
    /// Functions that are to be muted, and until when.
    muted: Vec<(Muted, Time)>,
    losses: Losses,
}

impl Exceptions {
    /// Takes one event; gives back the report that it completes.
    pub fn take(&mut self, event: &Event, interpreters: &mut Interpreters) -> Option<Raised> {
        let Some(interpreter) = interpreters.get(event.tgid) else {
            self.losses.add(Loss::ExceptionsUnread, 1);
            return None;
        };
        let exception = exception(interpreter, event, &mut self.losses);
        if event.seen_at == seen_at::UNWINDING && event.depth == 0 && !self.tells(event, &exception) {
            // The rest of its chain is not waited for.
            self.pending.remove(&event.tid);
            return None;
        }
        let mut report = match self.pending.remove(&event.tid) {
            Some(report) if event.depth > 0 && report.root == event.root => report,
            None if event.seen_at == seen_at::UNWINDING && event.depth > 0 => return None,
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

    /// An exception that leaves a function tells of a failure where it comes from the application and the function is not
    /// the application's: nothing of the application can handle it any more but what called the library.
    fn tells(&mut self, event: &Event, exception: &Exception) -> bool {
        let [left, passed @ ..] = exception.frames.as_slice() else { return false };
        if exception.frames.len() != event.frames as usize {
            return false;
        }
        let frame = &event.traceback[0];
        let function = Muted { code: frame.code, name: frame.name, tgid: u64::from(event.tgid) };
        if place(&left.file, &left.name) == Place::Application {
            self.muted.push((function, Time(u64::MAX)));
            return false;
        }
        if passed.iter().any(|frame| place(&frame.file, &frame.name) == Place::Application) {
            self.noise.remove(&function);
            return true;
        }
        if self.noise.len() >= NOISY_MAX {
            self.noise.clear();
        }
        let times = self.noise.entry(function).or_default();
        *times += 1;
        if *times >= NOISE_MAX {
            self.noise.remove(&function);
            self.muted.push((function, Time(event.time).plus(MUTED_FOR)));
        }
        false
    }

    /// Mutes the functions that told nothing.
    pub fn mute(&mut self, capture: &mut Capture) {
        for (function, until) in self.muted.drain(..) {
            capture.mute(function, until);
        }
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

fn exception(interpreter: &mut Interpreter, event: &Event, losses: &mut Losses) -> Exception {
    let class = interpreter.class(event.ty);
    let known = event.arguments.min(ARGUMENTS_MAX as u64) as usize;
    let values: Vec<_> = event.values[..known].iter().map(|value| interpreter.value(value)).collect();
    let is = |name| class.as_ref().is_some_and(|class| class.is(name));
    let wording = if is("KeyError") {
        Wording::Key
    } else if is("OSError") {
        let filename = &event.values[ARGUMENTS_MAX];
        let has =
            filename.ty != 0 && interpreter.class(filename.ty).is_some_and(|class| !class.is("NoneType"));
        Wording::Os { filename: has.then(|| interpreter.value(filename)) }
    } else {
        Wording::Plain
    };
    if class.is_none() {
        losses.add(Loss::ExceptionsUnread, 1);
    }
    let count = usize::try_from(event.frames).unwrap_or(0).min(event.traceback.len());
    let mut frames = Vec::with_capacity(count);
    for frame in &event.traceback[..count] {
        match interpreter.frame(frame) {
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
