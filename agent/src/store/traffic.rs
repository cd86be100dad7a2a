//! Counters since the start, as Prometheus wants them: they only grow, whatever the store deletes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use apm_core::record::{Call, Event, Query};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::dictionary::OTHER;
use super::id::nanos;

/// Different label sets of each kind; what comes after them is counted under `{other}`.
const SETS: usize = 5000;

/// Upper bounds of the latency buckets, seconds: those of the Prometheus client libraries, with finer ones below.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    service: String,
    method: String,
    route: String,
}

/// A route and a class of status: `2xx`, ...
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StatusLabels {
    service: String,
    method: String,
    route: String,
    status: &'static str,
}

/// What a service called: a host or a database system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PeerLabels {
    service: String,
    peer: String,
}

/// The counters; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) requests: Family<StatusLabels, Counter>,
    pub(crate) errors: Family<RouteLabels, Counter>,
    pub(crate) durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub(crate) calls: Family<PeerLabels, Counter>,
    pub(crate) call_errors: Family<PeerLabels, Counter>,
    pub(crate) queries: Family<PeerLabels, Counter>,
    pub(crate) query_errors: Family<PeerLabels, Counter>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            calls: Family::default(),
            call_errors: Family::default(),
            queries: Family::default(),
            query_errors: Family::default(),
        }
    }
}

/// Counts into a [`Traffic`]: keeps the counters at hand, so that a request costs a look into one map.
#[derive(Debug)]
pub(crate) struct Counting {
    traffic: Traffic,
    hasher: RandomState,
    routes: HashMap<u64, Route>,
    peers: HashMap<u64, (Counter, Counter)>,
}

#[derive(Debug)]
struct Route {
    labels: RouteLabels,
    by_status: [Option<Counter>; 6],
    errors: Counter,
    durations: Histogram,
}

impl Counting {
    pub(crate) fn new(traffic: Traffic) -> Self {
        Self { traffic, hasher: RandomState::new(), routes: HashMap::new(), peers: HashMap::new() }
    }

    /// Counts a request.
    pub(crate) fn event(&mut self, event: &Event, failed: bool) {
        let mut parts = (&*event.service, event.method.as_str(), event.route.as_str());
        let mut key = self.hasher.hash_one(parts);
        if self.routes.len() >= SETS && !self.routes.contains_key(&key) {
            parts = (OTHER, OTHER, OTHER);
            key = self.hasher.hash_one(parts);
        }
        let traffic = &self.traffic;
        let route = self.routes.entry(key).or_insert_with(|| {
            let labels =
                RouteLabels { service: parts.0.into(), method: parts.1.into(), route: parts.2.into() };
            Route {
                by_status: Default::default(),
                errors: traffic.errors.get_or_create(&labels).clone(),
                durations: traffic.durations.get_or_create(&labels).clone(),
                labels,
            }
        });
        let class = usize::from(event.status / 100).min(5);
        let status = route.by_status[class].get_or_insert_with(|| {
            let RouteLabels { service, method, route } = route.labels.clone();
            let status = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"][class];
            traffic.requests.get_or_create(&StatusLabels { service, method, route, status }).clone()
        });
        status.inc();
        route.errors.inc_by(u64::from(failed));
        // As it is stored: an SDK's clock may have been set back meanwhile, and a sum that falls is taken for one begun anew.
        route.durations.observe(nanos(event.duration_ms) as f64 / 1e9);
    }

    /// Counts an outgoing call.
    pub(crate) fn call(&mut self, call: &Call, failed: bool) {
        let (calls, errors) = (self.traffic.calls.clone(), self.traffic.call_errors.clone());
        self.peer("call", &call.service, &call.host, failed, &calls, &errors);
    }

    /// Counts a query.
    pub(crate) fn query(&mut self, query: &Query, failed: bool) {
        let (queries, errors) = (self.traffic.queries.clone(), self.traffic.query_errors.clone());
        self.peer("query", &query.service, query.system, failed, &queries, &errors);
    }

    fn peer(
        &mut self,
        kind: &str,
        service: &str,
        peer: &str,
        failed: bool,
        all: &Family<PeerLabels, Counter>,
        errors: &Family<PeerLabels, Counter>,
    ) {
        let mut parts = (kind, service, peer);
        let mut key = self.hasher.hash_one(parts);
        if self.peers.len() >= SETS && !self.peers.contains_key(&key) {
            parts = (kind, OTHER, OTHER);
            key = self.hasher.hash_one(parts);
        }
        let (count, failures) = self.peers.entry(key).or_insert_with(|| {
            let labels = PeerLabels { service: parts.1.into(), peer: parts.2.into() };
            (all.get_or_create(&labels).clone(), errors.get_or_create(&labels).clone())
        });
        count.inc();
        failures.inc_by(u64::from(failed));
    }
}
