//! The endpoints as a dashboard sees them.

use std::path::PathBuf;
use std::sync::Arc;

use apm_agent::server::live::{Live, ProcessStatus};
use apm_agent::server::{Access, AppState, ScanRefusal, router};
use apm_agent::store::{DiscoveredRoute, SourceScan};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::support::{START, TestStore, ev, event};

pub(crate) struct Site {
    pub(crate) store: TestStore,
    pub(crate) state: AppState,
    pub(crate) live: watch::Sender<Arc<Live>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(Access::new([127, 0, 0, 1].into(), None, Vec::new()).unwrap())
    }

    pub(crate) fn with(access: Access) -> Self {
        let store = TestStore::new();
        let (live, seen) = watch::channel(Arc::new(Live::default()));
        let state =
            AppState::new(store.reader.clone(), store.writer.clone(), seen, access, store.clock.clock());
        Self { store, state, live }
    }

    /// Lets a scan find one route below the store's own directory, which is given back.
    pub(crate) fn finds_a_route(&mut self) -> PathBuf {
        self.state.scan = Some(Arc::new(|_, path| {
            let route = DiscoveredRoute {
                framework: "fastapi".into(),
                method: "GET".into(),
                route: "/a".into(),
                file: "app/a.py".into(),
                line: 7,
                function: Some("a".into()),
                conditional: false,
            };
            let found = SourceScan { routes: vec![route], counters: [("files".to_owned(), 1)].into() };
            Ok((path.to_owned(), found))
        }));
        self.store.dir.path().to_owned()
    }

    pub(crate) fn router(&self) -> Router {
        router(self.state.clone())
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
    }

    pub(crate) async fn get(&self, uri: &str) -> (StatusCode, Value) {
        self.ask(Request::get(uri).header("host", "127.0.0.1:9876").body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, uri: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request =
            Request::post(uri).header("host", "localhost:9876").header("content-type", "application/json");
        self.ask(request.body(body.into()).unwrap()).await
    }
}

/// Fields and their types as the contract lists them: a JSON value of the same type stands for each.
fn has_shape(answer: &Value, shape: &Value) -> Result<(), String> {
    match (answer, shape) {
        (Value::Object(answer), Value::Object(shape)) => shape.iter().try_for_each(|(name, shape)| {
            let value = answer.get(name).ok_or_else(|| format!("{name} is missing"))?;
            has_shape(value, shape).map_err(|error| format!("{name}: {error}"))
        }),
        (Value::Array(answer), Value::Array(shape)) => {
            if answer.is_empty() {
                return Err("is empty: nothing to compare".into());
            }
            answer.iter().try_for_each(|item| has_shape(item, &shape[0]))
        }
        (Value::Number(a), Value::Number(s)) if s.is_f64() || a.is_u64() || a.is_i64() => Ok(()),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (_, Value::Null) => Ok(()),
        _ => Err(format!("{answer} where {shape} was expected")),
    }
}

pub(crate) fn envelope() -> Value {
    json!({
        "service": "api", "host": "box", "pid": 12, "cpu_pct": 3.5, "mem_mb": 60.0, "in_flight": 2,
        "events": [
            {"ts": START - 3.0, "method": "GET", "route": "/a", "path": "/a?token=secret", "status": 200,
             "duration_ms": 12.5, "request_id": "r1", "correlation_id": "c1", "db_query_count": 2, "db_total_ms": 3.0,
             "db_slow": [{"sql": "SELECT * FROM t WHERE x = 'secret'", "ms": 2.0}], "outgoing_count": 1, "outgoing_total_ms": 4.0},
            {"ts": START - 2.0, "method": "GET", "route": "/b", "path": "/b", "status": 500, "duration_ms": 20.0,
             "error": "ValueError", "request_id": "r2", "correlation_id": "c1", "parent_id": "r1",
             "error_type": "ValueError", "error_message": "no", "error_traceback": "Traceback", "error_fingerprint": "f"},
        ],
        "outgoing_calls": [
            {"ts": START - 3.0, "method": "GET", "host": "x.example", "path": "/", "status": 503, "duration_ms": 4.0,
             "source_request_id": "r1", "correlation_id": "c1"},
        ],
    })
}

