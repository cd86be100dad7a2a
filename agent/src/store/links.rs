//! Joins calls to the requests that made them, and requests to the requests that caused them, while rows pass by.
//!
//! A caller mostly ends after what it called: calls and called requests wait here for it. Requests that have ended are
//! remembered for what comes after their end (background tasks). Both memories are capped; the oldest goes first, and
//! what went is counted by [`Links::forgotten`] where it had still been waiting.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use apm_core::record::{Call, Event};

/// Requests remembered after their end.
const ENDED: usize = 28_000;

/// Requests that wait for their caller, and calls that do: entries each.
const WAITING: usize = 65_536;

/// Routes whose texts are shared.
const ROUTES: usize = 8192;

/// A route by its texts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RouteKey {
    pub(crate) service: Arc<str>,
    pub(crate) method: Box<str>,
    pub(crate) route: Box<str>,
}

/// A join that was found.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Unix seconds: of the call, or of the earlier of both requests.
    pub(crate) ts: f64,
    /// The route that called.
    pub(crate) caller: Arc<RouteKey>,
    /// What it called.
    pub(crate) callee: Callee,
    pub(crate) failed: bool,
    pub(crate) duration_ms: f64,
}

/// What a route called.
#[derive(Clone, Debug)]
pub(crate) enum Callee {
    /// A host outside.
    Host(Arc<str>),
    /// Another route.
    Route {
        key: Arc<RouteKey>,
        /// The host that was asked for, in the caller's words.
        host: Option<Box<str>>,
    },
}

#[derive(Debug)]
struct Ended {
    id: u64,
    chain: u64,
    ts: f64,
    route: Arc<RouteKey>,
}

#[derive(Debug)]
struct Waiting {
    /// Hash of what the caller must carry beside its id: a chain for requests, a service for calls.
    with: u64,
    ts: f64,
    callee: Callee,
    failed: bool,
    duration_ms: f64,
}

/// The memory of the joins.
#[derive(Debug)]
pub(crate) struct Links {
    hasher: RandomState,
    routes: HashMap<u64, Arc<RouteKey>>,
    ended: Fifo<Ended>,
    requests: Fifo<Waiting>,
    calls: Fifo<Waiting>,
    forgotten: u64,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            routes: HashMap::new(),
            ended: Fifo::new(ENDED),
            requests: Fifo::new(WAITING),
            calls: Fifo::new(WAITING),
            forgotten: 0,
        }
    }
}

impl Links {
    /// Calls and requests that were dropped from the memory before the request they name was seen.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A request has ended: joins what waited for it, and itself to its caller.
    pub(crate) fn event(&mut self, event: &Event, failed: bool, found: &mut Vec<Link>) {
        let (Some(id), chain) = (event.request_id.as_deref(), event.correlation_id.as_deref()) else {
            return;
        };
        let route = self.route(event);
        let chain = chain.map(|chain| self.hash(("chain", chain)));
        let id_hash = self.hash(("id", id));
        let own = self.hash((&*event.service, id));
        for call in self.calls.take(own, |_| true) {
            found.push(call.to(&route, f64::INFINITY));
        }
        if let Some(chain) = chain {
            for child in self.requests.take(id_hash, |waiting| waiting.with == chain) {
                found.push(child.to(&route, event.ts));
            }
        }
        if let (Some(parent), Some(chain)) = (event.parent_id.as_deref(), chain) {
            let parent = self.hash(("id", parent));
            let waiting = Waiting {
                with: chain,
                ts: event.ts,
                callee: Callee::Route {
                    key: Arc::clone(&route),
                    host: event.host.as_deref().map(Into::into),
                },
                failed,
                duration_ms: event.duration_ms,
            };
            match self.ended.find(parent, |ended| ended.chain == chain) {
                Some(ended) => found.push(waiting.to(&ended.route, ended.ts)),
                None => self.forgotten += u64::from(self.requests.push(parent, waiting)),
            }
        }
        let ended = Ended { id: own, chain: chain.unwrap_or(0), ts: event.ts, route };
        self.ended.push(id_hash, ended);
    }

    /// A call has ended: joins it to its request.
    pub(crate) fn call(&mut self, call: &Call, failed: bool, found: &mut Vec<Link>) {
        let Some(id) = call.source_request_id.as_deref() else { return };
        let own = self.hash((&*call.service, id));
        let waiting = Waiting {
            with: own,
            ts: call.ts,
            callee: Callee::Host(call.host.as_str().into()),
            failed,
            duration_ms: call.duration_ms,
        };
        match self.ended.find(self.hash(("id", id)), |ended| ended.id == own) {
            Some(ended) => found.push(waiting.to(&ended.route, f64::INFINITY)),
            None => self.forgotten += u64::from(self.calls.push(own, waiting)),
        }
    }

    fn hash(&self, value: (&str, &str)) -> u64 {
        self.hasher.hash_one(value)
    }

