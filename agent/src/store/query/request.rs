//! `/api/request/{id}`: one request, opened.

use apm_core::executions::Execution;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::errors::json;
use super::requests::RequestRow;
use super::snapshot::{SlowStatement, slow_statements};
use crate::store::executions;
use crate::store::id::{Packed, SLOT, key, micros, ms, row_micros, seconds};
use crate::store::insert::target;
use crate::store::reader::Snapshot;
use crate::store::rollup::floors;

/// Queries and calls listed per request.
const LISTED: usize = 1000;

/// One request with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RequestDetail {
    /// As in a list.
    #[serde(flatten)]
    pub request: RequestRow,
    /// When it began, Unix seconds.
    pub start: f64,
    /// `http/1.0`, `http/1.1`, `h2`
    pub protocol: Option<String>,
    /// The app itself decrypted it.
    pub tls: bool,
    /// The connection became something else with it.
    pub upgraded: bool,
    /// Address of the client.
    pub client: Option<String>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// Host the client asked for.
    pub host: Option<String>,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the response.
    pub response_bytes: u64,
    /// Its slowest statements, where it came with them.
    pub db_slow: Vec<SlowStatement>,
    /// Its exception.
    #[serde(flatten)]
    pub exception: ExceptionRow,
    /// Its queries in the order they began; a thousand at most.
    pub queries: Vec<QueryRow>,
    /// Its outgoing calls in the order they began; a thousand at most. See [`super::Trace`] for how they are served.
    #[serde(skip)]
    pub calls: Vec<CallRow>,
}

/// An exception of a request; all `null` where there was none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ExceptionRow {
    /// Class.
    pub error_type: Option<String>,
    /// Message.
    pub error_message: Option<String>,
    /// Traceback.
    pub error_traceback: Option<String>,
    /// Hash of its code path.
    pub error_fingerprint: Option<String>,
    /// Locals of the raising frame, redacted.
    pub error_locals: Option<serde_json::Value>,
    /// How the exception is known to be what the request failed with. `response`: it was being handled as the failed
    /// response was written; `handler`: it reached the framework's or server's function that answers for the application;
    /// `log`: it was being handled as something was written to standard error. `raised` is a hint only: it left the
    /// application's code, and what has handled it was not seen.
    pub error_link: Option<String>,
}

/// A query of a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct QueryRow {
    /// When it began, Unix seconds.
    pub start: f64,
    /// When it ended, Unix seconds.
    pub ts: f64,
    /// Duration, ms.
    pub duration_ms: f64,
    /// `postgresql`, `mysql`
    pub system: String,
    /// Normalised text.
    pub sql: String,
    /// Hash of the text.
    pub fingerprint: String,
    /// First keyword.
    pub operation: String,
    /// Main table.
    pub table: Option<String>,
    /// Rows.
    pub rows: Option<u64>,
    /// SQLSTATE when it failed.
    pub error_code: Option<String>,
    /// Severity when it failed.
    pub severity: Option<String>,
    /// Why it got no reply.
    pub error: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Address of the server.
    pub server: Option<String>,
    /// State of the transaction after it.
    pub transaction: Option<String>,
    /// BEGIN, COMMIT, ...
    pub is_transaction_control: bool,
    /// How it is known to belong to the request.
    pub link: Option<String>,
    /// Application code that sent it.
    pub call_site: Option<String>,
    /// Through TLS.
    pub tls: bool,
}

/// An outgoing call of a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallRow {
    /// When it began, Unix seconds.
    pub start: f64,
    /// When it ended, Unix seconds.
    pub ts: f64,
    /// Duration, ms.
    pub duration_ms: f64,
    /// HTTP method or command.
    pub method: String,
    /// Host as the app named it.
    pub host: String,
    /// Path without query string.
    pub path: String,
    /// Status; 0 when it failed.
    pub status: u16,
    /// Why it failed.
    pub error: Option<String>,
    /// Counts as an error.
    pub failed: bool,
    /// How it is known to belong to the request.
    pub link: Option<String>,
    /// Application code that made it.
    pub call_site: Option<String>,
    /// Address of the peer.
    pub peer: Option<String>,
    /// Through TLS.
    pub tls: bool,
}

