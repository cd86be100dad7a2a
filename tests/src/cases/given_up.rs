//! Calls that end with their connection count for the request that is answered right after.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::Agent;
use crate::load::Address;
use crate::places::Places;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::Server;

const WAIT: Duration = Duration::from_secs(20);
/// Requests of each kind.
const REQUESTS: u32 = 8;
/// How long the app waits for an answer that never comes, ms.
const PATIENCE: f64 = 200.0;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("ends/call-with-connection", judge)]
}

fn judge(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let app = "given_up/app.py {port}";
    let server = Server::start_with("given-up", app, &places.any_python()?, &places.apps(), scratch.path())?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    agent.attached_to_first("attribution")?;
    let Address::Tcp(address) = server.address else { anyhow::bail!("not TCP") };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT))?;
    for n in 0..REQUESTS {
        for kind in ["silent", "closing"] {
            ask(&mut stream, &format!("/{kind}/{n}"))?;
        }
    }
    let count = 2 * REQUESTS as usize;
    let is_counted = |one: &&Value| {
        let path = one["path"].as_str().unwrap_or_default();
        path.starts_with("/silent/") || path.starts_with("/closing/")
    };
    let mut requests = Vec::new();
    until(WAIT, "all requests to be shown", || {
        let listed = agent.get("/api/requests?w=300&limit=1000")?;
        let listed = listed["requests"].as_array().context("no list of requests")?;
        requests = listed.iter().filter(is_counted).cloned().collect();
        Ok((requests.len() == count).then_some(()))
    })?;
    let losses = agent.losses()?;
    agent.stop()?;
    for request in &requests {
        let number = |key: &str| request[key].as_f64().unwrap_or(-1.0);
        let (calls, spent, of) =
            (number("outgoing_count"), number("outgoing_total_ms"), number("duration_ms"));
        let waits = request["path"].as_str().is_some_and(|path| path.starts_with("/silent/"));
        let least = if waits { 0.9 * PATIENCE } else { 0.0 };
        // The rest of a request is told apart from its call.
        ensure!(
            calls == 1.0 && (least..=of).contains(&spent),
            "{calls} calls, {spent} of {of} ms: {request}"
        );
    }
    ensure!(losses.is_empty(), "{losses:?}");
    Ok(Verdict::Passed(format!("{count} calls, each counted for its request")))
}

fn ask(stream: &mut TcpStream, path: &str) -> Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n").as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\nok") {
        let size = stream.read(&mut buffer)?;
        ensure!(size > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..size]);
    }
    Ok(())
}
