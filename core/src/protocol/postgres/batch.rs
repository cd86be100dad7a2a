//! Finished exchanges, held until the ReadyForQuery that tells the transaction state.

use std::sync::Arc;

use crate::exchange::{Detail, Exchange, Outcome, Sql, Transaction};
use crate::time::Time;

use super::frame::Stamp;
use super::messages::Failure;
use super::names::Statement;
use super::queue::Run;

/// Most exchanges held; a longer batch is handed out as it goes, its transaction state unknown.
const MAX_HELD: usize = 256;

/// What came back for a statement so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    pub(super) first: Option<Stamp>,
    /// When the last byte came that was read in its place.
    pub(super) last: Time,
    pub(super) bytes: u64,
    /// DataRow messages.
    pub(super) rows: u64,
}

/// How a statement ended.
pub(super) struct Ended {
    pub(super) at: Time,
    pub(super) outcome: Outcome,
    pub(super) rows: Option<u64>,
    pub(super) failure: Option<Failure>,
    /// PortalSuspended: there are more rows.
    pub(super) suspended: bool,
}

impl Ended {
    /// What was seen of its answer ends here.
    pub(super) fn lost(at: Time) -> Self {
        Self { at, outcome: Outcome::Lost, rows: None, failure: None, suspended: false }
    }
}

/// The session's names and the exchanges that wait.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) database: Option<Arc<str>>,
    pub(super) user: Option<Arc<str>>,
    state: Transaction,
    held: Vec<Exchange>,
}

impl Batch {
    pub(super) fn add(&mut self, statement: &Statement, run: Run, answer: Answer, ended: Ended) {
        let failure = ended.failure.unwrap_or_default();
        let first = answer.first.unwrap_or_default();
        self.held.push(Exchange {
            start: run.began.time,
            first_response: answer.first.map(|first| first.time),
            end: ended.at,
            request_bytes: run.bytes,
            response_bytes: answer.bytes,
            origin: run.began.origin,
            response_origin: first.origin,
            outcome: ended.outcome,
            detail: Detail::Sql(Sql {
                system: "postgresql",
                statement: Arc::clone(statement),
                rows: ended.rows,
                error_code: failure.code,
                severity: failure.severity,
                database: self.database.clone(),
                user: self.user.clone(),
                transaction: Transaction::Unknown,
                is_cursor_round: ended.suspended || moves_cursor(&statement.operation),
            }),
        });
    }

    /// The batch is complete when its ReadyForQuery is: an error that comes after the last statement (a deferred
    /// constraint at the implicit commit) is that statement's.
    pub(super) fn fail_last(&mut self, failure: Failure, at: Time) {
        if let Some(Exchange { outcome: Outcome::Complete, end, detail: Detail::Sql(sql), .. }) =
            self.held.last_mut()
            && sql.error_code.is_none()
        {
            *end = at;
            sql.error_code = failure.code;
            sql.severity = failure.severity;
        }
    }

    /// The answers that were given to these statements may be those of others: so many.
    pub(super) fn forget(&mut self) -> u64 {
        std::mem::take(&mut self.held).len() as u64
    }

    /// [`Self::forget`] where the batch has grown too long to be held.
    pub(super) fn forget_if_long(&mut self) -> u64 {
        if self.held.len() >= MAX_HELD { self.forget() } else { 0 }
    }

    /// Hands out a batch that has grown too long to be held.
    pub(super) fn relieve(&mut self, out: &mut Vec<Exchange>) {
        if self.held.len() >= MAX_HELD {
            self.release(out);
        }
    }

    /// Hands out what is held, transaction state unknown.
    pub(super) fn release(&mut self, out: &mut Vec<Exchange>) {
        out.append(&mut self.held);
        self.held.shrink_to(MAX_HELD);
    }

    /// ReadyForQuery: `state` is the state after the last statement. It is the state after each one too where nothing
    /// in the batch could have changed it.
    pub(super) fn ready(&mut self, state: Transaction, out: &mut Vec<Exchange>) {
        let same = self.state == state
            && !self.held.iter().filter_map(sql).any(|sql| sql.statement.is_transaction_control);
        let before_last = if same { state } else { Transaction::Unknown };
        let last = self.held.len().saturating_sub(1);
        for (index, exchange) in self.held.iter_mut().enumerate() {
            if let Detail::Sql(sql) = &mut exchange.detail {
                sql.transaction = if index == last { state } else { before_last };
            }
        }
        self.state = state;
        self.release(out);
    }
}

/// Is it one of the statements that a client repeats for one cursor?
fn moves_cursor(operation: &str) -> bool {
    matches!(operation, "FETCH" | "MOVE" | "CLOSE")
}

fn sql(exchange: &Exchange) -> Option<&Sql> {
    match &exchange.detail {
        Detail::Sql(sql) => Some(sql),
        Detail::Http(_) | Detail::Command(_) => None,
    }
}
