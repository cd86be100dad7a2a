//! Requests whose beginning or end is not plain: the client leaves, the agent comes or goes in between.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::{Agent, Event};
use crate::load::Address;
use crate::places::Places;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::{Server, kind};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("ends/client-leaves", client_leaves),
        Case::new("ends/connection-older-than-agent", connection_older_than_agent),
        Case::new("ends/in-flight-when-agent-stops", in_flight_when_agent_stops),
        Case::new("ends/websocket", websocket),
        Case::new("ends/process", process_ends),
    ]
}

fn serve(places: &Places, name: &str, scratch: &std::path::Path) -> Result<(Server, TcpStream)> {
    let server = Server::start(kind(name), &places.any_python()?, &places.apps(), scratch)?;
    let Address::Tcp(address) = &server.address else { anyhow::bail!("not TCP") };
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok((server, stream))
}

fn ask(stream: &mut TcpStream, path: &str) -> Result<()> {
    Ok(stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?)
}

/// Reads until what came ends with `end`.
fn read_to(stream: &mut TcpStream, end: &[u8]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !all.ends_with(end) {
        let n = stream.read(&mut buffer)?;
        ensure!(n > 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&buffer[..n]);
    }
    Ok(all)
}

/// Waits until the agent has seen the one request that is open.
fn in_flight(agent: &Agent) -> Result<()> {
    until(Duration::from_secs(5), "the request to be in flight", || {
        let services = agent.get("/api/services")?;
        let open = services["services"].as_array().into_iter().flatten().any(|one| one["in_flight"] == 1);
        Ok(open.then_some(()))
    })
}

/// Stops the agent and picks the only event of `path`.
fn the_event(agent: &mut Agent, path: &str) -> Result<Event> {
    agent.stop()?;
    let events = agent.events()?;
    let mut found = events.iter().filter(|event| event.path == path);
    let event = found.next().with_context(|| format!("no event of {path} in {events:?}"))?;
    ensure!(found.next().is_none(), "several events of {path} in {events:?}");
    Ok(event.clone())
}

/// The figures of a process are gone once it is, and not when it has long been.
fn process_ends(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let (server, _stream) = serve(places, "uvicorn-asyncio-h11", scratch.path())?;
    let agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let has_figures = |agent: &Agent| -> Result<bool> {
        let services = agent.get("/api/services")?;
        let all = services["services"].as_array().into_iter().flatten();
        Ok(all.into_iter().any(|one| !one["cpu_pct"].is_null() || !one["mem_mb"].is_null()))
    };
    until(Duration::from_secs(10), "the process's figures", || Ok(has_figures(&agent)?.then_some(())))?;
    drop(server);
    // Less than what a process without samples is taken to be alive for.
    until(Duration::from_secs(8), "its figures to go", || Ok((!has_figures(&agent)?).then_some(())))?;
    Ok(Verdict::Passed("no figures after its end".to_owned()))
}

/// A client that goes away before its answer is an event with status 499 and the reason.
fn client_leaves(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let (server, mut stream) = serve(places, "uvicorn-asyncio-h11", scratch.path())?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let path = "/r/200/300/4000/whole/leaves";
    ask(&mut stream, path)?;
    in_flight(&agent)?;
    drop(stream);
    until(Duration::from_secs(5), "the event", || {
        Ok(agent.events().unwrap_or_default().iter().any(|event| event.path == path).then_some(()))
    })?;
    let event = the_event(&mut agent, path)?;
    ensure!(event.status == 499, "{event:?}");
    let error = event.error.context("no reason")?;
    ensure!(error.contains("client disconnected"), "{error}");
    Ok(Verdict::Passed(error))
}

/// A keep-alive connection that was open before the agent came: its next request is seen.
fn connection_older_than_agent(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let (server, mut stream) = serve(places, "uvicorn-uvloop-httptools", scratch.path())?;
    ask(&mut stream, "/r/200/2/0/whole/before")?;
    read_to(&mut stream, b"\r\n\r\nxx")?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let path = "/r/201/2/0/whole/after";
    ask(&mut stream, path)?;
    read_to(&mut stream, b"\r\n\r\nxx")?;
    let event = the_event(&mut agent, path)?;
    ensure!(event.status == 201 && event.method == "GET", "{event:?}");
    let before = agent.events()?.iter().any(|event| event.path.ends_with("before"));
    ensure!(!before, "an event from before the agent");
    Ok(Verdict::Passed(format!("{:.1} ms", event.duration_ms)))
}

/// An agent that ends with a request open does not say that it was answered.
fn in_flight_when_agent_stops(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let (server, mut stream) = serve(places, "uvicorn-asyncio-httptools", scratch.path())?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let path = "/r/200/2/6000/whole/open";
    ask(&mut stream, path)?;
    in_flight(&agent)?;
    agent.stop()?;
    let invented = agent.events()?.into_iter().find(|event| event.path == path && event.error.is_none());
    ensure!(invented.is_none(), "{invented:?}");
    read_to(&mut stream, b"\r\n\r\nxx").context("the app did not answer after the agent had gone")?;
    Ok(Verdict::Passed("the app answered all the same".to_owned()))
}

/// A WebSocket is one event, its handshake, whatever passes afterwards.
fn websocket(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let (server, mut stream) = serve(places, "aiohttp", scratch.path())?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let path = "/websocket";
    stream.write_all(
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: \
             13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let head = read_to(&mut stream, b"\r\n\r\n")?;
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    // A text frame with an empty mask, whose content looks like a request; the app sends it back (RFC 6455, 5.2).
    let text = b"GET /not-a-request HTTP/1.1\r\n\r\n";
    let length = u8::try_from(text.len())?;
    for _ in 0..3 {
        stream.write_all(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_slice()].concat())?;
        read_to(&mut stream, text)?;
    }
    drop(stream);
    let event = the_event(&mut agent, path)?;
    ensure!(event.status == 101, "{event:?}");
    let events = agent.events()?;
    ensure!(events.len() == 1, "{events:?}");
    Ok(Verdict::Passed("one event".to_owned()))
}
