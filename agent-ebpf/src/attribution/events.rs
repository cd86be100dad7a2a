//! What changes for whom code runs: connections are accepted, contexts copied, threads started, work handed over.

use apm_agent_ebpf::{Conn, Origin, Python, conn_flags, opened_by, python_flags, seen_at};
use aya_ebpf::helpers::bpf_probe_read_user;

use super::{
    frames::is_work_item,
    maps::*,
    now::{Now, half, word},
    python,
};
use crate::{
    connection, emit, exceptions,
    kernel::stream_socket,
    maps::CONNS,
    payload::{self, Shape},
    stacks,
};

/// `uv_stream_t.io_watcher.fd` of libuv, as every uvloop wheel bundles it.
const UV_STREAM_FD: u64 = 184;
/// `UVHandle._handle` of uvloop.
const UV_HANDLE: u64 = 24;

/// A connection was accepted: what this context makes from now on serves one connection each.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn accepted(id: u64) -> u32 {
    let Some(python) = python(id) else { return 0 };
    let Some(now) = Now::of(id, python) else { return 0 };
    if now.entered {
        if let Some(unit) = unit(now.context, now.tgid) {
            // SAFETY: a live map value.
            unsafe {
                (*unit).accepts = 1;
                (*unit).request = 0;
            }
        }
    } else if now.greenlet() == 0 {
        // A thread that goes back to accepting is done with what it served.
        // SAFETY: a live map value.
        unsafe { (*now.thread).flags &= !thread_flags::VALID };
    }
    0
}

/// The thread is about to wait on an epoll instance. That alone makes no event loop: database drivers wait so too.
#[inline(always)]
pub fn waits(id: u64, epoll: u32) {
    if python(id).is_none() {
        return;
    }
    let Some(thread) = thread(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    thread.window_request = 0;
    thread.last_epoll = epoll + 1;
    if thread.home_epoll == epoll + 1 {
        thread.flags &= !thread_flags::VALID;
    }
}

/// The process closes a descriptor: its number may be that of another epoll instance next.
#[inline(always)]
pub fn closes(id: u64, fd: u32) {
    if let Some(thread) = THREADS.get_ptr_mut(id as u32) {
        // SAFETY: a live map value.
        let thread = unsafe { &mut *thread };
        if thread.last_epoll == fd + 1 {
            thread.last_epoll = 0;
        }
    }
}

/// The current thread starts another, `child`, of the same process.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn starts_thread(id: u64, child: u32) -> u32 {
    let Some(python) = python(id) else { return 0 };
    if python.flags & python_flags::THREADS_ONLY != 0 {
        // Where hand-overs are not seen, it may do anybody's work.
        let _full = new_thread(child);
        return 0;
    }
    let Some(now) = Now::of(id, python) else { return 0 };
    let resolved = now.resolve();
    let lineage = now.lineage(&resolved).child(0);
    let Some(thread) = new_thread(child) else { return 0 };
    // SAFETY: a live map value; the thread does not run yet.
    let thread = unsafe { &mut *thread };
    thread.request = resolved.request;
    thread.lineage = lineage;
    if resolved.request != 0 {
        thread.flags = thread_flags::VALID | thread_flags::INHERITED;
        kept(HAS_THREADS.insert(resolved.request, 1, 0));
    }
    0
}

/// The current thread ends.
#[inline(always)]
pub fn ends_thread(tid: u32) {
    let _had_none = THREADS.remove(tid);
}

/// A process was forked: its child has the same layout.
#[inline(always)]
pub fn forks(parent: u32, child: u32) {
    if let Some(python) = PYTHONS.get_ptr(parent) {
        // SAFETY: a live map value.
        kept(PYTHONS.insert(child, unsafe { *python }, 0));
    }
}

/// The process ends or replaces its program.
#[inline(always)]
pub fn ends(tgid: u32) {
    let _had_none = PYTHONS.remove(tgid);
    // What its first thread knows, a new program does not hold.
    let _had_none = THREADS.remove(tgid);
}

