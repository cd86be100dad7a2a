//! Calls and queries without a request, until the response is written that tells whose they were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::Record;
use crate::time::Time;

/// How long a call without a request waits for the response that tells whose it was.
pub(super) const UNBOUND_FOR: Duration = Duration::from_secs(5);
/// Calls that may wait so.
const UNBOUND_MAX: usize = 10_000;

/// A call or query that waits for its request.
pub(super) struct Unbound {
    /// When it ended.
    pub(super) since: Time,
    /// When it began.
    pub(super) start: Time,
    pub(super) record: Record,
    pub(super) unit: u64,
    pub(super) ancestors: [u64; 3],
}

impl Unbound {
    /// The units whose response may tell whose it is.
    fn units(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.unit).chain(self.ancestors).filter(|unit| *unit != 0)
    }
}

/// All that wait, of all processes: a response looks at those of its own writer only.
#[derive(Default)]
pub(super) struct Waiting {
    /// By a number taken as they came.
    calls: BTreeMap<u64, Unbound>,
    /// Unit, and number of a call that it, or a copy of it, has made.
    by_unit: BTreeSet<(u64, u64)>,
    next: u64,
}

impl Waiting {
    /// Another waits; the oldest is returned where there are too many.
    pub(super) fn push(&mut self, call: Unbound) -> Option<Unbound> {
        let oldest = if self.calls.len() >= UNBOUND_MAX { self.pop_oldest() } else { None };
        let number = self.next;
        self.next += 1;
        self.by_unit.extend(call.units().map(|unit| (unit, number)));
        self.calls.insert(number, call);
        oldest
    }

    /// The one that came first.
    pub(super) fn pop_oldest(&mut self) -> Option<Unbound> {
        let number = *self.calls.first_key_value()?.0;
        self.remove(number)
    }

    /// The one that came first, if it has waited long enough.
    pub(super) fn pop_ripe(&mut self, now: Time) -> Option<Unbound> {
        let (_, oldest) = self.calls.first_key_value()?;
        if now.since(oldest.since) > UNBOUND_FOR { self.pop_oldest() } else { None }
    }

    /// The calls that `unit`, or a copy of it, has made, in the order in which they came.
    pub(super) fn take_of(&mut self, unit: u64) -> Vec<Unbound> {
        let numbers: Vec<u64> =
            self.by_unit.range((unit, 0)..=(unit, u64::MAX)).map(|(_, number)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    fn remove(&mut self, number: u64) -> Option<Unbound> {
        let call = self.calls.remove(&number)?;
        for unit in call.units() {
            self.by_unit.remove(&(unit, number));
        }
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Call;

    fn call(since: u64, unit: u64, ancestors: [u64; 3]) -> Unbound {
        let record = Record::Call(Box::default() as Box<Call>);
        Unbound { since: Time(since), start: Time(since), record, unit, ancestors }
    }

    fn times(calls: impl IntoIterator<Item = Unbound>) -> Vec<u64> {
        calls.into_iter().map(|call| call.since.0).collect()
    }

    #[test]
    fn a_writer_takes_what_it_and_its_copies_made_once_and_in_order() {
        let mut waiting = Waiting::default();
        for (since, unit, ancestors) in
            [(1, 50, [7, 7, 0]), (2, 60, [0; 3]), (3, 51, [50, 7, 0]), (4, 0, [50; 3])]
        {
            assert!(waiting.push(call(since, unit, ancestors)).is_none());
        }
        assert_eq!(times(waiting.take_of(50)), [1, 3, 4]);
        assert_eq!(times(waiting.take_of(7)), [0; 0], "they have gone");
        assert_eq!(times(waiting.take_of(0)), [0; 0], "no unit");
        assert_eq!(times(std::iter::from_fn(|| waiting.pop_oldest())), [2]);
        assert!(waiting.by_unit.is_empty());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_it_is_time() {
        let mut waiting = Waiting::default();
        let pushed: Vec<_> = (0..UNBOUND_MAX as u64 + 2)
            .filter_map(|since| waiting.push(call(since, since + 1, [9, 0, 0])))
            .collect();
        assert_eq!(times(pushed), [0, 1]);
        assert_eq!((waiting.calls.len(), waiting.by_unit.len()), (UNBOUND_MAX, 2 * UNBOUND_MAX - 1));
        let now = Time(3).plus(UNBOUND_FOR).plus(Duration::from_nanos(1));
        assert_eq!(times(std::iter::from_fn(|| waiting.pop_ripe(now))), [2, 3]);
        while waiting.pop_oldest().is_some() {}
        assert!(waiting.by_unit.is_empty());
    }
}
