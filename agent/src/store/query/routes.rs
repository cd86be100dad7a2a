//! `/api/routes`, `/api/discovered`, `/api/folder/snapshot`

use std::collections::{BTreeMap, BTreeSet, HashMap};

use apm_core::aggregate::{Cell, Sum};
use rusqlite::params;
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use super::figures::ratio;
use super::overview::percentile;
use crate::store::id::ms;
use crate::store::reader::Snapshot;
use crate::store::series::Kind;
use crate::store::{ReadError, Reader};

/// A route's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct RouteFigures {
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// Services that serve it, by name.
    pub services: Vec<String>,
    /// What each of them has of it, where they are several; in their order.
    pub by_service: Vec<RouteShare>,
    /// Requests per second over the window.
    pub rps: f64,
    /// Requests.
    pub total: u64,
    /// Errors.
    pub errors: u64,
    /// Errors per request, 0..1.
    pub error_rate: f64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
    /// Median, ms, within 1 %.
    pub p50_ms: f64,
    /// 95th percentile, ms, within 1 %.
    pub p95_ms: f64,
    /// 99th percentile, ms, within 1 %.
    pub p99_ms: f64,
    /// Queries per request; `null` when no request carried the figure.
    pub avg_db_queries: Option<f64>,
    /// Time in queries per request, ms; `null` when no request carried the figure.
    pub avg_db_ms: Option<f64>,
    /// Outgoing calls per request; `null` when no request carried the figure.
    pub avg_outgoing: Option<f64>,
    /// Time in outgoing calls per request, ms; `null` when no request carried the figure.
    pub avg_outgoing_ms: Option<f64>,
}

/// What one of several services has of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct RouteShare {
    /// The service.
    pub service: String,
    /// Requests.
    pub total: u64,
    /// Errors.
    pub errors: u64,
    /// Average duration, ms.
    pub avg_ms: f64,
}

/// A route found in source.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Discovered {
    /// Service it was found for.
    pub service: String,
    /// `fastapi`, `flask`, `django`, ...
    pub framework: String,
    /// Method; `*` for any.
    pub method: String,
    /// Template.
    pub route: String,
    /// File, relative to `scan_root`.
    pub file: String,
    /// Line of the handler.
    pub line: u32,
    /// Name of the handler.
    pub function: Option<String>,
    /// When, Unix seconds.
    pub scanned_at: f64,
    /// Directory that was scanned.
    pub scan_root: String,
    /// It stands under a condition that the source alone does not decide: it may not be served.
    pub conditional: bool,
}

/// A service's last scan.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScanRoot {
    /// The service.
    pub service: String,
    /// When, Unix seconds.
    pub scanned_at: f64,
    /// Directory that was scanned.
    pub scan_root: String,
    /// Routes found.
    pub routes: u64,
    /// What was read, skipped and not understood, by name: `routes_with_unknown_path`, `routes_with_unknown_prefix`,
    /// `routes_unattached`, `opaque_includes`, ... Only what is more than zero.
    pub counters: BTreeMap<String, u64>,
}

/// Figures of the routes whose handlers lie in a folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct FolderSnapshot {
    /// As asked.
    pub service: String,
    /// As asked, without slashes at its ends.
    pub folder: String,
    /// As asked.
    pub window_seconds: u32,
    /// Routes found in the folder.
    pub discovered_routes: usize,
    /// Requests.
    pub total_requests: u64,
    /// Errors.
    pub errors: u64,
    /// Errors per request, 0..1.
    pub error_rate: f64,
    /// Average duration, ms.
    pub avg_duration_ms: f64,
    /// Requests per second.
    pub rps: f64,
    /// Figures by route, most requests first.
    pub routes: Vec<FolderRoute>,
    /// Files with routes, sorted.
    pub files: Vec<String>,
}

/// A route's figures within a folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct FolderRoute {
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// Requests.
    pub total: u64,
    /// Errors.
    pub errors: u64,
    /// Errors per request, 0..1.
    pub error_rate: f64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
    /// Requests per second.
    pub rps: f64,
}

