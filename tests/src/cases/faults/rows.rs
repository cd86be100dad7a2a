//! A reply of PostgreSQL with a million rows: one query with its count, and the next one is seen.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{MORE_MEMORY, SHOWN, request};
use crate::agent::Agent;
use crate::bench::{peak_memory_mb, restart_peak_memory_mb};
use crate::cases::outgoing::{Postgres, certificate, listening};
use crate::places::Places;
use crate::port::free_port;
use crate::process::until;
use crate::runner::Verdict;

const ROWS: u64 = 1_000_000;

pub(super) fn million_rows(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let (certificate, key) = certificate(scratch.path())?;
    let postgres = Postgres::start(&scratch.path().join("postgres"), &certificate, &key)?;
    let python = places.clients()?;
    let port = free_port()?;
    let mut command = Command::new(python);
    command.arg(places.apps().join("faults/rows.py")).args([port.to_string(), postgres.port.to_string()]);
    let app = listening("rows", &mut command, &scratch.path().join("app.log"), &[port])?;
    let mut agent = Agent::watch(&places.agent, app.pid(), scratch.path())?;
    let ask = |path: &str| -> Result<String> {
        let answer = ureq::get(format!("http://127.0.0.1:{port}{path}")).call();
        Ok(answer
            .with_context(|| format!("{}\n{}", request(path), app.output()))?
            .body_mut()
            .read_to_string()?)
    };
    ensure!(ask("/one")? == "1", "the app does not work");
    let before = restart_peak_memory_mb(agent.process.pid())?;
    ensure!(ask(&format!("/rows/{ROWS}"))? == ROWS.to_string(), "rows are missing");
    ensure!(ask("/one")? == "1", "the app does not work after it");
    let statement = until(SHOWN, "three queries to be shown", || {
        let queries = agent.get("/api/queries?w=300")?;
        let found = queries["queries"].as_array().context("no list of queries")?;
        Ok(found.iter().find(|query| query["calls"] == 3).cloned())
    })?;
    ensure!(statement["rows"] == ROWS + 2 && statement["errors"] == 0, "{statement}");
    let routes = agent.get("/api/requests?window=300")?;
    let requests = routes["requests"].as_array().context("no list of requests")?;
    let counted = requests.iter().filter(|request| request["db_query_count"] == 1).count();
    ensure!(counted == 3, "requests with one query each: {counted} of 3");
    let grown = peak_memory_mb(agent.process.pid())? - before;
    ensure!(grown <= MORE_MEMORY, "the agent's memory grew by {grown:.1} MB");
    // The rows themselves are not copied: the reader looks for the reply's end, and counts that it did.
    let losses = agent.losses()?;
    ensure!(losses.iter().all(|(name, n)| name == "resyncs" && *n == 1), "losses: {losses:?}");
    agent.stop()?;
    Ok(Verdict::Passed(format!("{ROWS} rows counted, the next query is seen; memory +{grown:.1} MB")))
}
