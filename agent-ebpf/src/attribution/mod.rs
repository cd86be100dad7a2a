//! For which request code runs.
//!
//! Every asyncio task, callback and hand-over to a thread pool runs in a `contextvars.Context`, whose address is
//! `PyThreadState.context`. A context that is copied while a request is handled belongs to that request; so does what
//! is copied from it. Code in no context belongs to what its thread has read last. `maps` holds the state, `now` reads
//! the thread's present and resolves it, `events` says what changes the state; this file is what other probes call.
//!
//! Functions with C linkage are global to the verifier: it walks each once, for any arguments, and not again for every
//! state in which it is called. Without them the programs would exceed its limit of a million instructions.
//!
//! Where a process has no entry in `PYTHONS`, all of it costs one lookup.

mod events;
mod frames;
mod maps;
mod now;
mod transports;
mod uvloop;

pub use events::*;
pub use maps::{Key, kept};
pub use now::half;
pub use now::word as user_word;
pub use transports::{carried, is_uvloops, other_read};
pub use uvloop::*;

use apm_agent_ebpf::{Conn, Origin, Python, conn_flags, link, opened_by, python_flags};
use maps::*;
use now::Now;

use crate::stacks;

/// The current thread's `PyThreadState`; the request that it works for; and the number of the context or greenlet that runs.
/// Each 0 where there is none.
#[inline(always)]
pub fn running(id: u64) -> Option<(u64, u64, u64)> {
    let now = Now::of(id, python(id)?)?;
    let resolved = now.resolve();
    // SAFETY: a live map value.
    let unit = if resolved.unit.is_null() { 0 } else { unsafe { (*resolved.unit).lineage.unit } };
    Some((now.state, resolved.request, unit))
}

/// No attribution.
pub const NOWHERE: Origin = Origin { request: 0, unit: 0, ancestors: [0; 3], stack: 0, how: 0, in_unit: 0 };

/// Sets an origin to [`NOWHERE`], word by word: the compiler would call its `memset`, a loop over bytes.
#[inline(always)]
pub fn nowhere(origin: &mut Origin) {
    const WORDS: usize = size_of::<Origin>() / 8;
    let words = core::ptr::from_mut(origin).cast::<u64>();
    for i in 0..WORDS {
        // SAFETY: within the origin, which is aligned to 8.
        unsafe { words.add(i).write_volatile(0) };
    }
}

/// The layout of a watched process, if it is known.
#[inline(always)]
pub fn python(id: u64) -> Option<&'static Python> {
    // SAFETY: a map value; user space replaces it only as a whole, when the process has changed.
    PYTHONS.get_ptr((id >> 32) as u32).map(|python| unsafe { &*python })
}

/// Do the first bytes of a chunk (lower bytes first, zeros after the last) begin an HTTP/1 request (RFC 9110, 9), or one that
/// a web server hands on by the uwsgi protocol?
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn begins_request(first: u64, len: u64) -> bool {
    /// Does the chunk begin with the word, as far as it goes?
    #[inline(always)]
    fn is(first: u64, len: u64, word: u64, size: u64) -> bool {
        let bytes = if len < size { len } else { size };
        let unused = 64 - 8 * bytes;
        bytes != 0 && (first ^ word) << unused == 0
    }
    macro_rules! any {
        ($($method:literal)*) => {
            false $(|| is(first, len, const { word($method) }, $method.len() as u64))*
        };
    }
    any!(b"GET " b"POST " b"PUT " b"DELETE " b"PATCH " b"HEAD " b"OPTIONS " b"TRACE " b"CONNECT ")
        || begins_uwsgi(first)
}

/// Are these the first eight bytes of a uwsgi packet with variables for a Python application? Modifier 0, the length, modifier 0,
/// and the first variable's name after its length (<https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html>).
#[inline(always)]
fn begins_uwsgi(first: u64) -> bool {
    /// Both modifiers, and the upper half of the name's length.
    const ZERO: u64 = 0xff00_ff00_00ff;
    /// Bits 5 to 7 of the first two letters, which are 010 in `A` to `Z` and `_`.
    const LETTERS: u64 = 0xe0e0 << 48;
    first & (ZERO | LETTERS) == 0x4040 << 48
}

/// Up to eight bytes as a word, lower ones first.
const fn word(bytes: &[u8]) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < bytes.len() {
        word |= (bytes[i] as u64) << (8 * i);
        i += 1;
    }
    word
}

/// The start of what opens HTTP/2 (RFC 9113, 3.4).
const PREFACE: u64 = word(b"PRI * HT");

