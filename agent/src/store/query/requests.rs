//! `/api/requests`: recent, slow and failed requests.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use apm_core::aggregate::{Cell, LEVELS, Span};
use rusqlite::params;
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use crate::store::id::{first_row, ms, row_micros, seconds, unpack};
use crate::store::reader::Snapshot;
use crate::store::rollup::floors;
use crate::store::series::Kind;
use crate::store::{ReadError, Reader};

/// In which order requests are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Newest first.
    #[default]
    Recent,
    /// Longest first.
    Slow,
    /// Failed ones only, newest first.
    Failed,
}

/// A request in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct RequestRow {
    /// Its id.
    pub request_id: Option<String>,
    /// Its chain's id.
    pub correlation_id: Option<String>,
    /// Its caller's id.
    pub parent_id: Option<String>,
    /// When it ended, Unix seconds.
    pub ts: f64,
    /// Service that served it.
    pub service: String,
    /// Process that served it.
    pub pid: u32,
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// Path as requested, without query string.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// Duration, ms.
    pub duration_ms: f64,
    /// First byte of the request to first byte of the response, ms.
    pub ttfb_ms: Option<f64>,
    /// What went wrong.
    pub error: Option<String>,
    /// Counts as an error.
    pub failed: bool,
    /// Queries it caused.
    pub db_query_count: Option<u64>,
    /// Time in them, ms.
    pub db_total_ms: Option<f64>,
    /// Outgoing calls it caused.
    pub outgoing_count: Option<u64>,
    /// Time in them, ms.
    pub outgoing_total_ms: Option<f64>,
    /// Fingerprint of the statement that it ran ten times or more.
    pub n_plus_one: Option<String>,
}

impl Reader {
    /// Requests of a window (as far as raw rows reach), of the given method and route where these are given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn requests(
        &self,
        scope: &Scope,
        method: Option<&str>,
        route: Option<&str>,
        sort: Sort,
        limit: usize,
    ) -> Result<Vec<RequestRow>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            // No text has a negative number: what was never seen matches nothing.
            let number = |text: Option<&str>| -> rusqlite::Result<Option<i64>> {
                let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
                Ok(Some(snapshot.id_of(text)?.unwrap_or(-1)))
            };
            let (method, route) = (number(method)?, number(route)?);
            let wanted = |key: &[i64; 3]| {
                service.takes(key[0])
                    && method.is_none_or(|m| m == key[1])
                    && route.is_none_or(|r| r == key[2])
            };
            let series: Vec<i64> = snapshot.series(Kind::Route, wanted)?.into_keys().collect();
            let from = first_row(snapshot.start(scope.seconds).max(floors(snapshot.conn)?.raw * 1_000_000));
            let mut rows = match sort {
                Sort::Failed => snapshot.newest_of(series.iter(), true, limit)?,
                Sort::Recent => {
                    let mut rows = snapshot.newest_of(series.iter(), false, limit)?;
                    rows.extend(snapshot.newest_of(series.iter(), true, limit)?);
                    rows.sort_unstable_by(|a, b| b.cmp(a));
                    rows.truncate(limit);
                    rows
                }
                Sort::Slow => snapshot.slowest(&series, scope.seconds, from, limit)?,
            };
            rows.retain(|row| *row >= from);
            rows.into_iter().map(|row| snapshot.request_row(row)).collect::<rusqlite::Result<Vec<_>>>()
        })
    }
}

/// Where slow requests may be: a bucket of a route with its longest duration, or a request.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    longest: u64,
    place: Place,
}

/// Of places with the same duration the greater comes first: rows, then the finest buckets. The other way round a duration
/// that occurs everywhere would have every bucket opened.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Bucket { level: Reverse<usize>, start: i64, series: i64 },
    Row(i64),
}

