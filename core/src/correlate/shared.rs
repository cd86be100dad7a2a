//! Requests that the kernel side gave one number: pipelined ones, of which it sees only the first begin (RFC 9112, 9.3.2).
//! Each gets a number of its own here, in the order in which they came, which is that of their responses. What was done
//! for them is told apart by the units of execution that wrote the responses, and by the order of those where one unit wrote
//! several, or belongs to no request.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{UNBOUND_FOR, Unbound};
use crate::time::Time;

/// Numbers that are kept.
const GROUPS_MAX: usize = 4_096;
/// Calls that wait for the responses of one number.
const WAITING_MAX: usize = 256;
/// How long a number is kept after it was last seen.
const KEPT: Duration = Duration::from_secs(120);
/// Numbers given here; those of the kernel side count up from 1.
const OWN: u64 = 1 << 63;

/// A response.
#[derive(Clone, Copy)]
struct Answer {
    /// The unit that wrote it.
    unit: u64,
    request: u64,
    /// When it was complete.
    end: Time,
}

#[derive(Default)]
struct Group {
    seen: Time,
    /// Numbers of the requests that have no response yet, oldest first.
    open: VecDeque<u64>,
    /// Who answered, in the order of the responses.
    answers: Vec<Answer>,
    waiting: Vec<Unbound>,
}

impl Group {
    /// The request whose response was written by the unit that made the call, or by the nearest that it was copied from.
    fn request_of(&self, call: &Unbound) -> Option<u64> {
        let units = [call.unit, call.ancestors[0], call.ancestors[1], call.ancestors[2]];
        let writer =
            units.into_iter().find(|unit| *unit != 0 && self.answers.iter().any(|one| one.unit == *unit))?;
        let answers: Vec<_> = self.answers.iter().filter(|one| one.unit == writer).collect();
        match answers[..] {
            [only] => Some(only.request),
            // It answered several, one after the other, and did its work for each before that one was answered.
            _ if call.unit == writer => {
                answers.iter().find(|one| one.end >= call.start).or(answers.last()).map(|one| one.request)
            }
            // What it has started may go on while it works for the next.
            _ => None,
        }
    }
}

/// A call that need not wait any more, with its request if that is known.
pub(super) type Settled = (Unbound, Option<u64>);

/// All numbers that several requests share.
#[derive(Default)]
pub(super) struct Shared {
    groups: HashMap<u64, Group>,
    given: u64,
    /// Calls whose group had to make room.
    forgotten: Vec<Unbound>,
}

impl Shared {
    /// Another request begins under a number that one has already, which is `open` while it has no response. Returns the
    /// new one's number.
    pub(super) fn begins(&mut self, number: u64, open: bool, now: Time) -> u64 {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&number) {
            let oldest = self.groups.iter().min_by_key(|(_, group)| group.seen).map(|(number, _)| *number);
            let group = oldest.and_then(|oldest| self.groups.remove(&oldest));
            self.forgotten.extend(group.into_iter().flat_map(|group| group.waiting));
        }
        self.given += 1;
        let own = OWN | self.given;
        let group = self.groups.entry(number).or_insert_with(|| Group {
            open: open.then_some(number).into_iter().collect(),
            ..Group::default()
        });
        group.seen = now;
        group.open.push_back(own);
        own
    }

    /// Is this number that of several requests?
    pub(super) fn is(&self, number: u64) -> bool {
        self.groups.contains_key(&number)
    }

    /// The oldest request of this number has its response, written by `unit` and complete `now`. Returns the request's own number, and the
    /// calls that are told apart by that.
    pub(super) fn ends(&mut self, number: u64, unit: u64, now: Time) -> Option<(u64, Vec<Settled>)> {
        let group = self.groups.get_mut(&number)?;
        group.seen = now;
        let request = group.open.pop_front()?;
        group.answers.push(Answer { unit, request, end: now });
        let ready = if group.open.is_empty() { std::mem::take(&mut group.waiting) } else { Vec::new() };
        let settle = |call: Unbound| {
            let request = group.request_of(&call);
            (call, request)
        };
        Some((request, ready.into_iter().map(settle).collect()))
    }

    /// A call of a shared number: waits for the responses, or is told apart by them.
    pub(super) fn called(&mut self, number: u64, call: Unbound) -> Option<Settled> {
        let Some(group) = self.groups.get_mut(&number) else { return Some((call, None)) };
        group.seen = call.since;
        if group.open.is_empty() || group.waiting.len() >= WAITING_MAX {
            let request = if group.open.is_empty() { group.request_of(&call) } else { None };
            return Some((call, request));
        }
        group.waiting.push(call);
        None
    }

    /// Calls that have waited long enough; all, without a time.
    pub(super) fn tick(&mut self, now: Option<Time>) -> Vec<Unbound> {
        let over = |call: &mut Unbound| now.is_none_or(|now| now.since(call.since) > UNBOUND_FOR);
        let mut calls = std::mem::take(&mut self.forgotten);
        for group in self.groups.values_mut() {
            calls.extend(group.waiting.extract_if(.., over));
        }
        if let Some(now) = now {
            self.groups.retain(|_, group| !group.waiting.is_empty() || now.since(group.seen) < KEPT);
        }
        calls
    }
}
