//! Every answer equals the brute-force answer over all records ever sent.

mod lists;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use apm_agent::store::{Scope, Sort};
use apm_core::record::{Call, Event, Query, Record, SlowSql};
use proptest::prelude::*;

use crate::support::{START, TestStore, ca, call, ev, event, qu, query};

const SERVICES: [&str; 2] = ["api", "web"];
const ROUTES: [&str; 3] = ["/", "/users/{id}", "/orders"];
const HOSTS: [&str; 2] = ["a.example", "b.example:8080"];
const STATEMENTS: [&str; 3] = ["SELECT ?", "UPDATE t SET x = ?", "BEGIN"];

/// Seconds that the records of a test spread over.
const SPREAD: f64 = 200.0;

fn time() -> impl Strategy<Value = f64> {
    // Microseconds: what the store keeps.
    (0..(SPREAD * 1e6) as u64).prop_map(|micros| START + (micros as f64) / 1e6)
}

fn any_event() -> impl Strategy<Value = Event> {
    let known = || prop::option::of(0..5_u32);
    let ids = (0..400_u32, prop::option::of(0..400_u32), 0..3_u32);
    let outcome =
        (prop::sample::select(vec![200_u16, 404, 500, 503]), prop::option::weighted(0.2, "[AB]Error"));
    (
        time(),
        0..2_usize,
        0..3_usize,
        outcome,
        1..10_000_000_u64,
        ids,
        known(),
        known(),
        prop::option::weighted(0.2, 0..3_u32),
    )
        .prop_map(
            |(
                ts,
                service,
                route,
                (status, error),
                nanos,
                (id, parent, chain),
                queries,
                calls,
                fingerprint,
            )| {
                let mut event = event(ts, SERVICES[service], ROUTES[route]);
                event.status = status;
                event.error = error;
                event.duration_ms = nanos as f64 / 1e6;
                // Unique per request: a call and a caused request belong to one request.
                event.request_id = Some(format!("r-{id}-{}", ts.to_bits()).into());
                event.correlation_id = Some(format!("c-{chain}").into());
                event.parent_id = parent.map(|p| format!("p-{p}").into());
                event.host = (calls != Some(0)).then(|| format!("h{}", nanos % 3));
                event.db_query_count = queries;
                event.db_total_ms = queries.map(|n| f64::from(n) * 1.25);
                if let Some(n) = queries.filter(|n| *n > 2) {
                    event.db_slow = vec![SlowSql { sql: "SELECT ?".into(), ms: f64::from(n) }];
                }
                event.outgoing_count = calls;
                event.outgoing_total_ms = calls.map(|n| f64::from(n) * 3.5);
                if let Some(f) = fingerprint {
                    event.error_fingerprint = Some(format!("f{f}"));
                    event.error_type = Some("ValueError".into());
                    event.error_message = Some(format!("m{f}"));
                }
                event
            },
        )
}

fn any_call() -> impl Strategy<Value = Call> {
    (time(), 0..2_usize, 0..2_usize, prop::sample::select(vec![200_u16, 404, 0]), 1..10_000_000_u64).prop_map(
        |(ts, service, host, status, nanos)| {
            let mut call = call(ts, SERVICES[service], HOSTS[host]);
            call.status = status;
            call.error = (status == 0).then(|| "connection refused".into());
            call.duration_ms = nanos as f64 / 1e6;
            call
        },
    )
}

fn any_query() -> impl Strategy<Value = Query> {
    (
        time(),
        0..2_usize,
        0..3_usize,
        prop::option::weighted(0.2, "2350[0-9]"),
        1..10_000_000_u64,
        prop::option::of(0..9_u64),
    )
        .prop_map(|(ts, service, sql, code, nanos, rows)| {
            let mut query = query(ts, SERVICES[service], STATEMENTS[sql]);
            query.error_code = code;
            query.duration_ms = nanos as f64 / 1e6;
            query.rows = rows;
            query
        })
}

