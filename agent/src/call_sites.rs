//! The application's code that makes queries and calls.
//!
//! The probes name the stack that begins a call by a number and send its frames once; here the innermost frame that is
//! the application's is put into words, and kept for all calls that name the stack.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use apm_agent_ebpf::Stack;
use apm_core::loss::{Loss, Losses};
use apm_core::python::place::{Place, place};

use crate::capture::Capture;
use crate::python::{Interpreter, Interpreters};

/// Stacks remembered; past that, all are sent anew.
const STACKS_MAX: usize = 65_536;
/// Stacks that wait until the processes of their batch of events are known.
const WAITING_MAX: usize = 1_024;

/// A stack's process and its call site, `file:line function`; `None` where no frame of it is the application's.
type Known = (u32, Option<Arc<str>>);

/// Call sites by the number of their stack.
#[derive(Default)]
pub struct CallSites {
    known: HashMap<u64, Known>,
    /// Texts, so that stacks of one call site share theirs.
    texts: HashSet<Arc<str>>,
    waiting: Vec<Stack>,
    /// Processes that have ended, in this second and in the one before.
    ending: [Vec<u32>; 2],
    losses: Losses,
}

impl CallSites {
    /// A stack was sent. Its process may be a child of which only a later event of the same batch tells.
    pub fn sent(&mut self, stack: &Stack) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(*stack);
        } else {
            self.losses.add(Loss::StacksUnread, 1);
        }
    }

    /// Puts what was sent into words. What cannot be read is to be sent again; but what processes sent that are not known
    /// waits, unless this is the `last` chance.
    pub fn read(&mut self, interpreters: &mut Interpreters, capture: &mut Capture, last: bool) {
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
                Ok(site) => self.keep(&stack, site, capture),
                Err(Unreadable) => {
                    self.losses.add(Loss::StacksUnread, 1);
                    capture.forget_stack(stack.number);
                }
            }
        }
    }

    fn keep(&mut self, stack: &Stack, site: Option<String>, capture: &mut Capture) {
        if self.known.len() >= STACKS_MAX {
            for (number, _) in self.known.drain() {
                capture.forget_stack(number);
            }
            self.texts.clear();
        }
        let site = site.map(|site| {
            let site: Arc<str> = site.into();
            if let Some(known) = self.texts.get(&site) {
                return Arc::clone(known);
            }
            self.texts.insert(Arc::clone(&site));
            site
        });
        self.known.insert(stack.number, (stack.tgid, site));
    }

    /// The call site of a stack; `None` where the application has none in it, or it is not known.
    pub fn of(&self, number: u64) -> Option<Arc<str>> {
        self.known.get(&number)?.1.clone()
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
        self.known.retain(|number, (owner, _)| {
            let stays = !gone.contains(owner);
            if !stays {
                capture.forget_stack(*number);
            }
            stays
        });
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

/// A code object is gone, or is none.
struct Unreadable;

/// The innermost frame that is the application's, unless that only started an event loop or a server in which the call is
/// made.
fn call_site(
    interpreter: &mut Interpreter,
    stack: &Stack,
    frames: usize,
) -> Result<Option<String>, Unreadable> {
    for frame in stack.stack[..frames].iter().filter(|frame| frame.code != 0) {
        let names = interpreter.names(frame).ok_or(Unreadable)?;
        match place(&names.file, &names.name) {
            Place::Library => {}
            Place::Runner => return Ok(None),
            Place::Application => {
                let line = interpreter.line(&names, frame);
                let line = line.map_or_else(|| "?".to_owned(), |line| line.to_string());
                return Ok(Some(format!("{}:{line} {}", names.file, names.qualified)));
            }
        }
    }
    Ok(None)
}
