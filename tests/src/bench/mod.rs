//! `cargo xtask bench`: what watching costs the watched app, and what the agent itself takes.

mod apart;
pub(crate) mod attach;
pub(crate) mod exceptions;
pub(crate) mod features;
mod flow;
pub(crate) mod footprint;
mod medians;
pub(crate) mod peers;
mod report;
mod stage;
mod twins;
mod usage;
mod wrk;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::places::Places;
use report::Report;
use stage::Stage;
pub(crate) use twins::Pairs;
use twins::{Does, Twins};
pub(crate) use usage::{peak_memory_mb, restart_peak_memory_mb};

/// Connections of the load.
const CONNECTIONS: u32 = 32;
/// Part of the bare app's capacity at which latency is measured: a saturated server's latency is only its queue.
const PACE: f64 = 0.7;

/// What is asked of which server.
struct Workload {
    /// Its name in the report.
    name: &'static str,
    /// `http` or `https`
    scheme: &'static str,
    path: &'static str,
    does: Does,
}

const WORKLOADS: &[Workload] = &[
    Workload { name: "/ping", scheme: "http", path: "/ping", does: Does::Nothing },
    Workload { name: "/ping, HTTPS", scheme: "https", path: "/ping", does: Does::Nothing },
    Workload { name: "/db, asyncpg", scheme: "http", path: "/db", does: Does::Query },
    Workload { name: "/db, asyncpg, TLS", scheme: "http", path: "/db-tls", does: Does::Query },
    Workload { name: "/call, httpx", scheme: "http", path: "/call", does: Does::Call },
    Workload { name: "/call, httpx, TLS", scheme: "http", path: "/call-tls", does: Does::Call },
];

/// Runs the rounds of every workload whose name contains `only`, each of `pairs`, prints each, and writes the report
/// as Markdown to `output`.
pub(crate) fn run(
    places: &Places,
    rounds: u32,
    pairs: Pairs,
    only: Option<&str>,
    output: &Path,
) -> Result<bool> {
    Twins::even(rounds)?;
    let workloads =
        || WORKLOADS.iter().filter(|workload| only.is_none_or(|only| workload.name.contains(only)));
    ensure!(workloads().next().is_some(), "no workload has {} in its name", only.unwrap_or_default());
    let stage = Stage::start(places)?;
    let mut report = Report::new(&places.any_python()?)?;
    for workload in workloads() {
        let servers = match (workload.does, workload.scheme) {
            (Does::Nothing, "https") => &stage.ping_tls,
            (Does::Nothing, _) => &stage.ping,
            (Does::Query | Does::Call, _) => &stage.calling,
        };
        let &Workload { name, scheme, path, does } = workload;
        let twins = Twins { places, servers, scheme, path, does };
        twins.warm_up()?;
        for number in 1..=rounds {
            let round = twins.round(number, pairs, &[])?;
            println!("{name}: round {number}/{rounds}: {round}");
            report.add(name, round);
        }
    }
    report.bystander(places, &stage.ping[0])?;
    report.ends()?;
    write(output, &report.to_string())
}

/// Writes a report to `output` and prints it.
fn write(output: &Path, report: &str) -> Result<bool> {
    std::fs::write(output, report).with_context(|| format!("cannot write {}", output.display()))?;
    println!("\n{report}");
    Ok(true)
}

/// How long each connection waits between an answer and its next request, so that all of them make [`PACE`] of `rate`, which is
/// that of requests per second at full load.
fn pause(rate: f64) -> Duration {
    Duration::from_secs_f64(f64::from(CONNECTIONS) / (PACE * rate))
}
