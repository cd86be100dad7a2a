//! What passes through `queue.SimpleQueue`: work that belongs to whoever put it there, other things that belong to nobody, and
//! programs that change the stack while they wait for either.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::call_sites::peer;
use crate::agent::Agent;
use crate::load::Address;
use crate::places::Places;
use crate::process::{Process, until};
use crate::runner::{Case, Verdict};
use crate::server::Server;

const WAIT: Duration = Duration::from_secs(30);
/// Clients at a time, requests of each, and the calls that each makes.
const CLIENTS: u32 = 6;
const REQUESTS: u32 = 10;
const CALLS: usize = 2;
/// The kinds of work of the app.
const KINDS: [&str; 3] = ["pooled", "executor", "threads"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Case::on_pythons("queues/calls", 2, calls);
    cases.push(Case::new("queues/stacks", stacks));
    cases
}

/// Each call belongs to the request that its path names.
fn calls(places: &Places, version: &'static str) -> Result<Verdict> {
    let Some(python) = places.python(version) else {
        return Ok(Verdict::Skipped(format!("no Python {version}")));
    };
    let scratch = places.scratch()?;
    let arguments = format!("queues/app.py {{port}} {}", peer()?);
    let server = Server::start_with("queues", &arguments, &python, &places.apps(), scratch.path())?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    agent.attached_to_first("attribution")?;
    let Address::Tcp(address) = server.address else { anyhow::bail!("not TCP") };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|nth| scope.spawn(move || ask(address, nth))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })?;
    let count = (CLIENTS * REQUESTS) as usize;
    let mut requests = Vec::new();
    until(WAIT, "all requests to be shown", || {
        let listed = agent.get("/api/requests?window=300&limit=1000")?;
        let listed = listed["requests"].as_array().context("no list of requests")?;
        requests = listed.iter().filter(|one| number(text(one, "path")).is_some()).cloned().collect();
        Ok((requests.len() == count).then_some(()))
    })?;
    let mut wrong = Vec::new();
    for request in &requests {
        let path = text(request, "path");
        let detail = agent.get(&format!("/api/request/{}", text(request, "request_id")))?;
        let made = detail["calls"].as_array().context("no list of calls")?;
        let made: Vec<&str> = made.iter().map(|call| text(call, "path")).collect();
        if made != [path; CALLS] {
            wrong.push(format!("{path}: {made:?}"));
        }
    }
    let losses = agent.losses()?;
    agent.stop()?;
    ensure!(wrong.is_empty(), "{} of {count}: {}", wrong.len(), wrong.join("; "));
    ensure!(losses.is_empty(), "{losses:?}");
    Ok(Verdict::Passed(format!("{} calls, each with its request", CALLS * count)))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The number at the end of `/KIND/N`.
fn number(path: &str) -> Option<u32> {
    let (kind, number) = path.strip_prefix('/')?.split_once('/')?;
    KINDS.contains(&kind).then(|| number.parse().ok())?
}

/// Sends requests of all kinds, one after the other.
fn ask(address: SocketAddr, client: u32) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT))?;
    for nth in 0..REQUESTS {
        let kind = KINDS[((client + nth) % 3) as usize];
        let number = client * REQUESTS + nth;
        stream.write_all(format!("GET /{kind}/{number} HTTP/1.1\r\nHost: app\r\n\r\n").as_bytes())?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"\r\n\r\nok") {
            let size = stream.read(&mut buffer)?;
            ensure!(size > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..size]);
        }
    }
    Ok(())
}

/// A program that switches between greenlets within `get` goes on, as it does without an agent.
fn stacks(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let mut command = Command::new(places.clients()?);
    command.arg(places.apps().join("queues/stacks.py")).env_remove("PYTHONPATH");
    let mut app = Process::start("the app", &mut command, &scratch.path().join("app.log"))?;
    app.says("ready", WAIT)?;
    let mut agent = Agent::watch(&places.agent, app.pid(), scratch.path())?;
    agent.attached_to_first("attribution")?;
    app.signal(libc::SIGUSR1);
    let status = app.wait(WAIT)?;
    ensure!(status.success(), "the app ended with {status}:\n{}", app.output());
    agent.stop()?;
    Ok(Verdict::Passed("it ended as it would alone".to_owned()))
}
