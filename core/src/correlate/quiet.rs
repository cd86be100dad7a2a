//! Requests that have ended and left something running, which is quiet: their ids, in little room.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Requests that are kept so; of more, those that fell quiet first are forgotten.
const QUIET_MAX: usize = 16_384;

/// A request's id, and that of its chain where it is another.
pub(super) type Ids = (Arc<str>, Option<Arc<str>>);

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    ids: FxHashMap<u64, Ids>,
    order: VecDeque<u64>,
}

impl Quiet {
    /// A request is remembered no longer.
    pub(super) fn keep(&mut self, request: u64, ids: Ids) {
        // Those that were heard of again are in the order still.
        while self.order.len() >= QUIET_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.ids.remove(&first);
        }
        self.order.push_back(request);
        self.ids.insert(request, ids);
    }

    /// It is heard of again.
    pub(super) fn take(&mut self, request: u64) -> Option<Ids> {
        self.ids.remove(&request)
    }
}
