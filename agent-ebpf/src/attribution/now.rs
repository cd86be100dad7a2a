//! Which Python code the current thread runs: its thread state, its context, and the request that follows from them.

use core::{ffi::c_void, ptr::null_mut};

use apm_agent_ebpf::{Python, counter, link, python_flags};
use aya_ebpf::helpers::{bpf_probe_read_user, generated as raw};

use super::{
    events::{green_work, has_green_work, takes_over},
    frames::work_item,
    maps::*,
};
use crate::{kernel, maps::count};

/// Thread states that are looked through where no slot leads to the right one.
const THREADS_MAX: usize = 256;
/// `PyThreadState.next`, in every version.
const NEXT: u64 = 8;

/// Reads a word of the current process; 0 where it cannot be read.
#[inline(always)]
pub fn word(address: u64) -> u64 {
    let mut word = 0u64;
    // SAFETY: the helper checks the address and writes zeros where it cannot read: no branch for the verifier to walk.
    unsafe { raw::bpf_probe_read_user((&raw mut word).cast(), 8, address as *const c_void) };
    word
}

/// Reads a `u32` likewise.
#[inline(always)]
pub fn half(address: u64) -> u32 {
    let mut half = 0u32;
    // SAFETY: as above.
    unsafe { raw::bpf_probe_read_user((&raw mut half).cast(), 4, address as *const c_void) };
    half
}

/// The `PyThreadState` of the current thread, 0 if it has none.
///
/// `gilstate.tstate_current` is of no use: system calls are made without the interpreter lock.
///
/// # Safety
/// Both must be null or live map values.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn thread_state(id: u64, python: *const Python, thread: *mut Thread) -> u64 {
    if python.is_null() || thread.is_null() {
        return 0;
    }
    // SAFETY: by the caller, not null.
    let (python, thread) = unsafe { (&*python, &mut *thread) };
    // What CPython takes for a thread's identity (`PyThread_get_thread_ident`).
    let me = kernel::thread_pointer();
    let offset = u64::from(python.thread_id);
    let keeps_it = python.flags & python_flags::PROGRAM != 0 && id as u32 == (id >> 32) as u32;
    if thread.state != 0 && (keeps_it || word(thread.state + offset) == me) {
        return thread.state;
    }
    if python.state_slot != 0 {
        let state = word(me + u64::from(python.state_slot));
        if state == 0 {
            // A thread that is not Python's.
            return 0;
        }
        if word(state + offset) == me {
            thread.state = state;
            return state;
        }
    }
    let interpreter = word(python.runtime + u64::from(python.interpreters_head));
    let mut state = word(interpreter + u64::from(python.threads_head));
    for _ in 0..THREADS_MAX {
        if state == 0 {
            if python.state_slot == 0 {
                // Of all the list none is this thread's: it is not Python's.
                return 0;
            }
            break;
        }
        if word(state + offset) == me {
            thread.state = state;
            return state;
        }
        state = word(state + NEXT);
    }
    count(counter::THREAD_STATE_MISSING);
    0
}

/// The head of a `PyContext` up to `ctx_entered`, in every version.
type ContextHead = [u64; 6];

/// What runs now.
pub struct Now {
    /// The thread.
    pub thread: *mut Thread,
    /// The process.
    pub tgid: u32,
    /// Its `PyThreadState`; 0 if it has none.
    pub state: u64,
    /// Address of the current context; 0 if there is none.
    pub context: u64,
    /// Code runs in it (`Context.run`), rather than it being the thread's own.
    pub entered: bool,
}

/// Which request code runs for, and as which unit.
pub struct Resolved {
    /// The request; 0 if none is known.
    pub request: u64,
    /// [`link`]
    pub how: u32,
    /// The record of the context or greenlet; null where the thread itself is the unit.
    pub unit: *mut Unit,
}

impl Resolved {
    /// Number of the call stack that made the context or greenlet; 0 where it is not known.
    #[inline(always)]
    pub fn made_by(&self) -> u64 {
        // SAFETY: a live map value where it is not null.
        if self.unit.is_null() { 0 } else { unsafe { (*self.unit).stack } }
    }
}

