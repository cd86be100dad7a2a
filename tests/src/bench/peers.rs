//! The agent beside SDKs that live in the app's process: the same app and load, each in turn, all telemetry to a sink here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::medians::median;
use super::report::machine;
use super::wrk::{Load, Wrk};
use super::{CONNECTIONS, PACE, pause, peak_memory_mb, usage, write};
use crate::agent::Agent;
use crate::cases::outgoing::{certificate, listening};
use crate::places::{Places, Scratch};
use crate::port::free_port;
use crate::process::Process;

/// Names as `peers.py` knows them, with the package each comes from; the agent watches the bare app.
const CONTENDERS: [(&str, &str); 9] = [
    ("bare", ""),
    (AGENT, ""),
    ("backtrack", "backtrack_route101"),
    ("OpenTelemetry", "opentelemetry-distro"),
    ("ddtrace", "ddtrace"),
    ("elastic-apm", "elastic-apm"),
    ("sentry-sdk", "sentry-sdk"),
    ("newrelic", "newrelic"),
    ("scout-apm", "scout_apm"),
];
const AGENT: &str = "apm-agent";
/// How long an app may take to end: some send what they still hold.
const END: Duration = Duration::from_secs(30);

/// One contender in one round.
struct Turn {
    full: Load,
    paced: Load,
    alone: Load,
    /// CPU time of the app, and of the agent, by requests; microseconds.
    app_us: f64,
    agent_us: f64,
    /// Peak memory of the app and the agent, MB.
    app_mb: f64,
    agent_mb: f64,
    /// What came to the sink, bytes by requests.
    sent: f64,
}

/// Measures `rounds` times and writes the report as Markdown to `output`.
pub(crate) fn run(places: &Places, rounds: u32, seconds: u32, output: &Path) -> Result<bool> {
    let python = places.venvs.join("peers/bin/python");
    ensure!(python.exists(), "no environment with the SDKs; run `cargo xtask bench peers`");
    let versions = versions(places)?;
    let mut all: [Vec<Turn>; CONTENDERS.len()] = Default::default();
    let sink = Sink::start(places, &python)?;
    for number in 0..rounds as usize {
        // Each round begins with another, so that a drift of the machine favours none.
        for at in (0..CONTENDERS.len()).map(|at| (at + number) % CONTENDERS.len()) {
            let (name, _) = CONTENDERS[at];
            let turn = turn(places, &python, &sink, name, seconds).with_context(|| name.to_owned())?;
            println!("round {}/{rounds}: {name}: {:.0} rps", number + 1, turn.full.rate);
            all[at].push(turn);
        }
    }
    let report = report(&all, &versions, rounds, &machine(&python)?)?;
    write(output, &report)
}

/// Takes all telemetry.
struct Sink {
    _process: Process,
    ports: [u16; 3],
    certificate: PathBuf,
    _directory: Scratch,
}

impl Sink {
    fn start(places: &Places, python: &Path) -> Result<Self> {
        let directory = places.scratch()?;
        let (certificate, key) = certificate(directory.path())?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let mut command = Command::new(python);
        command.arg(places.apps().join("bench/sink.py")).args(ports.map(|port| port.to_string()));
        command.arg(&certificate).arg(key).env_remove("PYTHONPATH");
        let process = listening("sink", &mut command, &directory.path().join("sink.log"), &ports)?;
        Ok(Self { _process: process, ports, certificate, _directory: directory })
    }

    /// Bytes so far.
    fn bytes(&self) -> Result<u64> {
        let url = format!("http://127.0.0.1:{}/counted", self.ports[0]);
        let counted: Value = serde_json::from_str(&ureq::get(&url).call()?.body_mut().read_to_string()?)?;
        counted["bytes"].as_u64().context("the sink tells no bytes")
    }
}

