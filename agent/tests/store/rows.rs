//! What is kept, for how long, and in how much room.

use std::os::unix::fs::PermissionsExt;

use apm_agent::store::{DiscoveredRoute, Scope, Sort, SourceScan};
use apm_core::loss::Loss;
use apm_core::record::{Event, Query, SlowSql};

use crate::support::{START, TestStore, all, ca, call, ev, event, qu, query, sa, sample};

#[test]
fn the_file_is_for_its_owner_only() {
    let store = TestStore::new();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store.path), 0o600);
    assert_eq!(mode(store.path.parent().unwrap()), 0o700);
}

#[test]
fn a_thousand_requests_of_one_microsecond_are_all_kept() {
    let store = TestStore::new();
    store.put((0..3000).map(|_| ev(event(START, "api", "/"))).collect());
    store.put((0..100).map(|_| ev(event(START, "api", "/"))).collect());
    assert_eq!(store.reader.overview(&all(60)).unwrap().total_requests, 3100);
}

#[test]
fn figures_outlive_the_raw_rows() {
    let store = TestStore::with(|options| options.retention.raw = 60);
    store.put(vec![ev(event(START, "api", "/")), ev(event(START + 1.0, "api", "/"))]);
    // A day later, in steps as the clock goes, all raw rows are gone.
    for minute in 1..10 {
        store.clock.set(START + f64::from(minute) * 60.0);
        store.writer.flush().unwrap();
    }
    assert!(store.reader.requests(&all(3600), None, None, Sort::Recent, 10).unwrap().is_empty());
    assert_eq!(store.reader.overview(&all(3600)).unwrap().total_requests, 2);
    store.clock.set(START + 20.0 * 86_400.0);
    store.writer.flush().unwrap();
    assert_eq!(store.reader.overview(&all(21 * 86_400)).unwrap().total_requests, 2);
    assert_eq!(store.reader.overview(&all(10 * 86_400)).unwrap().total_requests, 0);
}

#[test]
fn a_store_beyond_its_size_gives_up_its_oldest_rows() {
    let store = TestStore::with(|options| options.max_bytes = 2 << 20);
    let mut now = START;
    for batch in 0..60 {
        let path = format!("/{batch}/{}", "x".repeat(300));
        let rows = (0..200).map(|i| {
            let mut event = event(now + f64::from(i) / 1000.0, "api", "/r");
            event.path.clone_from(&path);
            ev(event)
        });
        store.put(rows.collect());
        now += 1.0;
        store.clock.set(now);
    }
    for _ in 0..100 {
        now += 1.0;
        store.clock.set(now);
        store.writer.flush().unwrap();
    }
    let health = store.writer.health();
    assert!(health.size_bytes <= 2 << 20, "{health:?}");
    // The figures are still those of all rows.
    assert_eq!(store.reader.overview(&all(3600)).unwrap().total_requests, 60 * 200);
    let newest = store.reader.requests(&all(3600), None, None, Sort::Recent, 1).unwrap();
    assert!(newest[0].path.starts_with("/59/"));
}

#[test]
fn statements_that_failed_are_told_however_little_time_they_took() {
    let store = TestStore::new();
    let slow =
        (1..=3).map(|n| Query { duration_ms: 100.0, ..query(START, "api", &format!("SELECT {n} AS n{n}")) });
    let mut refused = query(START, "api", "INSERT INTO t");
    (refused.duration_ms, refused.error_code) = (0.1, Some("23505".into()));
    store.put(slow.chain([refused]).map(qu).collect());
    assert_eq!(store.reader.queries(&all(60), 2).unwrap().len(), 2);
    let told = store.reader.queries_and_failed(&all(60), 2).unwrap();
    let errors: Vec<u64> = told.iter().map(|statement| statement.errors).collect();
    assert_eq!(errors, [0, 0, 1]);
}

#[test]
fn rows_beyond_the_queue_are_dropped_and_counted() {
    let store = TestStore::with(|options| options.queue_rows = 10);
    let rows = |n: usize| (0..n).map(|_| ev(event(START, "api", "/"))).collect::<Vec<_>>();
    for _ in 0..1000 {
        store.writer.send(rows(8));
    }
    store.writer.flush().unwrap();
    let lost = store.writer.losses().get(Loss::StoreQueueFull);
    assert_eq!(store.reader.overview(&all(60)).unwrap().total_requests + lost, 8000);
}

