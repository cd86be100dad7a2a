//! Records to rows.

use apm_core::record::{Call, Event, ProcessSample, Query, Record};
use rusqlite::{CachedStatement, Connection, ErrorCode, params};
use serde::Serialize;

use super::dictionary::{Dictionary, cut};
use super::executions;
use super::id::{Packed, RowIds, SLOT, hash, key, micros, nanos, row_micros};
use super::links::{Callee, Link, RouteKey};
use super::series::Kind;

/// Longest traceback, in bytes of UTF-8; the pipeline cuts at 16,000 characters before.
const MAX_TRACEBACK: usize = 64_000;
/// Longest message and locals, bytes.
const MAX_MESSAGE: usize = 8192;
/// Longest path, bytes.
const MAX_PATH: usize = 4096;
/// Longest id, bytes.
const MAX_ID: usize = 256;

/// Kinds of rows in table `ref`.
pub(crate) mod target {
    pub(crate) const EVENT: i64 = 1;
    pub(crate) const CALL: i64 = 2;
    pub(crate) const QUERY: i64 = 3;
}

/// A row of `ref`.
pub(crate) type Reference = (i64, i64, i64, i64);

pub(crate) const INSERT_REF: &str =
    "INSERT OR IGNORE INTO ref (slot, key, target, row) VALUES (?1, ?2, ?3, ?4)";

/// Says that the row `row` of a table, which is [`target`], carries `id`.
pub(crate) fn reference(target: i64, row: i64, id: &str) -> Reference {
    (row_micros(row) / 1_000_000 / SLOT, key(cut(id, MAX_ID)), target, row)
}

/// Tables whose rows are rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    Event,
    Call,
    Query,
    Link,
}

/// What the writer works on beside records.
#[derive(Debug)]
pub(crate) enum Item {
    Record(Record),
    Link(Link),
}

/// Is the event an error? `status >= 500` or with an error.
pub(crate) fn event_failed(event: &Event) -> bool {
    event.status >= 500 || event.error.is_some()
}

/// Is the call an error? `status >= 400` or a failed call.
pub(crate) fn call_failed(call: &Call) -> bool {
    call.status >= 400 || call.error.is_some()
}

/// Is the query an error? It has an error code, or got no reply.
pub(crate) fn query_failed(query: &Query) -> bool {
    query.error_code.is_some() || query.error.is_some()
}

/// Inserts rows in one transaction.
pub(crate) struct Inserter<'a> {
    conn: &'a Connection,
    names: &'a mut Dictionary,
    ids: &'a mut [RowIds; 4],
    /// For the end.
    queries: executions::Batch<'a>,
    /// Rows of `ref`, for the end.
    refs: Vec<Reference>,
    event: CachedStatement<'a>,
    call: CachedStatement<'a>,
    link: CachedStatement<'a>,
}

