//! Copying the part of a chunk that parsers need, and sending it off.

use core::ffi::c_void;

use apm_agent_ebpf::{
    CAPTURE_MAX, Conn, Data, IOV_MAX, IOV_STEP, Origin, SKIM_HEAD, SKIM_TAIL, conn_flags, counter,
    data_flags, kind, opened_by,
};
use aya_ebpf::helpers::{bpf_probe_read_user, generated as raw};

use crate::{
    emit,
    maps::{BUDGET_REPLY, BUDGET_REQUEST, BUDGET_RESPONSE, SCRATCH, Scratch, count},
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

/// `struct iovec` of `include/uapi/linux/uio.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Iovec {
    base: u64,
    len: u64,
}

/// Keeps the compiler from folding a clamp into something the verifier cannot follow. It must emit an instruction:
/// an empty one leaves two line infos at one offset, which the kernel refuses.
#[inline(always)]
fn opaque(mut x: u64) -> u64 {
    // SAFETY: assigns a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

/// `x`, at most `max`, in a form the verifier can follow.
#[inline(always)]
fn clamp(x: u64, max: u64) -> u64 {
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
        (opened_by::ACCEPT, true) => BUDGET_RESPONSE.load(),
        (opened_by::CONNECT, false) => BUDGET_REPLY.load(),
        _ => BUDGET_REQUEST.load(),
    }
}

/// Does the chunk open a TLS session? A handshake record (22, version 3.x) with a ClientHello or ServerHello
/// (RFC 8446, 5.1 and 4).
#[inline(always)]
fn opens_tls(b: &[u8; 6]) -> bool {
    b[0] == 22 && b[1] == 3 && b[2] <= 4 && (b[5] == 1 || b[5] == 2)
}

/// Reads `len` bytes (already clamped) from the process to `offset` (already clamped) of the scratch payload.
#[inline(always)]
fn copy(s: &mut Scratch, offset: u64, from: u64, len: u64) -> bool {
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
    let head = clamp(head, CAPTURE_MAX as u64);
    if !copy(s, 0, base, head) {
        return Copied { head: 0, tail: 0, fault: true };
    }
    let tail = clamp(total - head, SKIM_TAIL as u64);
    if tail > 0 && !copy(s, head, base + total - tail, tail) {
        return Copied { head, tail: 0, fault: true };
    }
    Copied { head, tail, fault: false }
}

/// The same over an array of `iovec`, of which the first [`IOV_MAX`] are looked at.
#[inline(always)]
fn copy_vector(s: &mut Scratch, iov: u64, count: u64, total: u64, head: u64) -> Copied {
    let mut copied = Copied { head: 0, tail: 0, fault: false };
    let mut passed = 0u64; // bytes of the entries before this one
    let mut whole = true; // everything so far was copied
    for i in 0..IOV_MAX as u64 {
        if i >= count || passed >= total {
            break;
        }
        // SAFETY: the helper checks the address.
        let Ok(entry) = (unsafe { bpf_probe_read_user((iov + i * 16) as *const Iovec) }) else {
            copied.fault = true;
            break;
        };
        let mut len = entry.len;
        if len > total - passed {
            len = total - passed; // a short write moved only part of it
        }
        let mut took = 0;
        if whole && copied.head < head {
            took = clamp(len, IOV_STEP as u64);
            let room = head - copied.head;
            if took > room {
                took = room;
            }
            took = clamp(took, IOV_STEP as u64);
            let at = opaque(copied.head);
            if at >= CAPTURE_MAX as u64 {
                break;
            }
            if took > 0 {
                if !copy(s, at, entry.base, took) {
                    copied.fault = true;
                    break;
                }
                copied.head = at + took;
            }
        }
        whole = whole && took == len;
        passed += len;
        if passed >= total && !whole {
            let tail = clamp(len - took, SKIM_TAIL as u64);
            let at = clamp(copied.head, (CAPTURE_MAX + IOV_STEP) as u64);
            if tail > 0 && copy(s, at, entry.base + len - tail, tail) {
                copied.head = at;
                copied.tail = tail;
            }
        }
    }
    copied
}

/// Copies what parsers need of the `total` bytes that the call moved, and writes the event.
#[inline(always)]
pub fn send(conn: &mut Conn, id: u64, write: bool, shape: Shape, total: u64) -> Option<()> {
    // SAFETY: this CPU's own value.
    let s = unsafe { &mut *SCRATCH.get_ptr_mut(0)? };
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
    if let (true, Shape::Buffer(base)) = (write && u64::from(conn.budget) < total, shape) {
        // The next of several responses written in one run: its head is wanted as well.
        // SAFETY: the helper checks the address.
        if unsafe { bpf_probe_read_user(base as *const [u8; 5]) } == Ok(*b"HTTP/") {
            conn.budget = budget(conn.by, true);
        }
    }
    let mut head = total;
    if head > u64::from(conn.budget) {
        head = u64::from(conn.budget);
        if head < SKIM_HEAD as u64 {
            head = if total < SKIM_HEAD as u64 { total } else { SKIM_HEAD as u64 };
        }
    }
    conn.budget = conn.budget.saturating_sub(head as u32);
    let copied = match shape {
        Shape::Buffer(base) => copy_buffer(s, base, total, head),
        Shape::Vector(iov, count) => copy_vector(s, iov, count, total, head),
        Shape::Nowhere => Copied { head: 0, tail: 0, fault: false },
    };
    let mut flags = u16::from(write) * data_flags::WRITE + u16::from(copied.fault) * data_flags::FAULT;
    if run_starts && copied.head >= 6 {
        let first = [s.payload[0], s.payload[1], s.payload[2], s.payload[3], s.payload[4], s.payload[5]];
        if opens_tls(&first) {
            conn.flags |= conn_flags::TLS;
            flags |= data_flags::TLS;
        }
    }
    s.data = Data {
        kind: kind::DATA,
        tid: id as u32,
        tgid: (id >> 32) as u32,
        len: total as u32,
        time: emit::now(),
        conn: conn.id,
        pos,
        head: copied.head as u32,
        tail: copied.tail as u16,
        flags,
        origin: Origin { request: 0, unit: 0, ancestors: [0; 3], stack: 0, how: 0, reserved: 0 },
    };
    let payload = clamp(copied.head + copied.tail, (CAPTURE_MAX + IOV_STEP + SKIM_TAIL) as u64);
    // SAFETY: the length is bounded by the scratch event's size.
    unsafe { emit::output(core::ptr::from_mut(s).cast(), size_of::<Data>() as u64 + payload, false) };
    Some(())
}
