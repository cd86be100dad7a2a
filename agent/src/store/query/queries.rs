//! `/api/queries`

use std::collections::HashMap;

use apm_core::aggregate::Cell;
use rusqlite::OptionalExtension;
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use super::figures::ratio;
use super::overview::percentile;
use crate::store::id::{ms, unpack};
use crate::store::series::Kind;
use crate::store::{ReadError, Reader};

/// Call sites told of each statement.
const SITES_MAX: usize = 3;

/// Executions of a statement.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct QueryFigures {
    /// Hash of the normalised text, sixteen hexadecimal digits.
    pub fingerprint: String,
    /// `postgresql`, `mysql`
    pub system: String,
    /// Normalised text.
    pub sql: String,
    /// First keyword, upper case.
    pub operation: String,
    /// Main table.
    pub table: Option<String>,
    /// BEGIN, COMMIT, ...
    pub is_transaction_control: bool,
    /// Services that sent it, by name.
    pub services: Vec<String>,
    /// Executions.
    pub calls: u64,
    /// The same; the word the page uses.
    pub count: u64,
    /// Failed ones.
    pub errors: u64,
    /// Failures by SQLSTATE (or text, when no reply came), most first.
    pub errors_by_code: Vec<SqlErrors>,
    /// Rows returned or changed.
    pub rows: u64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Median, ms, within 1 %.
    pub p50_ms: f64,
    /// 95th percentile, ms, within 1 %.
    pub p95_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
    /// All together, ms.
    pub total_ms: f64,
    /// The application's code that sent it, where that is known: the most frequent places, at most three.
    pub call_sites: Vec<CallSite>,
    /// Share of the time of all queries in the window, 0..1.
    pub share: f64,
}

/// Code that sent a statement.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallSite {
    /// `file:line function`
    pub site: String,
    /// Executions that it sent.
    pub count: u64,
}

/// Failures of a statement with one code.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SqlErrors {
    /// SQLSTATE, or what went wrong when no reply came.
    pub code: String,
    /// How many.
    pub count: u64,
}

/// Requests of a route that ran one statement ten times or more.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NPlusOne {
    /// Service of the route.
    pub service: String,
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// Hash of the statement.
    pub fingerprint: String,
    /// Its normalised text; empty where the statement itself was not seen.
    pub sql: String,
    /// Such requests.
    pub requests: u64,
    /// Their time in the database, average, ms.
    pub avg_ms: f64,
    /// All of it, ms.
    pub total_ms: f64,
    /// The one with the most of it, for `/api/request/{id}`.
    pub sample_request_id: Option<String>,
}

