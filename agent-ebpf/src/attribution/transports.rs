//! For which request uvloop's code runs while its loop hands bytes on that it has just read.
//!
//! libuv reads outside any context, and at once calls back; uvloop then enters the context of the connection's transport, which
//! all connections of a server share. So what is copied from that context is made for the request whose bytes the thread read
//! last, as long as the call back lasts: deeper on the stack than the read, and before the thread reads, accepts or waits again.
//! What the loop calls by itself stands 12 KiB higher (`events` of `uv__io_poll`, src/unix/linux.c).
//!
//! The transport is found as the connection's first request is read, or its first ciphertext: of what libuv holds in registers then, or the C library has
//! put on the stack, one is the stream's handle. That the handle has the descriptor, that it leads to an object, and that this
//! leads back to it, proves it.

use apm_agent_ebpf::{Conn, Python, conn_flags, python_flags};

use super::{
    frames::TYPE,
    maps::*,
    now::{Now, half, word},
    python,
    uvloop::{UV_HANDLE, UV_STREAM_FD},
};
use crate::kernel::{kept_registers, stack_pointer, syscall_args};

/// How often a connection is looked at: something else may read from it before it is handed to uvloop.
const LOOKS_MAX: u64 = 3;
/// Words of the stack that are looked at. With glibc 2.36 and 2.42 a register holds it, and a copy stood among the first five.
const STACK_MAX: u64 = 32;
/// Words of a transport, of whatever version, among which its context is.
const FIELDS: core::ops::Range<u64> = 3..24;
/// Is the context of the connection's transport known?
#[inline(always)]
pub fn is_uvloops(conn: &Conn) -> bool {
    !is_stream(conn) && conn.context > LOOKS_MAX
}

/// Is this the handle of a stream with this descriptor, and of a transport?
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_handle(handle: u64, fd: u32) -> bool {
    if half(handle + UV_STREAM_FD) != fd {
        return false;
    }
    let transport = word(handle);
    transport != 0 && word(transport + UV_HANDLE) == handle
}

/// The handle for which libuv makes the system call that returns now; 0 where there is none.
#[inline(always)]
fn handle() -> u64 {
    let Some(args) = syscall_args() else { return 0 };
    let fd = args.0[0] as u32;
    for register in kept_registers() {
        if is_handle(register, fd) {
            return register;
        }
    }
    let stack = stack_pointer();
    for i in 0..STACK_MAX {
        let saved = word(stack + i * 8);
        if is_handle(saved, fd) {
            return saved;
        }
    }
    0
}

/// Looks for the transport of a connection from which a system call has just read.
///
/// # Safety
/// Both must be null or live map values.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn look_for_transport(conn: *mut Conn, python: *const Python) -> u32 {
    if conn.is_null() || python.is_null() {
        return 0;
    }
    // SAFETY: by the caller, not null.
    let (conn, python) = unsafe { (&mut *conn, &*python) };
    conn.context += 1;
    let handle = handle();
    if handle == 0 {
        return 0;
    }
    let transport = word(handle);
    for i in FIELDS {
        let field = word(transport + i * 8);
        if word(field + TYPE) == python.context_type {
            conn.context = field;
            conn.flags |= conn_flags::UVLOOP;
            break;
        }
    }
    0
}

/// Looks for the transport, where there may be one and it is not known.
#[inline(always)]
fn look(conn: &mut Conn, python: &Python) {
    if conn.context < LOOKS_MAX && python.flags & python_flags::UVLOOP != 0 {
        // SAFETY: live map values.
        unsafe { look_for_transport(conn, python) };
    }
}

/// A request was read from a connection. True where uvloop hands on what it has read of a TLS stream: the context that is entered
/// is then not the stream's alone.
#[inline(always)]
pub fn request_read(conn: &mut Conn, python: &Python, now: &Now) -> bool {
    // SAFETY: a live map value.
    let thread = unsafe { &mut *now.thread };
    if is_stream(conn) {
        if !now.entered || thread.window_context != now.context {
            return false;
        }
        if is_open(thread) {
            thread.window_request = conn.request;
            // What was made for the socket's connection, before its first request, serves this stream.
            conn.group = thread.window_group;
        }
        return true;
    }
    look(conn, python);
    if is_uvloops(conn) {
        open(conn, thread);
    } else {
        thread.window_stack = 0;
    }
    false
}

/// Is it a TLS stream, whose bytes no system call moves?
#[inline(always)]
fn is_stream(conn: &Conn) -> bool {
    conn.inode == 0
}

/// Something was read from uvloop's connection, and is handed on next.
#[inline(always)]
fn open(conn: &Conn, thread: &mut Thread) {
    thread.flags |= thread_flags::LOOP;
    thread.window_request = conn.request;
    thread.window_group = conn.group;
    thread.window_context = conn.context;
    thread.window_stack = stack_pointer();
}

/// Does the call back last that follows the thread's last read?
#[inline(always)]
fn is_open(thread: &Thread) -> bool {
    stack_pointer() < thread.window_stack
}

/// More of a request was read.
#[inline(always)]
pub fn more_read(conn: &Conn, id: u64) {
    if !is_uvloops(conn) && !is_stream(conn) {
        return;
    }
    let Some(thread) = THREADS.get_ptr_mut(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    if !is_stream(conn) {
        open(conn, thread);
    } else if is_open(thread) {
        thread.window_request = conn.request;
    }
}

/// Ciphertext was read from a connection, or what user space wants nothing of.
///
/// # Safety
/// `conn` must be null or a live map value.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn carried(conn: *mut Conn, id: u64) -> u32 {
    let (false, Some(python)) = (conn.is_null(), python(id)) else { return 0 };
    // SAFETY: by the caller, not null.
    let conn = unsafe { &mut *conn };
    look(conn, python);
    if is_uvloops(conn)
        && let Some(thread) = thread(id as u32)
    {
        // SAFETY: a live map value.
        open(conn, unsafe { &mut *thread });
    }
    0
}

/// The thread has read something that is no request's, or nothing.
#[inline(always)]
pub fn other_read(id: u64) {
    if let Some(thread) = THREADS.get_ptr_mut(id as u32) {
        // SAFETY: a live map value.
        unsafe { (*thread).window_stack = 0 };
    }
}

/// Is this context entered by what hands on what the thread has read last?
#[inline(always)]
pub fn is_in_window(thread: &Thread, context: u64) -> bool {
    thread.window_context == context && is_open(thread)
}