/// A context was copied from the current one, or made anew.
#[inline(always)]
pub fn copied(id: u64, python: &Python, child: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let number = number();
    let (mut request, mut group) = (resolved.request, 0);
    let mut lineage = Lineage { unit: number, ancestors: [0; 3] };
    if !resolved.unit.is_null() {
        // SAFETY: a live map value.
        let parent = unsafe { &*resolved.unit };
        lineage = parent.lineage.child(number);
        group = if parent.accepts != 0 { number } else { parent.group };
    } else if !now.entered {
        lineage = now.lineage(&resolved).child(number);
    }
    // SAFETY: a live map value.
    let thread = unsafe { &mut *now.thread };
    if thread.window_request != 0 && now.entered {
        // The first context entered after the bytes were read is the connection's; others may run within it.
        if thread.window_context == 0 {
            thread.window_context = now.context;
        }
        if thread.window_context == now.context {
            request = thread.window_request;
        }
    }
    if thread.accepting != 0 {
        group = thread.accepting;
        request = 0;
    }
    let is_told = python.flags & python_flags::MAKERS != 0;
    let stack = if is_told { stacks::call_stack(id, now.state, 0) } else { 0 };
    // Last: a new record may take the place of the parent's.
    let key = Key { address: child, tgid: u64::from(now.tgid) };
    let _full = new_unit(key, &lineage, request, group, stack);
}

/// A greenlet was made: it does the work of the one that made it.
#[inline(always)]
pub fn greenlet_made(id: u64, python: &Python, greenlet: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let unit = number();
    let (mut request, mut lineage) = (resolved.request, now.lineage(&resolved).child(unit));
    // SAFETY: a live map value.
    if now.is_bare() && unsafe { (*now.thread).flags } & thread_flags::INHERITED != 0 {
        // The first of a thread that a request has started: gevent's pools work so, for others too.
        (request, lineage) = (0, Lineage { unit, ancestors: [0; 3] });
    }
    let key = Key { address: greenlet, tgid: u64::from(now.tgid) };
    let _full = new_unit(key, &lineage, request, 0, 0);
}

/// The thread goes on with another greenlet.
#[inline(always)]
pub fn greenlet_switched(id: u64, greenlet: u64) {
    if let Some(thread) = thread(id as u32) {
        // SAFETY: a live map value.
        unsafe { (*thread).greenlet = greenlet };
    }
}

/// A work item is put into a `SimpleQueue`.
#[inline(always)]
pub fn put(id: u64, python: &Python, item: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let handover = Handover { request: resolved.request, from: now.lineage(&resolved), stack: 0 };
    kept(HANDOVERS.insert(Key { address: item, tgid: u64::from(now.tgid) }, handover, 0));
}

/// `uv_getaddrinfo_t.addrinfo` of libuv, as every uvloop wheel bundles it.
const UV_RESULT: u64 = 144;

/// uvloop has a thread of libuv look a name up, by the `uv_getaddrinfo_t` at `lookup`. That thread is not Python's.
#[inline(always)]
pub fn uvloop_resolves(id: u64, python: &Python, lookup: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let from = now.lineage(&resolved);
    let handover = Handover {
        request: resolved.request,
        from,
        stack: stacks::call_stack(id, now.state, resolved.made_by()),
    };
    kept(HANDOVERS.insert(Key { address: lookup + UV_RESULT, tgid: id >> 32 }, handover, 0));
}

/// A work item is put into a queue of gevent's, for a pool of greenlets. Its way out is not seen: a function that switches
/// stacks before it returns must not be probed at its return. `work_item` finds it where it is executed.
#[inline(always)]
pub fn green_put(id: u64, python: &Python, item: u64) {
    if is_work_item(item) {
        put(id, python, item);
        let any = Handover { request: 0, from: Lineage::default(), stack: 0 };
        kept(HANDOVERS.insert(green_mark(id >> 32), any, 0));
    }
}

/// There while work items of the process go through gevent's queues.
#[inline(always)]
fn green_mark(tgid: u64) -> Key {
    Key { address: 0, tgid }
}

/// Do work items of the process go through gevent's queues?
#[inline(always)]
pub fn has_green_work(tgid: u64) -> bool {
    HANDOVERS.get_ptr(green_mark(tgid)).is_some()
}

/// A greenlet runs: if it executes a work item, which is that at `item`, it does the work of whoever put that into the
/// queue.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn green_work(item: u64, tgid: u64, greenlet: u64) -> u32 {
    let Some(unit) = unit(greenlet, tgid as u32) else { return 0 };
    // SAFETY: a live map value.
    let unit = unsafe { &mut *unit };
    if item == 0 {
        if unit.pool != 0 {
            // Between two items, or in one that was put there unseen.
            unit.request = 0;
        }
        return 0;
    }
    if let Some(handover) = HANDOVERS.get_ptr(Key { address: item, tgid }) {
        // SAFETY: a live map value.
        let handover = unsafe { &*handover };
        unit.pool = 1;
        unit.request = handover.request;
        unit.lineage.ancestors = handover.from.child(0).ancestors;
    }
    0
}

