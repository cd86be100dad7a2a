//! Cost per request as what the agent holds grows: connections, routes, processes, kept requests.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use apm_agent::store::{Options, Scope, Store};
use apm_core::connection::{Chunk, Info, Limits, Progress, Table};
use apm_core::correlate::{Correlator, Surroundings};
use apm_core::exchange::{ConnId, Direction, Endpoint, Origin, Role};
use apm_core::record::Record;
use apm_core::time::Time;

use crate::feed::{feed, rss};

/// Requests per measurement.
const REQUESTS: u64 = 200_000;
/// Requests between two looks at what is complete, as the capture thread does it.
const TURN: u64 = 500;
/// Nanoseconds from one request to the next.
const STEP: u64 = 20_000;
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"ok\": true}\n";

/// Names services by process.
struct Services(Vec<Arc<str>>);

impl Surroundings for Services {
    fn unix(&self, time: Time) -> f64 {
        1_700_000_000.0 + time.0 as f64 / 1e9
    }

    fn service(&self, pid: u32) -> Arc<str> {
        Arc::clone(&self.0[pid as usize % self.0.len()])
    }
}

/// What the pipeline holds.
#[derive(Clone, Copy)]
struct Shape {
    connections: u64,
    routes: u64,
    processes: u64,
}

const PLAIN: Shape = Shape { connections: 64, routes: 50, processes: 1 };

/// Measures, and prints the table.
pub(crate) fn measure(kept: u64, machine: &str) -> Result<()> {
    println!(
        "Cost per request as what the agent holds grows, one thing at a time; the others stay at {} connections,",
        PLAIN.connections
    );
    println!(
        "{} routes, {} process. The pipeline takes the request's and the response's bytes of {REQUESTS} requests, round robin",
        PLAIN.routes, PLAIN.processes
    );
    println!(
        "over all connections, from connection to record, on one core and without a kernel; the store takes as many records"
    );
    println!(
        "as come with 100,000 requests, rollups and deletion included. The least of three rounds. {machine}.\n"
    );
    println!(
        "| | | pipeline, us/request | pipeline, requests/s | store, us/request | last hour's overview, ms | memory, MB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for connections in [10, 100, 1000, 10_000] {
        pipeline("connections", connections, Shape { connections, ..PLAIN })?;
    }
    for processes in [1, 8, 64] {
        pipeline("processes", processes, Shape { processes, ..PLAIN })?;
    }
    for routes in [10, 100, 1000, 10_000] {
        let us = least(|| requests(Shape { routes, ..PLAIN }))?;
        let (store, overview) = least(|| store(0, routes))?;
        row("routes", routes, Some(us), Some((store, overview)));
    }
    for kept in [10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|n| *n <= kept) {
        let stored = least(|| store(kept, PLAIN.routes))?;
        row("kept requests", kept, None, Some(stored));
    }
    Ok(())
}

/// The least of three: what else the machine does only adds.
fn least<T: PartialOrd>(measure: impl Fn() -> Result<T>) -> Result<T> {
    let mut least = measure()?;
    for _ in 0..2 {
        let next = measure()?;
        if next < least {
            least = next;
        }
    }
    Ok(least)
}

fn pipeline(what: &str, n: u64, shape: Shape) -> Result<()> {
    let us = least(|| requests(shape))?;
    row(what, n, Some(us), None);
    Ok(())
}

fn row(what: &str, n: u64, pipeline: Option<f64>, store: Option<(f64, f64)>) {
    let cell =
        |value: Option<f64>, digits: usize| value.map_or_else(String::new, |v| format!("{v:.digits$}"));
    println!(
        "| {what} | {n} | {} | {} | {} | {} | {:.0} |",
        cell(pipeline, 2),
        cell(pipeline.map(|us| 1e6 / us), 0),
        cell(store.map(|(us, _)| us), 1),
        cell(store.map(|(_, ms)| ms), 2),
        rss()
    );
    eprintln!("{what} {n}: {pipeline:?} us, store {store:?}");
}

