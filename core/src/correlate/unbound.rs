//! Calls and queries without a request, until the response is written that tells whose they were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::Record;
use crate::time::Time;

/// How long a call without a request waits for the response that tells whose it was.
pub(super) const UNBOUND_FOR: Duration = Duration::from_secs(5);
/// How long it waits in processes where responses have told that before: requests there may take as long.
pub(super) const PATIENT_FOR: Duration = Duration::from_secs(30);
/// Calls that may wait so, or for the end of streams.
const WAITING_MAX: usize = 10_000;

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

/// The last stream that had begun in a process when it made a call.
#[derive(Clone, Copy)]
pub(super) struct Behind {
    pub(super) pid: u32,
    pub(super) stream: u64,
}

/// A call, and the streams whose end it waits for, if it does.
type Entry = (Unbound, Option<Behind>);

/// All that wait, of all processes: a response looks at those of its own writer only, the end of a stream at those that no
/// stream of its process is left for.
#[derive(Default)]
pub(super) struct Waiting {
    /// By a number taken as they came.
    calls: BTreeMap<u64, Entry>,
    /// Unit, and number of a call that it, or a copy of it, has made.
    by_unit: BTreeSet<(u64, u64)>,
    /// Process, stream, and number of a call behind it.
    by_stream: BTreeSet<(u32, u64, u64)>,
    next: u64,
}

impl Waiting {
    /// Another waits; the oldest is returned where there are too many.
    pub(super) fn push(&mut self, call: Unbound, behind: Option<Behind>) -> Option<Unbound> {
        let oldest = if self.calls.len() >= WAITING_MAX { self.pop_oldest() } else { None };
        let number = self.next;
        self.next += 1;
        self.by_unit.extend(call.units().map(|unit| (unit, number)));
        self.by_stream.extend(behind.map(|Behind { pid, stream }| (pid, stream, number)));
        self.calls.insert(number, (call, behind));
        oldest
    }

    /// The one that came first.
    pub(super) fn pop_oldest(&mut self) -> Option<Unbound> {
        let number = *self.calls.first_key_value()?.0;
        self.remove(number)
    }

    /// The one that came first, if it has waited for `long`.
    pub(super) fn pop_ripe(&mut self, now: Time, long: Duration) -> Option<Unbound> {
        let (_, (oldest, _)) = self.calls.first_key_value()?;
        if now.since(oldest.since) > long { self.pop_oldest() } else { None }
    }

    /// The calls that `unit`, or a copy of it, has made, in the order in which they came.
    pub(super) fn take_of(&mut self, unit: u64) -> Vec<Unbound> {
        let numbers: Vec<u64> =
            self.by_unit.range((unit, 0)..=(unit, u64::MAX)).map(|(_, number)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// The calls behind streams of `pid` that all come before `open`, the first that is open; without one, all behind streams
    /// of `pid`. In the order in which they came.
    pub(super) fn take_before(&mut self, pid: u32, open: Option<u64>) -> Vec<Unbound> {
        let last = open.map_or((pid, u64::MAX, u64::MAX), |open| (pid, open, 0));
        let mut numbers: Vec<u64> =
            self.by_stream.range((pid, 0, 0)..last).map(|(.., number)| *number).collect();
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    fn remove(&mut self, number: u64) -> Option<Unbound> {
        let (call, behind) = self.calls.remove(&number)?;
        for unit in call.units() {
            self.by_unit.remove(&(unit, number));
        }
        if let Some(Behind { pid, stream }) = behind {
            self.by_stream.remove(&(pid, stream, number));
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
            assert!(waiting.push(call(since, unit, ancestors), None).is_none());
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
        let pushed: Vec<_> = (0..WAITING_MAX as u64 + 2)
            .filter_map(|since| waiting.push(call(since, since + 1, [9, 0, 0]), None))
            .collect();
        assert_eq!(times(pushed), [0, 1]);
        assert_eq!((waiting.calls.len(), waiting.by_unit.len()), (WAITING_MAX, 2 * WAITING_MAX - 1));
        let now = Time(3).plus(UNBOUND_FOR).plus(Duration::from_nanos(1));
        assert_eq!(times(std::iter::from_fn(|| waiting.pop_ripe(now, UNBOUND_FOR))), [2, 3]);
        while waiting.pop_oldest().is_some() {}
        assert!(waiting.by_unit.is_empty());
    }

    #[test]
    fn a_call_behind_streams_waits_for_the_last_of_its_own_process() {
        let mut waiting = Waiting::default();
        for (since, pid, stream) in [(1, 7, 21), (2, 7, 20), (3, 8, 22), (4, 7, 23), (5, 7, 21)] {
            let behind = Some(Behind { pid, stream });
            assert!(waiting.push(call(since, 50 + since, [9, 0, 0]), behind).is_none());
        }
        assert_eq!(times(waiting.take_before(7, Some(20))), [0; 0]);
        assert_eq!(times(waiting.take_of(55)), [5], "told by who answered");
        assert_eq!(times(waiting.take_before(7, Some(23))), [1, 2], "as they came");
        assert_eq!(times(waiting.take_before(7, None)), [4]);
        assert_eq!(times(waiting.take_of(9)), [3]);
        assert!(waiting.by_unit.is_empty() && waiting.by_stream.is_empty());
    }
}
