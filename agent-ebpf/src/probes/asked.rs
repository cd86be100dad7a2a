//! What user space asks of the table of connections. Between a look-up and a change of its own, an address may have become that of
//! another connection; here next to no time passes in between.

use apm_agent_ebpf::{asked, conn_flags};
use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{connection::set_flag, maps::CONNS};

/// `change_connection(key, conn, asked)`: attached nowhere, user space runs it (`BPF_PROG_TEST_RUN`).
#[raw_tracepoint]
pub fn change_connection(ctx: RawTracePointContext) -> i32 {
    let _another_took_its_place = change(&ctx);
    0
}

#[inline(always)]
fn change(ctx: &RawTracePointContext) -> Option<()> {
    let (key, number, what): (u64, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    let conn = CONNS.get_ptr_mut(key)?;
    // SAFETY: a live map value.
    if unsafe { (*conn).id } != number {
        return None;
    }
    if what == asked::IGNORE {
        // SAFETY: as above.
        unsafe { set_flag(conn, conn_flags::IGNORED) };
    } else if what == asked::REMOVE {
        let _gone_meanwhile = CONNS.remove(key);
    }
    Some(())
}
