//! The programs, one file per concern. A program starts with the cheapest test that can end it.

mod asked;
mod descriptors;
mod mappings;
mod names;
mod processes;
mod python;
mod sockets;
mod tls;
mod tls_binding;
mod traffic;
mod waits;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use crate::maps::TARGETS;

/// `(tgid << 32) | tid` of the current thread if its process is watched.
#[inline(always)]
fn watched() -> Option<u64> {
    let id = bpf_get_current_pid_tgid();
    TARGETS.get_ptr((id >> 32) as u32).map(|_| id)
}
