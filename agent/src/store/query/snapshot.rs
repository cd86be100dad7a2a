//! `/api/route/snapshot`

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::figures::ratio;
use super::outgoing::most;
use super::overview::percentile;
use crate::store::id::ms;
use crate::store::reader::Snapshot;
use crate::store::series::Kind;
use crate::store::{ReadError, Reader};

/// Outcomes listed.
const OUTCOMES: usize = 10;
/// Hosts listed.
const HOSTS: usize = 50;

/// All about one route in a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct RouteSnapshot {
    /// As asked.
    pub service: String,
    /// As asked.
    pub method: String,
    /// As asked.
    pub route: String,
    /// As asked.
    pub window_seconds: u32,
    /// Requests.
    pub total_requests: u64,
    /// Errors.
    pub errors: u64,
    /// Errors per request, 0..1.
    pub error_rate: f64,
    /// Requests per second.
    pub rps: f64,
    /// Average duration, ms.
    pub avg_duration_ms: f64,
    /// Longest, ms.
    pub max_duration_ms: f64,
    /// Shortest, ms.
    pub min_duration_ms: f64,
    /// Median, ms, within 1 %.
    pub p50_ms: f64,
    /// 95th percentile, ms, within 1 %.
    pub p95_ms: f64,
    /// 99th percentile, ms, within 1 %.
    pub p99_ms: f64,
    /// Errors by status and text, most first.
    pub error_breakdown: Vec<Outcome>,
    /// Its queries.
    pub db: DbFigures,
    /// Its outgoing calls by host, most first.
    pub outgoing: Vec<HostCalls>,
}

/// Errors of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Outcome {
    /// HTTP status.
    pub status: i64,
    /// What went wrong.
    pub error: Option<String>,
    /// How many.
    pub count: u64,
}

/// Queries of a route's requests. `null` where no request carried the figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DbFigures {
    /// Queries per request.
    pub avg_queries_per_request: Option<f64>,
    /// Most queries in a request.
    pub max_queries_per_request: Option<u64>,
    /// Time in queries per request, ms.
    pub avg_db_ms: Option<f64>,
    /// Most of it in a request, ms.
    pub max_db_ms: Option<f64>,
    /// The request with the most time in queries, of those whose slowest statements are known.
    pub worst_request: Option<WorstRequest>,
}

/// The request with the most time in queries.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WorstRequest {
    /// Its queries.
    pub queries: Option<u64>,
    /// Time in them, ms.
    pub db_total_ms: Option<f64>,
    /// Its duration, ms.
    pub request_total_ms: f64,
    /// Its slowest statements.
    pub slowest: Vec<SlowStatement>,
    /// Its id, for `/api/request/{id}`.
    pub request_id: Option<String>,
}

/// A statement and its duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SlowStatement {
    /// Normalised text.
    pub sql: String,
    /// Duration, ms.
    pub ms: f64,
}

/// Calls of a route to a host.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HostCalls {
    /// The host.
    pub host: String,
    /// Calls.
    pub calls: u64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
    /// Errors among them.
    pub errors: u64,
}

impl Reader {
    /// All about one route.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn route_snapshot(
        &self,
        service: &str,
        method: &str,
        route: &str,
        seconds: u32,
    ) -> Result<RouteSnapshot, ReadError> {
        self.read(|snapshot| {
            let mut answer = RouteSnapshot {
                service: service.into(),
                method: method.into(),
                route: route.into(),
                window_seconds: seconds,
                ..RouteSnapshot::default()
            };
            let (Some(service), Some(method), Some(route)) =
                (snapshot.id_of(service)?, snapshot.id_of(method)?, snapshot.id_of(route)?)
            else {
                return Ok(answer);
            };
            let key = [service, method, route];
            let series = snapshot.series(Kind::Route, |k| *k == key)?;
            let Some(series) = series.keys().next().copied() else { return Ok(answer) };
            let mut figures = snapshot.figures(Kind::Route, seconds, |k| *k == key)?;
            let Some(cell) = figures.remove(&key).filter(|cell| cell.count > 0) else { return Ok(answer) };
            answer.total_requests = cell.count;
            answer.errors = cell.errors;
            answer.error_rate = cell.error_rate();
            answer.rps = ratio(cell.count as f64, f64::from(seconds));
            answer.avg_duration_ms = ms(cell.mean());
            answer.max_duration_ms = ms(cell.max as f64);
            answer.min_duration_ms = ms(cell.min as f64);
            answer.p50_ms = percentile(&cell, 0.5);
            answer.p95_ms = percentile(&cell, 0.95);
            answer.p99_ms = percentile(&cell, 0.99);
            let outcomes = snapshot.figures(Kind::Outcome, seconds, |k| k[0] == series)?;
            for ([_, status, error], cell) in most(outcomes, OUTCOMES) {
                let error = if error == 0 { None } else { Some(snapshot.text(error)?) };
                answer.error_breakdown.push(Outcome { status, error, count: cell.count });
            }
            answer.db = DbFigures {
                avg_queries_per_request: cell.db_queries.mean(),
                max_queries_per_request: (cell.db_queries.count > 0).then_some(cell.db_queries.max),
                avg_db_ms: cell.db_time.mean().map(ms),
                max_db_ms: (cell.db_time.count > 0).then(|| ms(cell.db_time.max as f64)),
                worst_request: match cell.worst_db {
                    Some((_, row)) => snapshot.worst_request(row)?,
                    None => None,
                },
            };
            let edges = snapshot.figures(Kind::Edge, seconds, |k| k[0] == series)?;
            for ([_, host, _], cell) in most(edges, HOSTS) {
                answer.outgoing.push(HostCalls {
                    host: snapshot.text(host)?,
                    calls: cell.count,
                    avg_ms: ms(cell.mean()),
                    max_ms: ms(cell.max as f64),
                    errors: cell.errors,
                });
            }
            Ok(answer)
        })
    }
}

impl Snapshot<'_> {
    /// `None` when the row is older than the retention.
    fn worst_request(&self, row: i64) -> rusqlite::Result<Option<WorstRequest>> {
        self.conn
            .prepare_cached(
                "SELECT db_queries, db_time, duration, db_slow, request_id FROM event WHERE id = ?1",
            )?
            .query_row([row], |row| {
                Ok(WorstRequest {
                    queries: row.get(0)?,
                    db_total_ms: row.get::<_, Option<i64>>(1)?.map(|nanos| ms(nanos as f64)),
                    request_total_ms: ms(row.get::<_, i64>(2)? as f64),
                    slowest: slow_statements(row.get(3)?),
                    request_id: crate::store::id::unpack(row.get_ref(4)?),
                })
            })
            .optional()
    }
}

/// Column `db_slow` of a request, read.
pub(crate) fn slow_statements(text: Option<String>) -> Vec<SlowStatement> {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