/// Gives some calls and requests a caller among the requests.
fn tie(events: &mut [Event], calls: &mut [Call], picks: &[usize]) {
    if events.is_empty() {
        return;
    }
    for (i, call) in calls.iter_mut().enumerate() {
        let caller = &events[picks[i % picks.len()] % events.len()];
        if caller.service == call.service {
            call.source_request_id.clone_from(&caller.request_id);
        }
    }
    for i in 0..events.len() {
        let caller = picks[i % picks.len()] % events.len();
        if i % 3 == 0 && caller != i {
            events[i].parent_id = events[caller].request_id.clone();
        }
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn optional_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| mean(&values))
}

fn percentile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

fn near(answer: f64, exact: f64) -> bool {
    (answer - exact).abs() <= exact * 0.01 + 1e-9
}

fn failed(e: &Event) -> bool {
    e.status >= 500 || e.error.is_some()
}

struct Truth {
    events: Vec<Event>,
    calls: Vec<Call>,
    queries: Vec<Query>,
}

impl Truth {
    fn events(&self, scope: &Scope, now: f64) -> Vec<&Event> {
        let from = now - f64::from(scope.seconds);
        self.events
            .iter()
            .filter(|e| e.ts >= from && scope.service.as_deref().is_none_or(|s| *e.service == *s))
            .collect()
    }
}

