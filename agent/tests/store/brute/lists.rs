//! The answers that list rows, or count what a row carries beside its duration, against the records themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apm_agent::store::{DiscoveredRoute, Scope, SourceScan, Trace};
use apm_core::record::{Call, Event, Query};
use proptest::prelude::*;

use super::{ROUTES, SERVICES, STATEMENTS, Truth, close, failed, near, percentile};
use crate::support::{TestStore, query};

const SITES: [&str; 3] = ["/app/views.py:7 show", "/app/views.py:9 show", "/app/db.py:3 Rows.all"];
const FILES: [&str; 3] = ["app/views.py", "app/shop/orders.py", "tools/x.py"];

/// Gives some records a call site, some requests a repeated statement, and some queries a request, by their place in the list.
pub(super) fn dress(events: &mut [Event], calls: &mut [Call], queries: &mut [Query], picks: &[usize]) {
    let pick = |i: usize| picks[i % picks.len()];
    let site = |i: usize| SITES.get(pick(i) % (SITES.len() + 1)).map(|site| Arc::from(*site));
    for (i, event) in events.iter_mut().enumerate() {
        event.n_plus_one = (i % 4 == 0).then(|| statement(pick(i)).statement.fingerprint);
        event.error_site = site(i).filter(|_| failed(event));
    }
    for (i, call) in calls.iter_mut().enumerate() {
        call.call_site = site(i + 1);
    }
    for (i, query) in queries.iter_mut().enumerate() {
        query.call_site = site(i + 2);
        if let Some(caller) = events.get(pick(i) % events.len().max(1)).filter(|e| e.service == query.service)
        {
            query.source_request_id.clone_from(&caller.request_id);
        }
    }
}

fn statement(n: usize) -> Query {
    query(0.0, "", STATEMENTS[n % STATEMENTS.len()])
}

/// One handler per route, each in a folder of its own.
pub(super) fn discover(store: &TestStore) {
    for service in SERVICES {
        let found = ROUTES.iter().zip(FILES).map(|(route, file)| DiscoveredRoute {
            framework: "fastapi".into(),
            method: "GET".into(),
            route: (*route).into(),
            file: file.into(),
            line: 1,
            ..DiscoveredRoute::default()
        });
        let found = SourceScan { routes: found.collect(), ..SourceScan::default() };
        store.writer.replace_discovered(service, "/srv", found).unwrap();
    }
}

/// What needs the raw rows of the whole test.
pub(super) fn check(store: &TestStore, truth: &Truth, scope: &Scope) -> Result<(), TestCaseError> {
    check_percentiles(store, truth, scope)?;
    check_recent_errors(store, truth, scope)?;
    check_repeats(store, truth, scope)?;
    check_code(store, truth, scope)?;
    check_folders(store, truth, scope.seconds)?;
    truth.events.iter().step_by(7).try_for_each(|event| check_trace(store, truth, event))
}

fn check_percentiles(store: &TestStore, truth: &Truth, scope: &Scope) -> Result<(), TestCaseError> {
    let from = store.clock.now() - f64::from(scope.seconds);
    let of = |service: &str| scope.service.as_deref().is_none_or(|s| s == service);
    let events = truth.events(scope, store.clock.now());
    for route in store.reader.routes(scope).unwrap() {
        let durations: Vec<f64> =
            events.iter().filter(|e| e.route == route.route).map(|e| e.duration_ms).collect();
        prop_assert!(near(route.p95_ms, percentile(&durations, 0.95)));
    }
    for point in store.reader.timeseries(scope, 10, None).unwrap().1 {
        let durations: Vec<f64> = events
            .iter()
            .filter(|e| e.ts >= point.ts && e.ts < point.ts + 10.0)
            .map(|e| e.duration_ms)
            .collect();
        prop_assert!(near(point.p99_ms, percentile(&durations, 0.99)));
    }
    for host in store.reader.outgoing(scope, 50).unwrap() {
        let calls = truth.calls.iter().filter(|c| c.ts >= from && of(&c.service) && c.host == host.host);
        let durations: Vec<f64> = calls.map(|c| c.duration_ms).collect();
        prop_assert!(near(host.p95_ms, percentile(&durations, 0.95)));
    }
    for statement in store.reader.queries(scope, 50).unwrap() {
        let queries = truth
            .queries
            .iter()
            .filter(|q| q.ts >= from && of(&q.service) && q.statement.text == statement.sql);
        let durations: Vec<f64> = queries.map(|q| q.duration_ms).collect();
        prop_assert!(near(statement.p95_ms, percentile(&durations, 0.95)));
    }
    Ok(())
}

