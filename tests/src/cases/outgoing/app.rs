//! An app that logs what it sends out, run under the agent's eyes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde::Deserialize;

use super::peers::Peers;
use crate::agent::Agent;
use crate::places::{Places, Scratch};
use crate::process::Process;
use crate::store;

/// Durations may differ by this much, in milliseconds, or by this part.
const TOLERANCE_MS: f64 = 1.0;
const TOLERANCE_PART: f64 = 0.05;
/// The peer answers a timed call after this long, in milliseconds.
const SLOW_MS: f64 = 30.0;

/// A line of the app's log, as far as calls and queries have it in common.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// `WHERE/WHEN`, as `tls/before`.
    pub(super) phase: String,
    /// Its own time of the call, milliseconds.
    ms: f64,
    /// It was alone, and its duration is compared.
    pub(super) timed: bool,
    /// Least and most milliseconds between its first byte out and its last byte in, where Python code moved them.
    wire: Option<[f64; 2]>,
}

impl Line {
    /// Is this duration right? The bounds are the socket's, or else the peer's delay and the whole call.
    pub(super) fn agrees(&self, ours: f64) -> bool {
        let [low, high] = self.wire.unwrap_or([SLOW_MS, self.ms]);
        let off = (low - ours).max(ours - high);
        off <= TOLERANCE_MS.max(TOLERANCE_PART * high)
    }

    /// The bounds, in words.
    pub(super) fn bounds(&self) -> String {
        format!("{:?} of {:.2} ms", self.wire, self.ms)
    }
}

/// What came of a run.
pub(super) struct Run {
    /// The app's log.
    pub(super) log: String,
    /// The agent's database; the agent has ended.
    pub(super) database: Connection,
    /// What it counted as lost.
    pub(super) losses: Vec<(String, u64)>,
    /// What came of the look at the API.
    pub(super) figures: Result<()>,
    _scratch: Scratch,
}

/// Starts `python SCRIPT NAME LOG REST..`, an agent once it is ready, and lets it run to its end. `meanwhile` is called
/// before the app is let go, `settled` with the running agent and the app's log once it has ended.
pub(super) fn run(
    places: &Places,
    peers: &Peers,
    script: &str,
    name: &str,
    rest: &[String],
    meanwhile: impl FnOnce() -> Result<()>,
    settled: impl FnOnce(&Agent, &str) -> Result<()>,
) -> Result<Run> {
    let scratch = places.scratch()?;
    let log = scratch.path().join("log.jsonl");
    let mut command = Command::new(&peers.python);
    command.arg(peers.apps.join(script)).arg(name).arg(&log).args(rest);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore").env_remove("PYTHONPATH");
    command.env("APM_CALLS", if places.long { "12" } else { "2" });
    command.env("PSYCOPG_IMPL", if name.ends_with("-wheel") { "binary" } else { "python" });
    if let Some(packages) = aside(peers, name)? {
        command.env("PYTHONPATH", packages);
    }
    let mut app = Process::start(name, &mut command, &scratch.path().join("app.log"))?;
    app.says("ready", Duration::from_secs(60))?;
    let mut agent = Agent::watch(&places.agent, app.pid(), scratch.path())?;
    agent.attached_to_first("call sites")?;
    meanwhile()?;
    app.signal(libc::SIGUSR1);
    let limit = Duration::from_secs(if places.long { 300 } else { 90 });
    let status = app.wait(limit)?;
    ensure!(status.success(), "{name} ended with {status}:\n{}", app.output());
    let log = fs::read_to_string(&log)?;
    let figures = settled(&agent, &log);
    let losses = agent.losses()?;
    agent.stop()?;
    let database = store::open(&agent.store().join("apm.db"))?;
    Ok(Run { log, database, losses, figures, _scratch: scratch })
}

/// The directory with the packages of a driver that stand beside those of the environment.
pub(super) fn aside(peers: &Peers, name: &str) -> Result<Option<PathBuf>> {
    let venv = peers.python.parent().and_then(Path::parent).context("python lies in an environment")?;
    Ok(match name {
        "psycopg2" => Some("psycopg2-source"),
        "mysqlclient" | "mysql-connector-c" => Some("mysql-c/site-packages"),
        "mariadb" => Some("mariadb/site-packages"),
        _ => None,
    }
    .map(|directory| venv.join(directory)))
}

/// Is this a line of the app's module `file`, in one of `functions`?
pub(super) fn is_site(site: Option<&str>, file: &str, functions: &[&str]) -> bool {
    let Some((place, function)) = site.and_then(|site| site.split_once(' ')) else { return false };
    let Some((path, line)) = place.rsplit_once(':') else { return false };
    path.ends_with(file)
        && line.parse::<u32>().is_ok()
        && functions.iter().any(|name| function.rsplit('.').next() == Some(name))
}

/// Parses a log of JSON lines.
pub(super) fn lines<T: for<'de> Deserialize<'de>>(log: &str) -> Result<Vec<T>> {
    log.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
