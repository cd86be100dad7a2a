//! The agent under test, as a user starts it, and what it recorded.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::port::free_port;
use crate::process::{Process, until};
use crate::store;

/// How long an agent may take to load its probes and attach.
const START: Duration = Duration::from_secs(20);

/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// One request as the agent recorded it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Method.
    pub(crate) method: String,
    /// Path without query string.
    pub(crate) path: String,
    /// Status.
    pub(crate) status: u16,
    /// Duration.
    pub(crate) duration_ms: f64,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// An agent that runs.
pub(crate) struct Agent {
    /// Its process.
    pub(crate) process: Process,
    port: u16,
    database: PathBuf,
}

impl Agent {
    /// Starts an agent that watches `pid` and waits until it has attached to it.
    pub(crate) fn watch(binary: &Path, pid: u32, scratch: &Path) -> Result<Self> {
        let agent = Self::start(binary, &["--pid".to_owned(), pid.to_string()], scratch)?;
        agent.attached(pid)?;
        Ok(agent)
    }

    /// Starts an agent with `arguments` and waits until it answers.
    pub(crate) fn start(binary: &Path, arguments: &[String], scratch: &Path) -> Result<Self> {
        Self::start_on(free_port()?, binary, arguments, scratch)
    }

    /// The same on a given port.
    pub(crate) fn start_on(port: u16, binary: &Path, arguments: &[String], scratch: &Path) -> Result<Self> {
        Self::launch(port, &[], binary, arguments, scratch)
    }

    /// The same with variables of its environment.
    pub(crate) fn start_in(
        environment: &[(&str, &str)],
        binary: &Path,
        arguments: &[String],
        scratch: &Path,
    ) -> Result<Self> {
        Self::launch(free_port()?, environment, binary, arguments, scratch)
    }

    fn launch(
        port: u16,
        environment: &[(&str, &str)],
        binary: &Path,
        arguments: &[String],
        scratch: &Path,
    ) -> Result<Self> {
        let directory = scratch.join("store");
        std::fs::create_dir_all(&directory)?;
        let database = directory.join("apm.db");
        let mut command = Command::new(binary);
        command.args(arguments).arg("--db").arg(&database).args(["--port", &port.to_string()]);
        command.envs(environment.iter().copied());
        let log = scratch.join(format!("agent-{port}.log"));
        let mut process = Process::start("apm-agent", &mut command, &log)?;
        until(START, "the agent to answer /healthz", || {
            process.check_alive()?;
            Ok(get(port, "/healthz").ok())
        })
        .with_context(|| process.output())?;
        Ok(Self { process, port, database })
    }

    /// Waits until `pid` is listed as attached.
    pub(crate) fn attached(&self, pid: u32) -> Result<()> {
        let is_it = |process: &Value| process["pid"] == pid && process["state"] == "watched";
        let seen = until(START, &format!("process {pid} to be attached"), || {
            let status = self.get("/api/status")?;
            let processes = status["processes"].as_array().context("/api/status lists no processes")?;
            Ok(processes.iter().any(is_it).then_some(()))
        });
        seen.with_context(|| self.process.output())
    }

    /// Waits until the probe `name` is attached to the first process that is watched: one that has just begun may still be
    /// starting threads, and is then looked at again.
    pub(crate) fn attached_to_first(&self, name: &str) -> Result<()> {
        until(START, &format!("{name} to be attached"), || {
            let status = self.get("/api/status")?;
            let probes =
                status["processes"][0]["probes"].as_array().context("/api/status names no probes")?;
            Ok(probes.iter().any(|probe| probe["name"] == name && probe["attached"] == true).then_some(()))
        })
        .with_context(|| self.process.output())
    }

    /// Waits until the probe `name` is attached to any process.
    pub(crate) fn attached_to_any(&self, name: &str) -> Result<()> {
        until(START, &format!("{name} to be attached"), || {
            let status = self.get("/api/status")?;
            let processes = status["processes"].as_array().context("/api/status lists no processes")?;
            let mut probes = processes.iter().filter_map(|process| process["probes"].as_array()).flatten();
            Ok(probes.any(|probe| probe["name"] == name && probe["attached"] == true).then_some(()))
        })
        .with_context(|| self.process.output())
    }

    /// The JSON answer of the API at `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&get(self.port, path)?)?)
    }

    /// Port of its server.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Address of the page.
    pub(crate) fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Loss counters that are not zero, by name.
    pub(crate) fn losses(&self) -> Result<Vec<(String, u64)>> {
        let status = self.get("/api/status")?;
        let losses = status["losses"].as_array().context("/api/status has no losses")?;
        let named = |loss: &Value| {
            let name = loss["name"].as_str().context("a loss without a name")?;
            Ok((name.to_owned(), loss["count"].as_u64().context("a loss without a count")?))
        };
        let counts = losses.iter().map(named).collect::<Result<Vec<_>>>()?;
        Ok(counts.into_iter().filter(|&(_, n)| n > 0).collect())
    }

    /// Stops it as Ctrl-C's sibling does and checks that it ended well.
    pub(crate) fn stop(&mut self) -> Result<()> {
        // The kernel takes uprobes off one after the other, each after a grace period of a tenth of a second or more.
        let status = self.process.stop(libc::SIGTERM, Duration::from_secs(30))?;
        ensure!(status.success(), "the agent ended with {status}:\n{}", self.process.output());
        Ok(())
    }

    /// Directory that holds the database and its side files.
    pub(crate) fn store(&self) -> &Path {
        self.database.parent().expect("a file in a directory")
    }

    /// Everything in its database.
    pub(crate) fn events(&self) -> Result<Vec<Event>> {
        events(&self.database)
    }
}

/// Requests in the database at `path`, oldest first.
pub(crate) fn events(path: &Path) -> Result<Vec<Event>> {
    // The store's own form: names are numbers, durations nanoseconds, a path equal to its route is left out.
    const QUERY: &str = "
        SELECT method.text, coalesce(event.path, route.text), event.status, event.duration, error.text
        FROM event
        JOIN series ON series.id = event.series
        JOIN name AS method ON method.id = series.b
        JOIN name AS route ON route.id = series.c
        LEFT JOIN name AS error ON error.id = event.error
        ORDER BY event.id";
    let database = store::open(path)?;
    let mut statement = database.prepare(QUERY)?;
    let rows = statement.query_map([], |row| {
        Ok(Event {
            method: row.get(0)?,
            path: row.get(1)?,
            status: row.get(2)?,
            duration_ms: row.get::<_, i64>(3)? as f64 / 1e6,
            error: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn get(port: u16, path: &str) -> Result<String> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let asked = ureq::get(&url).config().timeout_global(Some(ANSWER)).build();
    Ok(asked.call()?.body_mut().read_to_string()?)
}
