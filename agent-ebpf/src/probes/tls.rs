//! Plaintext at the boundary of OpenSSL, SSL_read(3) and SSL_write(3): a TLS stream is a connection of its own.
//!
//! A call is remembered at its entry and its bytes are copied at its return, when it is known how many it moved: a write
//! that has to be repeated moved none. uprobe programs may be preempted by others on the same CPU (since Linux 6.13), so
//! nothing per CPU is used here: events are put together in the ring itself, in one of four sizes.

use core::ffi::c_void;

use apm_agent_ebpf::{
    Conn, Data, SKIM_TAIL, change, conn_flags, counter, data_flags, kind, opened_by, seen_at,
};
use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_probe_read_user, generated as raw},
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use super::{tls_binding, watched};
use crate::{
    attribution, connection, emit, exceptions,
    maps::{StreamKey, TLS_CALLS, TLS_STREAMS, TlsCall, count},
    payload::{self, Shape, opaque},
    pieces,
};

/// Most pieces of one write.
const TLS_PIECES_MAX: u64 = 16;

#[inline(always)]
fn key(id: u64, ssl: u64) -> StreamKey {
    StreamKey { tgid: id >> 32, ssl }
}

#[inline(always)]
fn enter(id: u64, ssl: u64, buffer: u64, moved: u64) {
    let call = TlsCall { ssl, buffer, moved, socket: 0 };
    if let Some(last) = TLS_CALLS.get_ptr_mut(id) {
        // SAFETY: a live map value, used by this thread alone.
        unsafe { *last = call };
    } else if TLS_CALLS.insert(id, call, 0).is_err() {
        count(counter::TLS_TABLE_FULL);
    }
}

/// The call on a stream that the thread is in.
#[inline(always)]
pub(super) fn call(id: u64) -> Option<*mut TlsCall> {
    let call = TLS_CALLS.get_ptr_mut(id)?;
    // SAFETY: a live map value, used by this thread alone.
    (unsafe { (*call).ssl } != 0).then_some(call)
}

/// The stream's entry, made where there is none.
#[inline(always)]
pub(super) fn stream(key: &StreamKey, id: u64) -> Option<*mut Conn> {
    if let Some(conn) = TLS_STREAMS.get_ptr_mut(key) {
        return Some(conn);
    }
    start(key, id, opened_by::TLS_DATA);
    TLS_STREAMS.get_ptr_mut(key)
}

/// A stream begins at this address; one that was there before is over.
///
/// A function of its own, as what it makes would take a third of the caller's stack.
#[inline(never)]
fn start(key: &StreamKey, id: u64, by: u16) {
    let mut conn = connection::new(0, id, by, 0);
    if emit::stream_opened(&conn, id) {
        conn.flags |= conn_flags::ANNOUNCED;
    }
    if TLS_STREAMS.insert(key, conn, 0).is_err() {
        count(counter::TLS_TABLE_FULL);
    }
}

/// An event of one size, with its plaintext.
#[repr(C)]
struct Sized<const N: usize> {
    data: Data,
    payload: [u8; N],
}