fn check(store: &TestStore, truth: &Truth, scope: &Scope) -> Result<(), TestCaseError> {
    let now = store.clock.now();
    let from = now - f64::from(scope.seconds);
    let of = |service: &str| scope.service.as_deref().is_none_or(|s| s == service);
    let events = truth.events(scope, now);
    let durations: Vec<f64> = events.iter().map(|e| e.duration_ms).collect();

    let overview = store.reader.overview(scope).unwrap();
    prop_assert_eq!(overview.total_requests as usize, events.len());
    prop_assert_eq!(overview.errors as usize, events.iter().filter(|e| failed(e)).count());
    prop_assert!(close(overview.avg_duration_ms, mean(&durations)));
    prop_assert!(close(overview.max_duration_ms, durations.iter().copied().fold(0.0, f64::max)));
    for (q, answer) in [(0.5, overview.p50_ms), (0.95, overview.p95_ms), (0.99, overview.p99_ms)] {
        prop_assert!(events.is_empty() || near(answer, percentile(&durations, q)), "p{q}: {answer}");
    }

    for bucket in [1_u32, 5, 10, 60] {
        let mut buckets = BTreeMap::<i64, Vec<f64>>::new();
        for e in &events {
            buckets
                .entry((e.ts / f64::from(bucket)).floor() as i64 * i64::from(bucket))
                .or_default()
                .push(e.duration_ms);
        }
        let (used, points) = store.reader.timeseries(scope, bucket, None).unwrap();
        prop_assert_eq!(used, bucket);
        prop_assert_eq!(points.len(), buckets.len());
        for (point, (ts, durations)) in points.iter().zip(&buckets) {
            prop_assert_eq!(point.ts as i64, *ts);
            prop_assert_eq!(point.total as usize, durations.len());
            prop_assert!(close(point.avg_ms, mean(durations)));
        }
        let heatmap = store.reader.heatmap(scope, bucket, None).unwrap();
        let counts: Vec<u64> = heatmap.columns.iter().map(|c| c.counts.iter().sum()).collect();
        prop_assert_eq!(counts, buckets.values().map(|v| v.len() as u64).collect::<Vec<_>>());
    }

    let mut by_route = BTreeMap::<&str, Vec<&Event>>::new();
    for e in &events {
        by_route.entry(&e.route).or_default().push(e);
    }
    let routes = store.reader.routes(scope).unwrap();
    prop_assert_eq!(routes.len(), by_route.len());
    prop_assert!(routes.is_sorted_by(|a, b| a.total >= b.total));
    for route in &routes {
        let events = &by_route[route.route.as_str()];
        prop_assert_eq!(route.total as usize, events.len());
        prop_assert_eq!(route.errors as usize, events.iter().filter(|e| failed(e)).count());
        let same = |a: Option<f64>, b: Option<f64>| {
            a.is_none() == b.is_none() && close(a.unwrap_or(0.0), b.unwrap_or(0.0))
        };
        prop_assert!(same(
            route.avg_db_queries,
            optional_mean(events.iter().filter_map(|e| e.db_query_count.map(f64::from)))
        ));
        prop_assert!(same(route.avg_db_ms, optional_mean(events.iter().filter_map(|e| e.db_total_ms))));
        prop_assert!(same(
            route.avg_outgoing,
            optional_mean(events.iter().filter_map(|e| e.outgoing_count.map(f64::from)))
        ));
        prop_assert!(same(
            route.avg_outgoing_ms,
            optional_mean(events.iter().filter_map(|e| e.outgoing_total_ms))
        ));
        let services: BTreeSet<&str> = events.iter().map(|e| &*e.service).collect();
        prop_assert_eq!(route.services.iter().map(String::as_str).collect::<BTreeSet<_>>(), services.clone());
        let shares = services.iter().filter(|_| services.len() > 1).map(|service| {
            let own = events.iter().filter(|event| &*event.service == *service);
            (*service, own.clone().count() as u64, own.filter(|event| failed(event)).count() as u64)
        });
        let told = route.by_service.iter().map(|share| (&*share.service, share.total, share.errors));
        prop_assert_eq!(told.collect::<Vec<_>>(), shares.collect::<Vec<_>>());
    }

    check_snapshots(store, truth, scope.seconds)?;

    let mut groups = BTreeMap::<&str, Vec<&Event>>::new();
    for e in &events {
        if let Some(fingerprint) = &e.error_fingerprint {
            groups.entry(fingerprint).or_default().push(e);
        }
    }
    let answer = store.reader.error_groups(scope, 50).unwrap();
    prop_assert_eq!(answer.len(), groups.len());
    prop_assert!(answer.is_sorted_by(|a, b| a.last_seen >= b.last_seen));
    for group in &answer {
        let events = &groups[group.fingerprint.as_str()];
        prop_assert_eq!(group.count as usize, events.len());
        prop_assert!(close(group.first_seen, events.iter().map(|e| e.ts).fold(f64::MAX, f64::min)));
        prop_assert!(close(group.last_seen, events.iter().map(|e| e.ts).fold(0.0, f64::max)));
        prop_assert_eq!(group.routes_count, events.iter().map(|e| &e.route).collect::<BTreeSet<_>>().len());
        prop_assert_eq!(group.affected_routes.iter().map(|r| r.count).sum::<u64>() as usize, events.len());
    }

    let mut hosts = BTreeMap::<&str, Vec<&Call>>::new();
    for c in truth.calls.iter().filter(|c| c.ts >= from && of(&c.service)) {
        hosts.entry(&c.host).or_default().push(c);
    }
    let answer = store.reader.outgoing(scope, 50).unwrap();
    prop_assert_eq!(answer.len(), hosts.len());
    for host in &answer {
        let calls = &hosts[host.host.as_str()];
        prop_assert_eq!(host.calls as usize, calls.len());
        prop_assert_eq!(
            host.errors as usize,
            calls.iter().filter(|c| c.status >= 400 || c.error.is_some()).count()
        );
        prop_assert!(close(host.total_ms, calls.iter().map(|c| c.duration_ms).sum()));
    }

    let mut edges = BTreeMap::<(&str, &str), u64>::new();
    for c in truth.calls.iter().filter(|c| c.ts >= from && of(&c.service)) {
        let caller = truth.events.iter().find(|e| {
            e.service == c.service && c.source_request_id.is_some() && e.request_id == c.source_request_id
        });
        if let Some(caller) = caller {
            *edges.entry((&caller.route, &c.host)).or_default() += 1;
        }
    }
    let answer = store.reader.route_host_calls(scope, 500).unwrap();
    let answer: BTreeMap<(&str, &str), u64> =
        answer.iter().map(|e| ((e.route.as_str(), e.host.as_str()), e.calls)).collect();
    prop_assert_eq!(answer, edges);

    type Hosts = BTreeMap<String, u64>;
    let mut chains = BTreeMap::<(String, String), (u64, u64, Hosts)>::new();
    for child in truth.events.iter().filter(|e| e.ts >= from && of(&e.service)) {
        let parent = truth.events.iter().find(|p| {
            p.request_id == child.parent_id
                && p.request_id.is_some()
                && p.correlation_id == child.correlation_id
        });
        if let Some(parent) = parent.filter(|p| p.ts >= from && of(&p.service)) {
            let name = |e: &Event| format!("{} {}", e.service, e.route);
            let entry = chains.entry((name(parent), name(child))).or_default();
            entry.0 += 1;
            entry.1 += u64::from(failed(child));
            if let Some(host) = &child.host {
                *entry.2.entry(host.clone()).or_default() += 1;
            }
        }
    }
    let answer = store.reader.route_chains(scope, 500).unwrap();
    prop_assert!(answer.iter().all(|c| c.hosts.is_sorted_by_key(|host| Reverse(host.count))));
    let answer: BTreeMap<(String, String), (u64, u64, Hosts)> = answer
        .iter()
        .map(|c| {
            let parent = format!("{} {}", c.parent_service, c.parent_route);
            let hosts = c.hosts.iter().map(|host| (host.host.clone(), host.count)).collect();
            ((parent, format!("{} {}", c.child_service, c.child_route)), (c.count, c.child_errors, hosts))
        })
        .collect();
    prop_assert_eq!(answer, chains);

    let mut statements = BTreeMap::<&str, Vec<&Query>>::new();
    for q in truth.queries.iter().filter(|q| q.ts >= from && of(&q.service)) {
        statements.entry(&q.statement.text).or_default().push(q);
    }
    let all: f64 = statements.values().flatten().map(|q| q.duration_ms).sum();
    let answer = store.reader.queries(scope, 50).unwrap();
    prop_assert_eq!(answer.len(), statements.len());
    for statement in &answer {
        let queries = &statements[statement.sql.as_str()];
        let total: f64 = queries.iter().map(|q| q.duration_ms).sum();
        prop_assert_eq!(statement.calls as usize, queries.len());
        prop_assert_eq!(statement.rows, queries.iter().filter_map(|q| q.rows).sum::<u64>());
        prop_assert_eq!(statement.errors as usize, queries.iter().filter(|q| q.error_code.is_some()).count());
        prop_assert_eq!(statement.errors_by_code.iter().map(|e| e.count).sum::<u64>(), statement.errors);
        prop_assert!(close(statement.total_ms, total) && close(statement.share, total / all));
    }

    check_requests(store, &events, scope)?;
    lists::check(store, truth, scope)
}

