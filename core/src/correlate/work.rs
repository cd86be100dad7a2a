//! What one request caused.

use std::sync::Arc;
use std::time::Duration;

use super::quiet::Ids;
use crate::exchange::Correlation;
use crate::record::{Event, Query, Record, SlowSql};
use crate::sql::Normalised;
use crate::time::Time;

/// How long a request is remembered after its end, and after what it left running was last seen at work: that still
/// belongs to it.
pub(super) const REMEMBERED: Duration = Duration::from_secs(120);
/// How long one is believed to be open while nothing is done for it: its answer may be among what was lost.
const OPEN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Statements of one fingerprint in one request that make it an N+1.
const N_PLUS_ONE: u32 = 10;
/// Fingerprints counted in one request.
const FINGERPRINTS_MAX: usize = 256;
/// Statements shown as slow.
const SLOW_MAX: usize = 3;
/// Characters kept of each.
const SLOW_SQL_MAX: usize = 400;

/// A request. Tens of thousands that have ended are remembered, so what is only needed until then stands apart.
#[derive(Debug, Default)]
pub(super) struct Work {
    id: Arc<str>,
    correlation_id: Option<Arc<str>>,
    /// `None`: it has ended.
    open: Option<Box<Open>>,
    /// When it began, when its response was complete, or when it was seen at work after that.
    last: Time,
    /// It was seen at work since it ended, or since that was last asked.
    works_on: bool,
    /// It was seen at work after its end, or is the kind that will be (a WebSocket).
    lasts: bool,
}

/// What is known to have been done for a request so far.
#[derive(Debug, Default)]
struct Open {
    parent_id: Option<Arc<str>>,
    named: bool,
    queries: u32,
    query_ms: f64,
    /// The slowest, slowest first, with their durations.
    slow: Vec<(Arc<Normalised>, f64)>,
    /// How often each fingerprint ran.
    fingerprints: Vec<(u64, u32)>,
    calls: u32,
    call_ms: f64,
}

impl Work {
    /// A request that has no id yet but `made_id`.
    pub(super) fn new(made_id: String, now: Time) -> Self {
        Self { id: made_id.into(), open: Some(Box::default()), last: now, ..Self::default() }
    }

    /// One that has ended long ago and is heard of again.
    pub(super) fn ended((id, correlation_id): Ids, now: Time) -> Self {
        Self { id, correlation_id, last: now, lasts: true, ..Self::default() }
    }

    /// Its ids, where it may be heard of again.
    pub(super) fn lasting(self) -> Option<Ids> {
        self.lasts.then_some((self.id, self.correlation_id))
    }

    /// Its connection is its own from now on, which may be quiet for long.
    pub(super) fn goes_on(&mut self) {
        self.lasts = true;
    }

    /// Its response is not complete.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Is it to be remembered on? Where there `are_many`, of those that have ended only one that was seen at work since this
    /// was last asked. One whose head nobody has read may have ended long ago, or never be told of.
    pub(super) fn is_wanted(&mut self, now: Time, are_many: bool) -> bool {
        let works_on = std::mem::take(&mut self.works_on);
        let silent = now.since(self.last);
        match &self.open {
            Some(open) if open.named => silent <= OPEN_FOR,
            _ if are_many => works_on,
            _ => silent <= REMEMBERED,
        }
    }

    /// The request's head has been read: the ids it came with replace those made for it. An id that another request has,
    /// as `claim` tells, stands for the chain of both.
    pub(super) fn name(&mut self, headers: &Correlation, claim: impl FnOnce(&str) -> bool) {
        let Some(open) = self.open.as_mut().filter(|open| !open.named) else { return };
        open.named = true;
        let mut chain = headers.correlation_id.as_deref();
        if let Some(id) = headers.request_id.as_deref() {
            if claim(id) {
                self.id = id.into();
            } else {
                chain = chain.or(Some(id));
            }
        }
        self.correlation_id = chain.map(Arc::from);
        open.parent_id = headers.parent_id.as_deref().map(Arc::from);
    }

    /// Gives an event that nothing was linked to its ids.
    pub(super) fn identify(self, event: &mut Event) {
        let (id, chain) = self.ids();
        (event.request_id, event.correlation_id) = (Some(id), Some(chain));
        event.parent_id = self.open.and_then(|open| open.parent_id);
    }

