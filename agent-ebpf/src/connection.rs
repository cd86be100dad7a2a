//! Finding the connection of a socket, and numbering it when it is new.

use core::mem::offset_of;

use apm_agent_ebpf::{Conn, change, conn_flags, counter, family, opened_by};
use aya_ebpf::helpers::bpf_get_smp_processor_id;

use crate::{
    emit,
    kernel::{Sock, Socket, read},
    maps::{CONNS, OFF_SK_ERR, count},
};

/// `Conn::run` of a connection over which nothing has moved yet.
pub const NO_RUN: u16 = 2;

/// The connection of a socket that is in the table and that user space knows.
#[inline(always)]
pub fn known(socket: Socket) -> Option<*mut Conn> {
    let conn = CONNS.get_ptr_mut(socket.key)?;
    // SAFETY: a live map value; other CPUs may write to it, fields are words.
    let (inode, flags) = unsafe { ((*conn).inode, (*conn).flags) };
    (inode == socket.inode && flags & conn_flags::ANNOUNCED != 0).then_some(conn)
}

/// The connection of `sock`, entered into the table if it is not there or belongs to an earlier socket at that address.
#[inline(always)]
pub fn of(sock: &Sock, id: u64, by: u16) -> Option<*mut Conn> {
    let known = CONNS.get_ptr_mut(sock.key);
    let conn = match known {
        // SAFETY: the pointer is to a live map value; other CPUs may write to it, fields are words.
        Some(conn) if unsafe { (*conn).inode } == sock.inode && by == opened_by::DATA => conn,
        _ => entered(sock, id, by)?,
    };
    // SAFETY: as above.
    let c = unsafe { &mut *conn };
    if c.flags & conn_flags::ANNOUNCED == 0 && emit::opened(sock, c, id, 0, 0) {
        // SAFETY: as above.
        unsafe { set_flag(c, conn_flags::ANNOUNCED) };
        if sock.family == family::UNIX {
            emit::named(sock.key, c.id);
        }
    }
    Some(conn)
}

/// A process connects a socket: it is a connection from now on, and user space is told which code makes it.
#[inline(always)]
pub fn connecting(sock: &Sock, id: u64) -> Option<*mut Conn> {
    let conn = entered(sock, id, opened_by::CONNECT)?;
    // SAFETY: a live map value.
    emit::connecting(unsafe { (*conn).id }, id);
    let conn = of(sock, id, opened_by::DATA)?;
    // A peer on this host may have refused it before it was announced, which ends it without an event. From here on the
    // event comes: the error is there before the state changes, and it is read here after the flag has been set.
    let error: u32 = read(sock.key, OFF_SK_ERR.load()).unwrap_or(0);
    // SAFETY: as above.
    let c = unsafe { &mut *conn };
    if error != 0 && c.flags & conn_flags::ENDED == 0 {
        // SAFETY: as above.
        unsafe { set_flag(c, conn_flags::ENDED) };
        emit::changed(c, change::GONE, error | change::UNMADE, c.tgid);
    }
    Some(conn)
}

/// The new entry of a connection. Where there is none it is not told of, and counted.
#[inline(always)]
fn entered(sock: &Sock, id: u64, by: u16) -> Option<*mut Conn> {
    // Where that of an earlier socket could not be replaced, it is not this one's.
    let entry = if enter(sock, id, by) { CONNS.get_ptr_mut(sock.key) } else { None };
    if entry.is_none() {
        count(counter::CONN_TABLE_FULL);
    }
    entry
}

/// Enters a connection into the table; a function of its own, as its entry would take much of the caller's stack.
#[inline(never)]
fn enter(sock: &Sock, id: u64, by: u16) -> bool {
    CONNS.insert(sock.key, new(sock.inode, id, by, sock.family), 0).is_ok()
}

/// Sets a flag in one step, as another CPU may set one meanwhile; what is read afterwards is read after it.
///
/// # Safety
/// `conn` must be a live map value.
#[inline(always)]
pub unsafe fn set_flag(conn: *mut Conn, flag: u16) {
    const { assert!(offset_of!(Conn, flags).is_multiple_of(8)) };
    let mut bits = u64::from(flag);
    // SAFETY: by the caller; the flags are the lowest bits of an aligned word of the entry (5.12, `BPF_ATOMIC | BPF_FETCH`).
    unsafe {
        let word = &raw mut (*conn).flags;
        core::arch::asm!("{1} = atomic_fetch_or((u64 *)({0} + 0), {1})", in(reg) word, inout(reg) bits);
    }
    let _before = bits;
}

/// A connection over which nothing has moved yet, with a number of its own.
#[inline(always)]
pub fn new(inode: u64, id: u64, by: u16, family: u16) -> Conn {
    // One CPU numbers at most one connection per 64 ns, so time and CPU together are unique.
    // SAFETY: no preconditions.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    Conn {
        id: (emit::now() & !0x3f) | (cpu & 0x3f),
        inode,
        read: 0,
        written: 0,
        request: 0,
        group: 0,
        queued: 0,
        context: 0,
        budget: 0,
        tgid: (id >> 32) as u32,
        flags: 0,
        by,
        run: NO_RUN,
        family,
        allowance: 0,
        message_left: 0,
    }
}

/// Is this a TCP socket?
#[inline(always)]
pub fn is_inet(family: u16) -> bool {
    matches!(family, family::INET | family::INET6)
}
