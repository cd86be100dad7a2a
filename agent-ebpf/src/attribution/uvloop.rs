//! uvloop: Cython around libuv, of which no context tells whose bytes its loop moves. `transports` finds for whom it reads.

use apm_agent_ebpf::{Conn, Origin, Python, conn_flags, opened_by, seen_at};
use aya_ebpf::helpers::bpf_probe_read_user;

use super::{
    frames::type_name,
    maps::*,
    now::{Now, half, word},
};
use crate::{
    connection, emit, exceptions,
    kernel::stream_socket,
    maps::CONNS,
    payload::{self, Shape},
    stacks,
};

/// `uv_stream_t.io_watcher.fd` of libuv, as every uvloop wheel bundles it.
pub const UV_STREAM_FD: u64 = 184;
/// `UVHandle._handle` of uvloop.
pub const UV_HANDLE: u64 = 24;

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
/// `PyVarObject.ob_size`
const SIZE: u64 = 16;
/// `PyBytesObject.ob_sval`
const BYTES: u64 = 32;

/// Bytes are queued for a connection that may carry streams. Those of several tasks are written in one go, so user space is
/// told where each begins: behind what was queued before, or where nothing waits, behind what was written.
#[inline(always)]
fn piece(conn: &mut Conn, id: u64, handle: u64, data: u64, origin: &Origin) {
    // The name `bytes`, with its zero. What else may be written is none that HTTP/2 libraries write.
    const CLASS: u64 = u64::from_le_bytes(*b"bytes\0\0\0");
    const LETTERS: u64 = (1 << 48) - 1;
    if type_name(data) & LETTERS != CLASS {
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
    let lineage = if resolved.unit.is_null() && conn.flags & conn_flags::SERVES != 0 {
        // The loop's thread, or a context older than the agent: neither is one piece of work that is answered so.
        Lineage::default()
    } else {
        now.lineage(&resolved)
    };
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
