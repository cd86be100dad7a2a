//! Exceptions that the probes saw, put into words: names, lines and source are read from the process and its files.

mod filter;
mod words;

use std::collections::HashMap;

use apm_agent_ebpf::{FRAMES_MAX, Left, Raised as Event, RaisedFrame, left_flags, raised_flags, seen_at};
use apm_core::correlate::{Raised, Seen};
use apm_core::loss::{Loss, Losses};
use apm_core::python::place::Place;
use apm_core::time::Time;

use crate::capture::Capture;
use crate::python::{Interpreter, Interpreters};
use filter::{Filter, Leaving};

/// Threads whose last report is kept, for the rest of its chain and for what it leaves on its way. One takes up to 35 KB.
const REPORTS_MAX: usize = 128;

/// Puts exceptions into words.
#[derive(Default)]
pub struct Exceptions {
    /// The last of each thread.
    reports: HashMap<u32, Report>,
    filter: Filter,
    losses: Losses,
    /// The thread and exception of which more was told than is known: it is counted once.
    unknown: (u32, u64),
}

/// An exception of a thread.
struct Report {
    /// [`Event::tgid`]
    tgid: u32,
    /// [`Event::root`]
    root: u64,
    /// When it was heard of last.
    time: Time,
    /// The exception, then those that led to it.
    chain: Vec<Box<Event>>,
    /// Functions that it has left since, innermost first.
    left: Vec<RaisedFrame>,
    /// In words, as far as it is: most tell nothing, and their files need not be read.
    raised: Option<Raised>,
    /// Its chain is complete.
    whole: bool,
    /// It tells of a failure, as far as it has come.
    tells: bool,
    /// It has left a function of the application.
    from_application: bool,
}

impl Exceptions {
    /// Takes one event; gives back the report that it completes.
    pub fn take(&mut self, event: &Event, interpreters: &mut Interpreters) -> Option<Raised> {
        let Some(interpreter) = interpreters.get(event.tgid) else {
            self.losses.add(Loss::ExceptionsUnread, 1);
            return None;
        };
        if event.depth == 0 {
            let report = self.begun(event, interpreter);
            self.keep(event.tid, report);
        }
        let report = self.reports.get_mut(&event.tid);
        let Some(report) = report.filter(|report| !report.whole && report.root == event.root) else {
            // Its beginning found no room in the ring.
            self.losses.add(Loss::ExceptionsUnread, 1);
            return None;
        };
        report.chain.push(Box::new(*event));
        report.whole = event.flags & raised_flags::LAST != 0;
        if !report.whole || !report.tells {
            return None;
        }
        let raised = report.words(interpreter, &mut self.losses);
        if event.seen_at != seen_at::UNWINDING {
            self.reports.remove(&event.tid);
        }
        raised
    }

    /// An exception leaves a function; gives back what is known of it where that tells of a failure.
    pub fn left(&mut self, event: &Left, interpreters: &mut Interpreters) -> Option<Raised> {
        // Where it is not known, that was counted at the exception's beginning.
        let interpreter = interpreters.get(event.tgid)?;
        let of_application = of_application(interpreter, &event.frame);
        let mut leaving = Leaving {
            left: &event.frame,
            of_application,
            from_application: false,
            request: event.request,
            tgid: event.tgid,
            time: Time(event.time),
        };
        if event.flags & left_flags::FIRST != 0 {
            self.filter.tells(&leaving);
            return None;
        }
        let report = self.reports.get_mut(&event.tid);
        let Some(report) = report.filter(|report| report.whole && report.root == event.root) else {
            let unknown = (event.tid, event.root);
            self.losses.add(Loss::ExceptionsUnread, u64::from(self.unknown != unknown));
            self.unknown = unknown;
            return None;
        };
        leaving.from_application = report.from_application;
        report.tells = self.filter.tells(&leaving);
        report.from_application |= of_application == Some(true);
        report.time = Time(event.time);
        if report.left.len() >= FRAMES_MAX {
            // The outermost are kept.
            report.left.remove(0);
        }
        report.left.push(event.frame);
        if report.tells { report.words(interpreter, &mut self.losses) } else { None }
    }