#[test]
fn shutdown_writes_what_was_sent_and_the_next_start_finds_it() {
    let store = TestStore::new();
    store.writer.send(vec![ev(event(START, "api", "/"))]);
    store.writer.shutdown();
    let (writer, reader) =
        apm_agent::store::Store::open(&store.path, crate::support::options(&store.clock)).unwrap();
    assert_eq!(reader.overview(&all(60)).unwrap().total_requests, 1);
    assert_eq!(writer.health().notices, Vec::<String>::new());
    writer.shutdown();
}

#[test]
fn services_sum_over_their_live_processes() {
    let store = TestStore::new();
    store.put(vec![
        sa(sample(START, "api", 1, 2)),
        sa(sample(START, "api", 2, 3)),
        sa(sample(START - 100.0, "api", 3, 9)),
        sa(sample(START - 100.0, "web", 4, 9)),
    ]);
    let services = store.reader.services().unwrap();
    let api = &services[0];
    assert_eq!((api.service.as_str(), api.in_flight, api.processes), ("api", 5, 2));
    assert_eq!((api.cpu_pct, api.mem_mb, api.last_seen), (Some(10.0), Some(100.0), START));
    let web = &services[1];
    assert_eq!((web.service.as_str(), web.in_flight, web.cpu_pct, web.alive), ("web", 0, None, false));
}

#[test]
fn a_request_is_opened_with_its_queries_calls_and_exception() {
    let store = TestStore::new();
    let id = "123e4567-e89b-12d3-a456-426614174000";
    let mut outer = event(START + 1.0, "web", "/page");
    (outer.request_id, outer.correlation_id) = (Some(id.into()), Some(id.into()));
    outer.duration_ms = 900.0;
    outer.path = "/page".into();
    outer.error_type = Some("KeyError".into());
    outer.error_link = Some("handler");
    outer.error_locals = Some(r#"{"user": 7}"#.into());
    outer.db_slow = vec![SlowSql { sql: "SELECT ?".into(), ms: 0.5 }];
    let mut inner = event(START + 0.6, "api", "/users/{id}");
    (inner.request_id, inner.correlation_id, inner.parent_id) =
        (Some("inner".into()), Some(id.into()), Some(id.into()));
    inner.path = "/users/7".into();
    inner.duration_ms = 100.0;
    let mut out = call(START + 0.61, "web", "127.0.0.1:9000");
    out.path = "/users/7".into();
    out.duration_ms = 120.0;
    out.source_request_id = Some(id.into());
    let mut sql = query(START + 0.3, "web", "SELECT ?");
    sql.source_request_id = Some(id.into());
    // The same id passed through another service: its query is not this request's.
    let mut foreign = query(START + 0.4, "api", "SELECT now()");
    foreign.source_request_id = Some(id.into());
    store.put(vec![ev(inner), ca(out), qu(sql), qu(foreign), ev(outer)]);
    store.clock.set(START + 3.0);

    let opened = store.reader.request(id).unwrap().unwrap();
    assert_eq!(opened.request.queries.len(), 1);
    assert_eq!(opened.request.queries[0].sql, "SELECT ?");
    assert_eq!(opened.traced_calls.len(), 1);
    assert_eq!(opened.request.exception.error_type.as_deref(), Some("KeyError"));
    assert_eq!(opened.request.exception.error_link.as_deref(), Some("handler"));
    assert_eq!(opened.request.exception.error_locals, Some(serde_json::json!({"user": 7})));
    assert!(opened.children.is_empty());

    for wanted in [id, "inner"] {
        let trace = store.reader.trace(wanted).unwrap().unwrap();
        assert_eq!(trace.request.request.service, "web");
        let callee = trace.traced_calls[0].callee.as_ref().unwrap();
        assert_eq!(callee.request.request.route, "/users/{id}");
        assert!(trace.children.is_empty() && !trace.truncated);
    }
    assert_eq!(store.reader.trace("nothing").unwrap(), None);
}

#[test]
fn a_circle_of_callers_does_not_turn_for_ever() {
    let store = TestStore::new();
    let mut rows = Vec::new();
    for (id, parent) in [("a", "b"), ("b", "a"), ("c", "c")] {
        let mut event = event(START, "api", "/");
        (event.request_id, event.correlation_id) = (Some(id.into()), Some("chain".into()));
        event.parent_id = Some(parent.into());
        rows.push(ev(event));
    }
    store.put(rows);
    for id in ["a", "b", "c", "chain"] {
        assert!(store.reader.trace(id).unwrap().is_some(), "{id}");
    }
}

#[test]
fn n_plus_one_names_the_route_the_statement_and_a_request() {
    let store = TestStore::new();
    let sql = query(START, "api", "SELECT * FROM t WHERE id = ?");
    let mut bad = event(START, "api", "/list");
    bad.request_id = Some("r1".into());
    bad.n_plus_one = Some(sql.statement.fingerprint);
    bad.db_total_ms = Some(40.0);
    store.put(vec![qu(sql), ev(bad), ev(event(START, "api", "/list"))]);
    let found = store.reader.n_plus_one(&all(60), 10).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].route.as_str(), found[0].requests), ("/list", 1));
    assert_eq!(found[0].sql, "SELECT * FROM t WHERE id = ?");
    assert_eq!(found[0].sample_request_id.as_deref(), Some("r1"));
}

