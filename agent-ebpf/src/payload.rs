//! Copying the part of a chunk that parsers need, and sending it off.

use core::ffi::c_void;

use apm_agent_ebpf::{
    CAPTURE_MAX, Conn, Data, IOV_MAX, IOV_STEP, Origin, SKIM_HEAD, SKIM_TAIL, conn_flags, counter,
    data_flags, kind, opened_by,
};
use aya_ebpf::helpers::{bpf_probe_read_user, generated as raw};

use crate::{
    attribution::{self, chunk},
    emit, exceptions,
    maps::{BUDGET_REPLY, BUDGET_REQUEST, BUDGET_RESPONSE, PAYLOAD_MAX, SCRATCH, Scratch, count},
    pieces,
    streams::stream_fails,
    volatile::{get, set},
};

/// Where the bytes of a system call lie in the process's memory.
#[derive(Clone, Copy)]
pub enum Shape {
    /// One buffer.
    Buffer(u64),
    /// An array of `struct iovec` and its length.
    Vector(u64, u64),
    /// Nowhere (`sendfile`): only the length is known.
    Nowhere,
}

/// A larger chunk that follows another one is taken for the rest of a message, not for the next: where requests are
/// pipelined, they are small.
const MESSAGE_MAX: u64 = 16 * 1024 - 1;

/// Bytes that are copied of a chunk's start while the ring is nearly full: heads of requests and most statements fit.
const SPARSE: u64 = 2048 - SKIM_TAIL as u64;

/// `struct iovec` of `include/uapi/linux/uio.h`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Iovec {
    pub base: u64,
    pub len: u64,
}