/// A work item was taken from a `SimpleQueue`: the thread now does the work of whoever put it there.
#[inline(always)]
pub fn got(id: u64, item: u64) {
    use thread_flags::*;
    let key = Key { address: item, tgid: id >> 32 };
    let Some(thread) = thread(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    if thread.flags & (VALID | INHERITED | HANDED | ANSWERED) == VALID {
        // In the middle of a request that it has read itself, a thread takes results, not work.
        let _not_needed = HANDOVERS.remove(key);
        return;
    }
    takes_over(thread, key);
}

/// The thread begins to execute a work item.
#[inline(always)]
pub fn takes_over(thread: &mut Thread, key: Key) {
    use thread_flags::*;
    thread.context = 0;
    thread.flags &= LOOP | LOOKED;
    thread.request = 0;
    thread.lineage = Lineage::default();
    let Some(handover) = HANDOVERS.get_ptr(key) else { return };
    // SAFETY: a live map value.
    let handover = unsafe { *handover };
    thread.request = handover.request;
    thread.lineage = handover.from.child(0);
    if handover.request != 0 {
        thread.flags |= VALID | HANDED;
    }
    let _gone = HANDOVERS.remove(key);
}

/// The connection that a libuv stream handle stands for.
#[inline(always)]
fn stream(id: u64, handle: u64) -> Option<*mut Conn> {
    let by = Key { address: handle, tgid: id >> 32 };
    if let Some(known) = UV_STREAMS.get_ptr(by) {
        // SAFETY: a live map value.
        let UvStream { key, conn: number } = unsafe { *known };
        if let Some(conn) = CONNS.get_ptr_mut(key) {
            // SAFETY: a live map value.
            let (found, flags) = unsafe { ((*conn).id, (*conn).flags) };
            if found == number && flags & conn_flags::LET_GO == 0 {
                return Some(conn);
            }
        }
    }
    // Where it is older than the agent, it may be written to before anything has moved over it.
    let sock = stream_socket(u64::from(half(handle + UV_STREAM_FD)))?;
    let conn = connection::of(&sock, id, opened_by::DATA)?;
    // SAFETY: a live map value.
    let number = unsafe { (*conn).id };
    let _full = set(&UV_STREAMS, by, &UvStream { key: sock.key, conn: number });
    Some(conn)
}

/// uvloop hands bytes that libuv has read, outside any context, to a protocol.
#[inline(always)]
pub fn uvloop_reads(id: u64, handle: u64, len: i64) {
    let Some(thread) = thread(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    thread.flags |= thread_flags::LOOP;
    thread.window_context = 0;
    thread.window_request = 0;
    // The end of the stream is nobody's request.
    if len > 0
        && let Some(conn) = stream(id, handle)
    {
        // SAFETY: a live map value.
        unsafe {
            (*conn).flags |= conn_flags::UVLOOP;
            thread.window_request = (*conn).request;
        }
    }
}

/// It has done so.
#[inline(always)]
pub fn uvloop_has_read(id: u64) {
    if let Some(thread) = THREADS.get_ptr_mut(id as u32) {
        // SAFETY: a live map value.
        unsafe { (*thread).window_request = 0 };
    }
}

/// uvloop tells a protocol of its new connection: tasks made meanwhile serve it.
#[inline(always)]
pub fn uvloop_connects(id: u64, transport: u64) {
    let Some(conn) = stream(id, word(transport + UV_HANDLE)) else { return };
    let Some(thread) = thread(id as u32) else { return };
    // SAFETY: live map values.
    let (conn, thread) = unsafe { (&mut *conn, &mut *thread) };
    thread.flags |= thread_flags::LOOP;
    if conn.by == opened_by::CONNECT {
        return;
    }
    conn.group = number();
    thread.accepting = conn.group;
}

/// It has done so.
#[inline(always)]
pub fn uvloop_has_connected(id: u64) {
    if let Some(thread) = THREADS.get_ptr_mut(id as u32) {
        // SAFETY: a live map value.
        unsafe { (*thread).accepting = 0 };
    }
}

/// The head of a `bytes` object with its first bytes (`PyBytesObject`: `ob_type` second, `ob_sval` fifth).
type BytesHead = [u64; 5];

/// Is `data` a `bytes` object that does not begin a response of HTTP/1?
#[inline(always)]
fn goes_on(python: &Python, data: u64) -> bool {
    // SAFETY: the helper checks the address.
    let head: BytesHead = unsafe { bpf_probe_read_user(data as *const BytesHead) }.unwrap_or([0; 5]);
    let starts = const { u64::from_le_bytes(*b"\0\0\0HTTP/") };
    python.bytes_type != 0 && head[1] == python.bytes_type && head[4] << 24 != starts
}

/// `uv_stream_t.write_queue_size` of libuv: bytes that it was given and that the socket did not take yet.
const UV_WAITING: u64 = 96;
/// `PyVarObject.ob_size`, `PyObject.ob_type` and `PyTypeObject.tp_name`
const SIZE: u64 = 16;
const TYPE: u64 = 8;
const NAME: u64 = 24;
/// `PyBytesObject.ob_sval`
const BYTES: u64 = 32;

/// Bytes are queued for a connection that may carry streams. Those of several tasks are written in one go, so user space is
/// told where each begins: behind what was queued before, or where nothing waits, behind what was written.
#[inline(always)]
fn piece(conn: &mut Conn, id: u64, handle: u64, data: u64, origin: &Origin) {
    // The name `bytes`, with its zero. What else may be written is none that HTTP/2 libraries write.
    const CLASS: u64 = u64::from_le_bytes(*b"bytes\0\0\0");
    const LETTERS: u64 = (1 << 48) - 1;
    if word(word(word(data + TYPE) + NAME)) & LETTERS != CLASS {
        // Where later ones begin is not known.
        conn.queued = u64::MAX;
    }
    if conn.queued <= conn.written {
        if word(handle + UV_WAITING) != 0 {
            return;
        }
        conn.queued = conn.written;
    }
    let (pos, len) = (conn.queued, word(data + SIZE));
    if pos > 1 << 62 || len > 1 << 32 {
        return;
    }
    conn.queued = pos + len;
    emit::queued(conn.id, id, pos, len, origin);
}

/// uvloop queues bytes that its loop may write later, outside the context that queues them.
#[inline(always)]
pub fn uvloop_queues(id: u64, python: &Python, transport: u64, data: u64) {
    let handle = word(transport + UV_HANDLE);
    let Some(found) = stream(id, handle) else { return };
    // SAFETY: a live map value.
    let conn = unsafe { &*found };
    // Its plaintext was attributed as it was handed to the TLS library; who writes the ciphertext does not matter. Nor does
    // it where user space knows no use of the bytes.
    if conn.flags & (conn_flags::TLS | conn_flags::IGNORED) != 0 {
        return;
    }
    // Who writes a response is told by how it begins.
    let serves = conn_flags::SERVES | conn_flags::QUEUED;
    let of_http1 = conn.request != 0 && conn.flags & (serves | conn_flags::WHOLE) == serves;
    if of_http1 && goes_on(python, data) {
        return;
    }
    // If it begins the response of a request that fails, its exception is at hand now, and not when it is written.
    if payload::fails(conn, Shape::Buffer(data + BYTES), word(data + SIZE)) {
        exceptions::look_at_exception(id, conn.request, u64::from(seen_at::RESPONSE));
    }
    // SAFETY: live map values.
    unsafe { queued(found, python, id, handle, data) };
}

/// # Safety
/// `conn` and `python` must be null or live map values.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn queued(conn: *mut Conn, python: *const Python, id: u64, handle: u64, data: u64) -> u32 {
    if !conn.is_null() && !python.is_null() {
        // SAFETY: by the caller, not null.
        unsafe { queues(&mut *conn, &*python, id, handle, data) };
    }
    0
}

#[inline(always)]
fn queues(conn: &mut Conn, python: &Python, id: u64, handle: u64, data: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let lineage = now.lineage(&resolved);
    if conn.request == 0 && conn.by != opened_by::CONNECT && conn.flags & conn_flags::STATEMENTS == 0 {
        let in_unit = u32::from(!resolved.unit.is_null());
        let origin = Origin {
            request: resolved.request,
            unit: lineage.unit,
            ancestors: lineage.ancestors,
            stack: 0,
            how: resolved.how,
            in_unit,
        };
        piece(conn, id, handle, data, &origin);
    }
    let stack = if conn.flags & conn_flags::SERVES == 0 {
        stacks::call_stack(id, now.state, resolved.made_by())
    } else {
        0
    };
    let handover = Handover { request: resolved.request, from: lineage, stack };
    let _full = set(&QUEUED, conn.id, &handover);
    conn.flags |= conn_flags::QUEUED;
}
