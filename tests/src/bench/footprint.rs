//! What the agent takes after as many requests as come in an hour at 1,000 a second, sent as fast as the app answers.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::report::machine;
use super::stage::OPTIONS;
use super::{CONNECTIONS, peak_memory_mb, usage, write};
use crate::agent::Agent;
use crate::cases::outgoing::listening;
use crate::places::Places;
use crate::port::free_port;

/// Looks at the agent on the way.
const LOOKS: u64 = 6;

/// Sends `requests` and writes the report as Markdown to `output`.
pub(crate) fn run(places: &Places, requests: u64, output: &Path) -> Result<bool> {
    let python = places.any_python()?;
    let scratch = places.scratch()?;
    let port = free_port()?;
    let mut command = Command::new(&python);
    command.args(["-m", "uvicorn", "many:app", "--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(OPTIONS).current_dir(places.apps().join("bench")).env_remove("PYTHONPATH");
    let app = listening("many", &mut command, &scratch.path().join("app.log"), &[port])?;
    let mut agent = Agent::watch(&places.agent, app.pid(), scratch.path())?;
    let pid = agent.process.pid();
    let mut table = String::new();
    let (begin, before) = (Instant::now(), usage::cpu(pid)?);
    let (mut sent, mut seconds) = (0, 10);
    while sent < requests {
        sent += load(places, port, seconds)?;
        let rate = sent as f64 / begin.elapsed().as_secs_f64();
        let part = ((requests / LOOKS) as f64 / rate).ceil();
        let left = (requests.saturating_sub(sent) as f64 / rate).ceil();
        seconds = (part.min(left) as u64).max(1);
        let file = fs::metadata(agent.store().join("apm.db"))?.len() as f64 / 1e6;
        let cpu = (usage::cpu(pid)? - before).as_secs_f64() * 1e6 / sent as f64;
        let now = usage::memory_mb(pid)?;
        println!("{sent} requests: {now:.0} MB, file {file:.0} MB");
        writeln!(table, "| {sent} | {now:.0} | {:.0} | {file:.0} | {cpu:.1} |", peak_memory_mb(pid)?)?;
    }
    let took = begin.elapsed().as_secs_f64();
    let losses = agent.losses()?;
    agent.stop()?;
    let recorded = usage::requests(&agent.store().join("apm.db"))?;
    // wrk does not count what is in flight when it ends.
    let (missing, surplus) = (sent.saturating_sub(recorded), recorded.saturating_sub(sent));
    let named = losses.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ");
    let report = format!(
        "{sent} requests on fifty routes of a FastAPI app (uvicorn, uvloop), one in a hundred failed, sent in {took:.0} s ({:.0} a second) over \
         {CONNECTIONS} connections by `wrk` on the same machine; an hour at 1,000 a second has 3,600,000. Without an event: {missing}; events of requests in flight when a load ended: {surplus}; losses the \
         agent named: {}. {}.\n\n| requests | memory, MB | peak, MB | file, MB | agent's CPU per request, us |\n|--:|--:|--:|--:|--:|\n{table}",
        sent as f64 / took,
        if named.is_empty() { "none" } else { &named },
        machine(&python)?
    );
    write(output, &report)
}

/// Loads the app for some seconds. Gives the number of requests answered.
fn load(places: &Places, port: u16, seconds: u64) -> Result<u64> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "-s"]);
    command.arg(places.apps().join("bench/many.lua")).arg(format!("http://127.0.0.1:{port}/"));
    let done = command.output().context("cannot start wrk; install it: apt-get install wrk")?;
    let text = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success() && !text.contains("Socket errors"), "wrk: {text}");
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    requests.with_context(|| format!("cannot read what wrk says:\n{text}"))
}
