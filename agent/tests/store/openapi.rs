//! What the server answers, held against what it says of itself: every endpoint, every field, every parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apm_agent::server::live::{AgentUse, LinkCount, Live, ProbeStatus, ProcessStatus, Ring};
use apm_core::loss::Loss;
use apm_core::record::{Event, SlowSql};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tower::ServiceExt;

use crate::api::{Site, envelope};
use crate::described::{Description, faults, lists};
use crate::support::{START, ca, call, ev, event, qu, query};

async fn description(site: &Site) -> Description {
    let (status, document) = site.get("/api/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    Description::new(document)
}

fn fits(validator: &Validator, answer: &Value, uri: &str) {
    let faults = faults(validator, answer);
    assert!(faults.is_empty(), "{uri} is not as described:\n{}\n{answer:#}", faults.join("\n"));
}

/// A site where every list of every answer has an entry.
async fn full() -> Site {
    let mut site = Site::new();
    site.finds_a_route();
    let failed = Event {
        status: 500,
        error: Some("ValueError".into()),
        error_type: Some("ValueError".into()),
        error_message: Some("no".into()),
        error_traceback: Some("Traceback".into()),
        error_fingerprint: Some("f".into()),
        error_link: Some("log"),
        error_locals: Some(r#"{"user": "int"}"#.into()),
        request_id: Some("own".into()),
        correlation_id: Some("c".into()),
        client: Some("10.0.0.1:7".into()),
        protocol: Some("http/1.1"),
        ttfb_ms: Some(1.0),
        db_query_count: Some(12),
        db_total_ms: Some(1.0),
        db_slow: vec![SlowSql { sql: "SELECT ?".into(), ms: 0.5 }],
        outgoing_count: Some(1),
        outgoing_total_ms: Some(2.5),
        n_plus_one: Some(query(START, "api", "SELECT ?").statement.fingerprint),
        ..event(START - 1.0, "api", "/a")
    };
    let callee = Event {
        request_id: Some("callee".into()),
        correlation_id: Some("c".into()),
        parent_id: Some("own".into()),
        host: Some("stock:80".into()),
        duration_ms: 1.0,
        ..event(START - 1.0005, "stock", "/x")
    };
    let mut out = call(START - 1.0, "api", "stock:80");
    out.source_request_id = Some("own".into());
    out.link = Some("context");
    let mut refused = query(START - 1.0002, "api", "SELECT ?");
    refused.source_request_id = Some("own".into());
    refused.error_code = Some("23505".into());
    refused.call_site = Some("/a/app.py:7 a".into());
    let shared = event(START - 1.0, "stock", "/a");
    site.store.put(vec![ev(failed), ev(callee), ev(shared), ca(out), qu(refused)]);
    let mut live = Live {
        processes: vec![ProcessStatus {
            pid: 7,
            service: "api".into(),
            state: "watched".into(),
            probes: vec![ProbeStatus { name: "sockets".into(), attached: true, reason: None }],
            ..ProcessStatus::default()
        }],
        links: vec![LinkCount { kind: "context".into(), count: 1 }],
        ring: Some(Ring { size_bytes: 1 << 20, used_bytes: 0, max_used_bytes: 5 }),
        agent: AgentUse { pid: 1, cpu_pct: Some(0.5), mem_mb: Some(20.0), db_bytes: 0 },
        problems: vec!["something".into()],
        ..Live::default()
    };
    live.losses.set(Loss::GapBytes, 3);
    site.live.send(Arc::new(live)).unwrap();
    site
}

/// An address of each endpoint that answers a GET.
const ADDRESSES: &[(&str, &str)] = &[
    ("/api/code", "/api/code"),
    ("/api/discovered", "/api/discovered"),
    ("/api/error_groups", "/api/error_groups?service=api"),
    ("/api/folder/snapshot", "/api/folder/snapshot?service=api&folder=app"),
    ("/api/heatmap", "/api/heatmap"),
    ("/api/outgoing", "/api/outgoing"),
    ("/api/overview", "/api/overview"),
    ("/api/queries", "/api/queries"),
    ("/api/recent_errors", "/api/recent_errors"),
    ("/api/request/{id}", "/api/request/own"),
    ("/api/requests", "/api/requests?sort=slow"),
    ("/api/route/snapshot", "/api/route/snapshot?service=api&method=GET&route=/a"),
    ("/api/route_chains", "/api/route_chains"),
    ("/api/route_host_calls", "/api/route_host_calls"),
    ("/api/routes", "/api/routes"),
    ("/api/services", "/api/services"),
    ("/api/status", "/api/status"),
    ("/api/timeseries", "/api/timeseries?method=GET&route=/a"),
    ("/api/trace/{id}", "/api/trace/callee"),
    ("/healthz", "/healthz"),
];

#[tokio::test]
async fn every_answer_is_as_described() {
    let site = full().await;
    let description = description(&site).await;
    let scan = json!({"service": "api", "path": site.store.dir.path()}).to_string();
    for (path, body) in [("/ingest", envelope().to_string()), ("/api/scan", scan)] {
        let (status, answer) = site.post(path, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        fits(&description.answer("post", path, "200", "application/json"), &answer, path);
    }
    site.store.writer.flush().unwrap();
    let mut described: BTreeSet<&str> = description.paths("get").collect();
    for (path, uri) in ADDRESSES {
        assert!(described.remove(path), "{path} is not described");
        let (status, answer) = site.get(uri).await;
        assert_eq!(status, StatusCode::OK, "{uri}: {answer}");
        fits(&description.answer("get", path, "200", "application/json"), &answer, uri);
        let mut held = BTreeMap::new();
        lists(&answer, "", &mut held);
        // A trace's request was explained by its call, the callee called nobody, and the store has nothing to report.
        let bare = ["children", "calls", "queries", "notices", "db_slow"];
        let nothing: Vec<_> = held
            .into_iter()
            .filter(|(at, holds)| !holds && !bare.iter().any(|name| at.ends_with(name)))
            .collect();
        assert!(nothing.is_empty(), "{uri}: {nothing:?} hold nothing to compare\n{answer:#}");
    }
    assert!(described.remove("/metrics") && described.remove("/api/stream"));
    assert!(described.is_empty(), "{described:?} have no address here");
    assert_eq!(description.paths("post").collect::<Vec<_>>(), ["/api/scan", "/ingest"]);
}

#[tokio::test]
async fn a_field_too_many_and_one_too_few_are_found() {
    let site = full().await;
    let description = description(&site).await;
    let trace = description.answer("get", "/api/trace/{id}", "200", "application/json");
    let (_, answer) = site.get("/api/trace/own").await;
    let places = ["", "/queries/0", "/calls/0", "/calls/0/callee", "/db_slow/0"];
    for place in places {
        let mut more = answer.clone();
        more.pointer_mut(place).unwrap()["undescribed"] = json!(1);
        assert!(!trace.is_valid(&more), "a field too many at {place:?}");
        let fields = answer.pointer(place).unwrap().as_object().unwrap();
        for name in fields.keys() {
            let mut less = answer.clone();
            less.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name);
            assert!(!trace.is_valid(&less), "{name} is missing at {place:?}");
        }
    }
    assert!(trace.is_valid(&answer));
}

#[tokio::test]
async fn what_is_no_json_is_of_the_kind_described() {
    let site = full().await;
    let description = description(&site).await;
    let ask = async |uri| {
        let request = Request::get(uri).header("host", "127.0.0.1:9876").body(Body::empty()).unwrap();
        let response = site.router().oneshot(request).await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
        (kind, response.into_body().into_data_stream().next().await.unwrap().unwrap())
    };
    let (kind, metrics) = ask("/metrics").await;
    fits(
        &description.answer("get", "/metrics", "200", &kind),
        &json!(str::from_utf8(&metrics).unwrap()),
        "/metrics",
    );
    let (kind, first) = ask("/api/stream").await;
    let first = str::from_utf8(&first).unwrap();
    let data = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let tick: Value = serde_json::from_str(data).unwrap();
    assert_eq!(tick["services"][0]["service"], "api");
    assert_eq!(tick["losses"][0]["count"], 3);
    assert_eq!(tick.as_object().unwrap().len(), 5, "the first tick says everything");
    fits(&description.answer("get", "/api/stream", "200", &kind), &tick, "/api/stream");
}

#[tokio::test]
async fn parameters_are_as_described() {
    let site = full().await;
    let description = description(&site).await;
    let mut refused = 0;
    for (path, uri) in ADDRESSES {
        let problem = description.answer("get", path, "default", "application/json");
        let (_, plain) = site.get(uri).await;
        let bare = uri.split('?').next().unwrap();
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        for parameter in description.parameters(path) {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] == "path" {
                let (status, answer) = site.get(&path.replace("{id}", "nobody")).await;
                assert_eq!(status, StatusCode::NOT_FOUND);
                fits(&problem, &answer, path);
                continue;
            }
            let rest: Vec<_> =
                query.split('&').filter(|part| !part.starts_with(&format!("{name}="))).collect();
            let rest = rest.join("&");
            let schema = &parameter["schema"];
            let faulty = if parameter["required"] == true {
                format!("{bare}?{rest}")
            } else if schema["type"] == "integer" {
                let least = schema["minimum"].as_i64().unwrap();
                let (status, _) = site.get(&format!("{bare}?{rest}&{name}={least}")).await;
                assert_eq!(status, StatusCode::OK, "{path}: the least {name} is taken");
                format!("{bare}?{rest}&{name}={}", least - 1)
            } else if schema.get("enum").is_some() {
                for word in schema["enum"].as_array().unwrap() {
                    let (status, _) =
                        site.get(&format!("{bare}?{rest}&{name}={}", word.as_str().unwrap())).await;
                    assert_eq!(status, StatusCode::OK, "{path}: {name}={word} is taken");
                }
                format!("{bare}?{rest}&{name}=other")
            } else {
                continue;
            };
            let (status, answer) = site.get(&faulty).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{faulty}: {answer}");
            assert_eq!(answer["parameter"], name, "{faulty}");
            fits(&problem, &answer, &faulty);
            refused += 1;
            // What is used when it is absent is what the description says.
            for (of, field) in [("w", "window_seconds"), ("bucket", "bucket_seconds")] {
                if name == of && plain.get(field).is_some() {
                    assert_eq!(plain[field], schema["default"], "{path}");
                }
            }
        }
    }
    assert!(refused > 25, "only {refused} parameters were tried");
}