impl<'a> Inserter<'a> {
    /// Prepares the statements: to look each up for every row would take a tenth of the time.
    pub(crate) fn new(
        conn: &'a Connection,
        names: &'a mut Dictionary,
        ids: &'a mut [RowIds; 4],
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            names,
            ids,
            queries: executions::Batch::default(),
            refs: Vec::new(),
            event: conn.prepare_cached(
                "INSERT INTO event (id, series, failed, status, duration, pid, path, error, request_id,
                    correlation_id, parent_id, ttfb, db_queries, db_time, calls, call_time, request_bytes,
                    response_bytes, flags, protocol, client, user_agent, host, n_plus_one, db_slow)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                    ?21, ?22, ?23, ?24, ?25)",
            )?,
            call: conn.prepare_cached(
                "INSERT INTO call (id, series, failed, status, duration, pid, method, path, error, request_id,
                    correlation_id, link, call_site, peer, tls)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?,
            link: conn
                .prepare_cached("INSERT INTO link (id, series, failed, duration) VALUES (?1, ?2, ?3, ?4)")?,
        })
    }

    /// Inserts what was kept for the end: in the order of their table, neighbours find the page of the one before.
    /// Returns the rows that are rolled up.
    pub(crate) fn finish(mut self) -> rusqlite::Result<Vec<(Table, i64)>> {
        let mut rows = Vec::new();
        for (request, mut executions) in std::mem::take(&mut self.queries).into_rows() {
            let ids = &mut self.ids[Table::Query as usize];
            let id = executions::insert(self.conn, ids, request, &mut executions)?;
            self.refer(target::QUERY, id, request);
            rows.push((Table::Query, id));
        }
        self.refs.sort_unstable();
        let mut insert = self.conn.prepare_cached(INSERT_REF)?;
        for one in self.refs {
            insert.execute(one)?;
        }
        Ok(rows)
    }

    /// Inserts one item, or keeps it for the end. Returns its table and row where it is one that is rolled up.
    pub(crate) fn insert(&mut self, item: &'a Item) -> rusqlite::Result<Option<(Table, i64)>> {
        Ok(match item {
            Item::Record(Record::Event(event)) => Some((Table::Event, self.event(event)?)),
            Item::Record(Record::Call(call)) => Some((Table::Call, self.call(call)?)),
            Item::Record(Record::Query(query)) => {
                self.queries.add(self.conn, self.names, query)?;
                None
            }
            Item::Record(Record::Sample(sample)) => {
                self.sample(sample)?;
                None
            }
            Item::Link(link) => Some((Table::Link, self.link(link)?)),
        })
    }

    fn event(&mut self, event: &Event) -> rusqlite::Result<i64> {
        let conn = self.conn;
        let series = self.names.route(conn, &event.service, &event.method, &event.route)?;
        let failed = event_failed(event);
        let error = self.names.optional(conn, event.error.as_deref())?;
        let protocol = self.names.optional(conn, event.protocol)?;
        let user_agent = self.names.client_text(conn, event.user_agent.as_deref())?;
        let host = self.names.client_text(conn, event.host.as_deref())?;
        let path = (event.path != event.route).then(|| cut(&event.path, MAX_PATH));
        let slow = slow_statements(event);
        let flags = i64::from(event.tls) | i64::from(event.upgraded) << 1;
        let id = row(&mut self.ids[Table::Event as usize], micros(event.ts), |row| {
            self.event.execute(params![
                row,
                series,
                failed,
                event.status,
                nanos(event.duration_ms),
                event.pid,
                path,
                error,
                packed(event.request_id.as_deref()),
                packed(event.correlation_id.as_deref()),
                packed(event.parent_id.as_deref()),
                event.ttfb_ms.map(nanos),
                event.db_query_count,
                event.db_total_ms.map(nanos),
                event.outgoing_count,
                event.outgoing_total_ms.map(nanos),
                clamp(event.request_bytes),
                clamp(event.response_bytes),
                flags,
                protocol,
                event.client,
                user_agent,
                host,
                event.n_plus_one.map(u64::cast_signed),
                slow,
            ])
        })?;
        let (own, chain, parent) = (&event.request_id, &event.correlation_id, &event.parent_id);
        self.refer(target::EVENT, id, own.as_deref());
        if chain != own {
            self.refer(target::EVENT, id, chain.as_deref());
        }
        if parent != own && parent != chain {
            self.refer(target::EVENT, id, parent.as_deref());
        }
        if event.error_fingerprint.is_some() || event.error_type.is_some() || event.error_traceback.is_some()
        {
            self.exception(id, series, event)?;
        }
        Ok(id)
    }

    fn exception(&mut self, row: i64, series: i64, event: &Event) -> rusqlite::Result<()> {
        let conn = self.conn;
        let fingerprint = self.names.optional(conn, event.error_fingerprint.as_deref())?;
        let kind = self.names.optional(conn, event.error_type.as_deref())?;
        let message = event.error_message.as_deref().map(|text| cut(text, MAX_MESSAGE));
        // Cut JSON is none: too much of it is left out whole.
        let locals = event.error_locals.as_deref().filter(|text| text.len() <= MAX_MESSAGE);
        let link = self.names.optional(conn, event.error_link)?;
        let text = event.error_traceback.as_deref().map(|text| cut(text, MAX_TRACEBACK));
        let traceback = text.map(|text| self.traceback(text, row_micros(row))).transpose()?;
        conn.prepare_cached(
            "INSERT INTO exception (event, series, fingerprint, type, message, traceback, locals, link)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![row, series, fingerprint, kind, message, traceback, locals, link])?;
        if let Some(fingerprint) = fingerprint {
            conn.prepare_cached(
                "INSERT INTO exception_group
                    (fingerprint, type, message, traceback, seen, locals, service, request_id, link)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (fingerprint) DO UPDATE SET type = excluded.type, message = excluded.message,
                    traceback = excluded.traceback, seen = excluded.seen, locals = excluded.locals,
                    service = excluded.service, request_id = excluded.request_id, link = excluded.link
                 WHERE excluded.seen >= seen",
            )?
            .execute(params![
                fingerprint,
                kind,
                message,
                text,
                row_micros(row),
                locals,
                self.names.name(conn, &event.service)?,
                packed(event.request_id.as_deref()),
                link,
            ])?;
        }
        Ok(())
    }

    /// One row per text: an exception raised a thousand times is stored once.
    fn traceback(&mut self, text: &str, at: i64) -> rusqlite::Result<i64> {
        let conn = self.conn;
        let hash = hash(text.as_bytes()).cast_signed();
        let hour = at / 1_000_000 / 3600;
        let mut known = conn.prepare_cached("SELECT id, text = ?2, hour FROM traceback WHERE hash = ?1")?;
        let mut rows = known.query(params![hash, text])?;
        while let Some(row) = rows.next()? {
            if row.get(1)? {
                let id = row.get(0)?;
                if row.get::<_, i64>(2)? < hour {
                    conn.execute("UPDATE traceback SET hour = ?2 WHERE id = ?1", params![id, hour])?;
                }
                return Ok(id);
            }
        }
        conn.prepare_cached("INSERT INTO traceback (hash, hour, text) VALUES (?1, ?2, ?3)")?
            .insert(params![hash, hour, text])
    }

    fn call(&mut self, call: &Call) -> rusqlite::Result<i64> {
        let conn = self.conn;
        let key = [self.names.name(conn, &call.service)?, self.names.name(conn, &call.host)?, 0];
        let series = self.names.series(conn, Kind::Host, key)?;
        let method = self.names.name(conn, &call.method)?;
        let error = self.names.optional(conn, call.error.as_deref())?;
        let link = self.names.optional(conn, call.link)?;
        let call_site = self.names.optional(conn, call.call_site.as_deref())?;
        let peer = self.names.optional(conn, call.peer.as_deref())?;
        let id = row(&mut self.ids[Table::Call as usize], micros(call.ts), |row| {
            self.call.execute(params![
                row,
                series,
                call_failed(call),
                call.status,
                nanos(call.duration_ms),
                call.pid,
                method,
                cut(&call.path, MAX_PATH),
                error,
                packed(call.source_request_id.as_deref()),
                packed(call.correlation_id.as_deref()),
                link,
                call_site,
                peer,
                call.tls,
            ])
        })?;
        self.refer(target::CALL, id, call.source_request_id.as_deref());
        Ok(id)
    }

    fn link(&mut self, link: &Link) -> rusqlite::Result<i64> {
        let conn = self.conn;
        let mut route = |key: &RouteKey| self.names.route(conn, &key.service, &key.method, &key.route);
        let caller = route(&link.caller)?;
        let series = match &link.callee {
            Callee::Route { key, host } => {
                let callee = route(key)?;
                self.names.chain(conn, caller, callee, host.as_deref())?
            }
            Callee::Host(host) => {
                let host = self.names.name(conn, host)?;
                self.names.series(conn, Kind::Edge, [caller, host, 0])?
            }
        };
        row(&mut self.ids[Table::Link as usize], micros(link.ts), |row| {
            self.link.execute(params![row, series, link.failed, nanos(link.duration_ms)])
        })
    }

    fn sample(&mut self, sample: &ProcessSample) -> rusqlite::Result<()> {
        let service = self.names.name(self.conn, &sample.service)?;
        let host = self.names.optional(self.conn, sample.host.as_deref())?.unwrap_or(0);
        self.conn
            .prepare_cached(
                "INSERT INTO process (service, host, pid, seen, cpu_pct, mem_mb, in_flight)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (service, host, pid) DO UPDATE SET seen = excluded.seen, cpu_pct = excluded.cpu_pct,
                    mem_mb = excluded.mem_mb, in_flight = excluded.in_flight",
            )?
            .execute(params![
                service,
                host,
                sample.pid,
                micros(sample.ts),
                sample.cpu_pct,
                sample.mem_mb,
                sample.in_flight
            ])?;
        Ok(())
    }

    fn refer(&mut self, target: i64, row: i64, id: Option<&str>) {
        if let Some(id) = id {
            self.refs.push(reference(target, row, id));
        }
    }
}

