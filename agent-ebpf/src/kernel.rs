//! Reading kernel structures: rustc emits no CO-RE relocations, so offsets come from globals that the loader fills from
//! the kernel's BTF.

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated as raw};

use crate::maps::*;

/// `S_IFMT` and `S_IFSOCK` of `include/uapi/linux/stat.h`.
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// `SOCK_STREAM` of `include/linux/net.h`.
const SOCK_STREAM: u16 = 1;

/// Reads a `T` at `base + offset`.
#[inline(always)]
pub fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address and fails where it cannot be read.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T).ok() }
}

/// Arguments of the system call that is returning, in their order.
#[derive(Clone, Copy)]
pub struct Args(pub [u64; 4]);

/// Reads the arguments of the current system call from the saved registers.
///
/// They are intact at `sys_exit`: the kernel writes only `ax` (arch/x86/entry/common.c). This spares a probe at
/// `sys_enter`, and a map to remember what it saw.
#[inline(always)]
pub fn syscall_args() -> Option<Args> {
    // SAFETY: both helpers may be called by any tracing program.
    let regs = unsafe { raw::bpf_task_pt_regs(raw::bpf_get_current_task_btf()) } as u64;
    // struct pt_regs of x86-64: r10 at 56, r9, r8, ax, cx, dx at 96, si, di at 112.
    let [r10, _r9, _r8, _ax, _cx, dx, si, di]: [u64; 8] = read(regs, 56)?;
    Some(Args([di, si, dx, r10]))
}

/// A stream socket behind a file descriptor.
#[derive(Clone, Copy)]
pub struct Sock {
    /// Address of its `struct sock`.
    pub key: u64,
    /// Inode of the socket file.
    pub inode: u64,
    /// Address family.
    pub family: u16,
}

/// The stream socket that `fd` of the current process names, if it is one.
#[inline(always)]
pub fn stream_socket(fd: u64) -> Option<Sock> {
    let fd = fd as u32;
    // SAFETY: no arguments, no preconditions.
    let task = unsafe { raw::bpf_get_current_task() };
    let files: u64 = read(task, OFF_TASK_FILES.load())?;
    let fdt: u64 = read(files, OFF_FILES_FDT.load())?;
    let max: u32 = read(fdt, OFF_FDT_MAX.load())?;
    if fd >= max {
        return None;
    }
    let fds: u64 = read(fdt, OFF_FDT_FD.load())?;
    let file: u64 = read(fds + u64::from(fd) * 8, 0)?;
    if file == 0 {
        return None;
    }
    let inode: u64 = read(file, OFF_FILE_INODE.load())?;
    let mode: u16 = read(inode, OFF_INODE_MODE.load())?;
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket: u64 = read(file, OFF_FILE_PRIVATE.load())?;
    let key: u64 = read(socket, OFF_SOCKET_SK.load())?;
    if key == 0 {
        return None;
    }
    let family: u16 = read(key, OFF_SK_FAMILY.load())?;
    let kind: u16 = read(key, OFF_SK_TYPE.load())?;
    use apm_agent_ebpf::family as f;
    if kind != SOCK_STREAM || !matches!(family, f::UNIX | f::INET | f::INET6) {
        return None;
    }
    let inode: u64 = read(inode, OFF_INODE_INO.load())?;
    Some(Sock { key, inode, family })
}