    /// One allocation per route, not per request.
    fn route(&mut self, event: &Event) -> Arc<RouteKey> {
        let hash = self.hasher.hash_one((&*event.service, &event.method, &event.route));
        let is_it = |key: &RouteKey| {
            key.service == event.service && *key.method == *event.method && *key.route == *event.route
        };
        if let Some(known) = self.routes.get(&hash)
            && is_it(known)
        {
            return Arc::clone(known);
        }
        let key = Arc::new(RouteKey {
            service: Arc::clone(&event.service),
            method: event.method.as_str().into(),
            route: event.route.as_str().into(),
        });
        if self.routes.len() >= ROUTES {
            self.routes.clear();
        }
        self.routes.insert(hash, Arc::clone(&key));
        key
    }
}

impl Waiting {
    fn to(self, caller: &Arc<RouteKey>, caller_ts: f64) -> Link {
        Link {
            ts: self.ts.min(caller_ts),
            caller: Arc::clone(caller),
            callee: self.callee,
            failed: self.failed,
            duration_ms: self.duration_ms,
        }
    }
}

/// Values by key, several per key; the oldest go when there are too many. What was taken leaves a hole until it is the oldest.
#[derive(Debug)]
struct Fifo<T> {
    entries: VecDeque<Entry<T>>,
    /// The number of the first entry.
    first: u64,
    /// The number of each key's newest entry.
    newest: HashMap<u64, u64>,
    cap: usize,
}

#[derive(Debug)]
struct Entry<T> {
    key: u64,
    /// The number of the key's entry before this one.
    before: Option<u64>,
    value: Option<T>,
}

impl<T> Fifo<T> {
    fn new(cap: usize) -> Self {
        Self { entries: VecDeque::new(), first: 0, newest: HashMap::new(), cap }
    }

    /// Adds a value; true when an old one had to go for it.
    fn push(&mut self, key: u64, value: T) -> bool {
        let mut lost = false;
        while self.entries.len() >= self.cap || self.entries.front().is_some_and(|e| e.value.is_none()) {
            let Some(oldest) = self.entries.pop_front() else { break };
            if self.newest.get(&oldest.key) == Some(&self.first) {
                self.newest.remove(&oldest.key);
            }
            self.first += 1;
            lost |= oldest.value.is_some();
        }
        let before = self.newest.insert(key, self.first + self.entries.len() as u64);
        self.entries.push_back(Entry { key, before, value: Some(value) });
        lost
    }

    /// Where the entry with a number is, if it is still there.
    fn at(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.first).map(|at| at as usize)
    }

    /// Takes the values under `key` that match, oldest first.
    fn take(&mut self, key: u64, matches: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let mut kept: Option<usize> = None;
        let mut next = self.newest.get(&key).copied();
        while let Some(number) = next
            && let Some(at) = self.at(number)
        {
            next = self.entries[at].before;
            match self.entries[at].value.take_if(|value| matches(value)) {
                Some(value) => taken.push(value),
                // Holes are left out of the key's chain: none is passed twice.
                None => match kept.replace(at) {
                    Some(newer) => self.entries[newer].before = Some(number),
                    None => drop(self.newest.insert(key, number)),
                },
            }
        }
        match kept {
            Some(oldest) => self.entries[oldest].before = None,
            None => drop(self.newest.remove(&key)),
        }
        taken.reverse();
        taken
    }

    /// The newest value under `key` that matches.
    fn find(&self, key: u64, matches: impl Fn(&T) -> bool) -> Option<&T> {
        let mut next = self.newest.get(&key).copied();
        while let Some(at) = next.and_then(|number| self.at(number)) {
            let entry = &self.entries[at];
            match &entry.value {
                Some(value) if matches(value) => return Some(value),
                _ => next = entry.before,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a plain list of keys and values, of which the oldest go.
        #[test]
        fn a_fifo_is_a_list(steps in prop::collection::vec((0..3_u8, 0..4_u64, 0..3_u32), 0..80), cap in 1..9_usize) {
            let mut fifo = Fifo::new(cap);
            // Of those taken a hole stays.
            let mut list: VecDeque<(u64, Option<(usize, u32)>)> = VecDeque::new();
            for (n, (step, key, mark)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        let mut lost = false;
                        while list.len() >= cap || list.front().is_some_and(|(_, value)| value.is_none()) {
                            lost |= list.pop_front().is_some_and(|(_, value)| value.is_some());
                        }
                        list.push_back((key, Some((n, mark))));
                        prop_assert_eq!(fifo.push(key, (n, mark)), lost);
                    }
                    1 => {
                        let mut taken = Vec::new();
                        for (of, value) in &mut list {
                            if *of == key {
                                taken.extend(value.take_if(|value| value.1 == mark));
                            }
                        }
                        prop_assert_eq!(fifo.take(key, |value| value.1 == mark), taken);
                    }
                    _ => {
                        let is_it = |(of, value): &&(u64, Option<(usize, u32)>)| *of == key && value.is_some_and(|v| v.1 == mark);
                        let found = list.iter().rev().find(is_it).and_then(|(_, value)| value.as_ref());
                        prop_assert_eq!(fifo.find(key, |value| value.1 == mark), found);
                    }
                }
                prop_assert!(fifo.newest.len() <= fifo.entries.len() && fifo.entries.len() <= cap);
            }
        }
    }
}
