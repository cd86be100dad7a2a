//! Measures the store: how fast it takes rows, and how fast each endpoint answers over an hour of them while more come.
//!
//! `cargo run --release -p apm-agent --example store_bench -- [DIRECTORY [EVENTS_PER_SECOND [SECONDS]]]`
//! (default: a temporary directory, 1000, 3600). Prints one JSON object per line.

#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apm_agent::server::live::Live;
use apm_agent::server::{Access, AppState, router};
use apm_agent::store::{Options, Store, Writer};
use apm_core::record::{Call, Event, Query, Record, SlowSql};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tower::ServiceExt;

const ROUTES: u64 = 50;
const START: f64 = 1_700_000_000.0;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let per_second: u64 = args.next().map_or(Ok(1000), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(3600), |text| text.parse())?;

    // Time is the rows' own: an hour of them is written as fast as it goes.
    let now = Arc::new(AtomicU64::new(START.to_bits()));
    let clock = Arc::clone(&now);
    let options = Options {
        interval: Duration::from_millis(20),
        max_bytes: 4 << 30,
        clock: Arc::new(move || f64::from_bits(clock.load(Ordering::Relaxed))),
        ..Options::default()
    };
    let (writer, reader) = Store::open(&dir.join("bench.db"), options.clone())?;

    let begin = Instant::now();
    let mut rows = 0;
    for second in 0..seconds {
        let at = START + second as f64;
        now.store((at + 1.0).to_bits(), Ordering::Relaxed);
        rows += feed(&writer, at, per_second, second * per_second);
    }
    writer.flush()?;
    let took = begin.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"what": "fill", "events": per_second * seconds, "rows": rows, "seconds": took,
               "events_per_second": (per_second * seconds) as f64 / took, "store": writer.health(), "rss_mb": rss()})
    );

    // A burst: ten seconds of 50,000 events each.
    let begin = Instant::now();
    let mut rows = 0;
    for second in seconds..seconds + 10 {
        let at = START + second as f64;
        now.store((at + 1.0).to_bits(), Ordering::Relaxed);
        for part in 0..50 {
            rows += feed(
                &writer,
                at + f64::from(part) / 50.0,
                1000,
                second * 50_000 + u64::from(part as u32) * 1000,
            );
        }
    }
    writer.flush()?;
    let took = begin.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"what": "burst", "events": 500_000, "rows": rows, "seconds": took,
               "events_per_second": 500_000.0 / took, "rows_per_second": rows as f64 / took, "rss_mb": rss()})
    );

    let access = Access::new([127, 0, 0, 1].into(), None, Vec::new())?;
    let (_live, seen) = watch::channel(Arc::new(Live::default()));
    let app = router(AppState::new(reader, writer.clone(), seen, access, options.clock));
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (stop, writer, now) = (Arc::clone(&stop), writer.clone(), Arc::clone(&now));
        std::thread::spawn(move || {
            let begin = Instant::now();
            let mut fed = 0;
            while !stop.load(Ordering::Relaxed) {
                let elapsed = begin.elapsed().as_secs_f64();
                let at = START + (seconds + 10) as f64 + elapsed;
                now.store(at.to_bits(), Ordering::Relaxed);
                let due = (elapsed * per_second as f64) as u64;
                feed(&writer, at, due - fed, fed);
                fed = due;
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for uri in [
        "/api/services",
        "/api/overview?w=3600",
        "/api/overview?w=3600&service=s0",
        "/api/overview?w=300",
        "/api/timeseries?w=3600&bucket=5",
        "/api/timeseries?w=3600&bucket=60",
        "/api/timeseries?w=300&bucket=5",
        "/api/heatmap?w=3600&bucket=60",
        "/api/heatmap?w=3600&bucket=60&method=GET&route=/r7",
        "/api/routes?w=3600",
        "/api/routes?w=300",
        "/api/recent_errors?limit=20",
        "/api/recent_errors?service=s0&limit=100",
        "/api/route/snapshot?service=s1&method=GET&route=/r1&w=3600",
        "/api/route_chains?w=3600",
        "/api/error_groups?w=3600",
        "/api/outgoing?w=3600",
        "/api/route_host_calls?w=3600",
        "/api/queries?w=3600",
        "/api/requests?sort=recent",
        "/api/requests?sort=slow",
        "/api/requests?sort=failed&service=s0",
        "/api/requests?sort=slow&service=s1&method=GET&route=/r1",
        "/api/request/r-100000",
        "/api/trace/r-100000",
        "/api/discovered",
        "/api/status",
    ] {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..100 {
            let request = Request::get(uri).header("host", "localhost").body(Body::empty())?;
            let begin = Instant::now();
            let response = runtime.block_on(app.clone().oneshot(request))?;
            anyhow::ensure!(response.status() == StatusCode::OK, "{uri}: {}", response.status());
            size = runtime.block_on(to_bytes(response.into_body(), usize::MAX))?.len();
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            // Less than the rate limit, and room for the writer on a machine with few cores.
            std::thread::sleep(Duration::from_millis(5));
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({"what": uri, "p50_ms": times[49], "p99_ms": times[98], "max_ms": times[99], "bytes": size})
        );
    }
    stop.store(true, Ordering::Relaxed);
    feeder.join().map_err(|_| anyhow::anyhow!("the feeder failed"))?;
    println!(
        "{}",
        json!({"what": "end", "losses": writer.losses().iter().map(|(_, n)| n).sum::<u64>(), "rss_mb": rss()})
    );
    writer.shutdown();
    Ok(())
}

/// Sends `count` events from `at` on: every fifth with a query, every tenth with a call, one in a hundred
/// with an exception, one in twenty caused by another. Waits for room in the queue. Returns the rows sent.
fn feed(writer: &Writer, at: f64, count: u64, first: u64) -> u64 {
    let mut rows = Vec::with_capacity(count as usize * 2);
    for i in 0..count {
        let n = first + i;
        // Within a fiftieth of a second, so that no part of a burst overtakes the next.
        let ts = at + i as f64 / count as f64 / 50.0;
        let (route, service) = (n % ROUTES, format!("s{}", n % ROUTES % 3));
        let id = format!("r-{n}");
        let mut event = Event {
            ts,
            service: service.as_str().into(),
            pid: 100 + (n % 4) as u32,
            method: "GET".into(),
            route: format!("/r{route}"),
            path: format!("/r{route}/{n}"),
            status: if n.is_multiple_of(100) { 500 } else { 200 },
            duration_ms: 1.0 + (n.wrapping_mul(2_654_435_761) % 1000) as f64 / 10.0,
            request_id: Some(id.clone()),
            correlation_id: Some(id.clone()),
            ..Event::default()
        };
        if n.is_multiple_of(100) {
            event.error = Some("ValueError".into());
            event.error_type = Some("ValueError".into());
            event.error_message = Some("no".into());
            event.error_traceback = Some("Traceback (most recent call last):\n".repeat(20));
            event.error_fingerprint = Some(format!("f{}", n % 7));
        }
        if n.is_multiple_of(5) {
            event.db_query_count = Some(1);
            event.db_total_ms = Some(0.7);
            event.db_slow = vec![SlowSql { sql: "SELECT * FROM t WHERE id = ?".into(), ms: 0.7 }];
            rows.push(Record::Query(Box::new(Query {
                ts,
                service: service.as_str().into(),
                system: "postgresql",
                sql: format!("SELECT * FROM t{} WHERE id = ?", n % 40),
                fingerprint: n % 40,
                operation: "SELECT".into(),
                rows: Some(1),
                duration_ms: 0.7,
                source_request_id: Some(id.clone()),
                ..Query::default()
            })));
        }
        if n.is_multiple_of(10) {
            rows.push(Record::Call(Box::new(Call {
                ts,
                service: service.as_str().into(),
                method: "GET".into(),
                host: format!("h{}.example", n % 20),
                path: "/x".into(),
                status: 200,
                duration_ms: 3.0,
                source_request_id: Some(id),
                ..Call::default()
            })));
        }
        if n % 20 == 1 {
            let parent = format!("r-{}", n - 1);
            event.correlation_id = Some(parent.clone());
            event.parent_id = Some(parent);
        }
        rows.push(Record::Event(Box::new(event)));
    }
    let sent = rows.len() as u64;
    while writer.health().rows_waiting > 20_000 {
        std::thread::sleep(Duration::from_micros(200));
    }
    writer.send(rows);
    sent
}

/// Resident memory, MiB.
fn rss() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / f64::from(1 << 20)
}