    /// Has its head been read?
    pub(super) fn is_named(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.named)
    }

    /// Its id, and that of its chain.
    pub(super) fn ids(&self) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.id), Arc::clone(self.correlation_id.as_ref().unwrap_or(&self.id)))
    }

    /// A call of the request `id` in the chain `chain` made this one. True unless the headers say so already, or it is
    /// too late to tell.
    pub(super) fn caused_by(&mut self, id: Arc<str>, chain: Arc<str>) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.parent_id.is_none()) else { return false };
        open.parent_id = Some(id);
        self.correlation_id.get_or_insert(chain);
        true
    }

    /// Links `record` to this request, and counts it unless the request has ended.
    pub(super) fn add(&mut self, record: &mut Record, link: &'static str, time: Time) {
        self.last = self.last.max(time);
        self.works_on = true;
        self.lasts |= self.open.is_none();
        let (id, chain) = self.ids();
        match record {
            Record::Query(query) => {
                query.source_request_id = Some(id);
                query.link = Some(link);
                if let Some(open) = &mut self.open {
                    open.count_query(query);
                }
            }
            Record::Call(call) => {
                call.source_request_id = Some(id);
                call.correlation_id = Some(chain);
                call.link = Some(link);
                if let Some(open) = &mut self.open {
                    open.calls += 1;
                    open.call_ms += call.duration_ms;
                }
            }
            Record::Event(_) | Record::Sample(_) => {}
        }
    }

    /// The response was complete at `end`: writes what is known into the request's event.
    pub(super) fn end(&mut self, end: Time, event: &mut Event) {
        self.last = end;
        self.works_on = false;
        let (id, chain) = self.ids();
        (event.request_id, event.correlation_id) = (Some(id), Some(chain));
        let Some(open) = self.open.take() else { return };
        event.n_plus_one = open.n_plus_one();
        event.parent_id = open.parent_id;
        event.db_query_count = Some(open.queries);
        event.db_total_ms = Some(open.query_ms);
        event.db_slow = open.slow.iter().map(|(statement, ms)| slow(statement, *ms)).collect();
        event.outgoing_count = Some(open.calls);
        event.outgoing_total_ms = Some(open.call_ms);
    }

    /// The same for one of several requests that share a number, where something that was done for them is not told apart.
    pub(super) fn end_uncounted(&mut self, end: Time, event: &mut Event) {
        self.end(end, event);
        (event.db_query_count, event.db_total_ms, event.n_plus_one) = (None, None, None);
        (event.outgoing_count, event.outgoing_total_ms) = (None, None);
        event.db_slow.clear();
    }
}

impl Open {
    fn count_query(&mut self, query: &Query) {
        self.queries += 1;
        self.query_ms += query.duration_ms;
        if !query.statement.is_transaction_control && !query.is_cursor_round {
            let fingerprint = query.statement.fingerprint;
            if let Some((_, n)) = self.fingerprints.iter_mut().find(|(known, _)| *known == fingerprint) {
                *n += 1;
            } else if self.fingerprints.len() < FINGERPRINTS_MAX {
                self.fingerprints.push((fingerprint, 1));
            }
        }
        let at = self.slow.partition_point(|(_, ms)| *ms >= query.duration_ms);
        if at < SLOW_MAX {
            self.slow.truncate(SLOW_MAX - 1);
            self.slow.insert(at, (Arc::clone(&query.statement), query.duration_ms));
        }
    }

    fn n_plus_one(&self) -> Option<u64> {
        self.fingerprints
            .iter()
            .filter(|(_, n)| *n >= N_PLUS_ONE)
            .max_by_key(|(fingerprint, n)| (*n, *fingerprint))
            .map(|(fingerprint, _)| *fingerprint)
    }
}

fn slow(statement: &Normalised, ms: f64) -> SlowSql {
    let text = &statement.text;
    let end = text.char_indices().nth(SLOW_SQL_MAX).map_or(text.len(), |(at, _)| at);
    SlowSql { sql: text[..end].to_owned(), ms }
}
