//! The measured table, as Markdown.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::flow::Full;
use super::medians::{Median, median};
use super::stage::Served;
use super::twins::{Calm, Pair, Round};
use super::usage::{self, Usage};
use super::{CONNECTIONS, PACE};
use crate::agent::Agent;
use crate::places::Places;

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rate, app] = [RATE, APP].map(|figure| Figure::of(&self.full, figure));
        write!(f, "{:.0} -> {:.0} rps ({}), ", rate.bare, rate.watched, rate.ratio.shown(3))?;
        write!(f, "app's CPU {}, ", app.ratio.shown(3))?;
        if !self.calm.is_empty() {
            let [p99, alone] = [P99, ALONE].map(|figure| Figure::of(&self.calm, figure));
            write!(f, "p99 {:.2} -> {:.2} ms, ", p99.bare, p99.watched)?;
            write!(f, "alone {:.0} -> {:.0} us, ", alone.bare, alone.watched)?;
        }
        let usage = &self.usage;
        write!(f, "{} lost, {} beyond those answered, ", usage.lost(), usage.surplus())?;
        write!(f, "{} calls or statements lost", usage.not_made())
    }
}

/// Requests per second at full load.
pub(super) const RATE: fn(&Full) -> f64 = |full| full.rate;
/// CPU time of the app per request, microseconds.
pub(super) const APP: fn(&Full) -> f64 = |full| full.app_us;
/// Latency at [`PACE`], milliseconds.
const P99: fn(&Calm) -> f64 = |calm| calm.paced.p99_ms;
const P50: fn(&Calm) -> f64 = |calm| calm.paced.p50_ms;
/// Median latency of one request after the other, microseconds.
const ALONE: fn(&Calm) -> f64 = |calm| calm.alone.p50_ms * 1e3;

/// A figure over pairs: medians.
pub(super) struct Figure {
    pub(super) bare: f64,
    pub(super) watched: f64,
    /// Of watched by bare in each pair.
    pub(super) ratio: Median,
    /// Of watched less bare in each pair.
    pub(super) added: f64,
}

impl Figure {
    /// Over all of `pairs`.
    pub(super) fn of<'a, T: 'a>(pairs: impl IntoIterator<Item = &'a Pair<T>>, figure: fn(&T) -> f64) -> Self {
        let values: Vec<[f64; 2]> =
            pairs.into_iter().map(|pair| [figure(&pair.bare), figure(&pair.watched)]).collect();
        let median = |of: fn(&[f64; 2]) -> f64| Median::of(values.iter().map(of));
        Self {
            bare: median(|pair| pair[0]).value,
            watched: median(|pair| pair[1]).value,
            ratio: median(|pair| pair[1] / pair[0]),
            added: median(|pair| pair[1] - pair[0]).value,
        }
    }
}

/// A figure at full load over the pairs of all rounds.
fn full(rounds: &[Round], figure: fn(&Full) -> f64) -> Figure {
    Figure::of(rounds.iter().flat_map(|round| &round.full), figure)
}

/// A figure of latency likewise.
fn calm(rounds: &[Round], figure: fn(&Calm) -> f64) -> Figure {
    Figure::of(rounds.iter().flat_map(|round| &round.calm), figure)
}

/// Processors, kernel and Python.
pub(super) fn machine(python: &Path) -> Result<String> {
    let version = Command::new(python).arg("--version").output()?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // Without the name that whoever built it gave it.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")).context("no model in cpuinfo")?;
    let model = model.trim_start_matches(['\t', ':', ' ']);
    let count = std::thread::available_parallelism()?;
    Ok(format!("{count} x {model}, Linux {kernel}, {version}"))
}

/// All rounds by workload, and where they ran.
pub(super) struct Report {
    machine: String,
    /// What others on the same host had taken of the processors when it began, and how long they had run: clock ticks.
    began: [u64; 2],
    /// Part of the processors' time that others took meanwhile.
    stolen: f64,
    /// What a write and a read take of a process that is not watched, nanoseconds, without and beside an agent.
    bystander: Pair<f64>,
    workloads: Vec<(&'static str, Vec<Round>)>,
}

impl Report {
    /// An empty report that knows the machine.
    pub(super) fn new(python: &Path) -> Result<Self> {
        Ok(Self {
            machine: machine(python)?,
            began: usage::stolen()?,
            stolen: 0.0,
            bystander: Pair { bare: f64::NAN, watched: f64::NAN },
            workloads: Vec::new(),
        })
    }

