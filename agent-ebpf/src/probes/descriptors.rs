//! System calls that make or drop a connection's descriptor.

use apm_agent_ebpf::{change, conn_flags, opened_by};
use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};

use super::{traffic::returned, watched};
use crate::{
    attribution,
    connection::{self, is_inet},
    emit,
    kernel::{Sock, stream_socket, syscall_args},
    maps::CONNS,
};

/// `errno` values of a connect that goes on in the background (connect(2)), and what the kernel has for `EINTR` where it may start a
/// call again (`include/linux/errno.h`).
const EINTR: i64 = 4;
const EALREADY: i64 = 114;
const EINPROGRESS: i64 = 115;
const ERESTARTSYS: i64 = 512;
/// That of a socket which is connected already.
const EISCONN: i64 = 106;

#[inline(always)]
fn accepted(ctx: &TracePointContext) -> Option<()> {
    let fd = returned(ctx);
    if fd < 0 {
        return None;
    }
    let id = watched()?;
    let sock = stream_socket(fd as u64)?;
    connection::of(&sock, id, opened_by::ACCEPT)?;
    attribution::accepted(id);
    Some(())
}

/// `accept(fd, ..)`
#[tracepoint]
pub fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    let _ended_early = accepted(&ctx);
    0
}

/// `accept4(fd, ..)`
#[tracepoint]
pub fn sys_exit_accept4(ctx: TracePointContext) -> u32 {
    let _ended_early = accepted(&ctx);
    0
}

/// `connect(fd, ..)`
#[tracepoint]
pub fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    let _ended_early = connected(&ctx);
    0
}

#[inline(always)]
fn connected(ctx: &TracePointContext) -> Option<()> {
    let ret = returned(ctx);
    let id = watched()?;
    let args = syscall_args()?;
    let sock: Sock = stream_socket(args.0[0])?;
    if matches!(-ret, 0 | EINTR | EALREADY | EINPROGRESS | ERESTARTSYS) {
        // A blocking connect that was interrupted, and a second call that reports the outcome, find it there.
        if let Some(conn) = CONNS.get_ptr(sock.key) {
            // SAFETY: a live map value.
            let (inode, by, flags) = unsafe { ((*conn).inode, (*conn).by, (*conn).flags) };
            // A socket that was refused may be connected again.
            if inode == sock.inode && by == opened_by::CONNECT && flags & conn_flags::ENDED == 0 {
                return None;
            }
        }
        connection::connecting(&sock, id)?;
    } else if is_inet(sock.family) && ret != -EISCONN {
        // It failed at once: there never was a connection, but there was a call.
        let conn = connection::new(sock.inode, id, opened_by::CONNECT, sock.family);
        emit::connecting(conn.id, id);
        let _counted = emit::opened(&sock, &conn, id, -ret as u32, args.0[1]);
    }
    Some(())
}

/// `close(fd)`: at its entry, as the descriptor is gone at its exit. TCP tells its end by itself; Unix sockets do not.
#[tracepoint]
pub fn sys_enter_close(ctx: TracePointContext) -> u32 {
    let _ended_early = closed(&ctx);
    0
}

#[inline(always)]
fn closed(ctx: &TracePointContext) -> Option<()> {
    let id = watched()?;
    // SAFETY: the first argument of a sys_enter record (offset 16), bounds checked by the verifier.
    let fd = unsafe { *ctx.as_ptr().cast::<u8>().add(16).cast::<u64>() };
    attribution::closes(id, fd as u32);
    let sock = stream_socket(fd)?;
    let conn = CONNS.get_ptr_mut(sock.key)?;
    // SAFETY: a live map value.
    let conn = unsafe { &mut *conn };
    if conn.inode == sock.inode {
        conn.flags |= conn_flags::LET_GO;
    }
    attribution::lets_go(conn, id);
    if is_inet(sock.family) {
        return None;
    }
    // A forked child closes what it inherited: that ends nothing.
    if conn.inode != sock.inode || conn.tgid != (id >> 32) as u32 || conn.flags & conn_flags::ANNOUNCED == 0 {
        return None;
    }
    emit::changed(conn, change::DESCRIPTOR_CLOSED, 0, conn.tgid);
    let _gone = CONNS.remove(sock.key);
    Some(())
}
