//! Writing into the ring buffer. No event wakes user space unless it is urgent or the ring fills up: a wake-up per event
//! makes a send 20 times dearer.

use core::ffi::c_void;

use apm_agent_ebpf::{
    Bound, Changed, Conn, Connecting, Named, Opened, Origin, Process, Queued, UNIX_PATH_MAX, counter, family,
    kind,
};
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_ktime_get_ns, bpf_probe_read_user, generated as raw},
};
use zerocopy::{Immutable, IntoBytes};

use crate::{
    attribution,
    kernel::{Sock, read},
    maps::*,
    payload::clamp,
};

#[inline(always)]
pub fn ring() -> *mut c_void {
    core::ptr::from_ref(&EVENTS).cast_mut().cast()
}

/// Nanoseconds of the monotonic clock.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Bytes that wait in the ring for user space.
#[inline(always)]
fn waiting() -> u64 {
    // SAFETY: `ring()` is the map.
    unsafe { raw::bpf_ringbuf_query(ring(), u64::from(BPF_RB_AVAIL_DATA)) }
}

/// Does so much wait in the ring that what can be done without is left out?
#[inline(always)]
pub fn is_half_full() -> bool {
    waiting() > 2 * u64::from(WAKE_AT.load())
}

/// Does so much wait in the ring that of a chunk only the start is copied, so that others find room at all?
#[inline(always)]
pub fn is_nearly_full() -> bool {
    waiting() > 3 * u64::from(WAKE_AT.load())
}

/// Does so much wait in the ring that user space should be woken?
#[inline(always)]
pub fn is_filling() -> bool {
    waiting() > u64::from(WAKE_AT.load())
}

/// Writes `len` bytes from `event` into the ring.
///
/// # Safety
/// `event` must be readable for `len` bytes, provably so to the verifier.
#[inline(always)]
pub unsafe fn output(event: *mut c_void, len: u64, urgent: bool) -> bool {
    let waiting = waiting();
    note_waiting(waiting);
    let flags =
        if urgent || waiting > u64::from(WAKE_AT.load()) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    // SAFETY: by the caller.
    let full = unsafe { raw::bpf_ringbuf_output(ring(), event, len, u64::from(flags)) } < 0;
    count(if full { counter::RING_FULL } else { counter::EVENTS });
    !full
}

/// Writes a whole fixed-size event. By reference: taken by value it would lie on the stack twice.
#[inline(always)]
pub fn whole<T: IntoBytes + Immutable>(event: &mut T, urgent: bool) -> bool {
    // SAFETY: a value on the stack, written with its own size.
    unsafe { output(core::ptr::from_mut(event).cast(), size_of::<T>() as u64, urgent) }
}

/// Tells user space of a connection. `error` is an `errno`, `sockaddr` the address in a failed call.
///
/// A function of its own, as its event would take a quarter of the caller's stack.
#[inline(never)]
pub fn opened(sock: &Sock, conn: &Conn, id: u64, error: u32, sockaddr: u64) -> bool {
    let mut event = Opened {
        kind: kind::OPENED,
        tid: id as u32,
        tgid: (id >> 32) as u32,
        by: conn.by,
        family: sock.family,
        time: now(),
        conn: conn.id,
        key: sock.key,
        inode: sock.inode,
        local: [0; 16],
        peer: [0; 16],
        local_port: 0,
        peer_port: 0,
        error,
    };
    if sock.family == family::INET {
        let local: [u8; 4] = read(sock.key, OFF_SK_SADDR.load()).unwrap_or_default();
        let peer: [u8; 4] = read(sock.key, OFF_SK_DADDR.load()).unwrap_or_default();
        event.local[..4].copy_from_slice(&local);
        event.peer[..4].copy_from_slice(&peer);
    } else if sock.family == family::INET6 {
        event.local = read(sock.key, OFF_SK_SADDR6.load()).unwrap_or_default();
        event.peer = read(sock.key, OFF_SK_DADDR6.load()).unwrap_or_default();
    }
    if sock.family != family::UNIX {
        event.local_port = read(sock.key, OFF_SK_NUM.load()).unwrap_or_default();
        event.peer_port = u16::from_be(read(sock.key, OFF_SK_DPORT.load()).unwrap_or_default());
    }
    if error != 0 && event.peer_port == 0 {
        // The kernel has taken the peer's address off the socket: it stands in the call.
        // SAFETY: the helper checks the address.
        if let Ok(named) = unsafe { bpf_probe_read_user(sockaddr as *const Sockaddr) } {
            event.peer_port = u16::from_be(named.port);
            if sock.family == family::INET {
                event.peer[..4].copy_from_slice(&named.v4);
            } else {
                // SAFETY: as above.
                event.peer =
                    unsafe { bpf_probe_read_user((sockaddr + 8) as *const [u8; 16]) }.unwrap_or_default();
            }
        }
    }
    whole(&mut event, false)
}

