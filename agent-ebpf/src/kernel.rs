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

/// Reads a field of a structure whose type the verifier knows: a plain load, which gives 0 where it cannot read.
///
/// # Safety
/// `base` must come from a helper or kernel structure that the verifier types, `offset` be that of such a field.
#[inline(always)]
unsafe fn field<T: Copy>(base: u64, offset: u32) -> T {
    // SAFETY: by the caller; the kernel catches faults of such loads.
    unsafe { core::ptr::read_volatile((base as *const u8).add(offset as usize).cast()) }
}

/// The current task, as a pointer that the verifier types.
#[inline(always)]
fn task() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { raw::bpf_get_current_task_btf() as u64 }
}

/// The current thread's pointer to itself.
#[inline(always)]
pub fn thread_pointer() -> u64 {
    // SAFETY: a field of the current task.
    unsafe { field(task(), OFF_TASK_FSBASE.load()) }
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
    // SAFETY: both helpers may be called by any tracing program; fields of `struct pt_regs` of x86-64: r10 at 56, dx at 96,
    // si, di at 112.
    unsafe {
        let regs = raw::bpf_task_pt_regs(raw::bpf_get_current_task_btf()) as u64;
        Some(Args([field(regs, 112), field(regs, 104), field(regs, 96), field(regs, 56)]))
    }
}

/// A register of the process as it entered the kernel, by its offset in `struct pt_regs` of x86-64.
#[inline(always)]
fn register(offset: u32) -> u64 {
    // SAFETY: as above.
    unsafe { field(raw::bpf_task_pt_regs(raw::bpf_get_current_task_btf()) as u64, offset) }
}

/// The process's stack pointer.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    register(152)
}

/// Registers that functions keep for those that call them: r15, r14, r13, r12, rbp, rbx.
#[inline(always)]
pub fn kept_registers() -> [u64; 6] {
    [register(0), register(8), register(16), register(24), register(32), register(40)]
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
    stream(socket(fd)?)
}

/// A socket, of whatever kind.
#[derive(Clone, Copy)]
pub struct Socket {
    /// Address of its `struct sock`.
    pub key: u64,
    /// Inode of the socket file.
    pub inode: u64,
}

/// The socket that `fd` of the current process names, if it is one.
#[inline(always)]
pub fn socket(fd: u64) -> Option<Socket> {
    let fd = fd as u32;
    // SAFETY: typed by the verifier, from the current task on; a task that ends has no files, which reads as no descriptors.
    let (max, fds): (u32, u64) = unsafe {
        let files = field(task(), OFF_TASK_FILES.load());
        let fdt = field(files, OFF_FILES_FDT.load());
        (field(fdt, OFF_FDT_MAX.load()), field(fdt, OFF_FDT_FD.load()))
    };
    if fd >= max {
        return None;
    }
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
    let inode: u64 = read(inode, OFF_INODE_INO.load())?;
    Some(Socket { key, inode })
}

/// The socket, if it is a stream of a family that is looked at.
#[inline(always)]
pub fn stream(socket: Socket) -> Option<Sock> {
    let Socket { key, inode } = socket;
    let family: u16 = read(key, OFF_SK_FAMILY.load())?;
    let kind: u16 = read(key, OFF_SK_TYPE.load())?;
    use apm_agent_ebpf::family as f;
    if kind != SOCK_STREAM || !matches!(family, f::UNIX | f::INET | f::INET6) {
        return None;
    }
    Some(Sock { key, inode, family })
}