impl Reader {
    /// Figures by method and route, most requests first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn routes(&self, scope: &Scope) -> Result<Vec<RouteFigures>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let figures = snapshot.figures(Kind::Route, scope.seconds, |key| service.takes(key[0]))?;
            let mut by_route = HashMap::<(i64, i64), (Cell, Vec<(i64, Cell)>)>::new();
            for ([service, method, route], cell) in figures {
                let (merged, services) = by_route.entry((method, route)).or_default();
                merged.merge(&cell);
                services.push((service, cell));
            }
            let mean_ms = |sum: &Sum| sum.mean().map(ms);
            let mut routes = by_route
                .into_iter()
                .map(|((method, route), (cell, services))| {
                    let share = |(id, cell): &(i64, Cell)| {
                        Ok(RouteShare {
                            service: snapshot.text(*id)?,
                            total: cell.count,
                            errors: cell.errors,
                            avg_ms: ms(cell.mean()),
                        })
                    };
                    let mut shares = services.iter().map(share).collect::<rusqlite::Result<Vec<_>>>()?;
                    shares.sort_by(|a, b| a.service.cmp(&b.service));
                    let services = shares.iter().map(|share| share.service.clone()).collect();
                    let by_service = if shares.len() > 1 { shares } else { Vec::new() };
                    Ok(RouteFigures {
                        method: snapshot.text(method)?,
                        route: snapshot.text(route)?,
                        services,
                        by_service,
                        rps: ratio(cell.count as f64, f64::from(scope.seconds)),
                        total: cell.count,
                        errors: cell.errors,
                        error_rate: cell.error_rate(),
                        avg_ms: ms(cell.mean()),
                        max_ms: ms(cell.max as f64),
                        p50_ms: percentile(&cell, 0.5),
                        p95_ms: percentile(&cell, 0.95),
                        p99_ms: percentile(&cell, 0.99),
                        avg_db_queries: cell.db_queries.mean(),
                        avg_db_ms: mean_ms(&cell.db_time),
                        avg_outgoing: cell.calls.mean(),
                        avg_outgoing_ms: mean_ms(&cell.call_time),
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()?;
            routes.sort_by(|a, b| {
                b.total.cmp(&a.total).then_with(|| (&a.route, &a.method).cmp(&(&b.route, &b.method)))
            });
            Ok(routes)
        })
    }

    /// Routes found in source, and the scans that found them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn discovered(&self, service: Option<&str>) -> Result<(Vec<Discovered>, Vec<ScanRoot>), ReadError> {
        self.read(|snapshot| {
            let all = snapshot.discovered()?;
            let mut roots = snapshot.scans()?;
            for route in &all {
                if let Some(root) = roots.get_mut(&route.service) {
                    root.routes += 1;
                }
            }
            let service = service.filter(|s| !s.is_empty());
            let routes = all.into_iter().filter(|r| service.is_none_or(|s| r.service == s)).collect();
            Ok((routes, roots.into_values().collect()))
        })
    }

    /// Figures of the routes whose handlers lie in `folder` (relative to the scan's root; empty for all of it).
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn folder_snapshot(
        &self,
        service: &str,
        folder: &str,
        seconds: u32,
    ) -> Result<FolderSnapshot, ReadError> {
        self.read(|snapshot| {
            let folder = folder.trim().trim_matches('/');
            let inside = |file: &str| {
                folder.is_empty()
                    || file.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let found: Vec<_> = snapshot
                .discovered()?
                .into_iter()
                .filter(|r| r.service == service && inside(&r.file))
                .collect();
            let mut methods = HashMap::<i64, BTreeSet<&str>>::new();
            for route in &found {
                if let Some(id) = snapshot.id_of(&route.route)? {
                    methods.entry(id).or_default().insert(&route.method);
                }
            }
            let service_id = snapshot.service(Some(service).filter(|s| !s.is_empty()))?;
            let figures = snapshot.figures(Kind::Route, seconds, |key| {
                service_id.takes(key[0]) && methods.contains_key(&key[2])
            })?;
            let mut answer = FolderSnapshot {
                service: service.into(),
                folder: folder.into(),
                window_seconds: seconds,
                discovered_routes: found.len(),
                files: found.iter().map(|r| r.file.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
                ..FolderSnapshot::default()
            };
            let mut sum = 0_u64;
            for ([_, method, route], cell) in figures {
                let name = snapshot.text(method)?;
                let allowed = &methods[&route];
                if !allowed.contains("*") && !allowed.contains(name.as_str()) {
                    continue;
                }
                answer.total_requests += cell.count;
                answer.errors += cell.errors;
                sum = sum.saturating_add(cell.sum);
                answer.routes.push(FolderRoute {
                    method: name,
                    route: snapshot.text(route)?,
                    total: cell.count,
                    errors: cell.errors,
                    error_rate: cell.error_rate(),
                    avg_ms: ms(cell.mean()),
                    max_ms: ms(cell.max as f64),
                    rps: ratio(cell.count as f64, f64::from(seconds)),
                });
            }
            answer.routes.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.route.cmp(&b.route)));
            answer.error_rate = ratio(answer.errors as f64, answer.total_requests as f64);
            answer.avg_duration_ms = ms(ratio(sum as f64, answer.total_requests as f64));
            answer.rps = ratio(answer.total_requests as f64, f64::from(seconds));
            Ok(answer)
        })
    }
}

impl Snapshot<'_> {
    /// The last scan of each service, its routes not counted yet.
    fn scans(&self) -> rusqlite::Result<BTreeMap<String, ScanRoot>> {
        self.conn
            .prepare_cached(
                "SELECT n.text, s.scanned_at, s.scan_root, s.counters FROM scan s JOIN name n ON n.id = s.service",
            )?
            .query_map(params![], |row| {
                let (service, counters): (String, String) = (row.get(0)?, row.get(3)?);
                let (scanned_at, scan_root) = (row.get(1)?, row.get(2)?);
                let counters = serde_json::from_str(&counters).unwrap_or_default();
                Ok((service.clone(), ScanRoot { service, scanned_at, scan_root, routes: 0, counters }))
            })?
            .collect()
    }

    fn discovered(&self) -> rusqlite::Result<Vec<Discovered>> {
        self.conn
            .prepare_cached(
                "SELECT n.text, d.framework, d.method, d.route, d.file, d.line, d.function, d.scanned_at, d.scan_root,
                        d.conditional
                 FROM discovered d JOIN name n ON n.id = d.service ORDER BY n.text, d.file, d.line",
            )?
            .query_map(params![], |row| {
                Ok(Discovered {
                    service: row.get(0)?,
                    framework: row.get(1)?,
                    method: row.get(2)?,
                    route: row.get(3)?,
                    file: row.get(4)?,
                    line: row.get(5)?,
                    function: row.get(6)?,
                    scanned_at: row.get(7)?,
                    scan_root: row.get(8)?,
                    conditional: row.get(9)?,
                })
            })?
            .collect()
    }
}