/// Bytes were read from a connection, of which `first` are the first where something may begin: right after the connection
/// was made or something was written to it. Else it is 0. `origin` is set to the request that the connection carries.
#[inline(always)]
pub fn inbound(conn: &mut Conn, id: u64, first: u64, len: u64, origin: &mut Origin) {
    nowhere(origin);
    if matches!(conn.by, opened_by::CONNECT | opened_by::TLS_CONNECT) {
        return;
    }
    // A connection that was one of HTTP/1 may go on with streams, which are told apart by user space.
    let streams = first == PREFACE && conn.request != 0;
    if first != 0
        && (streams || begins_request(first, len))
        && let Some(python) = python(id)
    {
        // SAFETY: live map values.
        unsafe { request_starts(conn, python, id, streams) };
    } else if conn.request != 0 {
        transports::more_read(conn, id);
    }
    origin.request = conn.request;
    if conn.request == 0
        && let Some(python) = python(id)
    {
        // HTTP/2: a unit with a higher number was made after these bytes had come.
        origin.unit = number();
        if python.flags & python_flags::UVLOOP != 0 {
            other_read(id);
        }
    }
}

/// A request starts, or `streams` do: then what is made for the connection from now on is made for no one request.
///
/// # Safety
/// Both must be null or live map values.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn request_starts(conn: *mut Conn, python: *const Python, id: u64, streams: bool) -> u32 {
    if !conn.is_null() && !python.is_null() {
        // SAFETY: by the caller, not null.
        unsafe { start(&mut *conn, id, &*python, if streams { 0 } else { number() }) };
    }
    0
}

#[inline(always)]
fn start(conn: &mut Conn, id: u64, python: &Python, request: u64) {
    use thread_flags::*;
    conn.request = request;
    conn.flags |= conn_flags::SERVES;
    let Some(now) = Now::of(id, python) else { return };
    let handed_on = transports::request_read(conn, python, &now);
    if conn.group != 0 {
        let _full = set(&GROUPS, conn.group, &request);
    }
    // SAFETY: a live map value.
    let thread = unsafe { &mut *now.thread };
    if handed_on {
        thread.flags &= !VALID;
        // Before this was known of the context, it was taken for the stream's alone.
        if let Some(unit) = UNITS.get_ptr_mut(Key { address: now.context, tgid: u64::from(now.tgid) }) {
            // SAFETY: a live map value.
            unsafe { (*unit).request = 0 };
        }
        return;
    }
    let greenlet = now.greenlet();
    if now.entered {
        thread.flags &= !VALID;
    } else {
        if greenlet == 0 && takes_turns(thread) {
            thread.flags |= LOOP;
        }
        thread.request = request;
        thread.context = now.context;
        thread.home_epoll = thread.last_epoll;
        thread.flags &= LOOP | LOOKED;
        // A thread that waits on epoll may run an event loop, whose tasks cannot be told apart there.
        let loops = python.flags & python_flags::THREADS_ONLY != 0 && thread.last_epoll != 0;
        if thread.flags & LOOP == 0 && !loops {
            thread.flags |= VALID;
        }
    }
    let address = if now.entered { now.context } else { greenlet };
    if address != 0
        && let Some(unit) = unit(address, now.tgid)
    {
        // SAFETY: a live map value.
        let unit = unsafe { &mut *unit };
        if now.entered {
            // Tasks and call backs take turns to read one connection (Tornado reads at once what is there, else as the loop
            // tells): what they do next is for the request that it carries then, whoever has read that.
            if conn.group == 0 {
                conn.group = if unit.group == 0 { number() } else { unit.group };
            }
            unit.group = conn.group;
            unit.request = 0;
            let _full = set(&GROUPS, unit.group, &request);
        } else {
            unit.request = request;
        }
    }
}

/// Has the thread, which reads a request, gone on from the last one without an answer, and waits on epoll where it read that? Then it
/// serves several in turns (Twisted, bjoern), and what it does between does not follow from what it has read last.
#[inline(always)]
fn takes_turns(thread: &Thread) -> bool {
    use thread_flags::*;
    // The wait that was under way when the agent came was not seen.
    let is_home = thread.home_epoll == 0 || thread.home_epoll == thread.last_epoll;
    let goes_on = thread.request != 0 && thread.flags & (INHERITED | HANDED | ANSWERED | LETS_GO) == 0;
    goes_on && is_home && thread.last_epoll != 0
}

/// What is known of bytes that are written.
pub mod chunk {
    /// What came before was read from the connection.
    pub const RUN_STARTS: u64 = 1;
    /// They may begin a request of the process's own.
    pub const MAY_BEGIN: u64 = 2;
}

/// Bytes are written to a connection; `what` is known of them: [`chunk`]. `origin` is set to the request that they are
/// written for, the unit that does it, and where they may begin a call, to the code that makes it.
#[inline(always)]
pub fn outgoing(conn: &mut Conn, id: u64, what: u64, origin: &mut Origin) {
    nowhere(origin);
    if let Some(python) = python(id) {
        // SAFETY: live map values, and memory of the caller.
        let state = unsafe { bytes_written(conn, python, id, what, origin) };
        // From here, and not from within: the frames of a call chain share 512 bytes.
        if state != 0 {
            origin.stack = stacks::call_stack(id, state, origin.stack);
        }
    }
}