    /// Measures what an agent that watches `server` costs this process.
    pub(super) fn bystander(&mut self, places: &Places, server: &Served) -> Result<()> {
        let scratch = places.scratch()?;
        let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
        self.bystander.watched = usage::write_and_read_ns()?;
        agent.stop()?;
        self.bystander.bare = usage::write_and_read_ns()?;
        Ok(())
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

/// The first workload in detail.
fn detail(f: &mut fmt::Formatter<'_>, name: &str, rounds: &[Round]) -> fmt::Result {
    let pace = PACE * 100.0;
    writeln!(f, "| `{name}` | bare | watched | ratio (95 % confidence) |\n|---|---:|---:|---:|")?;
    let mut row = |what: &str, digits: usize, Figure { bare, watched, ratio, .. }: Figure| {
        writeln!(f, "| {what} | {bare:.digits$} | {watched:.digits$} | {} |", ratio.shown(3))
    };
    row("throughput, requests/s", 0, full(rounds, RATE))?;
    row("app's CPU per request at full load, us", 0, full(rounds, APP))?;
    row(&format!("p50 at {pace:.0} % load, ms"), 2, calm(rounds, P50))?;
    row(&format!("p99 at {pace:.0} % load, ms"), 2, calm(rounds, P99))?;
    row("p50 of one request after the other, us", 0, calm(rounds, ALONE))?;
    let cpu = median(rounds.iter().map(|round| round.usage.cpu_per_request_us()));
    let memory = median(rounds.iter().map(|round| round.usage.memory_mb));
    let requests: u64 = rounds.iter().map(|round| round.usage.answered).sum();
    let sum = |count: fn(&Usage) -> u64| rounds.iter().map(|round| count(&round.usage)).sum::<u64>();
    let (lost, surplus) = (sum(Usage::lost), sum(Usage::surplus));
    writeln!(f, "| agent's CPU per request, us | | {cpu:.1} | |")?;
    writeln!(f, "| agent's peak memory, MB | | {memory:.0} | |")?;
    writeln!(f, "| requests without an event | | {lost} of {requests} | |")?;
    writeln!(f, "| events of requests in flight when a load ended | | {surplus} | |")
}

/// A line of the workload `name`.
fn line(f: &mut fmt::Formatter<'_>, name: &str, rounds: &[Round]) -> fmt::Result {
    let (rate, app) = (full(rounds, RATE), full(rounds, APP));
    let (p99, alone) = (calm(rounds, P99), calm(rounds, ALONE));
    write!(f, "| `{name}` | {:.0} | {:.0} | {} ", rate.bare, rate.watched, rate.ratio.shown(2))?;
    write!(f, "| {} | {:.0} | {:.0} ", app.ratio.shown(2), alone.bare, alone.added)?;
    write!(f, "| {:.2} | {:.2} | {} ", p99.bare, p99.watched, p99.ratio.shown(2))?;
    let cpu = median(rounds.iter().map(|round| round.usage.cpu_per_request_us()));
    let missing: u64 = rounds.iter().map(|round| round.usage.lost() + round.usage.not_made()).sum();
    writeln!(f, "| {cpu:.1} | {missing} |")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = PACE * 100.0;
        let Some((first, rounds)) = self.workloads.first() else { return Ok(()) };
        let (count, per_round) =
            (rounds.len(), rounds.first().map_or([0, 0], |one| [one.full.len(), one.calm.len()]));
        writeln!(
            f,
            "Two equal servers, FastAPI on one uvicorn worker each (uvloop, httptools), one of them watched, and `wrk` with {CONNECTIONS} \
             connections on the same machine. The machine's speed drifts, so they are asked in turn: for a fifth of a second or more each at full \
             load, {} times in each of {count} rounds, and for a second each at {pace:.0} % of it and by one connection, {} times. Each is \
             watched in every other round, and they share no file with code: on the watched server's files the other would pay for traps, too. Medians, those of ratios over the ratios of neighbours. {}; others on its host took {:.0} % of the \
             processors' time meanwhile. The bare server pays as well for the tests that end a probe early: a write and a read of a process \
             that is not watched take {:.0} ns where there is no agent, {:.0} ns beside one.\n",
            per_round[0],
            per_round[1],
            self.machine,
            self.stolen * 100.0,
            self.bystander.bare,
            self.bystander.watched
        )?;
        detail(f, first, rounds)?;
        if self.workloads.len() > 1 {
            writeln!(f, "\nThe same with a statement or a call per request, and through TLS:\n")?;
            write!(f, "| | bare rps | watched rps | ratio | app's CPU, ratio ")?;
            write!(
                f,
                "| p50, one after the other: bare, us | added | p99 at {pace:.0} %: bare, ms | watched | ratio "
            )?;
            writeln!(f, "| agent's CPU per request, us | not recorded |")?;
            writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
            for (name, rounds) in &self.workloads {
                line(f, name, rounds)?;
            }
        }
        let mut losses: Vec<String> = Vec::new();
        for round in self.workloads.iter().flat_map(|(_, rounds)| rounds) {
            losses.extend(round.usage.losses.iter().map(|(name, n)| format!("{name} {n}")));
        }
        let named = if losses.is_empty() { "none".to_owned() } else { losses.join(", ") };
        writeln!(f, "\nLosses the agent named itself: {named}.\n\nEach round, medians:\n")?;
        writeln!(
            f,
            "| | bare rps | watched rps | ratio | app's CPU, ratio | p99 at {pace:.0} %, ratio | p50, one after the other, ratio |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|")?;
        for (name, round) in
            self.workloads.iter().flat_map(|(name, rounds)| rounds.iter().map(move |one| (name, one)))
        {
            let [rate, app] = [RATE, APP].map(|figure| Figure::of(&round.full, figure));
            let [p99, alone] = [P99, ALONE].map(|figure| Figure::of(&round.calm, figure));
            write!(f, "| `{name}` | {:.0} | {:.0} | {:.3} ", rate.bare, rate.watched, rate.ratio.value)?;
            write!(f, "| {:.3} | {:.2} ", app.ratio.value, p99.ratio.value)?;
            writeln!(f, "| {:.3} |", alone.ratio.value)?;
        }
        Ok(())
    }
}