fn check_recent_errors(store: &TestStore, truth: &Truth, scope: &Scope) -> Result<(), TestCaseError> {
    let limit = 5;
    for route in [None, Some(ROUTES[1])] {
        let mut wanted: Vec<f64> = truth
            .events
            .iter()
            .filter(|e| failed(e) && route.is_none_or(|r| e.route == r))
            .filter(|e| scope.service.as_deref().is_none_or(|s| *e.service == *s))
            .map(|e| e.ts)
            .collect();
        wanted.sort_by(|a, b| b.total_cmp(a));
        wanted.truncate(limit);
        let answer = store.reader.recent_errors(scope.service.as_deref(), route, limit).unwrap();
        prop_assert_eq!(answer.len(), wanted.len());
        prop_assert!(answer.iter().zip(&wanted).all(|(a, b)| close(a.ts, *b)));
    }
    Ok(())
}

fn check_repeats(store: &TestStore, truth: &Truth, scope: &Scope) -> Result<(), TestCaseError> {
    let mut wanted = BTreeMap::<(String, String, String), (u64, f64)>::new();
    for e in truth.events(scope, store.clock.now()) {
        if let Some(fingerprint) = e.n_plus_one {
            let key = (e.service.to_string(), e.route.clone(), format!("{fingerprint:016x}"));
            let entry = wanted.entry(key).or_default();
            entry.0 += 1;
            entry.1 += e.db_total_ms.unwrap_or(0.0);
        }
    }
    let answer = store.reader.n_plus_one(scope, 50).unwrap();
    prop_assert_eq!(answer.len(), wanted.len());
    for repeat in answer {
        let (requests, total) = wanted[&(repeat.service, repeat.route, repeat.fingerprint)];
        prop_assert_eq!(repeat.requests, requests);
        prop_assert!(close(repeat.total_ms, total));
    }
    Ok(())
}

/// Places are counted since they were first seen; the window only says which are still in use.
fn check_code(store: &TestStore, truth: &Truth, scope: &Scope) -> Result<(), TestCaseError> {
    let from = store.clock.now() - f64::from(scope.seconds);
    let queries = truth.queries.iter().map(|q| (&q.service, &q.call_site, q.ts));
    let calls = truth.calls.iter().map(|c| (&c.service, &c.call_site, c.ts));
    let exceptions = truth.events.iter().map(|e| (&e.service, &e.error_site, e.ts));
    let mut wanted = BTreeMap::<(&str, &str), (u64, f64)>::new();
    for (service, site, ts) in queries.chain(calls).chain(exceptions) {
        let Some(site) = site.as_deref().filter(|_| scope.service.as_deref().is_none_or(|s| *s == **service))
        else {
            continue;
        };
        let entry = wanted.entry((service, site)).or_default();
        *entry = (entry.0 + 1, entry.1.max(ts));
    }
    wanted.retain(|_, (_, last)| *last >= from);
    let answer = store.reader.code(scope, 50).unwrap();
    prop_assert_eq!(answer.len(), wanted.len());
    prop_assert!(answer.is_sorted_by(|a, b| a.count >= b.count));
    for place in answer {
        let site = format!("{}:{} {}", place.file, place.line, place.function);
        let (count, last) = wanted[&(place.service.as_str(), site.as_str())];
        prop_assert_eq!(place.count, count);
        prop_assert!(close(place.last_seen, last));
    }
    Ok(())
}