#[tokio::test]
async fn every_endpoint_of_the_contract_answers_in_its_shape() {
    let mut site = Site::new();
    let root = site.finds_a_route();
    assert_eq!(
        site.post("/ingest", envelope().to_string()).await,
        (StatusCode::OK, json!({"ok": true, "events": 2}))
    );
    site.store.writer.flush().unwrap();
    let scan = site.post("/api/scan", json!({"service": "api", "path": root}).to_string()).await;
    assert_eq!(scan.0, StatusCode::OK, "{scan:?}");
    assert_eq!(scan.1["by_framework"], json!({"fastapi": 1}));

    let route = json!({"method": "", "route": "", "rps": 0.0, "total": 0, "errors": 0, "error_rate": 0.0, "avg_ms": 0.0, "max_ms": 0.0});
    let shapes = [
        (
            "/api/services",
            json!({"services": [{"service": "", "last_seen": 0.0, "cpu_pct": 0.0, "mem_mb": 0.0, "in_flight": 0}]}),
        ),
        (
            "/api/overview",
            json!({"service": null, "window_seconds": 0, "total_requests": 0, "errors": 0, "error_rate": 0.0, "rps": 0.0, "avg_duration_ms": 0.0, "max_duration_ms": 0.0}),
        ),
        (
            "/api/timeseries",
            json!({"service": null, "window_seconds": 0, "bucket_seconds": 0, "points": [{"ts": 0.0, "rps": 0.0, "error_rate": 0.0, "avg_ms": 0.0, "total": 0}]}),
        ),
        ("/api/routes", json!({"routes": [route]})),
        (
            "/api/recent_errors",
            json!({"errors": [{"ts": 0.0, "service": "", "method": "", "route": "", "status": 0, "duration_ms": 0.0, "error": ""}]}),
        ),
        (
            "/api/route/snapshot?service=api&method=GET&route=/a",
            json!({
            "service": "", "method": "", "route": "", "window_seconds": 0, "total_requests": 0, "errors": 0, "error_rate": 0.0,
            "rps": 0.0, "avg_duration_ms": 0.0, "max_duration_ms": 0.0, "min_duration_ms": 0.0, "error_breakdown": null,
            "db": {"avg_queries_per_request": 0.0, "max_queries_per_request": 0, "avg_db_ms": 0.0, "max_db_ms": 0.0,
                   "worst_request": {"queries": 0, "db_total_ms": 0.0, "request_total_ms": 0.0, "slowest": [{"sql": "", "ms": 0.0}]}},
            "outgoing": [{"host": "", "calls": 0, "avg_ms": 0.0, "max_ms": 0.0, "errors": 0}]}),
        ),
        (
            "/api/route/snapshot?service=api&method=GET&route=/b",
            json!({"error_breakdown": [{"status": 0, "error": "", "count": 0}]}),
        ),
        (
            "/api/route_chains",
            json!({"service": null, "window_seconds": 0, "chains": [{"parent_method": "", "parent_route": "", "child_method": "", "child_route": "", "count": 0, "child_avg_ms": 0.0, "child_errors": 0}]}),
        ),
        (
            "/api/folder/snapshot?service=api&folder=app",
            json!({"service": "", "folder": "", "window_seconds": 0, "discovered_routes": 0, "total_requests": 0, "errors": 0, "error_rate": 0.0, "avg_duration_ms": 0.0, "rps": 0.0, "routes": [route], "files": [""]}),
        ),
        (
            "/api/error_groups",
            json!({"service": null, "window_seconds": 0, "groups": [{"fingerprint": "", "error_type": "", "error_message": "", "count": 0, "first_seen": 0.0, "last_seen": 0.0, "routes_count": 0, "sample_traceback": "", "affected_routes": [{"method": "", "route": "", "count": 0}]}]}),
        ),
        (
            "/api/outgoing",
            json!({"service": null, "window_seconds": 0, "hosts": [{"host": "", "calls": 0, "errors": 0, "error_rate": 0.0, "avg_ms": 0.0, "max_ms": 0.0, "total_ms": 0.0}]}),
        ),
        (
            "/api/route_host_calls",
            json!({"service": null, "window_seconds": 0, "edges": [{"method": "", "route": "", "host": "", "calls": 0, "errors": 0, "error_rate": 0.0, "avg_ms": 0.0, "max_ms": 0.0, "total_ms": 0.0}]}),
        ),
        (
            "/api/discovered",
            json!({"routes": [{"service": "", "framework": "", "method": "", "route": "", "file": "", "line": 0, "function": "", "scanned_at": 0.0, "scan_root": ""}], "scan_roots": [{"service": "", "scanned_at": 0.0, "scan_root": "", "routes": 0}]}),
        ),
        ("/api/requests?sort=slow", json!({"requests": [{"ts": 0.0, "request_id": "", "path": ""}]})),
        ("/api/request/r1", json!({"request_id": "", "queries": null, "calls": [{"host": "", "ts": 0.0}]})),
        ("/api/trace/r2", json!({"request_id": "", "children": [{"route": ""}]})),
        ("/api/heatmap", json!({"bounds_ms": [0.0], "columns": [{"ts": 0.0, "counts": [0]}]})),
        (
            "/api/status",
            json!({"version": "", "uptime_s": 0, "losses": [{"name": "", "count": 0, "meaning": ""}], "store": {"state": ""}}),
        ),
        ("/healthz", json!({"ok": true})),
    ];
    for (uri, shape) in shapes {
        let (status, answer) = site.get(uri).await;
        assert_eq!(status, StatusCode::OK, "{uri}: {answer}");
        if let Err(error) = has_shape(&answer, &shape) {
            panic!("{uri}: {error}\n{answer:#}");
        }
    }
    let (status, metrics) = site.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"apm_requests_total{service="api",method="GET",route="/b",status="5xx"} 1"#,
        r#"apm_request_errors_total{service="api",method="GET",route="/a"} 0"#,
        r#"apm_request_duration_seconds_bucket{le="0.025",service="api",method="GET",route="/a"} 1"#,
        r#"apm_call_errors_total{service="api",peer="x.example"} 1"#,
        r#"apm_service_in_flight{service="api"} 2"#,
        r#"apm_losses_total{kind="store_failed"} 0"#,
    ] {
        assert!(
            metrics.as_str().unwrap().lines().any(|l| l == line),
            "{line}\n{}",
            metrics.as_str().unwrap()
        );
    }
    let (_, request) = site.get("/api/request/r1").await;
    assert_eq!(request["path"], "/a", "the query string is not kept");
    assert_eq!(request["db_slow"][0]["sql"], "SELECT * FROM t WHERE x = ?", "literals are not kept");
}

