//! Ids that requests bring along. What a request did is found by its id, so no two requests of a service may have the same.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Ids remembered; the oldest go first.
const CAP: usize = 65_536;

/// The ids that requests lately came with.
#[derive(Debug, Default)]
pub(super) struct Claims {
    hasher: RandomState,
    claimed: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Claims {
    /// Makes `id` the id of a request of `service`; false where another has it already: a client that tries again, or one
    /// that sends the same id with all it asks.
    pub(super) fn claim(&mut self, service: &str, id: &str) -> bool {
        let hash = self.hasher.hash_one((service, id));
        if !self.claimed.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > CAP
            && let Some(oldest) = self.order.pop_front()
        {
            self.claimed.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_claimed_once_in_each_service_and_free_again_when_it_is_long_ago() {
        let mut claims = Claims::default();
        assert!(claims.claim("shop", "a"));
        assert!(!claims.claim("shop", "a"));
        assert!(claims.claim("pricing", "a"), "it was passed on");
        for n in 0..CAP {
            assert!(claims.claim("shop", &n.to_string()));
        }
        assert!(claims.claim("shop", "a"));
        assert_eq!((claims.claimed.len(), claims.order.len()), (CAP, CAP));
    }
}