/// Starts the app with what `name` says, loads it, and ends it.
fn turn(places: &Places, python: &Path, sink: &Sink, name: &str, seconds: u32) -> Result<Turn> {
    let scratch = places.scratch()?;
    let port = free_port()?;
    let mut command = Command::new(python);
    command.arg(places.apps().join("bench/peers.py"));
    command.arg(if name == AGENT { "bare" } else { name }).arg(port.to_string());
    command.args(sink.ports.map(|port| port.to_string())).arg(&sink.certificate).env_remove("PYTHONPATH");
    // Its source, and not the whole repository, is what the agent reads for routes.
    command.current_dir(places.apps().join("bench"));
    let mut app = listening(name, &mut command, &scratch.path().join("app.log"), &[port])?;
    let pid = app.pid();
    let agent = (name == AGENT).then(|| Agent::watch(&places.agent, pid, scratch.path())).transpose()?;
    let agent_pid = agent.as_ref().map(|agent| agent.process.pid());
    let url = format!("http://127.0.0.1:{port}/ping");
    let scripts = places.apps().join("bench");
    let warm = Wrk { url: url.clone(), seconds: 2, scripts: scripts.clone() }.saturate()?;
    let bytes = sink.bytes()?;
    let cpu = || -> Result<[Duration; 2]> {
        Ok([usage::cpu(pid)?, agent_pid.map_or(Ok(Duration::ZERO), usage::cpu)?])
    };
    let before = cpu()?;
    let wrk = Wrk { url, seconds, scripts };
    let (full, paced, alone) = (wrk.saturate()?, wrk.pace(pause(warm.rate))?, wrk.alone()?);
    let after = cpu()?;
    let (app_mb, agent_mb) = (peak_memory_mb(pid)?, agent_pid.map_or(Ok(0.0), peak_memory_mb)?);
    drop(agent);
    app.stop(libc::SIGTERM, END)?;
    let requests = (full.requests + paced.requests + alone.requests) as f64;
    let sent = (sink.bytes()? - bytes) as f64 / requests;
    let in_process = name != AGENT && name != "bare";
    ensure!(
        !in_process || sent > 1.0,
        "nothing came to the sink, so nothing was measured:\n{}",
        app.output()
    );
    let [app_us, agent_us] = [0, 1].map(|at| (after[at] - before[at]).as_secs_f64() * 1e6 / requests);
    Ok(Turn { full, paced, alone, app_us, agent_us, app_mb, agent_mb, sent })
}

/// The pinned version of each contender's package.
fn versions(places: &Places) -> Result<Vec<String>> {
    let pins = std::fs::read_to_string(places.root.join("tests/requirements/peers.txt"))?;
    let of = |package: &str| {
        let pin = pins.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
        if package.is_empty() { Some(String::new()) } else { pin.map(|version| format!(" {version}")) }
    };
    CONTENDERS
        .iter()
        .map(|(name, package)| of(package).with_context(|| format!("{name} is not pinned")))
        .collect()
}

fn report(all: &[Vec<Turn>], versions: &[String], rounds: u32, machine: &str) -> Result<String> {
    let mut report = format!(
        "`GET /ping` of FastAPI on one uvicorn worker (uvloop, httptools), `wrk` with {CONNECTIONS} connections on the same machine; {rounds} \
         rounds of each in turn, medians. Each SDK is set up as its manual says and sends all it makes to a sink on this machine, \
         whose own processor time is not counted but felt. p99 at {:.0} % is at that part of what each itself can carry. {machine}.\n\n",
        PACE * 100.0
    );
    report += "| | requests/s | of bare | p50, ms | p99, ms | p99 at 70 %, ms | p50, one after the other, us | app's CPU per request, us | agent's | app's memory, MB | agent's | sent per request, bytes |\n";
    report += "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    let bare = median(all[0].iter().map(|turn| turn.full.rate));
    for (((name, _), version), turns) in CONTENDERS.iter().zip(versions).zip(all) {
        let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure));
        let rate = of(|turn| turn.full.rate);
        write!(report, "| {name}{version} | {rate:.0} | {:.2} ", rate / bare)?;
        write!(report, "| {:.2} | {:.2} ", of(|turn| turn.full.p50_ms), of(|turn| turn.full.p99_ms))?;
        write!(report, "| {:.2} | {:.0} ", of(|turn| turn.paced.p99_ms), of(|turn| turn.alone.p50_ms * 1e3))?;
        write!(report, "| {:.0} ", of(|turn| turn.app_us))?;
        let only = |it: bool, text: String| if it { text } else { String::new() };
        write!(report, "| {} ", only(*name == AGENT, format!("{:.0}", of(|turn| turn.agent_us))))?;
        write!(report, "| {:.0} ", of(|turn| turn.app_mb))?;
        write!(report, "| {} ", only(*name == AGENT, format!("{:.0}", of(|turn| turn.agent_mb))))?;
        let sent = of(|turn| turn.sent);
        writeln!(report, "| {} |", only(sent > 0.0, format!("{sent:.0}")))?;
    }
    Ok(report)
}
