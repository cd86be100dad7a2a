//! The end-to-end tests.

mod attach;
mod attribution;
mod call_sites;
mod discovered;
mod ends;
mod exceptions;
mod faults;
mod given_up;
mod matrix;
mod metrics;
mod options;
pub(crate) mod outgoing;
mod page;
mod queues;
mod sdk;
mod security;
mod shop;
mod sockets;
mod workers;

use crate::runner::Case;

/// All that judge the agent.
pub(crate) fn all() -> Vec<Case> {
    // First those of which only one may run at a time for each thing they share: others then fill in beside them.
    let all = [
        outgoing::cases(),
        ends::cases(),
        given_up::cases(),
        exceptions::cases(),
        faults::cases(),
        sockets::cases(),
        attach::cases(),
        workers::cases(),
        page::cases(),
        metrics::cases(),
        options::cases(),
        shop::cases(),
        sdk::cases(),
        security::cases(),
        attribution::cases(),
        call_sites::cases(),
        queues::cases(),
        discovered::cases(),
        matrix::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// Those that judge the harness: they need no agent, and run only when asked for by name.
pub(crate) fn harness() -> Vec<Case> {
    matrix::harness()
}
