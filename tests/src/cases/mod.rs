//! The end-to-end tests.

mod attach;
mod matrix;
mod page;
mod workers;

use crate::runner::Case;

/// All that judge the agent.
pub(crate) fn all() -> Vec<Case> {
    [attach::cases(), workers::cases(), page::cases(), matrix::cases()].into_iter().flatten().collect()
}

/// Those that judge the harness: they need no agent, and run only when asked for by name.
pub(crate) fn harness() -> Vec<Case> {
    matrix::harness()
}
