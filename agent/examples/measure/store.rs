//! How fast the store takes rows, and how fast each endpoint answers over an hour of them while more come.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apm_agent::server::live::Live;
use apm_agent::server::{Access, AppState, router};
use apm_agent::store::{Options, Store, Writer};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::feed::{feed, rss};

const ROUTES: u64 = 50;
const START: f64 = 1_700_000_000.0;
/// Length and rate of the burst.
const BURST: (u64, u64) = (10, 50_000);
/// Times each endpoint is asked.
const ASKED: usize = 200;

/// What a dashboard asks for, over the whole hour where it takes a window.
const QUESTIONS: &[&str] = &[
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
    "/api/code?w=3600",
    "/api/requests?sort=recent",
    "/api/requests?sort=slow",
    "/api/requests?sort=failed&service=s0",
    "/api/requests?sort=slow&service=s1&method=GET&route=/r1",
    "/api/request/r-ID",
    "/api/trace/r-ID",
    "/api/folder/snapshot?service=s0&w=3600",
    "/api/discovered",
    "/api/status",
    "/metrics",
];

/// How long an endpoint took, milliseconds.
struct Took {
    p50: f64,
    p99: f64,
}

/// Time is the rows' own: an hour of them is written as fast as it goes.
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn set(&self, now: f64) {
        self.0.store(now.to_bits(), Ordering::Relaxed);
    }
}