fn check_folders(store: &TestStore, truth: &Truth, seconds: u32) -> Result<(), TestCaseError> {
    let now = store.clock.now();
    for service in SERVICES {
        let scope = Scope { service: Some(service.into()), seconds };
        for folder in ["", "app", "app/shop", "nowhere"] {
            let inside: Vec<&str> = ROUTES
                .into_iter()
                .zip(FILES)
                .filter(|(_, file)| folder.is_empty() || file.starts_with(&format!("{folder}/")))
                .map(|(route, _)| route)
                .collect();
            let events: Vec<&Event> = truth
                .events(&scope, now)
                .into_iter()
                .filter(|e| inside.contains(&e.route.as_str()))
                .collect();
            let answer = store.reader.folder_snapshot(service, folder, seconds).unwrap();
            prop_assert_eq!(answer.discovered_routes, inside.len());
            prop_assert_eq!(answer.total_requests as usize, events.len());
            prop_assert_eq!(answer.errors as usize, events.iter().filter(|e| failed(e)).count());
            prop_assert_eq!(answer.routes.iter().map(|r| r.total).sum::<u64>(), answer.total_requests);
        }
    }
    Ok(())
}

/// A request opened, and the tree it belongs to.
fn check_trace(store: &TestStore, truth: &Truth, event: &Event) -> Result<(), TestCaseError> {
    let id = event.request_id.as_deref().unwrap_or_default();
    let mine =
        |service: &str, source: &Option<Arc<str>>| *service == *event.service && source == &event.request_id;
    let opened = store.reader.request(id).unwrap();
    let Some(opened) = opened else {
        return Err(TestCaseError::fail(format!("{id} is not found")));
    };
    prop_assert!(close(opened.request.request.ts, event.ts));
    let calls = truth.calls.iter().filter(|c| mine(&c.service, &c.source_request_id)).count();
    prop_assert_eq!(opened.traced_calls.len(), calls);
    let queries = truth.queries.iter().filter(|q| mine(&q.service, &q.source_request_id)).count();
    prop_assert_eq!(opened.request.queries.len(), queries);

    // Up to the first cause, then down: a circle of callers ends where it began.
    let related = |child: &Event, parent: &Event| {
        child.parent_id == parent.request_id && child.correlation_id == parent.correlation_id
    };
    let parent = |of: &Event| truth.events.iter().find(|e| related(of, e) && e.request_id != of.request_id);
    let mut root = event;
    let mut above = BTreeSet::from([id]);
    while let Some(next) = parent(root).filter(|e| above.insert(e.request_id.as_deref().unwrap_or_default()))
    {
        root = next;
    }
    let mut open = vec![root];
    let mut wanted = BTreeSet::new();
    while let Some(at) = open.pop() {
        if wanted.insert(at.request_id.as_deref().unwrap_or_default().to_owned()) {
            open.extend(truth.events.iter().filter(|e| related(e, at)));
        }
    }
    let Some(trace) = store.reader.trace(id).unwrap() else {
        return Err(TestCaseError::fail(format!("{id} has no trace")));
    };
    let mut shown = Vec::new();
    ids(&trace, &mut shown);
    prop_assert_eq!(trace.request.request.request_id.as_deref(), root.request_id.as_deref());
    // A tree deeper than is shown says so.
    if !trace.truncated {
        prop_assert_eq!(shown.len(), wanted.len(), "a request is shown twice or not at all");
        prop_assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
    Ok(())
}

fn ids(trace: &Trace, found: &mut Vec<String>) {
    found.extend(trace.request.request.request_id.clone());
    let callees = trace.traced_calls.iter().filter_map(|call| call.callee.as_deref());
    for child in callees.chain(&trace.children) {
        ids(child, found);
    }
}
