//! What the probes must know of a CPython process, and how they name what they found.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How the request of an [`super::Origin`] is known.
pub mod link {
    /// It is not.
    pub const NONE: u32 = 0;
    /// The Python context (or greenlet) that ran was made for the request, or for its connection.
    pub const CONTEXT: u32 = 1;
    /// The thread served the request, or was started by code that did.
    pub const THREAD: u32 = 2;
    /// A work item handed the request from one thread to another.
    pub const HANDOVER: u32 = 3;
}

/// Which register holds what a function is going to return, where a probe sits within it: the probe's cookie.
pub mod held_in {
    /// `rax`
    pub const RAX: u32 = 0;
    /// `rbx`
    pub const RBX: u32 = 1;
    /// `rbp`
    pub const RBP: u32 = 2;
    /// `r12`
    pub const R12: u32 = 3;
    /// `r13`
    pub const R13: u32 = 4;
    /// `r14`
    pub const R14: u32 = 5;
    /// `r15`
    pub const R15: u32 = 6;
}

/// Flags of [`Python`].
pub mod python_flags {
    /// Threads other than the first run their target in a context of their own (3.14 and later): an entered context
    /// that has no predecessor is then no task's.
    pub const THREAD_CONTEXTS: u32 = 1;
    /// Nothing is known of its structures: requests are attributed by thread, and to no thread that waits on epoll.
    pub const THREADS_ONLY: u32 = 2;
    /// `frame` leads to a `_PyCFrame` that holds the pointer to the frame (3.11 and 3.12).
    pub const FRAME_WITHIN: u32 = 4;
    /// Contexts remember the call stack that made them: a library sends from tasks of its own.
    pub const MAKERS: u32 = 8;
    /// The program is the interpreter: its first thread has one thread state, from its start to its end. Another program may
    /// give its threads one after the other.
    pub const PROGRAM: u32 = 16;
    /// uvloop is loaded.
    pub const UVLOOP: u32 = 32;
}

/// Where a CPython process keeps what tells which code runs: the value of the map `PYTHONS`, keyed by tgid.
///
/// Offsets are those of the interpreter's version; user space has checked them against the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Python {
    /// Address of `_PyRuntime`.
    pub runtime: u64,
    /// Address of `PyContext_Type`.
    pub context_type: u64,
    /// Address of `PyBytes_Type`; 0 where it is not known.
    pub bytes_type: u64,
    /// `_PyRuntimeState.interpreters.head`
    pub interpreters_head: u32,
    /// `PyInterpreterState.threads.head`
    pub threads_head: u32,
    /// `PyThreadState.thread_id`
    pub thread_id: u32,
    /// `PyThreadState.context`
    pub context: u32,
    /// Distance from the thread pointer to the slot of thread-specific data that holds the thread's `PyThreadState`;
    /// 0 where it is not known.
    pub state_slot: u32,
    /// [`python_flags`]
    pub flags: u32,
    /// `PyThreadState.frame` or `current_frame`; with [`python_flags::FRAME_WITHIN`] `cframe`.
    pub frame: u32,
    /// `_PyCFrame.current_frame`
    pub frame_within: u32,
    /// `PyFrameObject.f_back` or `_PyInterpreterFrame.previous`
    pub frame_previous: u32,
    /// `f_localsplus` or `localsplus` of a frame.
    pub frame_locals: u32,
}
