//! The measured table, as Markdown.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::usage::{self, Usage};
use super::wrk::Load;
use super::{CONNECTIONS, PACE};

/// One side of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    pub(super) saturated: Load,
    pub(super) paced: Load,
    pub(super) alone: Load,
    /// CPU time of the app per request at full load, microseconds.
    pub(super) app_us: f64,
}

impl Side {
    /// All that were answered.
    pub(super) fn requests(&self) -> u64 {
        self.saturated.requests + self.paced.requests + self.alone.requests
    }
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
            "p99 {:.2} -> {:.2} ms, alone {:.0} -> {:.0} us, {} lost, {} calls or statements lost",
            bare.paced.p99_ms,
            watched.paced.p99_ms,
            bare.alone.p50_ms * 1e3,
            watched.alone.p50_ms * 1e3,
            self.usage.lost(),
            self.usage.not_made()
        )
    }
}

impl Round {
    /// Watched rate by bare rate.
    fn ratio(&self) -> f64 {
        self.watched.saturated.rate / self.bare.saturated.rate
    }

    /// What a request takes longer where none other waits, microseconds.
    fn added_us(&self) -> f64 {
        (self.watched.alone.p50_ms - self.bare.alone.p50_ms) * 1e3
    }
}

/// Processors, kernel and Python.
pub(super) fn machine(python: &Path) -> Result<String> {
    let version = Command::new(python).arg("--version").output()?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")).context("no model in cpuinfo")?;
    let model = model.trim_start_matches(['\t', ':', ' ']);
    let count = std::thread::available_parallelism()?;
    Ok(format!("{count} x {model}, Linux {}, {version}", kernel.trim()))
}

/// All rounds by workload, and where they ran.
pub(super) struct Report {
    machine: String,
    /// What others on the same host had taken of the processors when it began, and how long they had run: clock ticks.
    began: [u64; 2],
    /// Part of the processors' time that others took meanwhile.
    stolen: f64,
    workloads: Vec<(&'static str, Vec<Round>)>,
}

impl Report {
    /// An empty report that knows the machine.
    pub(super) fn new(python: &Path) -> Result<Self> {
        Ok(Self { machine: machine(python)?, began: usage::stolen()?, stolen: 0.0, workloads: Vec::new() })
    }

    /// To be called when all is measured.
    pub(super) fn ends(&mut self) -> Result<()> {
        let [stolen, all] = usage::stolen()?;
        self.stolen = (stolen - self.began[0]) as f64 / (all - self.began[1]).max(1) as f64;
        Ok(())
    }