#[test]
fn a_scan_replaces_the_routes_of_its_service_only() {
    let store = TestStore::new();
    let route = |method: &str, route: &str, file: &str| DiscoveredRoute {
        framework: "flask".into(),
        method: method.into(),
        route: route.into(),
        file: file.into(),
        line: 3,
        function: Some("handler".into()),
        conditional: method == "*",
    };
    let scan = |routes: Vec<DiscoveredRoute>| {
        let counters = [("files".to_owned(), routes.len() as u64)].into();
        SourceScan { routes, counters }
    };
    store.writer.replace_discovered("web", "/srv/web", scan(vec![route("GET", "/w", "web.py")])).unwrap();
    store.writer.replace_discovered("api", "/srv/api", scan(vec![route("GET", "/old", "old.py")])).unwrap();
    // A scan that finds nothing is a scan.
    store.writer.replace_discovered("idle", "/srv/idle", SourceScan::default()).unwrap();
    let new = vec![
        route("GET", "/a", "app/a.py"),
        route("*", "/b", "app/sub/b.py"),
        route("GET", "/c", "apple.py"),
    ];
    assert_eq!(store.writer.replace_discovered("api", "/srv/api", scan(new)).unwrap(), 3);
    let (routes, roots) = store.reader.discovered(Some("api")).unwrap();
    assert_eq!(routes.iter().map(|r| r.route.as_str()).collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    assert_eq!(
        roots.iter().map(|r| (r.service.as_str(), r.routes, r.counters.get("files"))).collect::<Vec<_>>(),
        [("api", 3, Some(&3)), ("idle", 0, None), ("web", 1, Some(&1))]
    );
    assert_eq!(routes.iter().map(|r| r.conditional).collect::<Vec<_>>(), [false, true, false]);

    let mut post = event(START, "api", "/a");
    post.method = "POST".into();
    let mut put = event(START, "api", "/b");
    put.method = "PUT".into();
    store.put(vec![ev(event(START, "api", "/a")), ev(post), ev(put), ev(event(START, "api", "/c"))]);
    let folder = store.reader.folder_snapshot("api", "/app/", 60).unwrap();
    // GET /a and, through `*`, PUT /b; POST /a is no route of the folder, `apple.py` does not lie in it.
    assert_eq!((folder.total_requests, folder.discovered_routes), (2, 2));
    assert_eq!(folder.files, ["app/a.py", "app/sub/b.py"]);
    assert_eq!(store.reader.folder_snapshot("api", "", 60).unwrap().total_requests, 3);
}

#[test]
fn figures_of_durations_that_nobody_can_have_measured_are_answered() {
    let store = TestStore::new();
    let (paths, texts) = (["/a", "/b"], ["SELECT 1", "SELECT 2"]);
    let routes = paths.map(|path| DiscoveredRoute {
        framework: "flask".into(),
        method: "GET".into(),
        route: path.into(),
        file: "app.py".into(),
        line: 3,
        function: None,
        conditional: false,
    });
    let scan = SourceScan { routes: routes.into(), counters: [].into() };
    store.writer.replace_discovered("api", "/srv/api", scan).unwrap();
    for _ in 0..2 {
        let events = paths.map(|path| ev(Event { duration_ms: 1e300, ..event(START, "api", path) }));
        let queries = texts.map(|sql| qu(Query { duration_ms: 1e300, ..query(START, "api", sql) }));
        store.put(events.into_iter().chain(queries).collect());
    }
    assert_eq!(store.reader.folder_snapshot("api", "", 60).unwrap().total_requests, 4);
    let statements = store.reader.queries(&all(60), 10).unwrap();
    assert_eq!(statements.iter().map(|one| one.count).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_name_that_looks_like_sql_is_a_name() {
    let store = TestStore::new();
    let evil = "x'; DROP TABLE event; --";
    store.put(vec![ev(event(START, evil, evil))]);
    let scope = Scope { service: Some(evil.into()), seconds: 60 };
    assert_eq!(store.reader.overview(&scope).unwrap().total_requests, 1);
    assert_eq!(store.reader.routes(&scope).unwrap()[0].route, evil);
}

#[test]
fn a_statement_tells_the_code_that_sends_it() {
    let store = TestStore::with(|options| options.retention.raw = 60);
    let sent = |ts: f64, service: &str, line: Option<u32>| {
        let mut query = query(ts, service, "SELECT 1");
        query.call_site = line.map(|line| format!("/shop/views.py:{line} show").into());
        qu(query)
    };
    // Line n n times, four lines in all; some are not known; another service has its own.
    let lines = [1, 2, 2, 3, 3, 3, 4, 4, 4, 4].map(Some);
    for (n, line) in lines.into_iter().chain([None, None]).enumerate() {
        store.put(vec![sent(START + n as f64, "api", line)]);
    }
    store.put(vec![sent(START, "other", Some(9))]);
    let check = || {
        let of_api = Scope { service: Some("api".into()), seconds: 600 };
        let queries = store.reader.queries(&of_api, 10).unwrap();
        let [one] = queries.as_slice() else { panic!("{queries:?}") };
        let sites: Vec<_> = one.call_sites.iter().map(|at| (at.site.as_str(), at.count)).collect();
        let wanted =
            [("/shop/views.py:4 show", 4), ("/shop/views.py:3 show", 3), ("/shop/views.py:2 show", 2)];
        assert_eq!((sites.as_slice(), one.calls), (wanted.as_slice(), 12));
    };
    check();
    // They are kept as long as the figures, not as the raw rows.
    store.clock.set(START + 300.0);
    store.put(vec![sent(START + 300.0, "third", None)]);
    check();
}

#[test]
fn code_is_counted_by_line_and_outlives_the_raw_rows() {
    let store = TestStore::with(|options| options.retention.raw = 60);
    let site = Some("/shop/views.py:7 show".into());
    let at = |ts: f64, service: &str| {
        let mut query = query(ts, service, "SELECT 1");
        query.call_site.clone_from(&site);
        qu(query)
    };
    let mut failed = event(START + 2.0, "api", "/");
    failed.error_site.clone_from(&site);
    store.put(vec![at(START, "api"), at(START + 1.0, "api"), at(START, "other"), ev(failed)]);
    store.put(vec![at(START + 5.0, "api"), qu(query(START, "api", "SELECT 1"))]);
    let of_api = Scope { service: Some("api".into()), seconds: 600 };
    let code = store.reader.code(&of_api, 10).unwrap();
    let [place] = code.as_slice() else { panic!("{code:?}") };
    assert_eq!((place.file.as_str(), place.line, place.function.as_str()), ("/shop/views.py", 7, "show"));
    assert_eq!((place.first_seen, place.last_seen), (START, START + 5.0));
    assert_eq!((place.count, place.queries, place.calls, place.exceptions), (4, 3, 0, 1));
    assert_eq!(store.reader.code(&all(600), 10).unwrap().len(), 2);
    store.clock.set(START + 86_400.0);
    store.writer.flush().unwrap();
    assert_eq!(store.reader.code(&all(2 * 86_400), 10).unwrap().len(), 2);
    assert!(store.reader.code(&all(600), 10).unwrap().is_empty());
    store.clock.set(START + 40.0 * 86_400.0);
    store.writer.flush().unwrap();
    assert!(store.reader.code(&all(u32::MAX), 10).unwrap().is_empty());
}