impl Now {
    /// What the current thread runs.
    #[inline(always)]
    pub fn of(id: u64, python: &Python) -> Option<Self> {
        let tgid = (id >> 32) as u32;
        let thread = thread(id as u32)?;
        let mut now = Self { thread, tgid, state: 0, context: 0, entered: false };
        if python.flags & python_flags::THREADS_ONLY != 0 {
            return Some(now);
        }
        // SAFETY: a live map value.
        let state = unsafe { thread_state(id, python, thread) };
        if state == 0 {
            return Some(now);
        }
        now.state = state;
        let context = word(state + u64::from(python.context));
        if context == 0 {
            now.look_for_work(python);
            return Some(now);
        }
        // SAFETY: the helper checks the address.
        let head: ContextHead =
            unsafe { bpf_probe_read_user(context as *const ContextHead) }.unwrap_or([0; 6]);
        if head[1] != python.context_type {
            count(counter::NO_CONTEXT);
            return Some(now);
        }
        now.context = context;
        let threads_own =
            python.flags & python_flags::THREAD_CONTEXTS != 0 && head[2] == 0 && id as u32 != tgid;
        now.entered = head[5] & 0xff != 0 && !threads_own;
        now.look_for_work(python);
        Some(now)
    }

    /// Work items tell for whom a pool's thread or greenlet works.
    #[inline(always)]
    fn look_for_work(&self, python: &Python) {
        if self.entered {
            return;
        }
        let (greenlet, tgid) = (self.greenlet(), u64::from(self.tgid));
        if greenlet == 0 {
            self.look_back(python);
        } else if has_green_work(tgid) {
            // SAFETY: a live map value.
            let item = unsafe { work_item(python, self.state, tgid) };
            green_work(item, tgid, greenlet);
        }
    }

    /// Once for each thread: the work that it has taken over unseen.
    #[inline(always)]
    fn look_back(&self, python: &Python) {
        use thread_flags::*;
        // SAFETY: a live map value.
        let thread = unsafe { &mut *self.thread };
        if thread.flags & (VALID | LOOKED) != 0 {
            return;
        }
        thread.flags |= LOOKED;
        let tgid = u64::from(self.tgid);
        // SAFETY: a live map value.
        let address = unsafe { work_item(python, self.state, tgid) };
        if address != 0 {
            takes_over(thread, Key { address, tgid });
        }
    }

    /// Address of the greenlet, where it is the unit; else 0.
    #[inline(always)]
    pub fn greenlet(&self) -> u64 {
        // SAFETY: a live map value.
        if self.entered { 0 } else { unsafe { (*self.thread).greenlet } }
    }

    /// Is neither a context nor a greenlet the unit, but the thread?
    #[inline(always)]
    pub fn is_bare(&self) -> bool {
        !self.entered && self.greenlet() == 0
    }

    /// Which request the running code runs for.
    #[inline(always)]
    pub fn resolve(&self) -> Resolved {
        // A record found for a context that is not entered would be that of an earlier task at the same address.
        if self.is_bare() {
            // SAFETY: a live map value.
            let thread = unsafe { &*self.thread };
            if self.state == 0 && thread.flags & thread_flags::INHERITED != 0 {
                // No Python runs in it: a pool of a library's own, which a request has started, works for others too.
                return Resolved { request: 0, how: link::NONE, unit: null_mut() };
            }
            return thread.resolve(self.context);
        }
        let address = if self.entered { self.context } else { self.greenlet() };
        let Some(unit) = UNITS.get_ptr_mut(Key { address, tgid: u64::from(self.tgid) }) else {
            return Resolved { request: 0, how: link::NONE, unit: null_mut() };
        };
        // SAFETY: a live map value.
        let (mut request, group, pool) = unsafe { ((*unit).request, (*unit).group, (*unit).pool) };
        if request == 0 && group != 0 {
            // SAFETY: a live map value, read once.
            request = GROUPS.get_ptr(group).map_or(0, |request| unsafe { *request });
        }
        let how = match (request, pool) {
            (0, _) => link::NONE,
            (_, 0) => link::CONTEXT,
            _ => link::HANDOVER,
        };
        Resolved { request, how, unit }
    }

    /// The unit that runs.
    #[inline(always)]
    pub fn lineage(&self, resolved: &Resolved) -> Lineage {
        if resolved.unit.is_null() {
            // SAFETY: a live map value.
            let thread = unsafe { &mut *self.thread };
            if thread.lineage.unit == 0 {
                thread.lineage.unit = number();
            }
            return thread.lineage;
        }
        // SAFETY: a live map value.
        unsafe { (*resolved.unit).lineage }
    }
}

impl Thread {
    /// The request of a thread that runs code in no context of its own.
    #[inline(always)]
    fn resolve(&self, context: u64) -> Resolved {
        use thread_flags::*;
        let none = Resolved { request: 0, how: link::NONE, unit: null_mut() };
        if self.flags & VALID == 0 || self.request == 0 || (self.context != 0 && self.context != context) {
            return none;
        }
        if self.flags & INHERITED != 0 && HAS_THREADS.get_ptr(self.request).is_none() {
            return none;
        }
        let how = if self.flags & HANDED != 0 { link::HANDOVER } else { link::THREAD };
        Resolved { request: self.request, how, unit: null_mut() }
    }
}
