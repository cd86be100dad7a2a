//! Functions of CPython and of libraries that decide which code runs when. Each is attached per file, so every program
//! starts by asking whether the process's layout is known.
//!
//! Unlike the other probes, these can be preempted and run on one CPU at once: they use no per-CPU scratch.

use apm_agent_ebpf::held_in;
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, generated as raw},
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::{
    attribution::{self, python},
    payload::opaque,
    unwinding,
};

macro_rules! enter {
    ($($(#[$doc:meta])* $name:ident: |$id:ident, $python:ident, $ctx:ident| $body:expr;)*) => {
        $($(#[$doc])*
        #[uprobe]
        pub fn $name($ctx: ProbeContext) -> u32 {
            let $id = bpf_get_current_pid_tgid();
            if let Some($python) = python($id) {
                $body;
            }
            0
        })*
    };
}

macro_rules! leave {
    ($($(#[$doc:meta])* $name:ident: |$id:ident, $python:ident, $ret:ident| $body:expr;)*) => {
        $($(#[$doc])*
        #[uretprobe]
        pub fn $name(ctx: RetProbeContext) -> u32 {
            let $id = bpf_get_current_pid_tgid();
            if let Some($python) = python($id) {
                let $ret: u64 = ctx.ret();
                $body;
            }
            0
        })*
    };
}

/// What the function is going to return, which a register holds already: the cookie tells which.
#[inline(always)]
fn held(ctx: &ProbeContext) -> u64 {
    let regs = ctx.regs;
    // Read one by one: the verifier takes no offset into the registers that depends on the cookie.
    macro_rules! pick {
        ($cookie:expr, $($number:path => $register:ident,)*) => {
            match $cookie {
                $(
                    $number => {
                        // SAFETY: the registers of the process (`struct pt_regs`), this program's context.
                        opaque(unsafe { core::ptr::read_volatile(&raw const (*regs).$register) })
                    }
                )*
                _ => 0,
            }
        };
    }
    // SAFETY: the context of this program.
    let cookie = unsafe { raw::bpf_get_attach_cookie(ctx.as_ptr()) } as u32;
    pick!(
        cookie,
        held_in::RAX => rax,
        held_in::RBX => rbx,
        held_in::RBP => rbp,
        held_in::R12 => r12,
        held_in::R13 => r13,
        held_in::R14 => r14,
        held_in::R15 => r15,
    )
}

/// The `n`th argument of the function that is entered.
#[inline(always)]
fn argument(ctx: &ProbeContext, n: usize) -> u64 {
    ctx.arg(n).unwrap_or(0)
}

/// The first of the positional arguments of a method called by `METH_FASTCALL`.
#[inline(always)]
fn first_positional(ctx: &ProbeContext) -> u64 {
    attribution::user_word(argument(ctx, 1))
}

leave! {
    /// `PyContext_CopyCurrent()`, `Context.copy()` and `Context()`: a new context.
    python_context: |id, python, child| if child != 0 { attribution::copied(id, python, child) };
    /// `uvloop.loop.UVBaseTransport._call_connection_made(self)`
    uvloop_connection_return: |id, _python, _ret| attribution::uvloop_has_connected(id);
}

enter! {
    /// The same, within the function.
    python_context_held: |id, python, ctx| {
        let child = held(&ctx);
        if child != 0 {
            attribution::copied(id, python, child);
        }
    };
    /// `SimpleQueue.get()`, within the function: an item.
    python_queue_get: |id, python, ctx| {
        let item = held(&ctx);
        if item != 0 {
            attribution::got(id, python, item);
        }
    };
    /// `SimpleQueue.put(self, item)`
    python_queue_put: |id, python, ctx| attribution::put(id, python, first_positional(&ctx));
    /// `gevent._gevent_cqueue.SimpleQueue.put(self, item, ..)`
    gevent_queue_put: |id, python, ctx| attribution::green_put(id, python, argument(&ctx, 1));
    /// `uvloop.loop.UVBaseTransport._call_connection_made(self)`
    uvloop_connection: |id, _python, ctx| attribution::uvloop_connects(id, argument(&ctx, 0));
    /// `uvloop.loop.UVStream._buffer_write(self, data)`
    uvloop_write: |id, python, ctx| {
        attribution::uvloop_queues(id, python, argument(&ctx, 0), argument(&ctx, 1))
    };
    /// `uv_getaddrinfo(loop, lookup, ..)`
    uvloop_lookup: |id, python, ctx| attribution::uvloop_resolves(id, python, argument(&ctx, 1));
    /// `PyTraceBack_Here(frame)`: an exception leaves a function.
    python_traceback: |id, _python, ctx| unwinding::leaves(id, argument(&ctx, 0));
    /// `greenlet::Greenlet::g_switchstack()`: the first argument is where the result goes.
    greenlet_switch: |id, _python, ctx| attribution::greenlet_switched(id, argument(&ctx, 1));
    /// `greenlet::UserGreenlet::UserGreenlet(..)`
    greenlet_new: |id, python, ctx| attribution::greenlet_made(id, python, argument(&ctx, 0));
}
