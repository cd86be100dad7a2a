//! Requests that the kernel side gave one number: pipelined ones, of which it sees only the first begin (RFC 9112, 9.3.2).
//! Each gets a number of its own here, in the order in which they came, which is that of their responses. What was done
//! for them is told apart by the units of execution that wrote the responses, and by the order of those where one unit wrote
//! several, or belongs to no request.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{UNBOUND_FOR, Unbound};
use crate::record::Event;
use crate::time::Time;

/// Numbers that are kept.
const GROUPS_MAX: usize = 4_096;
/// Calls that wait for the responses of one number.
const WAITING_MAX: usize = 256;
/// Events that are held of one number: a client may go on for ever.
const HELD_MAX: usize = 64;
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
    /// Answered requests whose calls are not told apart yet.
    held: Vec<Held>,
    /// A call belongs to one of these requests, and nothing tells to which.
    is_doubtful: bool,
}

/// A request that has its answer; what it caused is counted when that is known.
pub(super) struct Held {
    pub(super) request: u64,
    pub(super) end: Time,
    pub(super) event: Event,
}

/// What need not wait any more.
#[derive(Default)]
pub(super) struct Settlement {
    pub(super) calls: Vec<Settled>,
    pub(super) held: Vec<Held>,
    /// Each of the calls, and of those before, is known to belong to one request.
    pub(super) is_counted: bool,
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
    /// Events of such.
    told: Vec<Held>,
}

impl Shared {
    /// Another request begins under a number that one has already, which is `open` while it has no response. Returns the
    /// new one's number.
    pub(super) fn begins(&mut self, number: u64, open: bool, now: Time) -> u64 {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&number) {
            let oldest = self.groups.iter().min_by_key(|(_, group)| group.seen).map(|(number, _)| *number);
            let group = oldest.and_then(|oldest| self.groups.remove(&oldest));
            if let Some(group) = group {
                self.forgotten.extend(group.waiting);
                self.told.extend(group.held);
            }
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

    /// The oldest request of this number has its response, written by `unit` and complete at `end`. Returns the request's own
    /// number; its event is to be held.
    pub(super) fn ends(&mut self, number: u64, unit: u64, end: Time) -> Option<u64> {
        let group = self.groups.get_mut(&number)?;
        group.seen = end;
        let request = group.open.pop_front()?;
        group.answers.push(Answer { unit, request, end });
        Some(request)
    }

    /// Holds the event of an answered request until the last of its number has its answer. Returns what need not wait.
    pub(super) fn hold(&mut self, number: u64, held: Held) -> Settlement {
        let Some(group) = self.groups.get_mut(&number) else {
            return Settlement { held: vec![held], ..Settlement::default() };
        };
        group.held.push(held);
        if !group.open.is_empty() && group.held.len() < HELD_MAX {
            return Settlement::default();
        }
        let is_over = group.open.is_empty();
        let calls = if is_over { std::mem::take(&mut group.waiting) } else { Vec::new() };
        let calls: Vec<Settled> = calls
            .into_iter()
            .map(|call| {
                let request = group.request_of(&call);
                (call, request)
            })
            .collect();
        group.is_doubtful |= calls.iter().any(|(_, request)| request.is_none());
        let is_counted = is_over && !group.is_doubtful;
        Settlement { calls, held: std::mem::take(&mut group.held), is_counted }
    }

    /// A call of a shared number: waits for the responses, or is told apart by them.
    pub(super) fn called(&mut self, number: u64, call: Unbound) -> Option<Settled> {
        let Some(group) = self.groups.get_mut(&number) else { return Some((call, None)) };
        group.seen = call.since;
        if group.open.is_empty() {
            let request = group.request_of(&call);
            return Some((call, request));
        }
        if group.waiting.len() >= WAITING_MAX {
            group.is_doubtful = true;
            return Some((call, None));
        }
        group.waiting.push(call);
        None
    }

    /// Calls and events that have waited long enough; all, without a time.
    pub(super) fn tick(&mut self, now: Option<Time>) -> Settlement {
        let over = |since: Time| now.is_none_or(|now| now.since(since) > UNBOUND_FOR);
        let mut calls = std::mem::take(&mut self.forgotten);
        let mut held = std::mem::take(&mut self.told);
        for group in self.groups.values_mut() {
            let before = calls.len();
            calls.extend(group.waiting.extract_if(.., |call| over(call.since)));
            group.is_doubtful |= calls.len() > before;
            held.extend(group.held.extract_if(.., |held| over(held.end)));
        }
        if let Some(now) = now {
            let is_busy = |group: &Group| !group.waiting.is_empty() || !group.held.is_empty();
            self.groups.retain(|_, group| is_busy(group) || now.since(group.seen) < KEPT);
        }
        Settlement { calls: calls.into_iter().map(|call| (call, None)).collect(), held, is_counted: false }
    }
}