/// Puts an event together in the ring: `head` bytes of the start (at most `N - SKIM_TAIL`), `tail` of the end.
#[inline(always)]
fn send<const N: usize>(data: &Data, buffer: u64, head: u64, tail: u64) -> Option<()> {
    // SAFETY: the map, and a size that is a constant.
    let event =
        unsafe { raw::bpf_ringbuf_reserve(emit::ring(), size_of::<Sized<N>>() as u64, 0) }.cast::<Sized<N>>();
    if event.is_null() {
        count(counter::RING_FULL);
        return None;
    }
    let most = N as u64 - SKIM_TAIL as u64;
    // A mask changes neither; Linux 6.1 takes what is only compared for negative.
    let mut head = opaque(head) & (N as u64 - 1);
    if head > most {
        head = most;
    }
    const TAIL: u64 = SKIM_TAIL as u64;
    let mut tail = opaque(if tail > TAIL { TAIL } else { tail }) & (2 * TAIL - 1);
    if tail > TAIL {
        tail = TAIL;
    }
    let mut fault = false;
    // SAFETY: `event` is N payload bytes long, head + tail fit; the helpers check the source.
    unsafe {
        let to: *mut u8 = (&raw mut (*event).payload).cast();
        if raw::bpf_probe_read_user(to.cast(), head as u32, buffer as *const c_void) < 0 {
            (head, tail, fault) = (0, 0, true);
        }
        let end = buffer + u64::from(data.len) - tail;
        if tail > 0
            && raw::bpf_probe_read_user(to.add(head as usize).cast(), tail as u32, end as *const c_void) < 0
        {
            (tail, fault) = (0, true);
        }
        (*event).data = *data;
        (*event).data.head = head as u32;
        (*event).data.tail = tail as u16;
        if fault {
            (*event).data.flags |= data_flags::FAULT;
        }
        let wake = if emit::is_filling() { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
        raw::bpf_ringbuf_submit(event.cast(), u64::from(wake));
    }
    count(if fault { counter::PAYLOAD_FAULT } else { counter::EVENTS });
    Some(())
}

/// The call returned, having moved `total` bytes of plaintext.
#[inline(always)]
fn moved(id: u64, call: &TlsCall, write: bool, total: u64, bios: u64) -> Option<()> {
    let conn = stream(&key(id, call.ssl), id)?;
    // SAFETY: a live map value; OpenSSL forbids two calls on one stream at a time.
    let conn = unsafe { &mut *conn };
    conn.tgid = (id >> 32) as u32;
    // SAFETY: a live map value.
    unsafe { tls_binding::binds(conn, call.ssl, id, call.socket, tls_binding::bio_at(bios, write)) };
    let shape = Shape::Buffer(call.buffer);
    // Read anew each time: Linux 6.1 would walk the rest for each thing that may be known of one value.
    let first = || payload::first_bytes(shape, total);
    let plan = payload::plan(conn, write, total, || write && payload::response_begins(call.buffer));
    if plan.pos == 0 && payload::opens_http2(call.buffer) {
        conn.flags |= if write { conn_flags::WHOLE } else { conn_flags::WHOLE | conn_flags::SERVES };
    }
    let mut data = Data {
        kind: kind::DATA,
        tid: id as u32,
        tgid: (id >> 32) as u32,
        len: total as u32,
        time: emit::now(),
        conn: conn.id,
        pos: plan.pos,
        head: 0,
        tail: 0,
        flags: u16::from(write) * data_flags::WRITE + data_flags::PLAINTEXT,
        origin: attribution::NOWHERE,
    };
    let buffer = call.buffer;
    if write && payload::fails(conn, shape, total) {
        exceptions::look_at_exception(id, conn.request, u64::from(seen_at::RESPONSE));
    }
    payload::origin(conn, id, write, first, total, &plan, &mut data.origin);
    if plan.run_starts {
        pieces::look(conn, write, plan.pos, total, first);
    }
    // Start and end together hold a whole TLS record (RFC 8446, 5.1: 16 KiB), which is all that a read gives: HTTP/2 must
    // not miss a byte of it.
    const MOST: u64 = 16384 - SKIM_TAIL as u64;
    let wanted = pieces::wanted(conn, write);
    let inside = pieces::account(conn, write, plan.run_starts, total);
    let large = write && total > 16384 && wanted;
    if large && !pieces::is_one_message(conn, plan.run_starts, inside, first, total) {
        return in_pieces(conn, &mut data, buffer, total as u32, MOST as u32);
    }
    let start = payload::sparse(plan.head);
    let head = if start > MOST { MOST } else { start };
    let tail = total - head;
    if head <= 512 - SKIM_TAIL as u64 {
        send::<512>(&data, buffer, head, tail)
    } else if head <= 2048 - SKIM_TAIL as u64 {
        send::<2048>(&data, buffer, head, tail)
    } else if head <= 8192 - SKIM_TAIL as u64 {
        send::<8192>(&data, buffer, head, tail)
    } else {
        send::<16384>(&data, buffer, head, tail)
    }
}

/// `x`, of which the verifier forgets all it knows, by way of a field that is set anew with each chunk: the branches that
/// led to it become one.
#[inline(always)]
fn forget(conn: &mut Conn, x: u32) -> u32 {
    // SAFETY: a field of a live map value.
    unsafe {
        core::ptr::write_volatile(&raw mut conn.budget, x);
        core::ptr::read_volatile(&raw const conn.budget)
    }
}

/// Sends a large write in pieces of at most `most` bytes, and of what is too much for [`TLS_PIECES_MAX`] of them the end.
#[inline(always)]
fn in_pieces(conn: &mut Conn, data: &mut Data, buffer: u64, total: u32, most: u32) -> Option<()> {
    let pos = data.pos;
    let mut sent = 0;
    for _ in 0..TLS_PIECES_MAX {
        sent = forget(conn, sent);
        if sent >= total {
            return Some(());
        }
        if sent > 0 && emit::is_half_full() {
            break;
        }
        let left = total - sent;
        data.len = forget(conn, if left < most { left } else { most });
        data.pos = pos + u64::from(sent);
        send::<16384>(data, buffer + u64::from(sent), u64::from(data.len), 0)?;
        sent += data.len;
    }
    if sent < total {
        data.len = total - sent;
        data.pos = pos + u64::from(sent);
        let tail = if data.len < SKIM_TAIL as u32 { data.len } else { SKIM_TAIL as u32 };
        send::<512>(data, buffer + u64::from(sent), 0, u64::from(tail))?;
    }
    Some(())
}

#[inline(always)]
fn leave(ctx: &RetProbeContext, write: bool) -> Option<()> {
    let id = watched()?;
    let known = call(id)?;
    // SAFETY: a live map value, used by this thread alone.
    let call = unsafe {
        let call = *known;
        (*known).ssl = 0;
        call
    };
    let ret = ctx.ret::<i64>() as i32;
    if ret <= 0 {
        return None;
    }
    let total = if call.moved == 0 {
        ret as u64
    } else {
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_user(call.moved as *const u64) }.ok()?
    };
    if total == 0 || total > u64::from(u32::MAX) {
        return None;
    }
    moved(id, &call, write, total, tls_binding::bios(ctx))
}

