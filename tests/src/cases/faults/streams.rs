//! Bodies and answers without measure, and clients without haste: they cost the agent no memory, and what follows is seen.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use super::{Pair, read_answer, request};
use crate::agent::Event;
use crate::places::Places;
use crate::runner::Verdict;

/// Bodies of 100 MB, up and down one connection, and the requests between and after them.
pub(super) fn large_bodies(places: &Places) -> Result<Verdict> {
    const SIZE: usize = 100 << 20;
    let mut pair = Pair::streams(places)?;
    pair.shown("/warm")?;
    let before = pair.memory_now()?;
    let mut stream = pair.connect()?;
    let head = format!("POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let piece = vec![b'y'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        stream.write_all(&piece)?;
    }
    ensure!(read_answer(&mut stream)? == SIZE.to_string(), "the body did not arrive");
    keep_alive(&mut stream, "/between")?;
    stream.write_all(format!("GET /large/{} HTTP/1.1\r\nHost: x\r\n\r\n", SIZE >> 20).as_bytes())?;
    ensure!(read_head(&mut stream)?.contains("200"), "the large answer failed");
    swallow(&mut stream, SIZE)?;
    keep_alive(&mut stream, "/behind")?;
    let grown = pair.grown_since(before)?;
    pair.no_losses()?;
    pair.agent.stop()?;
    let events = pair.agent.events()?;
    let paths: Vec<&str> = events.iter().map(|event| event.path.as_str()).skip(1).collect();
    ensure!(paths == ["/sink", "/between", "/large/100", "/behind"], "seen: {paths:?}");
    ensure!(events.iter().all(|event| event.status == 200 && event.error.is_none()), "{events:?}");
    Ok(Verdict::Passed(format!(
        "2 x {} MiB, all four requests of the connection; memory +{grown:.1} MB",
        SIZE >> 20
    )))
}

/// An endless chunked answer and an endless event stream: each is open while it lasts and one event once its client has left.
pub(super) fn endless_streams(places: &Places) -> Result<Verdict> {
    let mut pair = Pair::streams(places)?;
    pair.shown("/warm")?;
    let before = pair.memory_now()?;
    for (path, bytes) in [("/endless", 200 << 20), ("/events", 4 << 20)] {
        let mut stream = pair.connect()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        ensure!(read_head(&mut stream)?.contains("200"), "{path} failed");
        swallow(&mut stream, bytes)?;
        pair.shown(&format!("/beside{path}"))?;
        ensure!(!pair.lists(path)?, "{path} is shown as ended while it goes on");
        drop(stream);
        pair.awaited(path)?;
    }
    let grown = pair.grown_since(before)?;
    pair.no_losses()?;
    pair.agent.stop()?;
    let events = pair.agent.events()?;
    for path in ["/endless", "/events"] {
        let mine: Vec<&Event> = events.iter().filter(|event| event.path == path).collect();
        let [event] = mine.as_slice() else { anyhow::bail!("{path}: {mine:?}") };
        ensure!(event.method == "GET" && event.duration_ms > 1.0, "{event:?}");
    }
    Ok(Verdict::Passed(format!(
        "200 MiB of chunks, 4 MiB of events; each is one event; memory +{grown:.1} MB"
    )))
}

/// A thousand clients that each send their request in pieces, all at the same time.
pub(super) fn slow_clients(places: &Places) -> Result<Verdict> {
    const CLIENTS: usize = 1000;
    let mut pair = Pair::start(places, "uvicorn-asyncio-h11", &[])?;
    pair.shown("/warm")?;
    let before = pair.memory_now()?;
    let mut clients = (0..CLIENTS).map(|_| pair.connect()).collect::<Result<Vec<TcpStream>>>()?;
    let requests: Vec<String> = (0..CLIENTS).map(|n| request(&format!("/r/200/5/0/whole/slow{n}"))).collect();
    let longest = requests.iter().map(String::len).max().unwrap_or_default();
    for at in (0..longest).step_by(11) {
        for (client, request) in clients.iter_mut().zip(&requests) {
            let rest = request.as_bytes().get(at..).unwrap_or_default();
            client.write_all(rest.get(..11).unwrap_or(rest))?;
        }
        if at == 33 {
            pair.shown("/while-they-wait")?;
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        read_answer(client).with_context(|| format!("client {n}"))?;
    }
    drop(clients);
    pair.shown("/last")?;
    let grown = pair.grown_since(before)?;
    pair.no_losses()?;
    pair.agent.stop()?;
    let events = pair.agent.events()?;
    let slow: Vec<&Event> = events.iter().filter(|event| event.path.contains("/slow")).collect();
    let fine = slow.iter().filter(|event| event.status == 200 && event.error.is_none()).count();
    ensure!(fine == CLIENTS && slow.len() == CLIENTS, "{fine} of {} are right, of {CLIENTS}", slow.len());
    let distinct: std::collections::HashSet<&str> = slow.iter().map(|event| event.path.as_str()).collect();
    ensure!(distinct.len() == CLIENTS, "a request is shown twice");
    Ok(Verdict::Passed(format!("{CLIENTS} at a time, each seen once; memory +{grown:.1} MB")))
}

impl Pair {
    fn streams(places: &Places) -> Result<Self> {
        Self::start_with(places, "faults/streams.py {port}", &[])
    }
}

fn keep_alive(stream: &mut TcpStream, path: &str) -> Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    read_answer(stream).map(|_| ()).with_context(|| path.to_owned())
}

/// Reads up to the empty line that ends a head.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head)?)
}

/// Reads `count` bytes and forgets them.
fn swallow(stream: &mut TcpStream, count: usize) -> Result<()> {
    let copied = std::io::copy(&mut stream.take(count as u64), &mut std::io::sink())?;
    ensure!(copied == count as u64, "the answer ended after {copied} bytes");
    Ok(())
}
