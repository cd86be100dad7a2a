//! Exceptions that the probes saw, put into words: names, lines and source are read from the process and its files.

use std::collections::HashMap;
use std::time::Duration;

use apm_agent_ebpf::{ARGUMENTS_MAX, Muted, Raised as Event, raised_flags, relation, seen_at};
use apm_core::correlate::{Raised, Seen};
use apm_core::loss::{Loss, Losses};
use apm_core::python::message::{Wording, message};
use apm_core::python::place::Place;
use apm_core::python::redact;
use apm_core::python::traceback::{Exception, Relation};
use apm_core::python::value::Value;
use apm_core::time::Time;

use crate::capture::Capture;
use crate::python::{Interpreter, Interpreters};

/// Reports that wait for their last exception, one per thread.
const PENDING_MAX: usize = 1_024;
/// Exceptions that may leave a function of a library without having passed the application before it is muted.
const NOISE_MAX: u32 = 50;
/// Exceptions of one request that may leave a function of a library on their way from the application before it is muted: a
/// request fails once, so the others were handled. Where it fails, the functions further out tell as well.
const REPEATS_MAX: u32 = 50;
/// How long it is then.
const MUTED_FOR: Duration = Duration::from_secs(10);
/// Functions that are counted; past that, all are counted anew.
const NOISY_MAX: usize = 16_384;

/// Puts exceptions into words.
#[derive(Default)]
pub struct Exceptions {
    /// By thread.
    pending: HashMap<u32, Raised>,
    filter: Filter,
    losses: Losses,
}

/// Tells what matters of exceptions on their way.
#[derive(Default)]
struct Filter {
    /// Functions that exceptions left for nothing, and how often.
    noise: HashMap<Muted, u32>,
    /// Functions that exceptions of the application left, the request for which they did so last, and how often.
    repeats: HashMap<Muted, (u64, u32)>,
    /// Functions that are to be muted, and until when.
    muted: Vec<(Muted, Time)>,
}

impl Exceptions {
    /// Takes one event; gives back the report that it completes.
    pub fn take(&mut self, event: &Event, interpreters: &mut Interpreters) -> Option<Raised> {
        let Some(interpreter) = interpreters.get(event.tgid) else {
            self.losses.add(Loss::ExceptionsUnread, 1);
            return None;
        };
        // First of all, as most of these tell nothing.
        if event.seen_at == seen_at::UNWINDING && event.depth == 0 && !self.filter.tells(event, interpreter) {
            // The rest of its chain is not waited for.
            self.pending.remove(&event.tid);
            return None;
        }
        if event.seen_at == seen_at::UNWINDING && event.depth > 0 && !self.pending.contains_key(&event.tid) {
            return None;
        }
        let exception = exception(interpreter, event, &mut self.losses);
        let locals = locals(interpreter, event);
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
                    seen: match event.seen_at {
                        seen_at::RESPONSE => Seen::Response,
                        seen_at::UNWINDING => Seen::Unwinding,
                        _ => Seen::Stderr,
                    },
                    chain: Vec::new(),
                    locals,
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

    /// Mutes the functions that told nothing.
    pub fn mute(&mut self, capture: &mut Capture) {
        for (function, until) in self.filter.muted.drain(..) {
            capture.mute(function, until);
        }
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

impl Filter {
    /// An exception that leaves a function tells of a failure where it comes from the application and the function is not
    /// the application's: nothing of the application can handle it any more but what called the library.
    fn tells(&mut self, event: &Event, interpreter: &mut Interpreter) -> bool {
        let count = usize::try_from(event.frames).unwrap_or(0).min(event.traceback.len());
        let [left, passed @ ..] = &event.traceback[..count] else { return false };
        let mut of_app = |frame| {
            let names = interpreter.names(frame)?;
            Some(interpreter.place(&names) == Place::Application)
        };
        let Some(leaves_app) = of_app(left) else { return false };
        let function = Muted { code: left.code, name: left.name, tgid: u64::from(event.tgid) };
        if leaves_app {
            self.muted.push((function, Time(u64::MAX)));
            return false;
        }
        if passed.iter().any(|frame| of_app(frame) == Some(true)) {
            self.noise.remove(&function);
            if self.repeats.len() >= NOISY_MAX {
                self.repeats.clear();
            }
            let (request, times) = self.repeats.entry(function).or_default();
            *times = if *request == event.request { *times + 1 } else { 1 };
            *request = event.request;
            if *times >= REPEATS_MAX {
                self.repeats.remove(&function);
                self.muted.push((function, Time(event.time).plus(MUTED_FOR)));
            }
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
    } else if is("BaseExceptionGroup") {
        let held = &event.values[1];
        let is_counted =
            interpreter.class(held.ty).is_some_and(|class| class.is("list") || class.is("tuple"));
        // `PyVarObject.ob_size`
        Wording::Group { members: is_counted.then_some(held.words[0]) }
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

/// Variables of the function that raised an exception, as a JSON object. What is secret goes no further than this.
fn locals(interpreter: &mut Interpreter, event: &Event) -> Option<String> {
    let count = usize::try_from(event.locals_count).unwrap_or(0).min(event.locals.len());
    let innermost = event.traceback.get(usize::try_from(event.frames).ok()?.checked_sub(1)?)?;
    if count == 0 {
        return None;
    }
    let names = interpreter.variables(innermost)?;
    let mut shown = serde_json::Map::new();
    for (name, read) in names.iter().zip(&event.locals[..count]) {
        let value = interpreter.local(read);
        if value != Value::Unbound {
            shown.insert(name.clone(), redact::shown(name, &value).into());
        }
    }
    (!shown.is_empty()).then(|| serde_json::Value::Object(shown).to_string())
}