/// Entry of `SSL_read(ssl, buf, num)` and `SSL_write(ssl, buf, num)`.
#[uprobe]
pub fn ssl_call(ctx: ProbeContext) -> u32 {
    if let (Some(id), Some(ssl), Some(buffer)) = (watched(), ctx.arg::<u64>(0), ctx.arg::<u64>(1)) {
        enter(id, ssl, buffer, 0);
    }
    0
}

/// Entry of `SSL_read_ex(ssl, buf, num, moved)` and `SSL_write_ex(ssl, buf, num, moved)`.
#[uprobe]
pub fn ssl_call_ex(ctx: ProbeContext) -> u32 {
    if let (Some(id), Some(ssl), Some(buffer), Some(moved)) =
        (watched(), ctx.arg::<u64>(0), ctx.arg::<u64>(1), ctx.arg::<u64>(3))
    {
        enter(id, ssl, buffer, moved);
    }
    0
}

/// Entry of `SSL_write_ex2(ssl, buf, num, flags, moved)`.
#[uprobe]
pub fn ssl_call_ex2(ctx: ProbeContext) -> u32 {
    if let (Some(id), Some(ssl), Some(buffer), Some(moved)) =
        (watched(), ctx.arg::<u64>(0), ctx.arg::<u64>(1), ctx.arg::<u64>(4))
    {
        enter(id, ssl, buffer, moved);
    }
    0
}

/// Return of a read.
#[uretprobe]
pub fn ssl_read_return(ctx: RetProbeContext) -> u32 {
    let _ended_early = leave(&ctx, false);
    0
}

/// Return of a write.
#[uretprobe]
pub fn ssl_write_return(ctx: RetProbeContext) -> u32 {
    let _ended_early = leave(&ctx, true);
    0
}

/// Entry of `SSL_set_accept_state(ssl)`: a stream begins of which the process is the server.
#[uprobe]
pub fn ssl_accepts(ctx: ProbeContext) -> u32 {
    if let (Some(id), Some(ssl)) = (watched(), ctx.arg::<u64>(0)) {
        start(&key(id, ssl), id, opened_by::TLS_ACCEPT);
    }
    0
}

/// Entry of `SSL_set_connect_state(ssl)`: a stream begins of which the process is the client.
#[uprobe]
pub fn ssl_connects(ctx: ProbeContext) -> u32 {
    if let (Some(id), Some(ssl)) = (watched(), ctx.arg::<u64>(0)) {
        start(&key(id, ssl), id, opened_by::TLS_CONNECT);
    }
    0
}

/// Entry of `SSL_free(ssl)`; there may be other references, but no more traffic.
#[uprobe]
pub fn ssl_ends(ctx: ProbeContext) -> u32 {
    let (Some(id), Some(ssl)) = (watched(), ctx.arg::<u64>(0)) else { return 0 };
    let key = key(id, ssl);
    let Some(conn) = TLS_STREAMS.get_ptr(key) else { return 0 };
    // SAFETY: a live map value.
    let conn = unsafe { &*conn };
    if conn.flags & conn_flags::ANNOUNCED != 0 {
        emit::changed(conn, change::DESCRIPTOR_CLOSED, 0, (id >> 32) as u32);
    }
    let _gone = TLS_STREAMS.remove(key);
    0
}