/// Microseconds per request through connections, HTTP and correlation.
fn requests(shape: Shape) -> Result<f64> {
    let mut table = Table::new(Limits::default());
    let mut progress = Progress::default();
    let mut correlator = Correlator::new(7);
    let services = Services((0..shape.processes).map(|n| format!("s{n}").into()).collect());
    let end = |port: u64| Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16)));
    for conn in 0..shape.connections {
        let info = Info {
            id: ConnId(conn),
            key: conn,
            pid: (conn % shape.processes) as u32,
            role: Some(Role::Server),
            local: end(8000),
            peer: end(10_000 + conn),
            from_start: true,
            since: Time(1),
            tls: false,
            caller: Origin::default(),
        };
        correlator.connected(&info);
        table.opened(info, None, &mut progress);
    }
    // Made beforehand: the kernel's side is not measured.
    let heads: Vec<String> = (0..shape.routes)
        .map(|n| {
            format!(
                "GET /area{n}/users/{} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: wrk\r\nAccept: */*\r\nX-Request-ID: r{n}\r\n\r\n",
                n * 7919
            )
        })
        .collect();
    let mut positions = vec![[0_u64; 2]; shape.connections as usize];
    let mut out: Vec<Record> = Vec::new();
    let (mut seen, mut services_seen, mut now) = (0, HashSet::new(), 1_000_u64);
    let mut took = Duration::ZERO;
    // The first round warms up: maps grow, connections find their protocol.
    for round in 0..2 {
        let begin = Instant::now();
        for n in 0..REQUESTS {
            let conn = n % shape.connections;
            let head = heads[(n % shape.routes) as usize].as_bytes();
            for (direction, bytes) in [(Direction::Read, head), (Direction::Write, RESPONSE)] {
                let pos = &mut positions[conn as usize][usize::from(direction == Direction::Write)];
                now += STEP / 2;
                let chunk = Chunk {
                    conn: ConnId(conn),
                    pid: (conn % shape.processes) as u32,
                    direction,
                    time: Time(now),
                    pos: *pos,
                    len: bytes.len() as u64,
                    head: bytes,
                    tail: &[],
                    origin: Origin::default(),
                    opens_tls: false,
                };
                *pos += bytes.len() as u64;
                table.chunk(&chunk, &mut progress);
            }
            if n % TURN == TURN - 1 {
                table.tick(Time(now), &mut progress);
                correlator.take(&mut progress, &services, &mut out);
                correlator.settle(Time(now), &mut out);
                if n % (TURN * 100) == TURN * 100 - 1 {
                    correlator.tick(Time(now), &services, &mut out);
                }
                if round == 1 {
                    seen += out.len() as u64;
                    services_seen.extend(out.iter().filter_map(|record| match record {
                        Record::Event(event) => Some(Arc::clone(&event.service)),
                        _ => None,
                    }));
                }
                out.clear();
            }
        }
        took = begin.elapsed();
    }
    correlator.drain(&services, &mut out);
    seen += out.len() as u64;
    ensure!(seen >= REQUESTS, "{seen} of {REQUESTS} requests were seen");
    ensure!(services_seen.len() as u64 == shape.processes.min(shape.connections), "a process is missing");
    Ok(took.as_secs_f64() * 1e6 / REQUESTS as f64)
}

/// Microseconds per request into a store that holds `kept` of the last hour already, and milliseconds per overview of it.
fn store(kept: u64, routes: u64) -> Result<(f64, f64)> {
    const MORE: u64 = 100_000;
    const SECONDS: u64 = 100;
    const START: f64 = 1_700_000_000.0;
    let dir = tempfile::tempdir()?;
    let now = Arc::new(AtomicU64::new(START.to_bits()));
    let clock = Arc::clone(&now);
    let options = Options {
        interval: Duration::from_millis(20),
        max_bytes: 16 << 30,
        clock: Arc::new(move || f64::from_bits(clock.load(Ordering::Relaxed))),
        ..Options::default()
    };
    let (writer, reader) = Store::open(&dir.path().join("growth.db"), options)?;
    let second = |second: u64, count: u64, first: u64| {
        let at = START + second as f64;
        now.store((at + 1.0).to_bits(), Ordering::Relaxed);
        feed(&writer, at, count, first, routes);
    };
    let filling = 3500;
    for n in 0..filling {
        second(n, kept / filling, n * (kept / filling));
    }
    writer.flush()?;
    let begin = Instant::now();
    for n in 0..SECONDS {
        second(filling + n, MORE / SECONDS, kept + n * (MORE / SECONDS));
    }
    writer.flush()?;
    let took = begin.elapsed();
    let lost: u64 = writer.losses().iter().map(|(_, n)| n).sum();
    ensure!(lost == 0, "{lost} rows were dropped");
    let scope = Scope { service: None, seconds: 3600 };
    let mut times = Vec::new();
    for _ in 0..21 {
        let begin = Instant::now();
        ensure!(reader.overview(&scope)?.total_requests >= MORE, "requests are missing");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    writer.shutdown();
    Ok((took.as_secs_f64() * 1e6 / MORE as f64, times[10]))
}