/// Keeps the compiler from folding a clamp into something the verifier cannot follow. It must emit an instruction:
/// an empty one leaves two line infos at one offset, which the kernel refuses.
#[inline(always)]
pub fn opaque(mut x: u64) -> u64 {
    // SAFETY: assigns a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

/// `x`, at most `max`, in a form the verifier can follow.
#[inline(always)]
pub fn clamp(x: u64, max: u64) -> u64 {
    let x = opaque(x);
    if x > max { max } else { x }
}

/// Bytes that may be copied in a run of one direction.
///
/// Requests are wanted whole as far as possible (several may come in one chunk; SQL is text). Of a response that the
/// process writes, only the head is; of a reply that it reads, what tells one reply from the next.
#[inline(always)]
fn budget(by: u16, write: bool) -> u32 {
    match (by, write) {
        (opened_by::ACCEPT | opened_by::TLS_ACCEPT, true) => BUDGET_RESPONSE.load(),
        (opened_by::CONNECT | opened_by::TLS_CONNECT, false) => BUDGET_REPLY.load(),
        _ => BUDGET_REQUEST.load(),
    }
}

/// Do these bytes, the first of a run, show a TLS session (RFC 8446, 5.1)? A handshake record with a ClientHello or
/// ServerHello, whose header may be read by itself; on a connection joined in mid-life also application data.
#[inline(always)]
fn is_tls(first: &[u8; 6], len: u64, by: u16) -> bool {
    if first[1] != 3 || first[2] > 4 {
        return false;
    }
    match first[0] {
        22 => len == 5 || first[5] == 1 || first[5] == 2,
        23 => by == opened_by::DATA,
        _ => false,
    }
}

/// Reads `len` bytes (already clamped) from the process to `offset` (already clamped) of the scratch payload.
#[inline(always)]
pub fn copy(s: &mut Scratch, offset: u64, from: u64, len: u64) -> bool {
    // SAFETY: offset and length are bounded below the payload's size; the helper checks the source.
    let failed = unsafe {
        let to: *mut u8 = (&raw mut s.payload).cast::<u8>().add(offset as usize);
        raw::bpf_probe_read_user(to.cast(), len as u32, from as *const c_void) < 0
    };
    if failed {
        count(counter::PAYLOAD_FAULT);
    }
    !failed
}

/// What was copied: bytes of the chunk's start and of its end.
struct Copied {
    head: u64,
    tail: u64,
    fault: bool,
}

/// Copies up to `head` bytes of the start and, if that is not all of `total`, [`SKIM_TAIL`] bytes of the end.
#[inline(always)]
fn copy_buffer(s: &mut Scratch, base: u64, total: u64, head: u64) -> Copied {
    // What earlier comparisons told of it would lead Linux 6.1 into ways that are none; a mask bounds what a clamp would split
    // into two cases.
    let head = opaque(smaller(s, head, CAPTURE_MAX as u64)) & CAPTURE_MAX as u64;
    if !copy(s, 0, base, head) {
        return Copied { head: 0, tail: 0, fault: true };
    }
    let tail = clamp(total - head, SKIM_TAIL as u64);
    if tail > 0 && !copy(s, head, base + total - tail, tail) {
        return Copied { head, tail: 0, fault: true };
    }
    Copied { head, tail, fault: false }
}

/// Where a walk over an array of `iovec` stands. It lives in the scratch event, see [`crate::volatile`].
#[repr(C)]
pub struct Walk {
    /// Bytes that the call moved.
    total: u64,
    /// Bytes wanted of the chunk's start.
    wanted: u64,
    /// Bytes of the entries passed.
    passed: u64,
    /// Bytes copied of the chunk's start.
    head: u64,
    /// Bytes copied of its end.
    tail: u64,
    /// 0 once an entry was not copied whole.
    whole: u64,
    /// For [`forget`].
    value: u64,
}

/// `x`, of which the verifier forgets all it knows: the branches that led to it become one.
#[inline(always)]
fn forget(s: &mut Scratch, x: u64) -> u64 {
    set!(s.walk.value, x);
    get!(s.walk.value)
}

/// The smaller of two, likewise.
#[inline(always)]
fn smaller(s: &mut Scratch, a: u64, b: u64) -> u64 {
    forget(s, if a < b { a } else { b })
}

/// One step of the walk; false where it ends. Masks bound what clamps would split into two cases.
#[inline(always)]
fn step(s: &mut Scratch, entry: Iovec) -> bool {
    let (total, passed) = (get!(s.walk.total), get!(s.walk.passed));
    if passed >= total {
        return false;
    }
    // A short write moved only part of its last entry.
    let len = smaller(s, entry.len, total - passed);
    set!(s.walk.passed, passed + len);
    let mut took = 0;
    if get!(s.walk.whole) != 0 {
        let at = opaque(get!(s.walk.head)) & CAPTURE_MAX as u64;
        let room = get!(s.walk.wanted) - at;
        let most = smaller(s, room, IOV_STEP as u64);
        took = opaque(smaller(s, len, most)) & IOV_STEP as u64;
        if took > 0 && !copy(s, at, entry.base, took) {
            return false;
        }
        set!(s.walk.head, at + took);
        set!(s.walk.whole, u64::from(took == len));
    }
    if passed + len >= total && took < len {
        let tail = opaque(smaller(s, len - took, SKIM_TAIL as u64 - 1)) & (SKIM_TAIL as u64 - 1);
        let at = opaque(get!(s.walk.head)) & CAPTURE_MAX as u64;
        if copy(s, at, entry.base + len - tail, tail) {
            set!(s.walk.tail, tail);
        }
    }
    true
}

/// The same over an array of `iovec`, of which the first [`IOV_MAX`] are looked at.
#[inline(always)]
fn copy_vector(s: &mut Scratch, iov: u64, count: u64, total: u64, head: u64) -> Copied {
    set!(s.walk.total, total);
    set!(s.walk.passed, 0);
    set!(s.walk.head, 0);
    set!(s.walk.tail, 0);
    set!(s.walk.whole, 1);
    let wanted = smaller(s, head, CAPTURE_MAX as u64);
    set!(s.walk.wanted, wanted);
    let (iov, count) = (forget(s, iov), forget(s, count));
    let mut fault = 0;
    for i in 0..IOV_MAX as u64 {
        if i >= count {
            break;
        }
        // SAFETY: the helper checks the address.
        let Ok(entry) = (unsafe { bpf_probe_read_user((iov + i * 16) as *const Iovec) }) else {
            fault = 1;
            break;
        };
        if !step(s, entry) {
            break;
        }
    }
    let fault = forget(s, fault) != 0;
    Copied { head: get!(s.walk.head), tail: get!(s.walk.tail), fault }
}

/// The first eight bytes of a chunk, lower ones first; zeros in place of those that it does not have, or that lie in
/// another entry of the vector.
#[inline(always)]
pub fn first_bytes(shape: Shape, total: u64) -> u64 {
    let (base, len) = start(shape, total);
    let mut first = 0u64;
    let len = clamp(len, 8);
    // SAFETY: eight bytes at most, into a word; the helper checks the source.
    let failed =
        unsafe { raw::bpf_probe_read_user((&raw mut first).cast(), len as u32, base as *const c_void) < 0 };
    if failed { 0 } else { first }
}

/// Where the bytes begin and how many of `total` lie there; zeros where they lie nowhere.
#[inline(always)]
fn start(shape: Shape, total: u64) -> (u64, u64) {
    match shape {
        Shape::Buffer(base) => (base, total),
        // SAFETY: the helper checks the address.
        Shape::Vector(iov, _) => match unsafe { bpf_probe_read_user(iov as *const Iovec) } {
            Ok(entry) => (entry.base, if entry.len < total { entry.len } else { total }),
            Err(_) => (0, 0),
        },
        Shape::Nowhere => (0, 0),
    }
}

/// Does a response begin here that tells of a failure of the server?
#[inline(always)]
pub fn fails(conn: &Conn, shape: Shape, total: u64) -> bool {
    if matches!(conn.by, opened_by::CONNECT | opened_by::TLS_CONNECT) {
        return false;
    }
    let (base, len) = start(shape, total);
    // Where no request of HTTP/1 was read, it may carry streams.
    if conn.request == 0 { stream_fails(base, len) != 0 } else { exceptions::is_failure(base) }
}

/// Does a response of HTTP/1 begin with these bytes, lower ones first?
#[inline(always)]
pub fn begins_response(first: u64) -> bool {
    first << 24 == const { u64::from_le_bytes(*b"\0\0\0HTTP/") }
}

/// For which request the bytes are moved; to be asked once per chunk, with what [`plan`] said of it. `first` gives its
/// [`first_bytes`].
#[inline(always)]
pub fn origin(
    conn: &mut Conn,
    id: u64,
    write: bool,
    first: impl FnOnce() -> u64,
    total: u64,
    plan: &Plan,
    to: &mut Origin,
) {
    if write {
        // uvloop's own writes change nothing, and who wrote a response is told by how it begins.
        if !plan.run_starts
            && conn.flags & (conn_flags::SERVES | conn_flags::WHOLE) == conn_flags::SERVES
            && conn.flags & (conn_flags::QUEUED | conn_flags::UVLOOP) != 0
            && !begins_response(first())
        {
            attribution::nowhere(to);
            return;
        }
        let mut what = 0;
        if plan.run_starts {
            what = chunk::RUN_STARTS | chunk::MAY_BEGIN;
        } else if total <= MESSAGE_MAX || pieces::wanted(conn, true) {
            what = chunk::MAY_BEGIN;
        }
        attribution::outgoing(conn, id, what, to);
    } else {
        let first = if plan.run_starts { first() } else { 0 };
        attribution::inbound(conn, id, first, total, to);
    }
}

/// What is to be copied of a chunk, and where it lies in its connection.
pub struct Plan {
    /// Position of its first byte.
    pub pos: u64,
    /// Bytes of its start that are wanted.
    pub head: u64,
    /// It is the first of a run of one direction.
    pub run_starts: bool,
}

/// Enters a chunk of `total` bytes into the connection's books. `resumes` is asked, when the run's budget is spent,
/// whether the chunk begins another message whose head is wanted as well.
#[inline(always)]
pub fn plan(conn: &mut Conn, write: bool, total: u64, resumes: impl FnOnce() -> bool) -> Plan {
    let run_starts = conn.run != u16::from(write);
    if run_starts {
        conn.run = u16::from(write);
        conn.budget = budget(conn.by, write);
    }
    let pos = if write { conn.written } else { conn.read };
    if write {
        conn.written = pos + total;
    } else {
        conn.read = pos + total;
    }
    if u64::from(conn.budget) < total && resumes() {
        conn.budget = budget(conn.by, write);
    }
    if pieces::wanted(conn, write) {
        conn.budget = CAPTURE_MAX as u32;
    }
    let mut head = total;
    if head > u64::from(conn.budget) {
        head = u64::from(conn.budget);
        if head < SKIM_HEAD as u64 {
            head = if total < SKIM_HEAD as u64 { total } else { SKIM_HEAD as u64 };
        }
    }
    conn.budget = conn.budget.saturating_sub(head as u32);
    Plan { pos, head, run_starts }
}

/// Of the `head` bytes of a chunk's start that are wanted, those for which there is room. Global to the verifier: what it knows of
/// the result is nothing, and no branch.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sparse(head: u64) -> u64 {
    if head > SPARSE && emit::is_nearly_full() {
        count(counter::CHUNKS_CUT);
        SPARSE
    } else {
        head
    }
}