#[tokio::test]
async fn a_parameter_that_does_not_parse_is_named() {
    let site = Site::new();
    for (uri, name) in [
        ("/api/overview?w=abc", "w"),
        ("/api/overview?w=-5", "w"),
        ("/api/timeseries?bucket=0", "bucket"),
        ("/api/recent_errors?limit=1e3", "limit"),
        ("/api/requests?sort=best", "sort"),
        ("/api/route/snapshot?service=a&method=GET", "route"),
        ("/api/folder/snapshot", "service"),
    ] {
        let (status, answer) = site.get(uri).await;
        assert!(status.is_client_error(), "{uri}: {status}");
        assert_eq!(answer["parameter"], name, "{uri}: {answer}");
    }
}

#[tokio::test]
async fn an_empty_store_answers_zeros_and_empty_lists() {
    let site = Site::new();
    let (_, overview) = site.get("/api/overview?service=&w=0").await;
    assert_eq!(
        (&overview["rps"], &overview["total_requests"], &overview["service"]),
        (&json!(0.0), &json!(0), &json!(""))
    );
    assert_eq!(site.get("/api/services").await.1, json!({"services": []}));
    assert_eq!(site.get("/api/routes?service=nobody").await.1, json!({"routes": []}));
    let (_, snapshot) = site.get("/api/route/snapshot?service=s&method=GET&route=/").await;
    assert_eq!(snapshot["db"]["worst_request"], Value::Null);
    assert_eq!(site.get("/api/request/none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/nowhere").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn envelopes_with_gaps_are_taken_and_bad_ones_refused() {
    let site = Site::new();
    assert_eq!(site.post("/ingest", "{}").await, (StatusCode::OK, json!({"ok": true, "events": 0})));
    let nulls = json!({"service": null, "pid": null, "events": [{"route": null, "path": "/p", "status": null}], "outgoing_calls": null});
    assert_eq!(site.post("/ingest", nulls.to_string()).await.1["events"], 1);
    for body in ["", "{", "[]", "7", "null", r#"{"events": 5}"#, r#"{"events": [{"ts": "x"}]}"#] {
        assert_eq!(site.post("/ingest", body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    // 32 MB of memory, and hours of scrubbing, if they were taken.
    let many = format!(r#"{{"events": [{}{{}}]}}"#, "{},".repeat(20_000));
    let (status, answer) = site.post("/ingest", many).await;
    assert!(
        status == StatusCode::BAD_REQUEST && answer["error"].as_str().unwrap().contains("in parts"),
        "{answer}"
    );
    let message = json!({"events": [{"route": "/m", "error_message": ")=(".repeat(1 << 20)}]});
    assert_eq!(site.post("/ingest", message.to_string()).await.0, StatusCode::OK);
    site.store.writer.flush().unwrap();
    let (_, routes) = site.get("/api/routes").await;
    assert_eq!((&routes["routes"][0]["route"], &routes["routes"][1]["route"]), (&json!("/m"), &json!("/p")));
    assert_eq!(site.get("/api/services").await.1["services"][0]["service"], "unknown");
}

#[tokio::test]
async fn what_is_dated_ahead_is_dated_now() {
    let site = Site::new();
    // Milliseconds in the place of seconds; once, 13 of them ended the store.
    for n in 0..20 {
        let event =
            json!({"ts": START * 1e3 + f64::from(n), "route": "/ahead", "request_id": format!("ahead-{n}")});
        let envelope = json!({"service": "api", "events": [event, {"ts": START + 30.0, "route": "/skewed"}]});
        assert_eq!(site.post("/ingest", envelope.to_string()).await.1["events"], 2);
        site.store.writer.flush().unwrap();
    }
    let (_, one) = site.get("/api/request/ahead-7").await;
    assert_eq!(one["ts"], START);
    let (_, routes) = site.get("/api/routes?w=60").await;
    assert_eq!((&routes["routes"][0]["total"], &routes["routes"][1]["total"]), (&json!(20), &json!(20)));
}

#[tokio::test]
async fn a_scan_that_is_refused_says_why() {
    let mut site = Site::new();
    let ask = |path: &str| json!({"service": "api", "path": path}).to_string();
    assert_eq!(site.post("/api/scan", ask("/in")).await.0, StatusCode::NOT_IMPLEMENTED);
    site.state.scan = Some(Arc::new(|_, path| match path.to_str() {
        Some("/in") => Ok((path.to_owned(), SourceScan::default())),
        Some("/in/file") => Err(ScanRefusal::Bad("it is no directory".into())),
        _ => Err(ScanRefusal::Outside),
    }));
    assert_eq!(site.post("/api/scan", ask("/in")).await.0, StatusCode::OK);
    let (status, answer) = site.post("/api/scan", ask("/out")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        answer["error"].as_str().is_some_and(|e| e.starts_with("/out: ") && e.contains("--scan")),
        "{answer}"
    );
    let (status, answer) = site.post("/api/scan", ask("/in/file")).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("/in/file: it is no directory")));
    for body in [
        r#"{"service": "a"}"#,
        r#"{"service": 7, "path": "/"}"#,
        "",
        "[]",
        "{",
        r#"{"service": " ", "path": "/in"}"#,
    ] {
        assert_eq!(site.post("/api/scan", body.to_owned()).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn services_and_status_show_what_the_pipeline_published() {
    let site = Site::new();
    let process =
        |pid, in_flight| ProcessStatus { pid, service: "api".into(), in_flight, ..ProcessStatus::default() };
    let live = Live { processes: vec![process(1, 2), process(2, 3)], ..Live::default() };
    site.live.send(Arc::new(live)).unwrap();
    let (_, services) = site.get("/api/services").await;
    assert_eq!(services["services"][0]["in_flight"], 5);
    let (_, status) = site.get("/api/status").await;
    assert_eq!(status["processes"].as_array().unwrap().len(), 2);
    assert_eq!(status["losses"].as_array().unwrap().len(), apm_core::loss::Loss::ALL.len());
}

#[test]
fn the_stream_sends_the_state_then_only_changes_and_ends_with_the_server() {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    fn tick(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<Value> {
        lines.find_map(|line| {
            line.unwrap().strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap())
        })
    }

    let site = Site::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let state = site.state.clone();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            apm_agent::server::serve(listener, state, stopped).await
        })
    });
    let mut socket = TcpStream::connect(address).unwrap();
    // A stream that says nothing fails the test instead of holding it up.
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    write!(socket, "GET /api/stream HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(socket).lines();
    assert_eq!(tick(&mut lines).unwrap()["rows"], 0);
    site.store.writer.send(vec![ev(event(START, "api", "/"))]);
    site.store.writer.flush().unwrap();
    assert_eq!(tick(&mut lines), Some(json!({"rows": 1})), "only what changed");
    stop.send(true).unwrap();
    assert_eq!(tick(&mut lines), None);
    server.join().unwrap().unwrap();
}
