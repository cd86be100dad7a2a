//! Waiting on an epoll instance: what event loops do between two pieces of work.

use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};

use super::watched;
use crate::attribution;

#[inline(always)]
fn waits(ctx: &TracePointContext) -> u32 {
    if let Some(id) = watched() {
        // SAFETY: the first argument of a sys_enter record (offset 16), bounds checked by the verifier.
        attribution::waits(id, unsafe { *ctx.as_ptr().cast::<u8>().add(16).cast::<u64>() } as u32);
    }
    0
}

/// `epoll_wait(epfd, ..)`
#[tracepoint]
pub fn sys_enter_epoll_wait(ctx: TracePointContext) -> u32 {
    waits(&ctx)
}

/// `epoll_pwait(epfd, ..)`
#[tracepoint]
pub fn sys_enter_epoll_pwait(ctx: TracePointContext) -> u32 {
    waits(&ctx)
}