/// Measures, and prints the tables.
pub(crate) fn measure(rate: u64, seconds: u64, beside: Option<&Path>, machine: &str) -> Result<()> {
    let beside = beside.map(other).transpose()?.unwrap_or_default();
    let dir = tempfile::tempdir()?;
    let clock = Clock(Arc::new(AtomicU64::new(START.to_bits())));
    let now = Arc::clone(&clock.0);
    let options = Options {
        interval: Duration::from_millis(20),
        max_bytes: 4 << 30,
        clock: Arc::new(move || f64::from_bits(now.load(Ordering::Relaxed))),
        ..Options::default()
    };
    let (writer, reader) = Store::open(&dir.path().join("bench.db"), options.clone())?;
    let filled = fill(&writer, &clock, rate, seconds)?;
    let burst = burst(&writer, &clock, seconds)?;
    let end = seconds + BURST.0;

    let access = Access::new([127, 0, 0, 1].into(), None, Vec::new())?;
    let (_live, seen) = watch::channel(Arc::new(Live::default()));
    let app = router(AppState::new(reader, writer.clone(), seen, access, options.clock));
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (stop, writer) = (Arc::clone(&stop), writer.clone());
        std::thread::spawn(move || {
            let begin = Instant::now();
            let mut fed = 0;
            while !stop.load(Ordering::Relaxed) {
                let elapsed = begin.elapsed().as_secs_f64();
                let at = START + end as f64 + elapsed;
                clock.set(at);
                let due = (elapsed * rate as f64) as u64;
                feed(&writer, at, due - fed, fed, ROUTES);
                fed = due;
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut answers = Vec::new();
    for uri in QUESTIONS {
        // One from the middle of the hour.
        let took = ask(&runtime, &app, &uri.replace("ID", &(rate * seconds / 2).to_string()))?;
        eprintln!("{uri}: p50 {:.2} ms, p99 {:.2} ms", took.p50, took.p99);
        answers.push((*uri, took));
    }
    stop.store(true, Ordering::Relaxed);
    feeder.join().map_err(|_| anyhow::anyhow!("the feeder failed"))?;
    let dropped: u64 = writer.losses().iter().map(|(_, n)| n).sum();
    let bytes = writer.health().size_bytes;
    let memory = rss();
    writer.shutdown();

    println!(
        "An hour of requests ({rate} a second for {seconds} seconds on {ROUTES} routes of three services; every fifth with"
    );
    println!(
        "a query, every tenth with an outgoing call, one in a hundred with an exception) is written as fast as it goes, then"
    );
    println!(
        "{} seconds of {} requests each; then each endpoint is asked {ASKED} times through the server's",
        BURST.0, BURST.1
    );
    println!("own router, without a socket, while {rate} requests a second go on. {machine}.\n");
    println!("| | requests/s | aim |\n|---|---:|---:|");
    println!("| the hour | {filled:.0} | 50000 |\n| the burst | {burst:.0} | 50000 |");
    if let Some(other) = beside.get("fill") {
        println!("| the hour, into the store of `backtrack_route101` 0.1.2 | {:.0} | |", other.p50);
    }
    println!(
        "\nFile: {} MB; memory of the whole process: {memory:.0} MB; rows dropped: {dropped}.\n",
        bytes >> 20
    );
    println!("| | p50, ms | p99, ms | `backtrack_route101`: p50, ms | p99, ms |\n|---|---:|---:|---:|---:|");
    for (uri, took) in &answers {
        print!("| `{uri}` | {:.2} | {:.2} |", took.p50, took.p99);
        match beside.get(*uri) {
            Some(other) => println!(" {:.0} | {:.0} |", other.p50, other.p99),
            None => println!(" | |"),
        }
    }
    let slow = answers.iter().filter(|(_, took)| took.p99 > 20.0).count();
    println!("\nAim: 20 ms p99 each; {} of {} hold it.", answers.len() - slow, answers.len());
    if !beside.is_empty() {
        println!(
            "The other store is asked as a library, 3 to 100 times, its answer made JSON, over the same hour and under the same writing."
        );
    }
    Ok(())
}

/// Writes the hour. Returns requests per second.
fn fill(writer: &Writer, clock: &Clock, rate: u64, seconds: u64) -> Result<f64> {
    let begin = Instant::now();
    for second in 0..seconds {
        let at = START + second as f64;
        clock.set(at + 1.0);
        feed(writer, at, rate, second * rate, ROUTES);
    }
    writer.flush()?;
    let per_second = (rate * seconds) as f64 / begin.elapsed().as_secs_f64();
    eprintln!("filled: {per_second:.0} requests/s");
    Ok(per_second)
}

/// Writes the burst. Returns requests per second.
fn burst(writer: &Writer, clock: &Clock, from: u64) -> Result<f64> {
    let (seconds, rate) = BURST;
    let begin = Instant::now();
    for second in from..from + seconds {
        let at = START + second as f64;
        clock.set(at + 1.0);
        for part in 0..50 {
            let first = second * rate + part * rate / 50;
            feed(writer, at + part as f64 / 50.0, rate / 50, first, ROUTES);
        }
    }
    writer.flush()?;
    let per_second = (rate * seconds) as f64 / begin.elapsed().as_secs_f64();
    eprintln!("burst: {per_second:.0} requests/s");
    Ok(per_second)
}

fn ask(runtime: &Runtime, app: &Router, uri: &str) -> Result<Took> {
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let request = Request::get(uri).header("host", "localhost").body(Body::empty())?;
        let begin = Instant::now();
        let response = runtime.block_on(app.clone().oneshot(request))?;
        ensure!(response.status() == StatusCode::OK, "{uri}: {}", response.status());
        runtime.block_on(to_bytes(response.into_body(), usize::MAX))?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        // Less than the rate limit, and room for the writer on a machine with few cores.
        std::thread::sleep(Duration::from_millis(5));
    }
    times.sort_by(f64::total_cmp);
    Ok(Took { p50: times[ASKED / 2 - 1], p99: times[ASKED * 99 / 100 - 1] })
}

/// What the other store took, by question.
fn other(path: &Path) -> Result<HashMap<String, Took>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line)?;
            let number = |name: &str| line[name].as_f64().with_context(|| format!("no {name} in {line}"));
            let what = line["what"].as_str().context("no what")?.to_owned();
            Ok((what, Took { p50: number("p50_ms")?, p99: number("p99_ms")? }))
        })
        .collect()
}