impl Snapshot<'_> {
    /// The longest requests of some routes. Buckets know their longest request: the search opens the bucket with the
    /// longest one, finds finer buckets or rows in it, and goes on with the longest of all that is known. What is a
    /// row when it comes up is longer than everything not yet opened.
    fn slowest(&self, series: &[i64], seconds: u32, from: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let wanted: std::collections::HashSet<i64> = series.iter().copied().collect();
        let floors = floors(self.conn)?;
        let mut heap = BinaryHeap::new();
        let mut cells = self.conn.prepare_cached(
            "SELECT bucket, series, data FROM cell WHERE level = ?1 AND kind = ?2 AND bucket >= ?3 AND bucket < ?4",
        )?;
        let mut one = self.conn.prepare_cached(
            "SELECT data FROM cell WHERE level = ?1 AND kind = ?2 AND bucket = ?3 AND series = ?4",
        )?;
        let mut raw =
            self.conn.prepare_cached("SELECT id, duration, series FROM event WHERE id >= ?1 AND id < ?2")?;
        let mut raw_of = self.conn.prepare_cached(
            "SELECT id, duration FROM event WHERE series = ?1 AND failed IN (0, 1) AND id >= ?2 AND id < ?3",
        )?;
        for span in self.spans(seconds, 2)? {
            match span {
                Span::Raw { from, to } => {
                    let mut rows = raw.query(params![first_row(from), first_row(to)])?;
                    while let Some(row) = rows.next()? {
                        if wanted.contains(&row.get(2)?) {
                            let longest = row.get::<_, i64>(1)?.cast_unsigned();
                            heap.push(Candidate { longest, place: Place::Row(row.get(0)?) });
                        }
                    }
                }
                Span::Buckets { level, from, to } => {
                    let mut rows = cells.query(params![level, Kind::Route as i64, from, to])?;
                    while let Some(row) = rows.next()? {
                        let series = row.get(1)?;
                        if wanted.contains(&series) {
                            let longest = longest(row.get_ref(2)?.as_blob()?);
                            heap.push(Candidate {
                                longest,
                                place: Place::Bucket { level: Reverse(level), start: row.get(0)?, series },
                            });
                        }
                    }
                }
            }
        }
        let mut found = Vec::new();
        while let Some(Candidate { place, .. }) = heap.pop() {
            match place {
                // In the first seconds after an update from version 4 a bucket and its parts may both have led here.
                Place::Row(row) if found.last() == Some(&row) => {}
                Place::Row(row) if row >= from => {
                    found.push(row);
                    if found.len() >= limit {
                        break;
                    }
                }
                Place::Row(_) => {}
                // Where the finer buckets are gone and the rows are not: each level is kept for a time of its own.
                Place::Bucket { level: Reverse(level), start, series }
                    if level == 0 || floors.levels[level - 1] > start =>
                {
                    let end = start + LEVELS[level];
                    let range = params![series, first_row(start * 1_000_000), first_row(end * 1_000_000)];
                    let mut rows = raw_of.query(range)?;
                    while let Some(row) = rows.next()? {
                        let longest = row.get::<_, i64>(1)?.cast_unsigned();
                        heap.push(Candidate { longest, place: Place::Row(row.get(0)?) });
                    }
                }
                Place::Bucket { level: Reverse(level), start, series } => {
                    let finer = level - 1;
                    for start in (start..start + LEVELS[level]).step_by(LEVELS[finer] as usize) {
                        let mut rows = one.query(params![finer, Kind::Route as i64, start, series])?;
                        if let Some(row) = rows.next()? {
                            let longest = longest(row.get_ref(0)?.as_blob()?);
                            heap.push(Candidate {
                                longest,
                                place: Place::Bucket { level: Reverse(finer), start, series },
                            });
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// A request as listed.
    pub(crate) fn request_row(&self, row: i64) -> rusqlite::Result<RequestRow> {
        self.conn
            .prepare_cached(
                "SELECT e.request_id, e.correlation_id, e.parent_id, sn.text, e.pid, mn.text, rn.text, e.path, e.status,
                    e.duration, e.ttfb, en.text, e.failed, e.db_queries, e.db_time, e.calls, e.call_time, e.n_plus_one
                 FROM event e JOIN series s ON s.id = e.series JOIN name sn ON sn.id = s.a JOIN name mn ON mn.id = s.b
                 JOIN name rn ON rn.id = s.c LEFT JOIN name en ON en.id = e.error WHERE e.id = ?1",
            )?
            .query_row([row], |r| {
                let time = |nanos: Option<i64>| nanos.map(|nanos| ms(nanos as f64));
                let route: String = r.get(6)?;
                Ok(RequestRow {
                    request_id: unpack(r.get_ref(0)?),
                    correlation_id: unpack(r.get_ref(1)?),
                    parent_id: unpack(r.get_ref(2)?),
                    ts: seconds(row_micros(row)),
                    service: r.get(3)?,
                    pid: r.get(4)?,
                    method: r.get(5)?,
                    path: r.get::<_, Option<String>>(7)?.unwrap_or_else(|| route.clone()),
                    route,
                    status: r.get(8)?,
                    duration_ms: ms(r.get::<_, i64>(9)? as f64),
                    ttfb_ms: time(r.get(10)?),
                    error: r.get(11)?,
                    failed: r.get(12)?,
                    db_query_count: r.get(13)?,
                    db_total_ms: time(r.get(14)?),
                    outgoing_count: r.get(15)?,
                    outgoing_total_ms: time(r.get(16)?),
                    n_plus_one: r.get::<_, Option<i64>>(17)?.map(|fingerprint| format!("{fingerprint:016x}")),
                })
            })
    }
}

/// A bucket that cannot be read is as good as none.
fn longest(data: &[u8]) -> u64 {
    Cell::longest_encoded(data).unwrap_or(0)
}