/// The running code begins a call that has no bytes yet. `origin` is set to it.
#[inline(always)]
pub fn calling(id: u64, origin: &mut Origin) {
    // SAFETY: memory of the caller.
    let state = unsafe { begins_call(id, origin) };
    if state != 0 {
        origin.stack = stacks::call_stack(id, state, origin.stack);
    }
}

/// A name has been looked up, with the result to go `to` there. Where it `failed`, `origin` is set to the code that asked for
/// it: the running code, or that for which a thread of libuv works.
#[inline(always)]
pub fn resolving(id: u64, to: u64, failed: bool, origin: &mut Origin) {
    let key = Key { address: to, tgid: id >> 32 };
    let Some(handover) = HANDOVERS.get_ptr(key) else {
        if failed {
            calling(id, origin);
        }
        return;
    };
    // SAFETY: a live map value.
    let Handover { request, from, stack } = unsafe { *handover };
    let _gone = HANDOVERS.remove(key);
    origin.request = request;
    origin.how = if request == 0 { link::NONE } else { link::HANDOVER };
    (origin.unit, origin.ancestors, origin.stack) = (from.unit, from.ancestors, stack);
}

/// The `PyThreadState` of the running code, 0 where there is none; `origin` is set to the code, its stack to the one that
/// made the context.
///
/// # Safety
/// `origin` must be null or the caller's.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn begins_call(id: u64, origin: *mut Origin) -> u64 {
    let (false, Some(python)) = (origin.is_null(), python(id)) else { return 0 };
    let Some(now) = Now::of(id, python) else { return 0 };
    let resolved = now.resolve();
    let lineage = now.lineage(&resolved);
    // SAFETY: by the caller, not null.
    let origin = unsafe { &mut *origin };
    origin.request = resolved.request;
    origin.how = resolved.how;
    origin.in_unit = u32::from(!resolved.unit.is_null());
    origin.unit = lineage.unit;
    origin.ancestors = lineage.ancestors;
    origin.stack = resolved.made_by();
    now.state
}

/// The `PyThreadState` of the code whose call stack is wanted, and in `origin` the stack that made its context; 0 if it is
/// not.
///
/// # Safety
/// `conn` and `python` must be null or live map values, `origin` null or the caller's.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn bytes_written(
    conn: *mut Conn,
    python: *const Python,
    id: u64,
    what: u64,
    origin: *mut Origin,
) -> u64 {
    if conn.is_null() || python.is_null() || origin.is_null() {
        return 0;
    }
    // SAFETY: by the caller, not null.
    let (conn, python, origin) = unsafe { (&mut *conn, &*python, &mut *origin) };
    written(conn, id, python, what, origin)
}

#[inline(always)]
fn written(conn: &mut Conn, id: u64, python: &Python, what: u64, origin: &mut Origin) -> u64 {
    let Some(now) = Now::of(id, python) else { return 0 };
    let resolved = now.resolve();
    let mut lineage = now.lineage(&resolved);
    origin.request = resolved.request;
    origin.how = resolved.how;
    let mut queued = false;
    if conn.flags & conn_flags::QUEUED != 0
        && resolved.request == 0
        && let Some(by) = QUEUED.get_ptr(conn.id)
    {
        // SAFETY: a live map value.
        let by = unsafe { &*by };
        origin.stack = by.stack;
        lineage = by.from;
        origin.request = by.request;
        origin.how = if by.request == 0 { link::NONE } else { link::CONTEXT };
        queued = true;
    }
    if conn.flags & conn_flags::SERVES != 0 {
        // SAFETY: a live map value.
        let thread = unsafe { &mut *now.thread };
        if what & chunk::RUN_STARTS != 0 {
            // Looked up first, as a removal takes a lock even where there is nothing to remove.
            if HAS_THREADS.get_ptr(conn.request).is_some() {
                let _gone_meanwhile = HAS_THREADS.remove(conn.request);
            }
            if thread.request == conn.request {
                thread.flags |= thread_flags::ANSWERED;
            }
        }
        if resolved.unit.is_null() && !queued {
            // What the thread does next is another piece of work.
            thread.lineage = Lineage::default();
            if thread.last_epoll != 0 || now.entered {
                // An event loop writes for others: it did not do their work.
                lineage = Lineage::default();
            }
        }
    }
    origin.in_unit = u32::from(!resolved.unit.is_null() && !queued);
    origin.unit = lineage.unit;
    origin.ancestors = lineage.ancestors;
    let begins = conn.flags & conn_flags::SERVES == 0 && what & chunk::MAY_BEGIN != 0;
    if begins && origin.stack == 0 {
        origin.stack = resolved.made_by();
        now.state
    } else {
        0
    }
}