/// The start that `struct sockaddr_in` and `sockaddr_in6` have in common, and the former's address, see ip(7), ipv6(7); the
/// latter's begins at byte 8.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sockaddr {
    family: u16,
    port: u16,
    v4: [u8; 4],
}

/// Tells user space the path of a Unix socket: its own, which it has from the one that listens, or else its peer's. Put
/// together in the ring, as it would take a quarter of the stack.
#[inline(never)]
pub fn named(sk: u64, conn: u64) -> bool {
    let address = |sk: u64| read::<u64>(sk, OFF_UNIX_ADDR.load()).unwrap_or_default();
    let mut from = address(sk);
    let is_peers = from == 0;
    if is_peers {
        let peer: u64 = read(sk, OFF_UNIX_PEER.load()).unwrap_or_default();
        from = if peer == 0 { 0 } else { address(peer) };
    }
    if from == 0 {
        return false;
    }
    // The family comes first.
    let len = read::<u32>(from, OFF_UNIX_ADDRESS_LEN.load()).unwrap_or_default().saturating_sub(2);
    let len = clamp(u64::from(len), UNIX_PATH_MAX as u64);
    // SAFETY: the map, and a size that is a constant.
    let event = unsafe { raw::bpf_ringbuf_reserve(ring(), size_of::<Named>() as u64, 0) }.cast::<Named>();
    if event.is_null() {
        count(counter::RING_FULL);
        return false;
    }
    // SAFETY: `event` is a `Named`, whose path has room for `len` bytes; the helper checks the source.
    unsafe {
        (*event).kind = kind::NAMED;
        (*event).len = len as u32;
        (*event).conn = conn;
        (*event).is_peers = u32::from(is_peers);
        (*event).reserved = 0;
        let path = from + u64::from(OFF_UNIX_ADDRESS_NAME.load()) + 2;
        let to: *mut u8 = (&raw mut (*event).path).cast();
        if raw::bpf_probe_read_kernel(to.cast(), len as u32, path as *const c_void) < 0 {
            (*event).len = 0;
        }
        raw::bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP));
    }
    count(counter::EVENTS);
    true
}

/// Tells user space which code makes a connection, where that is known.
#[inline(always)]
pub fn connecting(conn: u64, id: u64) {
    let mut event = Connecting { kind: kind::CONNECTING, tid: id as u32, conn, origin: attribution::NOWHERE };
    attribution::calling(id, &mut event.origin);
    if event.origin.unit != 0 {
        let _counted = whole(&mut event, false);
    }
}

/// Tells user space who queued bytes that are to be written to a connection.
#[inline(always)]
pub fn queued(conn: u64, id: u64, pos: u64, len: u64, origin: &Origin) {
    let mut event = Queued { kind: kind::QUEUED, tid: id as u32, conn, pos, len, origin: *origin };
    let _counted = whole(&mut event, false);
}

/// Tells user space of a TLS stream.
#[inline(always)]
pub fn stream_opened(conn: &Conn, id: u64) -> bool {
    whole(
        &mut Opened {
            kind: kind::OPENED,
            tid: id as u32,
            tgid: (id >> 32) as u32,
            by: conn.by,
            family: 0,
            time: now(),
            conn: conn.id,
            key: 0,
            inode: 0,
            local: [0; 16],
            peer: [0; 16],
            local_port: 0,
            peer_port: 0,
            error: 0,
        },
        false,
    )
}

/// Tells user space over which socket a TLS stream runs.
#[inline(always)]
pub fn bound(stream: u64, socket: u64, id: u64) -> bool {
    whole(&mut Bound { kind: kind::BOUND, tgid: (id >> 32) as u32, time: now(), stream, socket }, false)
}

/// Tells user space that something happened to a connection.
#[inline(always)]
pub fn changed(conn: &Conn, what: u32, value: u32, tgid: u32) {
    let mut event = Changed {
        kind: kind::CHANGED,
        change: what,
        time: now(),
        conn: conn.id,
        value,
        tgid,
        read: conn.read,
        written: conn.written,
    };
    let _counted = whole(&mut event, false);
}

/// Tells user space at once that a process came, changed or went.
#[inline(always)]
pub fn process(life: u32, tgid: u32, parent: u32, watched: bool) {
    let mut event = Process {
        kind: kind::PROCESS,
        life,
        time: now(),
        tgid,
        parent,
        watched: u32::from(watched),
        reserved: 0,
    };
    let _counted = whole(&mut event, true);
}
