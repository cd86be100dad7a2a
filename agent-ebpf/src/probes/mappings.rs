//! Libraries that a process loads after it was looked at: Python maps an extension when it is first imported.

use apm_agent_ebpf::life;
use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use super::{traffic::returned, watched};
use crate::{emit, kernel::syscall_args};

/// `PROT_EXEC` and `MAP_ANONYMOUS` of `include/uapi/asm-generic/mman*.h`.
const PROT_EXEC: u64 = 4;
const MAP_ANONYMOUS: u64 = 0x20;

/// `mmap(addr, length, prot, flags, fd, offset)`
#[tracepoint]
pub fn sys_exit_mmap(ctx: TracePointContext) -> u32 {
    if let Some(id) = watched()
        && let Some(args) = syscall_args()
        && args.0[2] & PROT_EXEC != 0
        && args.0[3] & MAP_ANONYMOUS == 0
        && !(-4095..0).contains(&returned(&ctx))
    {
        emit::process(life::MAPPED, (id >> 32) as u32, 0, true);
    }
    0
}