    /// Mutes the functions that told nothing.
    pub fn mute(&mut self, capture: &mut Capture) {
        for (function, until) in self.filter.muted.drain(..) {
            capture.mute(function, until);
        }
    }

    /// A process ended: so have its exceptions.
    pub fn process_gone(&mut self, tgid: u32) {
        self.reports.retain(|_, report| report.tgid != tgid);
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// A report but for its chain.
    fn begun(&mut self, event: &Event, interpreter: &mut Interpreter) -> Report {
        let mut report = Report {
            tgid: event.tgid,
            root: event.root,
            time: Time(event.time),
            chain: Vec::new(),
            left: Vec::new(),
            raised: None,
            whole: false,
            tells: event.seen_at != seen_at::UNWINDING,
            from_application: false,
        };
        let count = usize::try_from(event.frames).unwrap_or(0).min(event.traceback.len());
        let [left, passed @ ..] = &event.traceback[..count] else { return report };
        if report.tells {
            return report;
        }
        let left_is = of_application(interpreter, left);
        let from_application = passed.iter().any(|frame| of_application(interpreter, frame) == Some(true));
        report.tells = self.filter.tells(&Leaving {
            left,
            of_application: left_is,
            from_application,
            request: event.request,
            tgid: event.tgid,
            time: Time(event.time),
        });
        report.from_application = from_application || left_is == Some(true);
        report
    }

    /// Keeps a report in place of the thread's last.
    fn keep(&mut self, tid: u32, report: Report) {
        if self.reports.len() >= REPORTS_MAX && !self.reports.contains_key(&tid) {
            self.drop_older_half();
        }
        let last = self.reports.insert(tid, report);
        // The rest of its chain found no room in the ring.
        let unfinished = last.is_some_and(|last| !last.whole && last.tells);
        self.losses.add(Loss::ExceptionsUnread, u64::from(unfinished));
    }

    /// Most will not be heard of again: their exceptions were caught, their threads have ended.
    fn drop_older_half(&mut self) {
        let mut times: Vec<Time> = self.reports.values().map(|report| report.time).collect();
        let middle = times.len() / 2;
        let (_, &mut middle, _) = times.select_nth_unstable(middle);
        let losses = &mut self.losses;
        self.reports.retain(|_, report| {
            let kept = report.time > middle;
            losses.add(Loss::ExceptionsUnread, u64::from(!kept && !report.whole && report.tells));
            kept
        });
    }
}

impl Report {
    /// The report as far as it has come.
    fn words(&mut self, interpreter: &mut Interpreter, losses: &mut Losses) -> Option<Raised> {
        if self.raised.is_none() {
            let first = self.chain.first()?;
            self.raised = Some(Raised {
                request: first.request,
                root: first.root,
                time: Time(first.time),
                seen: match first.seen_at {
                    seen_at::RESPONSE => Seen::Response,
                    seen_at::UNWINDING => Seen::Unwinding,
                    _ => Seen::Stderr,
                },
                locals: words::locals(interpreter, first),
                chain: self.chain.iter().map(|event| words::exception(interpreter, event, losses)).collect(),
            });
            // They are of no use any more, and large.
            self.chain = Vec::new();
        }
        let raised = self.raised.as_mut()?;
        raised.time = self.time;
        let exception = raised.chain.first_mut()?;
        for frame in self.left.drain(..) {
            let Some(frame) = interpreter.frame(&frame) else {
                losses.add(Loss::FramesUnread, 1);
                continue;
            };
            // As the probes do.
            if exception.frames.len() >= FRAMES_MAX {
                exception.frames.pop();
                exception.cut = true;
            }
            exception.frames.insert(0, frame);
        }
        Some(raised.clone())
    }
}

/// Is a function the application's? `None` where its code cannot be read.
fn of_application(interpreter: &mut Interpreter, frame: &RaisedFrame) -> Option<bool> {
    let names = interpreter.names(frame)?;
    Some(interpreter.place(&names) == Place::Application)
}
