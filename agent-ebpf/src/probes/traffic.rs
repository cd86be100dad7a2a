//! System calls that move bytes, seen as they return: the arguments are still in the saved registers, the bytes are in
//! memory, and the true count is known.

use apm_agent_ebpf::{Conn, change, conn_flags, opened_by, seen_at};
use aya_ebpf::{EbpfContext, helpers::bpf_probe_read_user, macros::tracepoint, programs::TracePointContext};

use super::{tls_binding, watched};
use crate::{
    attribution, connection, emit, exceptions,
    kernel::{Args, socket, stream, syscall_args},
    payload::{self, Shape},
};

/// `errno` values that end a connection (`include/uapi/asm-generic/errno*.h`).
const EPIPE: i64 = 32;
const ECONNRESET: i64 = 104;
const ETIMEDOUT: i64 = 110;

/// Descriptor of standard error (`STDERR_FILENO`, unistd.h(0P)).
const STDERR: u64 = 2;

/// `recv*` flags that do not take bytes from the stream (`include/linux/socket.h`).
const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_ERRQUEUE: u64 = 0x2000;
const NOT_OF_STREAM: u64 = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;

/// `struct user_msghdr` of `include/linux/socket.h`, up to the vector's length.
#[repr(C)]
#[derive(Clone, Copy)]
struct Msghdr {
    name: u64,
    namelen: u64,
    iov: u64,
    iovlen: u64,
}

/// The return value of a `sys_exit_*` tracepoint (`/sys/kernel/tracing/events/syscalls/*/format`: offset 16).
#[inline(always)]
pub fn returned(ctx: &TracePointContext) -> i64 {
    // SAFETY: every sys_exit record has its return value there, and the verifier checks the bounds.
    unsafe { *ctx.as_ptr().cast::<u8>().add(16).cast::<i64>() }
}

#[inline(always)]
fn message(address: u64) -> Shape {
    // SAFETY: the helper checks the address.
    match unsafe { bpf_probe_read_user(address as *const Msghdr) } {
        Ok(m) => Shape::Vector(m.iov, m.iovlen),
        Err(_) => Shape::Nowhere,
    }
}

/// Bytes moved that are not looked at here.
#[inline(always)]
fn carries(conn: &mut Conn, id: u64, write: bool) {
    if !write && conn.by != opened_by::CONNECT {
        // SAFETY: a live map value.
        unsafe { attribution::carried(conn, id) };
    }
}

/// What every one of these programs does; they differ in which argument is the socket's descriptor, and in where the bytes lie.
#[inline(always)]
fn moved(
    ctx: &TracePointContext,
    write: bool,
    descriptor: usize,
    shape: impl Fn(&Args) -> Option<Shape>,
) -> Option<()> {
    let ret = returned(ctx);
    if ret < 0 && ret != -EPIPE && ret != -ECONNRESET && ret != -ETIMEDOUT {
        return None;
    }
    let id = watched()?;
    let args = syscall_args()?;
    let fd = args.0[descriptor];
    if write && fd == STDERR && ret > 0 {
        exceptions::look_at_exception(id, 0, u64::from(seen_at::STDERR));
    }
    let socket = socket(fd)?;
    let shape = shape(&args)?;
    let conn = match connection::known(socket) {
        Some(conn) => conn,
        None => connection::of(&stream(socket)?, id, opened_by::DATA)?,
    };
    // SAFETY: a live map value; fields are words, and threads that share one socket are ordered by the kernel's lock.
    let conn = unsafe { &mut *conn };
    conn.tgid = (id >> 32) as u32;
    if !write && ret <= 0 && attribution::is_uvloops(conn) {
        attribution::other_read(id);
    }
    if conn.flags & (conn_flags::TLS | conn_flags::IGNORED) != 0 {
        if ret > 0 {
            carries(conn, id, write);
            if conn.flags & conn_flags::BOUND == 0 {
                tls_binding::ciphertext(conn, socket.key, id, write, shape);
            }
        }
        return None;
    }
    if ret < 0 {
        let writing = if write { change::WRITING } else { 0 };
        emit::changed(conn, change::FAILED, -ret as u32 | writing, conn.tgid);
        return None;
    }
    if ret == 0 {
        // Who asks for no bytes gets none. The third argument counts bytes, but for a vector.
        let asked = if let Shape::Vector(_, entries) = shape { entries } else { args.0[2] };
        if !write && asked != 0 {
            emit::changed(conn, change::END_OF_STREAM, 0, conn.tgid);
        }
        return None;
    }
    let first = if write { payload::first_bytes(shape, ret as u64) } else { 0 };
    let may_fail = write && (conn.request == 0 || payload::begins_response(first));
    if may_fail && payload::fails(conn, shape, ret as u64) {
        exceptions::look_at_exception(id, conn.request, u64::from(seen_at::RESPONSE));
    }
    payload::send(conn, id, write, first, shape, ret as u64)?;
    if conn.flags & conn_flags::TLS != 0 {
        carries(conn, id, write);
        tls_binding::ciphertext(conn, socket.key, id, write, shape);
    }
    Some(())
}

macro_rules! traffic {
    ($($(#[$doc:meta])* $name:ident: $write:literal, $descriptor:literal, |$args:ident| $shape:expr;)*) => {
        $($(#[$doc])*
        #[tracepoint]
        pub fn $name(ctx: TracePointContext) -> u32 {
            let _ended_early = moved(&ctx, $write, $descriptor, |$args: &Args| $shape);
            0
        })*
    };
}

traffic! {
    /// `read(fd, buf, count)`
    sys_exit_read: false, 0, |args| Some(Shape::Buffer(args.0[1]));
    /// `write(fd, buf, count)`
    sys_exit_write: true, 0, |args| Some(Shape::Buffer(args.0[1]));
    /// `readv(fd, iov, iovcnt)`
    sys_exit_readv: false, 0, |args| Some(Shape::Vector(args.0[1], args.0[2]));
    /// `writev(fd, iov, iovcnt)`
    sys_exit_writev: true, 0, |args| Some(Shape::Vector(args.0[1], args.0[2]));
    /// `recvfrom(fd, buf, len, flags, ..)`
    sys_exit_recvfrom: false, 0, |args| (args.0[3] & NOT_OF_STREAM == 0).then_some(Shape::Buffer(args.0[1]));
    /// `sendto(fd, buf, len, flags, ..)`
    sys_exit_sendto: true, 0, |args| (args.0[3] & MSG_OOB == 0).then_some(Shape::Buffer(args.0[1]));
    /// `recvmsg(fd, msg, flags)`
    sys_exit_recvmsg: false, 0, |args| (args.0[2] & NOT_OF_STREAM == 0).then(|| message(args.0[1]));
    /// `sendmsg(fd, msg, flags)`
    sys_exit_sendmsg: true, 0, |args| (args.0[2] & MSG_OOB == 0).then(|| message(args.0[1]));
    /// `sendfile(out_fd, in_fd, offset, count)`: the bytes never pass through the process.
    sys_exit_sendfile64: true, 0, |_args| Some(Shape::Nowhere);
    /// `splice(fd_in, off_in, fd_out, ..)` into a socket, likewise.
    splice_writes: true, 2, |_args| Some(Shape::Nowhere);
    /// The same out of a socket.
    splice_reads: false, 0, |_args| Some(Shape::Nowhere);
}
