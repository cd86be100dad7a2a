//! `/api/outgoing`, `/api/route_host_calls`, `/api/route_chains`

use std::cmp::Reverse;
use std::collections::HashMap;

use apm_core::aggregate::Cell;
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use super::overview::percentile;
use crate::store::id::ms;
use crate::store::series::Kind;
use crate::store::{ReadError, Reader};

/// Calls to a host.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Host {
    /// As the app named it; with its port where the URL had one.
    pub host: String,
    /// Calls.
    pub calls: u64,
    /// Those with status 400 and up, or that failed.
    pub errors: u64,
    /// Errors per call, 0..1.
    pub error_rate: f64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
    /// Median, ms, within 1 %.
    pub p50_ms: f64,
    /// 95th percentile, ms, within 1 %.
    pub p95_ms: f64,
    /// All together, ms.
    pub total_ms: f64,
}

/// Calls of a route to a host.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Edge {
    /// Method of the request that called.
    pub method: String,
    /// Its route.
    pub route: String,
    /// The host called.
    pub host: String,
    /// Calls.
    pub calls: u64,
    /// Errors among them.
    pub errors: u64,
    /// Errors per call, 0..1.
    pub error_rate: f64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
    /// All together, ms.
    pub total_ms: f64,
}

/// Requests of a route that another route caused.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Chain {
    /// Service of the causing request.
    pub parent_service: String,
    /// Method of the causing request.
    pub parent_method: String,
    /// Its route.
    pub parent_route: String,
    /// Service of the caused request.
    pub child_service: String,
    /// Method of the caused request.
    pub child_method: String,
    /// Its route.
    pub child_route: String,
    /// Caused requests.
    pub count: u64,
    /// Their average duration, ms.
    pub child_avg_ms: f64,
    /// Errors among them.
    pub child_errors: u64,
    /// The hosts that were asked for, as the causing requests named them: `/api/route_host_calls` has the same calls by
    /// that name. Most requests first; without those whose host is not known.
    pub hosts: Vec<AskedFor>,
}

/// Requests by the host that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AskedFor {
    /// `Host` of the request.
    pub host: String,
    /// Requests.
    pub count: u64,
}

impl Reader {
    /// Outgoing calls by host, most calls first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outgoing(&self, scope: &Scope, limit: usize) -> Result<Vec<Host>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let figures = snapshot.figures(Kind::Host, scope.seconds, |key| service.takes(key[0]))?;
            let mut hosts = HashMap::<i64, Cell>::new();
            for ([_, host, _], cell) in figures {
                hosts.entry(host).or_default().merge(&cell);
            }
            most(hosts, limit)
                .into_iter()
                .map(|(host, cell)| {
                    Ok(Host {
                        host: snapshot.text(host)?,
                        calls: cell.count,
                        errors: cell.errors,
                        error_rate: cell.error_rate(),
                        avg_ms: ms(cell.mean()),
                        max_ms: ms(cell.max as f64),
                        p50_ms: percentile(&cell, 0.5),
                        p95_ms: percentile(&cell, 0.95),
                        total_ms: ms(cell.sum as f64),
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })
    }

    /// Outgoing calls by the route that made them and host, most calls first. Only calls whose request is known.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn route_host_calls(&self, scope: &Scope, limit: usize) -> Result<Vec<Edge>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let routes = snapshot.series(Kind::Route, |key| service.takes(key[0]))?;
            let figures = snapshot.figures(Kind::Edge, scope.seconds, |key| routes.contains_key(&key[0]))?;
            let mut edges = HashMap::<(i64, i64, i64), Cell>::new();
            for ([route, host, _], cell) in figures {
                let [_, method, route] = routes[&route];
                edges.entry((method, route, host)).or_default().merge(&cell);
            }
            most(edges, limit)
                .into_iter()
                .map(|((method, route, host), cell)| {
                    Ok(Edge {
                        method: snapshot.text(method)?,
                        route: snapshot.text(route)?,
                        host: snapshot.text(host)?,
                        calls: cell.count,
                        errors: cell.errors,
                        error_rate: cell.error_rate(),
                        avg_ms: ms(cell.mean()),
                        max_ms: ms(cell.max as f64),
                        total_ms: ms(cell.sum as f64),
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })
    }

    /// Requests by the route that caused them, most first: across services, or within one when the scope names it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn route_chains(&self, scope: &Scope, limit: usize) -> Result<Vec<Chain>, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let routes = snapshot.series(Kind::Route, |key| service.takes(key[0]))?;
            let both = |key: &[i64; 3]| routes.contains_key(&key[0]) && routes.contains_key(&key[1]);
            let mut chains = HashMap::<(i64, i64), Cell>::new();
            let mut asked = HashMap::<(i64, i64), Vec<(u64, i64)>>::new();
            for ([parent, child, host], cell) in snapshot.figures(Kind::Chain, scope.seconds, both)? {
                chains.entry((parent, child)).or_default().merge(&cell);
                if host != 0 {
                    asked.entry((parent, child)).or_default().push((cell.count, host));
                }
            }
            most(chains, limit)
                .into_iter()
                .map(|(ends, cell)| {
                    let mut hosts = asked.remove(&ends).unwrap_or_default();
                    hosts.sort_unstable_by_key(|&(count, host)| (Reverse(count), host));
                    let (parent, child) = (routes[&ends.0], routes[&ends.1]);
                    Ok(Chain {
                        hosts: hosts
                            .into_iter()
                            .map(|(count, host)| Ok(AskedFor { host: snapshot.text(host)?, count }))
                            .collect::<rusqlite::Result<_>>()?,
                        parent_service: snapshot.text(parent[0])?,
                        parent_method: snapshot.text(parent[1])?,
                        parent_route: snapshot.text(parent[2])?,
                        child_service: snapshot.text(child[0])?,
                        child_method: snapshot.text(child[1])?,
                        child_route: snapshot.text(child[2])?,
                        count: cell.count,
                        child_avg_ms: ms(cell.mean()),
                        child_errors: cell.errors,
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })
    }
}

/// The entries with the highest counts; equal ones in the order of their keys.
pub(crate) fn most<K: Ord + Copy>(cells: HashMap<K, Cell>, limit: usize) -> Vec<(K, Cell)> {
    let mut cells: Vec<_> = cells.into_iter().collect();
    cells.sort_unstable_by_key(|(key, cell)| (Reverse(cell.count), *key));
    cells.truncate(limit);
    cells
}