impl Reader {
    /// Routes that run one statement again and again, those that took the most time first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn n_plus_one(&self, scope: &Scope, limit: usize) -> Result<Vec<NPlusOne>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let routes = snapshot.series(Kind::Route, |key| service.takes(key[0]))?;
            let figures =
                snapshot.figures(Kind::Repeat, scope.seconds, |key| routes.contains_key(&key[0]))?;
            let mut figures: Vec<_> = figures.into_iter().collect();
            figures.sort_by_key(|(key, cell)| (std::cmp::Reverse(cell.sum), *key));
            figures.truncate(limit);
            let mut text =
                snapshot.conn.prepare_cached("SELECT text FROM statement WHERE fingerprint = ?1")?;
            let mut sample = snapshot.conn.prepare_cached("SELECT request_id FROM event WHERE id = ?1")?;
            let mut answer = Vec::with_capacity(figures.len());
            for ([route, fingerprint, _], cell) in figures {
                let [service, method, route] = routes[&route];
                let row = cell.worst_db.map_or(-1, |(_, row)| row);
                answer.push(NPlusOne {
                    service: snapshot.text(service)?,
                    method: snapshot.text(method)?,
                    route: snapshot.text(route)?,
                    fingerprint: format!("{fingerprint:016x}"),
                    sql: text.query_row([fingerprint], |row| row.get(0)).optional()?.unwrap_or_default(),
                    requests: cell.count,
                    avg_ms: ms(cell.mean()),
                    total_ms: ms(cell.sum as f64),
                    sample_request_id: sample
                        .query_row([row], |row| Ok(unpack(row.get_ref(0)?)))
                        .optional()?
                        .flatten(),
                });
            }
            Ok(answer)
        })
    }

    /// Statements, those that took the most time first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn queries(&self, scope: &Scope, limit: usize) -> Result<Vec<QueryFigures>, ReadError> {
        let mut listed = self.queries_and_failed(scope, limit)?;
        listed.truncate(limit);
        Ok(listed)
    }

    /// The same, and behind them those of the others that failed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn queries_and_failed(&self, scope: &Scope, limit: usize) -> Result<Vec<QueryFigures>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let figures = snapshot.figures(Kind::Statement, scope.seconds, |key| service.takes(key[0]))?;
            let all = figures.values().fold(0_u64, |all, cell| all.saturating_add(cell.sum));
            let mut statements = HashMap::<i64, (Cell, Vec<i64>)>::new();
            for ([service, statement, _], cell) in figures {
                let (merged, services) = statements.entry(statement).or_default();
                merged.merge(&cell);
                services.push(service);
            }
            let mut statements: Vec<_> = statements.into_iter().collect();
            statements.sort_by_key(|(id, (cell, _))| (std::cmp::Reverse(cell.sum), *id));
            let mut listed = 0..limit;
            statements.retain(|(_, (cell, _))| listed.next().is_some() || cell.errors > 0);
            let series = snapshot.series(Kind::Statement, |key| service.takes(key[0]))?;
            let by = |kind| -> rusqlite::Result<_> {
                let mut counts = HashMap::<i64, HashMap<i64, u64>>::new();
                for ([statement, what, _], cell) in
                    snapshot.figures(kind, scope.seconds, |key| series.contains_key(&key[0]))?
                {
                    *counts.entry(series[&statement][1]).or_default().entry(what).or_default() += cell.count;
                }
                Ok(counts)
            };
            let has_errors = statements.iter().any(|(_, (cell, _))| cell.errors > 0);
            let mut errors = if has_errors { by(Kind::SqlState)? } else { HashMap::new() };
            let mut sites = by(Kind::Site)?;
            let mut read = snapshot.conn.prepare_cached(
                "SELECT s.fingerprint, sn.text, s.text, op.text, t.text, s.control FROM statement s
                 JOIN name sn ON sn.id = s.system JOIN name op ON op.id = s.operation
                 LEFT JOIN name t ON t.id = s.target WHERE s.id = ?1",
            )?;
            let mut answer = Vec::with_capacity(statements.len());
            for (id, (cell, services)) in statements {
                let mut services =
                    services.into_iter().map(|id| snapshot.text(id)).collect::<rusqlite::Result<Vec<_>>>()?;
                services.sort();
                let mut errors_by_code = errors
                    .remove(&id)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(code, count)| Ok(SqlErrors { code: snapshot.text(code)?, count }))
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let mut call_sites: Vec<_> = sites.remove(&id).unwrap_or_default().into_iter().collect();
                call_sites.sort_by_key(|(site, count)| (std::cmp::Reverse(*count), *site));
                call_sites.truncate(SITES_MAX);
                let call_sites = call_sites
                    .into_iter()
                    .map(|(site, count)| Ok(CallSite { site: snapshot.text(site)?, count }))
                    .collect::<rusqlite::Result<_>>()?;
                errors_by_code.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
                answer.push(read.query_row([id], |row| {
                    Ok(QueryFigures {
                        fingerprint: format!("{:016x}", row.get::<_, i64>(0)?),
                        system: row.get(1)?,
                        sql: row.get(2)?,
                        operation: row.get(3)?,
                        table: row.get(4)?,
                        is_transaction_control: row.get(5)?,
                        services,
                        calls: cell.count,
                        count: cell.count,
                        errors: cell.errors,
                        errors_by_code,
                        rows: cell.rows,
                        avg_ms: ms(cell.mean()),
                        p50_ms: percentile(&cell, 0.5),
                        p95_ms: percentile(&cell, 0.95),
                        max_ms: ms(cell.max as f64),
                        total_ms: ms(cell.sum as f64),
                        call_sites,
                        share: ratio(cell.sum as f64, all as f64),
                    })
                })?);
            }
            Ok(answer)
        })
    }
}
