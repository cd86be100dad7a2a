//! The measured table, as Markdown.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::usage::Usage;
use super::wrk::Load;
use super::{CONNECTIONS, PACE};

/// One side of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    pub(super) saturated: Load,
    pub(super) paced: Load,
}

/// One round: the app bare and watched.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) bare: Side,
    pub(super) watched: Side,
    pub(super) usage: Usage,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bare, watched) = (&self.bare, &self.watched);
        write!(f, "{:.0} -> {:.0} rps, ", bare.saturated.rate, watched.saturated.rate)?;
        write!(
            f,
            "p99 {:.2} -> {:.2} ms, {} lost",
            bare.paced.p99_ms,
            watched.paced.p99_ms,
            self.usage.lost()
        )
    }
}

/// All rounds, and where they ran.
pub(super) struct Report {
    machine: String,
    pub(super) rounds: Vec<Round>,
}

impl Report {
    /// An empty report that knows the machine.
    pub(super) fn new(python: &Path) -> Result<Self> {
        let version = Command::new(python).arg("--version").output()?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let model =
            cpus.lines().find_map(|line| line.strip_prefix("model name")).context("no model in cpuinfo")?;
        let model = model.trim_start_matches(['\t', ':', ' ']);
        let count = std::thread::available_parallelism()?;
        let machine = format!("{count} x {model}, Linux {}, {version}", kernel.trim());
        Ok(Self { machine, rounds: Vec::new() })
    }

    /// Median over the rounds.
    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => figures[middle],
            _ => f64::midpoint(figures[middle - 1], figures[middle]),
        }
    }

    /// A row with both sides' medians and the median of the rounds' ratios.
    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        digits: usize,
        figure: impl Fn(&Side) -> f64,
    ) -> fmt::Result {
        let bare = self.median(|round| figure(&round.bare));
        let watched = self.median(|round| figure(&round.watched));
        let ratio = self.median(|round| figure(&round.watched) / figure(&round.bare));
        writeln!(f, "| {what} | {bare:.digits$} | {watched:.digits$} | {ratio:.2} |")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = PACE * 100.0;
        writeln!(
            f,
            "FastAPI `/ping` on one uvicorn worker (uvloop, httptools), `wrk` with {CONNECTIONS} connections on"
        )?;
        writeln!(
            f,
            "the same machine; {} rounds, bare and watched in alternation; medians.",
            self.rounds.len()
        )?;
        writeln!(f, "{}.\n", self.machine)?;
        writeln!(f, "| | bare | watched | ratio |\n|---|---:|---:|---:|")?;
        self.row(f, "throughput, requests/s", 0, |side| side.saturated.rate)?;
        self.row(f, "p50 at full load, ms", 2, |side| side.saturated.p50_ms)?;
        self.row(f, "p99 at full load, ms", 2, |side| side.saturated.p99_ms)?;
        self.row(f, &format!("p50 at {pace:.0} % load, ms"), 2, |side| side.paced.p50_ms)?;
        self.row(f, &format!("p99 at {pace:.0} % load, ms"), 2, |side| side.paced.p99_ms)?;
        let cpu = self.median(|round| round.usage.cpu_per_request_us());
        let memory = self.median(|round| round.usage.memory_mb);
        let requests: u64 = self.rounds.iter().map(|round| round.usage.answered).sum();
        let lost: u64 = self.rounds.iter().map(|round| round.usage.lost()).sum();
        writeln!(f, "| agent's CPU per request, us | | {cpu:.1} | |")?;
        writeln!(f, "| agent's peak memory, MB | | {memory:.0} | |")?;
        writeln!(f, "| requests without an event | | {lost} of {requests} | |")?;
        let mut losses: Vec<String> = Vec::new();
        for round in &self.rounds {
            losses.extend(round.usage.losses.iter().map(|(name, n)| format!("{name} {n}")));
        }
        let named = if losses.is_empty() { "none".to_owned() } else { losses.join(", ") };
        writeln!(f, "\nLosses the agent named itself: {named}.\n\nEach round:\n")?;
        writeln!(f, "| bare rps | watched rps | ratio | bare p99 at {pace:.0} %, ms | watched | ratio |")?;
        writeln!(f, "|---:|---:|---:|---:|---:|---:|")?;
        for Round { bare, watched, .. } in &self.rounds {
            let (rate, paced) =
                (watched.saturated.rate / bare.saturated.rate, watched.paced.p99_ms / bare.paced.p99_ms);
            write!(f, "| {:.0} | {:.0} | {rate:.3} ", bare.saturated.rate, watched.saturated.rate)?;
            writeln!(f, "| {:.2} | {:.2} | {paced:.2} |", bare.paced.p99_ms, watched.paced.p99_ms)?;
        }
        Ok(())
    }
}