/// Inserts a row under a free id of its time, microseconds.
pub(crate) fn row(
    ids: &mut RowIds,
    at: i64,
    mut insert: impl FnMut(i64) -> rusqlite::Result<usize>,
) -> rusqlite::Result<i64> {
    let mut id = ids.next(at);
    loop {
        match insert(id) {
            Ok(_) => return Ok(id),
            Err(error) => {
                let is_taken = matches!(&error, rusqlite::Error::SqliteFailure(error, _)
                    if error.code == ErrorCode::ConstraintViolation
                        && error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY);
                id = ids.after(id).filter(|_| is_taken).ok_or(error)?;
            }
        }
    }
}

pub(crate) fn packed(id: Option<&str>) -> Option<Packed<'_>> {
    id.map(|id| Packed(cut(id, MAX_ID)))
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A slow statement as it is stored.
#[derive(Serialize)]
struct Slow<'a> {
    sql: &'a str,
    ms: f64,
}

/// The slowest statements as JSON; `None` where there are none.
fn slow_statements(event: &Event) -> Option<String> {
    if event.db_slow.is_empty() {
        return None;
    }
    let slow: Vec<_> = event.db_slow.iter().map(|s| Slow { sql: &s.sql, ms: s.ms }).collect();
    serde_json::to_string(&slow).ok()
}
