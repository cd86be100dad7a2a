//! What one request caused.

use std::collections::HashMap;

use crate::exchange::Correlation;
use crate::record::{Event, Query, Record, SlowSql};
use crate::time::Time;

/// Statements of one fingerprint in one request that make it an N+1.
const N_PLUS_ONE: u32 = 10;
/// Fingerprints counted in one request.
const FINGERPRINTS_MAX: usize = 256;
/// Statements shown as slow.
const SLOW_MAX: usize = 3;
/// Characters kept of each.
const SLOW_SQL_MAX: usize = 400;

/// A request and what is known to have been done for it.
#[derive(Debug, Default)]
pub(super) struct Work {
    id: String,
    correlation_id: Option<String>,
    parent_id: Option<String>,
    named: bool,
    queries: u32,
    query_ms: f64,
    slow: Vec<SlowSql>,
    fingerprints: HashMap<u64, u32>,
    calls: u32,
    call_ms: f64,
    /// When its response was complete.
    pub(super) ended: Option<Time>,
}

impl Work {
    /// A request that has no id yet but `made_id`.
    pub(super) fn new(made_id: String) -> Self {
        Self { id: made_id, ..Self::default() }
    }

    /// The request's head has been read: the ids it came with replace those made for it.
    pub(super) fn name(&mut self, headers: &Correlation) {
        if self.named {
            return;
        }
        self.named = true;
        if let Some(id) = &headers.request_id {
            self.id.clone_from(id);
        }
        self.correlation_id.clone_from(&headers.correlation_id);
        self.parent_id.clone_from(&headers.parent_id);
    }

    /// Its id, and that of its chain.
    pub(super) fn ids(&self) -> (String, String) {
        (self.id.clone(), self.correlation_id.as_ref().unwrap_or(&self.id).clone())
    }

    /// A call of the request `id` in the chain `chain` made this one. True unless the headers say so already.
    pub(super) fn caused_by(&mut self, id: String, chain: String) -> bool {
        if self.parent_id.is_some() {
            return false;
        }
        self.parent_id = Some(id);
        self.correlation_id.get_or_insert(chain);
        true
    }

    /// Links `record` to this request and counts it.
    pub(super) fn add(&mut self, record: &mut Record, link: &'static str) {
        match record {
            Record::Query(query) => {
                query.source_request_id = Some(self.id.clone());
                query.link = Some(link);
                self.count_query(query);
            }
            Record::Call(call) => {
                call.source_request_id = Some(self.id.clone());
                call.correlation_id = Some(self.correlation_id.as_ref().unwrap_or(&self.id).clone());
                call.link = Some(link);
                self.calls += 1;
                self.call_ms += call.duration_ms;
            }
            Record::Event(_) | Record::Sample(_) => {}
        }
    }

    fn count_query(&mut self, query: &Query) {
        self.queries += 1;
        self.query_ms += query.duration_ms;
        if !query.is_transaction_control
            && (self.fingerprints.len() < FINGERPRINTS_MAX
                || self.fingerprints.contains_key(&query.fingerprint))
        {
            *self.fingerprints.entry(query.fingerprint).or_insert(0) += 1;
        }
        let at = self.slow.partition_point(|s| s.ms >= query.duration_ms);
        if at < SLOW_MAX {
            let sql = query.sql.chars().take(SLOW_SQL_MAX).collect();
            self.slow.insert(at, SlowSql { sql, ms: query.duration_ms });
            self.slow.truncate(SLOW_MAX);
        }
    }

    /// Writes what is known into the request's event.
    pub(super) fn describe(&self, event: &mut Event) {
        event.request_id = Some(self.id.clone());
        event.correlation_id = Some(self.correlation_id.as_ref().unwrap_or(&self.id).clone());
        event.parent_id.clone_from(&self.parent_id);
        event.db_query_count = Some(self.queries);
        event.db_total_ms = Some(self.query_ms);
        event.db_slow.clone_from(&self.slow);
        event.outgoing_count = Some(self.calls);
        event.outgoing_total_ms = Some(self.call_ms);
        event.n_plus_one = self
            .fingerprints
            .iter()
            .filter(|(_, n)| **n >= N_PLUS_ONE)
            .max_by_key(|(fingerprint, n)| (**n, **fingerprint))
            .map(|(fingerprint, _)| *fingerprint);
    }
}