    /// Adds a round of a workload.
    pub(super) fn add(&mut self, workload: &'static str, round: Round) {
        match self.workloads.last_mut() {
            Some((last, rounds)) if *last == workload => rounds.push(round),
            _ => self.workloads.push((workload, vec![round])),
        }
    }
}

/// Median over the rounds.
fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

/// The first workload in detail.
fn detail(f: &mut fmt::Formatter<'_>, name: &str, rounds: &[Round]) -> fmt::Result {
    let pace = PACE * 100.0;
    writeln!(f, "| `{name}` | bare | watched | ratio |\n|---|---:|---:|---:|")?;
    let mut row = |what: &str, digits: usize, figure: fn(&Side) -> f64| {
        let bare = median(rounds, |round| figure(&round.bare));
        let watched = median(rounds, |round| figure(&round.watched));
        let ratio = median(rounds, |round| figure(&round.watched) / figure(&round.bare));
        writeln!(f, "| {what} | {bare:.digits$} | {watched:.digits$} | {ratio:.2} |")
    };
    row("throughput, requests/s", 0, |side| side.saturated.rate)?;
    row("p50 at full load, ms", 2, |side| side.saturated.p50_ms)?;
    row("p99 at full load, ms", 2, |side| side.saturated.p99_ms)?;
    row(&format!("p50 at {pace:.0} % load, ms"), 2, |side| side.paced.p50_ms)?;
    row(&format!("p99 at {pace:.0} % load, ms"), 2, |side| side.paced.p99_ms)?;
    row("p50 of one request after the other, ms", 3, |side| side.alone.p50_ms)?;
    row("app's CPU per request at full load, us", 1, |side| side.app_us)?;
    let cpu = median(rounds, |round| round.usage.cpu_per_request_us());
    let memory = median(rounds, |round| round.usage.memory_mb);
    let requests: u64 = rounds.iter().map(|round| round.usage.answered).sum();
    let lost: u64 = rounds.iter().map(|round| round.usage.lost()).sum();
    writeln!(f, "| agent's CPU per request, us | | {cpu:.1} | |")?;
    writeln!(f, "| agent's peak memory, MB | | {memory:.0} | |")?;
    writeln!(f, "| requests without an event | | {lost} of {requests} | |")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = PACE * 100.0;
        let Some((first, rounds)) = self.workloads.first() else { return Ok(()) };
        writeln!(
            f,
            "FastAPI on one uvicorn worker (uvloop, httptools), `wrk` with {CONNECTIONS} connections on the same"
        )?;
        writeln!(
            f,
            "machine, which the app's PostgreSQL and the server it calls share; {} rounds, bare and watched in",
            rounds.len()
        )?;
        writeln!(f, "alternation; medians. {}; others on its host took", self.machine)?;
        writeln!(f, "{:.0} % of the processors' time meanwhile.\n", self.stolen * 100.0)?;
        detail(f, first, rounds)?;
        if self.workloads.len() > 1 {
            writeln!(f, "\nThe same with a statement or a call per request, and through TLS:\n")?;
            write!(f, "| | bare rps | watched rps | ratio | p50, one after the other: bare, us | added ")?;
            write!(f, "| app's CPU, ratio ")?;
            writeln!(
                f,
                "| p99 at {pace:.0} %: bare, ms | watched | agent's CPU per request, us | not recorded |"
            )?;
            writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        }
        for (name, rounds) in self.workloads.iter().filter(|_| self.workloads.len() > 1) {
            let of = |figure: fn(&Round) -> f64| median(rounds, figure);
            let (bare, watched) =
                (of(|round| round.bare.saturated.rate), of(|round| round.watched.saturated.rate));
            write!(
                f,
                "| `{name}` | {bare:.0} | {watched:.0} | {:.2} | {:.0} | {:.0} | {:.2} ",
                of(Round::ratio),
                of(|round| round.bare.alone.p50_ms * 1e3),
                of(Round::added_us),
                of(|round| round.watched.app_us / round.bare.app_us)
            )?;
            let missing: u64 = rounds.iter().map(|round| round.usage.lost() + round.usage.not_made()).sum();
            let (bare, watched) =
                (of(|round| round.bare.paced.p99_ms), of(|round| round.watched.paced.p99_ms));
            let cpu = of(|round| round.usage.cpu_per_request_us());
            writeln!(f, "| {bare:.2} | {watched:.2} | {cpu:.1} | {missing} |")?;
        }
        let mut losses: Vec<String> = Vec::new();
        for round in self.workloads.iter().flat_map(|(_, rounds)| rounds) {
            losses.extend(round.usage.losses.iter().map(|(name, n)| format!("{name} {n}")));
        }
        let named = if losses.is_empty() { "none".to_owned() } else { losses.join(", ") };
        writeln!(f, "\nLosses the agent named itself: {named}.\n\nEach round:\n")?;
        write!(f, "| | bare rps | watched rps | ratio | app's CPU, ratio ")?;
        write!(f, "| bare p99 at {pace:.0} %, ms | watched | ratio ")?;
        writeln!(f, "| bare p50, one after the other, us | watched | ratio |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for (name, round) in
            self.workloads.iter().flat_map(|(name, rounds)| rounds.iter().map(move |one| (name, one)))
        {
            let (bare, watched) = (&round.bare, &round.watched);
            let paced = watched.paced.p99_ms / bare.paced.p99_ms;
            write!(f, "| `{name}` | {:.0} | {:.0} ", bare.saturated.rate, watched.saturated.rate)?;
            write!(f, "| {:.3} | {:.3} ", round.ratio(), watched.app_us / bare.app_us)?;
            write!(f, "| {:.2} ", bare.paced.p99_ms)?;
            write!(f, "| {:.2} | {paced:.2} ", watched.paced.p99_ms)?;
            let alone = [bare, watched].map(|side| side.alone.p50_ms * 1e3);
            writeln!(f, "| {:.0} | {:.0} | {:.3} |", alone[0], alone[1], alone[1] / alone[0])?;
        }
        Ok(())
    }
}