fn check_requests(store: &TestStore, events: &[&Event], scope: &Scope) -> Result<(), TestCaseError> {
    let limit = 7;
    for (sort, order) in [
        (Sort::Recent, (|e: &Event| e.ts) as fn(&Event) -> f64),
        (Sort::Slow, |e| e.duration_ms),
        (Sort::Failed, |e| e.ts),
    ] {
        for route in [None, Some(ROUTES[1])] {
            let mut wanted: Vec<f64> = events
                .iter()
                .filter(|e| route.is_none_or(|r| e.route == r) && (sort != Sort::Failed || failed(e)))
                .map(|e| order(e))
                .collect();
            wanted.sort_by(|a, b| b.total_cmp(a));
            wanted.truncate(limit);
            let answer = store.reader.requests(scope, None, route, sort, limit).unwrap();
            let answer: Vec<f64> =
                answer.iter().map(|r| if sort == Sort::Slow { r.duration_ms } else { r.ts }).collect();
            prop_assert_eq!(answer.len(), wanted.len());
            prop_assert!(
                answer.iter().zip(&wanted).all(|(a, b)| close(*a, *b)),
                "{:?}: {:?} {:?}",
                sort,
                answer,
                wanted
            );
        }
    }
    Ok(())
}

fn check_snapshots(store: &TestStore, truth: &Truth, seconds: u32) -> Result<(), TestCaseError> {
    let from = store.clock.now() - f64::from(seconds);
    for service in SERVICES {
        for route in ROUTES {
            let events: Vec<&Event> = truth
                .events
                .iter()
                .filter(|e| e.ts >= from && *e.service == *service && e.route == route)
                .collect();
            let snapshot = store.reader.route_snapshot(service, "GET", route, seconds).unwrap();
            prop_assert_eq!(snapshot.total_requests as usize, events.len());
            let shortest = events.iter().map(|e| e.duration_ms).reduce(f64::min).unwrap_or(0.0);
            prop_assert!(close(snapshot.min_duration_ms, shortest));
            let mut outcomes = BTreeMap::<(i64, Option<String>), u64>::new();
            for e in events.iter().filter(|e| failed(e)) {
                *outcomes.entry((i64::from(e.status), e.error.clone())).or_default() += 1;
            }
            let answer: BTreeMap<_, _> =
                snapshot.error_breakdown.iter().map(|o| ((o.status, o.error.clone()), o.count)).collect();
            prop_assert_eq!(answer, outcomes);
            let worst = events
                .iter()
                .filter(|e| !e.db_slow.is_empty())
                .filter_map(|e| e.db_total_ms)
                .reduce(f64::max);
            prop_assert_eq!(snapshot.db.worst_request.and_then(|w| w.db_total_ms), worst);
            let most = events.iter().filter_map(|e| e.db_query_count).max();
            prop_assert_eq!(snapshot.db.max_queries_per_request, most.map(u64::from));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Records arrive in batches, not in order, while the clock goes on and rollups are made; then every question is
    /// asked for several windows.
    #[test]
    fn answers_equal_brute_force(
        mut events in prop::collection::vec(any_event(), 0..80),
        mut calls in prop::collection::vec(any_call(), 0..30),
        mut queries in prop::collection::vec(any_query(), 0..30),
        picks in prop::collection::vec(0..1000_usize, 1..20),
        batches in 1..6_usize,
        late in 0.0..30.0_f64,
        windows in prop::collection::vec((1..400_u32, prop::option::of(0..2_usize)), 1..4),
    ) {
        tie(&mut events, &mut calls, &picks);
        lists::dress(&mut events, &mut calls, &mut queries, &picks);
        let store = TestStore::new();
        lists::discover(&store);
        let mut records: Vec<Record> = events.iter().cloned().map(ev).collect();
        records.extend(calls.iter().cloned().map(ca));
        records.extend(queries.iter().cloned().map(qu));
        // The order of time, roughly: each record is late by up to `late` seconds.
        let ts = |record: &Record| match record {
            Record::Event(e) => e.ts,
            Record::Call(c) => c.ts,
            Record::Query(q) => q.ts,
            Record::Sample(s) => s.ts,
        };
        let arrival = |record: &Record| ts(record) + (ts(record) * 7919.0).fract() * late;
        records.sort_by(|a, b| arrival(a).total_cmp(&arrival(b)));
        let size = records.len().div_ceil(batches).max(1);
        for batch in records.chunks(size) {
            store.clock.set(batch.iter().map(arrival).fold(START, f64::max));
            store.put(batch.to_vec());
        }
        let truth = Truth { events, calls, queries };
        for (seconds, service) in windows {
            let scope = Scope { service: service.map(|i| SERVICES[i].to_owned()), seconds };
            check(&store, &truth, &scope)?;
            store.clock.set(store.clock.now() + 13.7);
            store.writer.flush().unwrap();
        }
    }
}