/// Do these first bytes of a connection open HTTP/2 (RFC 9113, 3.4)?
#[inline(always)]
pub fn opens_http2(address: u64) -> bool {
    // SAFETY: the helper checks the address.
    let start = unsafe { bpf_probe_read_user(address as *const [u8; 4]) };
    start == Ok(*b"PRI ")
}

/// Does a response begin here? Several may be written in one run.
#[inline(always)]
pub fn response_begins(address: u64) -> bool {
    // SAFETY: the helper checks the address.
    let start = unsafe { bpf_probe_read_user(address as *const [u8; 5]) };
    start == Ok(*b"HTTP/")
}

/// Copies what parsers need of the `total` bytes that the call moved, and writes the event. `written` are the [`first_bytes`]
/// of a write; those of a read are looked at where a run begins only.
#[inline(always)]
pub fn send(conn: &mut Conn, id: u64, write: bool, written: u64, shape: Shape, total: u64) -> Option<()> {
    // SAFETY: this CPU's own value.
    let s = unsafe { &mut *SCRATCH.get_ptr_mut(0)? };
    let first = || if write { written } else { first_bytes(shape, total) };
    let plan = plan(conn, write, total, || match shape {
        Shape::Buffer(_) => write && begins_response(written),
        _ => false,
    });
    if plan.run_starts {
        pieces::look(conn, write, plan.pos, total, first);
    }
    // Before anything is copied, and into the event at once: the verifier then walks the rest once.
    origin(conn, id, write, first, total, &plan, &mut s.data.origin);
    let wanted = pieces::wanted(conn, write);
    let inside = pieces::account(conn, write, plan.run_starts, total);
    // Field by field: built as a whole, it would lie on the stack first.
    s.data.kind = kind::DATA;
    s.data.tid = id as u32;
    s.data.tgid = (id >> 32) as u32;
    s.data.time = emit::now();
    s.data.conn = conn.id;
    s.data.pos = plan.pos;
    let head = sparse(plan.head);
    let large = wanted && !pieces::fits(shape, total) && head == plan.head;
    if large && !(write && pieces::is_one_message(conn, plan.run_starts, inside, first, total)) {
        pieces::send(s, write, shape, total);
        return Some(());
    }
    let copied = match shape {
        Shape::Buffer(base) => copy_buffer(s, base, total, head),
        Shape::Vector(iov, count) => copy_vector(s, iov, count, total, head),
        Shape::Nowhere => Copied { head: 0, tail: 0, fault: false },
    };
    let mut flags = u16::from(write) * data_flags::WRITE + u16::from(copied.fault) * data_flags::FAULT;
    if plan.run_starts && copied.head >= 5 {
        let first = [s.payload[0], s.payload[1], s.payload[2], s.payload[3], s.payload[4], s.payload[5]];
        if first[..4] == *b"PRI " && (plan.pos == 0 || (!write && conn.flags & conn_flags::SERVES != 0)) {
            conn.flags |= if write { conn_flags::WHOLE } else { conn_flags::WHOLE | conn_flags::SERVES };
        }
        if is_tls(&first, copied.head, conn.by) {
            conn.flags |= conn_flags::TLS;
            flags |= data_flags::TLS;
        }
    }
    s.data.len = total as u32;
    s.data.head = copied.head as u32;
    s.data.tail = copied.tail as u16;
    s.data.flags = flags;
    let payload = clamp(copied.head + copied.tail, PAYLOAD_MAX as u64);
    // SAFETY: the length is bounded by the scratch event's size.
    unsafe { emit::output(core::ptr::from_mut(s).cast(), size_of::<Data>() as u64 + payload, false) };
    Some(())
}
