//! The life of TCP sockets that are in the table of connections.

use apm_agent_ebpf::{change, conn_flags};
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{connection::set_flag, emit, kernel::read, maps::*};

/// TCP states of `include/net/tcp_states.h`.
const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const FIN_WAIT1: u32 = 4;
const CLOSE: u32 = 7;
const CLOSE_WAIT: u32 = 8;
const LAST_ACK: u32 = 9;
const CLOSING: u32 = 11;
/// `RCV_SHUTDOWN` of `include/net/sock.h`.
const RCV_SHUTDOWN: u8 = 1;

/// `inet_sock_set_state(sk, oldstate, newstate)`, from any context.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: RawTracePointContext) -> i32 {
    let _ended_early = state(&ctx);
    0
}

#[inline(always)]
fn state(ctx: &RawTracePointContext) -> Option<()> {
    let sk: u64 = ctx.arg(0);
    let conn = CONNS.get_ptr_mut(sk)?;
    // SAFETY: a live map value; only this tracepoint ends a TCP connection.
    let conn = unsafe { &mut *conn };
    // One that is not announced yet ends by its announcement: see `connection::connecting`.
    if conn.flags & conn_flags::ANNOUNCED == 0 || conn.flags & conn_flags::ENDED != 0 {
        return None;
    }
    let new: u64 = ctx.arg(2);
    let what = match new as u32 {
        ESTABLISHED => change::ESTABLISHED,
        CLOSE_WAIT => change::PEER_CLOSED,
        FIN_WAIT1 | LAST_ACK => change::LOCAL_CLOSED,
        CLOSE => change::GONE,
        _ => return None,
    };
    if conn.flags & conn_flags::IGNORED == 0 || what == change::GONE {
        let mut value: u32 = read(sk, OFF_SK_ERR.load()).unwrap_or(0);
        let old: u64 = ctx.arg(1);
        if matches!(old as u32, CLOSE_WAIT | LAST_ACK | CLOSING) {
            value |= change::PEER_FIRST;
        }
        if old as u32 == SYN_SENT {
            value |= change::UNMADE;
        }
        let shut: u8 = read(sk, OFF_SK_SHUTDOWN.load()).unwrap_or(0);
        if what == change::LOCAL_CLOSED && shut & RCV_SHUTDOWN != 0 {
            value |= change::READS_NO_MORE;
        }
        emit::changed(conn, what, value, (bpf_get_current_pid_tgid() >> 32) as u32);
    }
    if what == change::GONE {
        // SAFETY: a live map value.
        unsafe { set_flag(conn, conn_flags::ENDED) };
    }
    Some(())
}
