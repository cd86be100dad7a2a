//! `/api/recent_errors`, `/api/error_groups`

use std::collections::{BTreeSet, HashMap};

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use super::figures::Service;
use crate::store::id::{ms, row_micros, seconds, unpack};
use crate::store::reader::Snapshot;
use crate::store::series::Kind;
use crate::store::{ReadError, Reader};

/// Affected routes listed per group.
const AFFECTED: usize = 10;

/// A failed request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecentError {
    /// When it ended, Unix seconds.
    pub ts: f64,
    /// Service that served it.
    pub service: String,
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// HTTP status.
    pub status: u16,
    /// Duration, ms.
    pub duration_ms: f64,
    /// What went wrong.
    pub error: Option<String>,
    /// The request's id, for `/api/request/{id}`.
    pub request_id: Option<String>,
}

/// Exceptions with the same code path.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErrorGroup {
    /// Hash of the code path.
    pub fingerprint: String,
    /// Exception class.
    pub error_type: Option<String>,
    /// Message of the newest one.
    pub error_message: Option<String>,
    /// How many.
    pub count: u64,
    /// First in the window, Unix seconds.
    pub first_seen: f64,
    /// Last, Unix seconds.
    pub last_seen: f64,
    /// Different routes.
    pub routes_count: usize,
    /// Traceback of the newest one.
    pub sample_traceback: Option<String>,
    /// Service of the newest one.
    pub service: String,
    /// Request of the newest one, for `/api/request/{id}`.
    pub sample_request_id: Option<String>,
    /// Locals of the newest one, redacted.
    pub sample_locals: Option<serde_json::Value>,
    /// How the newest one is known to be what its request failed with: `error_link` of `/api/request/{id}`.
    pub sample_link: Option<String>,
    /// Routes, most affected first; ten at most.
    pub affected_routes: Vec<AffectedRoute>,
}

/// A route in which exceptions of a group occurred.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AffectedRoute {
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// Exceptions.
    pub count: u64,
}

impl Reader {
    /// Failed requests, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn recent_errors(
        &self,
        service: Option<&str>,
        route: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecentError>, ReadError> {
        self.read(|snapshot| {
            let rows = match (snapshot.service(service)?, route.filter(|r| !r.is_empty())) {
                (Service::Any, None) => snapshot.newest_failed(limit)?,
                (service, route) => {
                    let route = match route.map(|route| snapshot.id_of(route)).transpose()? {
                        Some(None) => return Ok(Vec::new()),
                        Some(id) => id,
                        None => None,
                    };
                    let wanted =
                        |key: &[i64; 3]| service.takes(key[0]) && route.is_none_or(|route| key[2] == route);
                    snapshot.newest_of(snapshot.series(Kind::Route, wanted)?.keys(), true, limit)?
                }
            };
            rows.into_iter().map(|row| snapshot.recent_error(row)).collect::<rusqlite::Result<Vec<_>>>()
        })
    }

