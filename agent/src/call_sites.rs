//! The application's code that makes queries and calls.
//!
//! The probes name the stack that begins a call by a number and send its frames once; here the innermost frame that is
//! the application's is put into words, and kept for all calls that name the stack.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

use apm_agent_ebpf::{Begun, RaisedFrame, Stack};
use apm_core::loss::{Loss, Losses};
use apm_core::python::place::Place;
use rustc_hash::FxHashMap;

use crate::capture::Capture;
use crate::python::{Interpreter, Interpreters};

/// Stacks remembered; past that, all are sent anew.
const STACKS_MAX: usize = 65_536;
/// Stacks that wait until the processes of their batch of events are known.
const WAITING_MAX: usize = 1_024;

/// A stack that was put into words.
struct Known {
    /// Its process.
    pid: u32,
    /// `file:line function`; `None` where no frame of it is the application's.
    site: Option<Arc<str>>,
    /// Address of the code that decided it, if any did.
    end: Option<u64>,
}

impl Known {
    /// Nothing of it is to be taken for known any more.
    fn forget(&self, number: u64, capture: &mut Capture) {
        capture.forget_stack(number);
        if let Some(code) = self.end {
            capture.go_past(self.pid, code);
        }
    }
}

/// Call sites by the number of their stack.
#[derive(Default)]
pub struct CallSites {
    known: FxHashMap<u64, Known>,
    /// Texts, so that stacks of one call site share theirs.
    texts: HashSet<Arc<str>>,
    waiting: Vec<Stack>,
    /// Stacks of tasks, with those that made them.
    begun: Vec<Begun>,
    /// Numbers of those that found no room there.
    refused: Vec<u64>,
    /// Processes that have ended, in this second and in the one before.
    ending: [Vec<u32>; 2],
    /// Calls since the last look whose stack is not known: it found no room, or could not be read any more.
    without: Cell<u64>,
}

impl CallSites {
    /// A stack was sent. Its process may be a child of which only a later event of the same batch tells.
    pub fn sent(&mut self, stack: &Stack) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(*stack);
        } else {
            self.refused.push(stack.number);
        }
    }

    /// A stack was told to run in a context that another has made.
    pub fn begun(&mut self, both: Begun) {
        if self.begun.len() < WAITING_MAX {
            self.begun.push(both);
        } else {
            self.refused.push(both.number);
        }
    }

    /// Puts what was sent into words. What cannot be read, or found no room, is to be sent again; but what processes sent
    /// that are not known waits, unless this is the `last` chance.
    pub fn read(&mut self, interpreters: &mut Interpreters, capture: &mut Capture, last: bool) {
        for number in std::mem::take(&mut self.refused) {
            capture.forget_stack(number);
        }
        for stack in std::mem::take(&mut self.waiting) {
            if !last && !interpreters.knows(stack.tgid) {
                self.waiting.push(stack);
                continue;
            }
            let site = interpreters.get(stack.tgid).ok_or(Unreadable).and_then(|interpreter| {
                let frames = usize::try_from(stack.frames).unwrap_or(0).min(stack.stack.len());
                call_site(interpreter, &stack, frames)
            });
            match site {
                Ok(decided) => {
                    let end = decided.as_ref().map(|(frame, _)| {
                        capture.end_stacks_at(stack.tgid, frame);
                        frame.code
                    });
                    let site = decided.and_then(|(_, site)| site);
                    let site = site.map(|site| self.text(site));
                    self.keep(stack.number, Known { pid: stack.tgid, site, end }, capture);
                }
                Err(Unreadable) => {
                    tracing::debug!(
                        "process {}: a call stack of {} frames cannot be read",
                        stack.tgid,
                        stack.frames
                    );
                    capture.forget_stack(stack.number);
                }
            }
        }
        for both in std::mem::take(&mut self.begun) {
            if !last && !interpreters.knows(both.tgid) {
                self.begun.push(both);
            } else {
                self.join(&both, capture);
            }
        }
    }

    /// The site of a stack is that of the one that made its context, where it has none itself: it is a library's.
    fn join(&mut self, both: &Begun, capture: &mut Capture) {
        let site = |number: u64| match number {
            0 => Some(None),
            number => self.known.get(&number).map(|known| known.site.clone()),
        };
        match (site(both.runs), site(both.made_by)) {
            (Some(own), Some(made_by)) => {
                let known = Known { pid: both.tgid, site: own.or(made_by), end: None };
                self.keep(both.number, known, capture);
            }
            _ => capture.forget_stack(both.number),
        }
    }

    fn keep(&mut self, number: u64, stack: Known, capture: &mut Capture) {
        if self.known.len() >= STACKS_MAX {
            for (number, known) in self.known.drain() {
                known.forget(number, capture);
            }
            self.texts.clear();
        }
        self.known.insert(number, stack);
    }

    /// The text, shared with the stacks that have the same.
    fn text(&mut self, site: String) -> Arc<str> {
        let site: Arc<str> = site.into();
        if let Some(known) = self.texts.get(&site) {
            return Arc::clone(known);
        }
        self.texts.insert(Arc::clone(&site));
        site
    }

    /// The call site of a call's stack, 0 for none; `None` where the application has none in it, or it is not known, which
    /// is counted. What no call names is not missed: the stack of the last words of a connection is often that of a
    /// process that has ended.
    pub fn of(&self, number: u64) -> Option<Arc<str>> {
        let known = self.known.get(&number);
        if known.is_none() && number != 0 {
            self.without.set(self.without.get() + 1);
        }
        known?.site.clone()
    }

    /// The process is gone, or runs another program: the numbers of its stacks may mean others. What it did last is told
    /// only later, so that they are kept for a second or two.
    pub fn process_gone(&mut self, pid: u32) {
        self.ending[0].push(pid);
    }

    /// A second is over.
    pub fn second(&mut self, capture: &mut Capture) {
        let gone = std::mem::take(&mut self.ending[1]);
        self.ending.swap(0, 1);
        if gone.is_empty() {
            return;
        }
        self.known.retain(|number, known| {
            let stays = !gone.contains(&known.pid);
            if !stays {
                known.forget(*number, capture);
            }
            stays
        });
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        let mut losses = Losses::default();
        losses.add(Loss::StacksUnread, self.without.take());
        losses
    }
}

/// A code object is gone, or is none, or frames are missing.
struct Unreadable;

/// The frame that decides, and what it makes of the stack.
type Decided = Option<(RaisedFrame, Option<String>)>;

/// The innermost frame that is the application's, unless that only started an event loop or a server in which the call is
/// made: then that decides that there is none. `None` where all frames are libraries'.
fn call_site(interpreter: &mut Interpreter, stack: &Stack, frames: usize) -> Result<Decided, Unreadable> {
    for frame in stack.stack[..frames].iter().filter(|frame| frame.code != 0) {
        let frame = interpreter.completed(frame);
        let names = interpreter.names(&frame).ok_or(Unreadable)?;
        match interpreter.place(&names) {
            Place::Library => {}
            Place::Runner => return Ok(Some((frame, None))),
            Place::Application => {
                let line = interpreter.line(&names, &frame);
                let line = line.map_or_else(|| "?".to_owned(), |line| line.to_string());
                let site = format!("{}:{line} {}", names.file, names.qualified);
                return Ok(Some((frame, Some(site))));
            }
        }
    }
    // What is missing may be the application's.
    if stack.cut == 0 { Ok(None) } else { Err(Unreadable) }
}