/// Leaves the first [`LISTED`] in order where there are more than `most`: work of one request may send a hundred thousand.
fn cut<T>(rows: &mut Vec<T>, most: usize, start: impl Fn(&T) -> f64) {
    if rows.len() > most {
        rows.sort_by(|a, b| start(a).total_cmp(&start(b)));
        rows.truncate(LISTED);
    }
}

impl Snapshot<'_> {
    /// Rows of `table` whose `column` is `id`.
    pub(crate) fn referred(
        &self,
        target: i64,
        id: &str,
        table: &str,
        column: &str,
    ) -> rusqlite::Result<Vec<i64>> {
        let first = floors(self.conn)?.raw / SLOT;
        let last = micros(self.now) / 1_000_000 / SLOT + 1;
        // One look per slot: the key is the second column of the table's order.
        let mut looks =
            self.conn.prepare_cached("SELECT row FROM ref WHERE slot = ?1 AND key = ?2 AND target = ?3")?;
        let mut is_it =
            self.conn.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1 AND {column} = ?2"))?;
        let key = key(id);
        let mut found = Vec::new();
        let oldest: Option<i64> =
            self.conn.prepare_cached("SELECT min(slot) FROM ref")?.query_row([], |row| row.get(0))?;
        let newest: Option<i64> =
            self.conn.prepare_cached("SELECT max(slot) FROM ref")?.query_row([], |row| row.get(0))?;
        let (Some(oldest), Some(newest)) = (oldest, newest) else { return Ok(found) };
        for slot in (first.max(oldest)..=last.min(newest)).rev() {
            let mut rows = looks.query(params![slot, key, target])?;
            while let Some(row) = rows.next()? {
                let row: i64 = row.get(0)?;
                if is_it.exists(params![row, Packed(id)])? {
                    found.push(row);
                }
            }
        }
        Ok(found)
    }

    /// A request with all that is known of it.
    pub(crate) fn request_detail(&self, row: i64) -> rusqlite::Result<RequestDetail> {
        let request = self.request_row(row)?;
        let (mut queries, mut calls) = (Vec::new(), Vec::new());
        if let Some(id) = &request.request_id {
            // The same id may have passed through several services; a query belongs to the one that sent it.
            for row in self.referred(target::QUERY, id, "executions", "request_id")? {
                executions::read(self.conn, "SELECT data FROM executions WHERE id = ?1", [row], |query| {
                    queries.extend(self.query_row(&query, &request.service)?);
                    cut(&mut queries, 4 * LISTED, |query: &QueryRow| query.start);
                    Ok(())
                })?;
            }
            for call in self.referred(target::CALL, id, "call", "request_id")? {
                calls.extend(self.call_row(call, &request.service)?);
                cut(&mut calls, 4 * LISTED, |call: &CallRow| call.start);
            }
        }
        cut(&mut queries, 0, |query| query.start);
        cut(&mut calls, 0, |call| call.start);
        let exception = self.exception(row)?;
        self.conn
            .prepare_cached(
                "SELECT p.text, e.flags, e.client, u.text, h.text, e.request_bytes, e.response_bytes, e.db_slow
                 FROM event e LEFT JOIN name p ON p.id = e.protocol LEFT JOIN name u ON u.id = e.user_agent
                 LEFT JOIN name h ON h.id = e.host WHERE e.id = ?1",
            )?
            .query_row([row], |r| {
                let flags: i64 = r.get(1)?;
                Ok(RequestDetail {
                    start: request.ts - request.duration_ms / 1e3,
                    protocol: r.get(0)?,
                    tls: flags & 1 != 0,
                    upgraded: flags & 2 != 0,
                    client: r.get(2)?,
                    user_agent: r.get(3)?,
                    host: r.get(4)?,
                    request_bytes: r.get(5)?,
                    response_bytes: r.get(6)?,
                    db_slow: slow_statements(r.get(7)?),
                    exception,
                    queries,
                    calls,
                    request,
                })
            })
    }

    fn exception(&self, event: i64) -> rusqlite::Result<ExceptionRow> {
        let exception = self
            .conn
            .prepare_cached(
                "SELECT t.text, x.message, tb.text, f.text, x.locals, l.text FROM exception x
                 LEFT JOIN name t ON t.id = x.type LEFT JOIN name f ON f.id = x.fingerprint
                 LEFT JOIN traceback tb ON tb.id = x.traceback LEFT JOIN name l ON l.id = x.link WHERE x.event = ?1",
            )?
            .query_row([event], |r| {
                Ok(ExceptionRow {
                    error_type: r.get(0)?,
                    error_message: r.get(1)?,
                    error_traceback: r.get(2)?,
                    error_fingerprint: r.get(3)?,
                    error_locals: json(r.get(4)?),
                    error_link: r.get(5)?,
                })
            })
            .optional()?;
        Ok(exception.unwrap_or_default())
    }

    fn query_row(&self, query: &Execution, service: &str) -> rusqlite::Result<Option<QueryRow>> {
        let name = |id: u64| match id {
            0 => Ok(None),
            id => self.text(id.cast_signed()).map(Some),
        };
        self.conn
            .prepare_cached(
                "SELECT sy.text, st.text, st.fingerprint, op.text, ta.text, st.control
                 FROM series s JOIN name n ON n.id = s.a JOIN statement st ON st.id = s.b
                 JOIN name sy ON sy.id = st.system JOIN name op ON op.id = st.operation
                 LEFT JOIN name ta ON ta.id = st.target WHERE s.id = ?1 AND n.text = ?2",
            )?
            .query_row(params![query.series, service], |r| {
                let (start, duration_ms) = span(query.ended.cast_signed(), query.duration.cast_signed());
                Ok(QueryRow {
                    start,
                    ts: seconds(query.ended.cast_signed()),
                    duration_ms,
                    system: r.get(0)?,
                    sql: r.get(1)?,
                    fingerprint: format!("{:016x}", r.get::<_, i64>(2)?),
                    operation: r.get(3)?,
                    table: r.get(4)?,
                    rows: query.rows,
                    error_code: name(query.error_code)?,
                    severity: name(query.severity)?,
                    error: name(query.error)?,
                    database: name(query.database)?,
                    user: name(query.user)?,
                    server: name(query.server)?,
                    transaction: name(query.transaction)?,
                    is_transaction_control: r.get(5)?,
                    link: name(query.link)?,
                    call_site: name(query.call_site)?,
                    tls: query.tls,
                })
            })
            .optional()
    }

    fn call_row(&self, row: i64, service: &str) -> rusqlite::Result<Option<CallRow>> {
        self.conn
            .prepare_cached(
                "SELECT c.duration, m.text, h.text, c.path, c.status, e.text, c.failed, l.text, cs.text, p.text, c.tls
                 FROM call c JOIN series s ON s.id = c.series JOIN name n ON n.id = s.a JOIN name h ON h.id = s.b
                 JOIN name m ON m.id = c.method LEFT JOIN name e ON e.id = c.error LEFT JOIN name l ON l.id = c.link
                 LEFT JOIN name cs ON cs.id = c.call_site LEFT JOIN name p ON p.id = c.peer
                 WHERE c.id = ?1 AND n.text = ?2",
            )?
            .query_row(params![row, service], |r| {
                let (start, duration_ms) = span(row_micros(row), r.get(0)?);
                Ok(CallRow {
                    start,
                    ts: seconds(row_micros(row)),
                    duration_ms,
                    method: r.get(1)?,
                    host: r.get(2)?,
                    path: r.get(3)?,
                    status: r.get(4)?,
                    error: r.get(5)?,
                    failed: r.get(6)?,
                    link: r.get(7)?,
                    call_site: r.get(8)?,
                    peer: r.get(9)?,
                    tls: r.get(10)?,
                })
            })
            .optional()
    }
}

/// Start (Unix seconds) and duration (ms) of what ended at a microsecond after some nanoseconds.
fn span(ended: i64, nanos: i64) -> (f64, f64) {
    (seconds(ended) - nanos as f64 / 1e9, ms(nanos as f64))
}