    /// Exceptions by code path, the most recent first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn error_groups(&self, scope: &Scope, limit: usize) -> Result<Vec<ErrorGroup>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let routes = snapshot.series(Kind::Route, |key| service.takes(key[0]))?;
            let figures =
                snapshot.figures(Kind::Exception, scope.seconds, |key| routes.contains_key(&key[0]))?;
            let mut groups = HashMap::<i64, Vec<(i64, apm_core::aggregate::Cell)>>::new();
            for ([route, fingerprint, _], cell) in figures {
                groups.entry(fingerprint).or_default().push((route, cell));
            }
            let last =
                |parts: &[(i64, apm_core::aggregate::Cell)]| parts.iter().map(|(_, cell)| cell.max).max();
            let mut groups: Vec<_> = groups.into_iter().collect();
            groups.sort_by_key(|(fingerprint, parts)| (std::cmp::Reverse(last(parts)), *fingerprint));
            groups.truncate(limit);
            groups
                .into_iter()
                .map(|(fingerprint, parts)| {
                    let mut affected = HashMap::<(i64, i64), u64>::new();
                    for (route, cell) in &parts {
                        let [_, method, route] = routes[route];
                        *affected.entry((method, route)).or_default() += cell.count;
                    }
                    let routes_count =
                        affected.keys().map(|(_, route)| *route).collect::<BTreeSet<_>>().len();
                    let mut affected: Vec<_> = affected.into_iter().collect();
                    affected.sort_by_key(|(key, count)| (std::cmp::Reverse(*count), *key));
                    affected.truncate(AFFECTED);
                    let newest = snapshot.newest_exception(fingerprint)?;
                    Ok(ErrorGroup {
                        fingerprint: snapshot.text(fingerprint)?,
                        error_type: newest.error_type,
                        error_message: newest.error_message,
                        service: newest.service,
                        sample_request_id: newest.request_id,
                        sample_locals: newest.locals,
                        sample_link: newest.link,
                        count: parts.iter().map(|(_, cell)| cell.count).sum(),
                        first_seen: seconds(
                            parts.iter().map(|(_, c)| c.min).min().unwrap_or(0).cast_signed(),
                        ),
                        last_seen: seconds(last(&parts).unwrap_or(0).cast_signed()),
                        routes_count,
                        sample_traceback: newest.traceback,
                        affected_routes: affected
                            .into_iter()
                            .map(|((method, route), count)| {
                                Ok(AffectedRoute {
                                    method: snapshot.text(method)?,
                                    route: snapshot.text(route)?,
                                    count,
                                })
                            })
                            .collect::<rusqlite::Result<Vec<_>>>()?,
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })
    }
}

/// The newest exception of a group.
#[derive(Default)]
struct Newest {
    error_type: Option<String>,
    error_message: Option<String>,
    traceback: Option<String>,
    locals: Option<serde_json::Value>,
    link: Option<String>,
    service: String,
    request_id: Option<String>,
}

impl Snapshot<'_> {
    fn newest_exception(&self, fingerprint: i64) -> rusqlite::Result<Newest> {
        let newest = self
            .conn
            .prepare_cached(
                "SELECT t.text, g.message, g.traceback, g.locals, s.text, g.request_id, l.text FROM exception_group g
                 JOIN name s ON s.id = g.service LEFT JOIN name t ON t.id = g.type
                 LEFT JOIN name l ON l.id = g.link WHERE g.fingerprint = ?1",
            )?
            .query_row([fingerprint], |row| {
                Ok(Newest {
                    error_type: row.get(0)?,
                    error_message: row.get(1)?,
                    traceback: row.get(2)?,
                    locals: json(row.get(3)?),
                    service: row.get(4)?,
                    request_id: unpack(row.get_ref(5)?),
                    link: row.get(6)?,
                })
            })
            .optional()?;
        Ok(newest.unwrap_or_default())
    }

    /// Rows of failed requests, newest first.
    fn newest_failed(&self, limit: usize) -> rusqlite::Result<Vec<i64>> {
        self.conn
            .prepare_cached(
                "SELECT id FROM event INDEXED BY event_failed WHERE failed = 1 ORDER BY id DESC LIMIT ?1",
            )?
            .query_map([limit], |row| row.get(0))?
            .collect()
    }

    /// Rows of requests of some routes, failed ones or others, newest first.
    pub(crate) fn newest_of<'a>(
        &self,
        series: impl Iterator<Item = &'a i64>,
        failed: bool,
        limit: usize,
    ) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT id FROM event INDEXED BY event_by_series WHERE series = ?1 AND failed = ?2 AND id > ?3
             ORDER BY id DESC LIMIT ?4",
        )?;
        let mut rows = Vec::<i64>::new();
        let mut least = -1;
        for series in series {
            let mut found = statement.query(params![series, failed, least, limit])?;
            while let Some(row) = found.next()? {
                rows.push(row.get(0)?);
            }
            if rows.len() > limit * 2 {
                rows.sort_unstable_by(|a, b| b.cmp(a));
                rows.truncate(limit);
                least = rows.last().copied().unwrap_or(-1);
            }
        }
        rows.sort_unstable_by(|a, b| b.cmp(a));
        rows.truncate(limit);
        Ok(rows)
    }

    fn recent_error(&self, row: i64) -> rusqlite::Result<RecentError> {
        self.conn
            .prepare_cached(
                "SELECT sn.text, mn.text, rn.text, e.status, e.duration, en.text, e.request_id
                 FROM event e JOIN series s ON s.id = e.series JOIN name sn ON sn.id = s.a JOIN name mn ON mn.id = s.b
                 JOIN name rn ON rn.id = s.c LEFT JOIN name en ON en.id = e.error WHERE e.id = ?1",
            )?
            .query_row([row], |r| {
                Ok(RecentError {
                    ts: seconds(row_micros(row)),
                    service: r.get(0)?,
                    method: r.get(1)?,
                    route: r.get(2)?,
                    status: r.get(3)?,
                    duration_ms: ms(r.get::<_, i64>(4)? as f64),
                    error: r.get(5)?,
                    request_id: unpack(r.get_ref(6)?),
                })
            })
    }
}

/// Text that holds JSON, as JSON.
pub(crate) fn json(text: Option<String>) -> Option<serde_json::Value> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}
