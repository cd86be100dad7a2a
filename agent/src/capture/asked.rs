//! The probes' table of connections, changed for user space by a program of theirs.
//!
//! The table is keyed by the address of each connection's `struct sock`. The kernel uses an address again as soon as its socket is
//! gone, and the probes enter the next connection in place of the last: perhaps between a look at an entry from here and
//! its change from here, which would then meet the wrong one.

use apm_core::connection::Info;
use aya::programs::Program;
use aya::{Ebpf, RawTracePointRunOptions, TestRun as _};

pub(super) use apm_agent_ebpf::asked::{IGNORE, REMOVE};

/// The program that does it.
const PROGRAM: &str = "change_connection";

/// Has the entry of a connection changed, if it still has one.
pub(super) fn change(ebpf: &Ebpf, conn: &Info, what: u64) {
    // A TLS stream is in another table, and a connection whose opening was lost is not known by its socket.
    if conn.key == 0 {
        return;
    }
    let Some(Program::RawTracePoint(program)) = ebpf.program(PROGRAM) else { return };
    let mut options = RawTracePointRunOptions::new();
    options.args[..3].copy_from_slice(&[conn.key, conn.id.0, what]);
    // Every kernel that takes the probes runs it (5.10); an entry that stays is the first to go when the table is full.
    let _stays = program.test_run(options);
}

#[cfg(test)]
mod tests;
