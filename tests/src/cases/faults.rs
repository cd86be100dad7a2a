//! What strangers send: nothing secret is kept, and what follows is still seen.

mod clock;
mod disk;
mod open;
mod rows;
mod streams;
mod survival;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::bench::{peak_memory_mb, restart_peak_memory_mb};
use crate::load::Address;
use crate::places::{Places, Scratch, file_with};
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::{Server, kind};

/// How long the agent may take to show a request that was answered.
const SHOWN: Duration = Duration::from_secs(5);

/// Most memory that a fault may add to the agent's, MB.
const MORE_MEMORY: f64 = 20.0;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("faults/secrets-are-nowhere", secrets_are_nowhere),
        Case::new("faults/garbage", garbage),
        Case::new("faults/ring-overflow", ring_overflow).alone(),
        Case::new("faults/many-connections", many_connections).alone(),
        Case::new("faults/open-connections", open::all_at_once).alone(),
        Case::new("faults/clock-stepped", clock::stepped),
        Case::new("faults/large-bodies", streams::large_bodies).alone(),
        Case::new("faults/endless-streams", streams::endless_streams).alone(),
        Case::new("faults/slow-clients", streams::slow_clients),
        Case::new("faults/million-rows", rows::million_rows).alone(),
        Case::new("faults/agent-killed", survival::agent_killed).alone(),
        Case::new("faults/app-execs", survival::app_execs),
        Case::new("faults/disk", disk::disk),
        Case::new("faults/unusable-disk", disk::unusable),
    ]
}

/// A server, and the agent that watches it.
struct Pair {
    server: Server,
    agent: Agent,
    _scratch: Rc<Scratch>,
}

impl Pair {
    fn start(places: &Places, name: &str, options: &[&str]) -> Result<Self> {
        let scratch = places.scratch()?;
        let server = Server::start(kind(name), &places.any_python()?, &places.apps(), scratch.path())?;
        Self::watch(Rc::new(scratch), places, server, options)
    }

    /// The same with `python ARGUMENTS`, in which `{port}` is replaced.
    fn start_with(places: &Places, arguments: &str, options: &[&str]) -> Result<Self> {
        Self::start_in(Rc::new(places.scratch()?), places, arguments, options)
    }

    /// The same with the agent's files in `scratch`.
    fn start_in(scratch: Rc<Scratch>, places: &Places, arguments: &str, options: &[&str]) -> Result<Self> {
        let python = places.any_python()?;
        let server = Server::start_with(arguments, arguments, &python, &places.apps(), scratch.path())?;
        Self::watch(scratch, places, server, options)
    }

    fn watch(scratch: Rc<Scratch>, places: &Places, server: Server, options: &[&str]) -> Result<Self> {
        let pid = server.process.pid();
        let mut arguments = vec!["--pid".to_owned(), pid.to_string()];
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        let agent = Agent::start(&places.agent, &arguments, scratch.path())?;
        agent.attached(pid)?;
        Ok(Self { server, agent, _scratch: scratch })
    }

    fn connect(&self) -> Result<TcpStream> {
        let Address::Tcp(address) = &self.server.address else { anyhow::bail!("not TCP") };
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    /// Sends `bytes` on a connection of their own and reads until the server closes it or has nothing to say.
    fn send(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut stream = self.connect()?;
        // A server that refuses in the middle has closed already: that is an answer too.
        let _refused = stream.write_all(bytes);
        let _closed = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        Ok(answer)
    }

    /// Asks for `path` and waits until the agent shows it.
    fn shown(&self, path: &str) -> Result<Duration> {
        let asked = Instant::now();
        let answer = self.send(request(path).as_bytes())?;
        ensure!(answer.starts_with(b"HTTP/1."), "{path}: {:?}", String::from_utf8_lossy(&answer));
        self.awaited(path)?;
        Ok(asked.elapsed())
    }

    /// Waits until the agent shows a request for `path`.
    fn awaited(&self, path: &str) -> Result<()> {
        until(SHOWN, &format!("{path} to be shown"), || Ok(self.lists(path)?.then_some(())))
    }

    /// Does the agent show a request for `path`?
    fn lists(&self, path: &str) -> Result<bool> {
        let requests = self.agent.get("/api/requests?window=300")?;
        let requests = requests["requests"].as_array().context("no list of requests")?;
        Ok(requests.iter().any(|request| request["path"] == path))
    }

    /// Resident memory of the agent, MB, from which [`Self::grown_since`] counts.
    fn memory_now(&self) -> Result<f64> {
        restart_peak_memory_mb(self.agent.process.pid())
    }

    /// By how much the agent's memory has exceeded `before` at its peak, MB; an error when that is more than [`MORE_MEMORY`].
    fn grown_since(&self, before: f64) -> Result<f64> {
        let grown = peak_memory_mb(self.agent.process.pid())? - before;
        ensure!(grown <= MORE_MEMORY, "the agent's memory grew by {grown:.1} MB");
        Ok(grown)
    }

    /// Fails when the agent counted a loss.
    fn no_losses(&self) -> Result<()> {
        let losses = self.agent.losses()?;
        ensure!(losses.is_empty(), "losses: {losses:?}");
        Ok(())
    }

    /// The counter of one kind of loss.
    fn lost(&self, name: &str) -> Result<u64> {
        let status = self.agent.get("/api/status")?;
        let losses = status["losses"].as_array().context("no list of losses")?;
        let count = losses.iter().find(|loss| loss["name"] == name).and_then(|loss| loss["count"].as_u64());
        count.with_context(|| format!("no counter {name}"))
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

/// Credentials in every place of a request that may hold them are in no file, no log line and no answer.
fn secrets_are_nowhere(places: &Places) -> Result<Verdict> {
    const API: &[&str] = &[
        "/api/status",
        "/api/services",
        "/api/requests?window=300",
        "/api/routes?window=300",
        "/api/overview?window=300",
        "/api/recent_errors?window=300",
        "/api/error_groups?window=300",
        "/api/outgoing?window=300",
        "/api/queries?window=300",
    ];
    let mut pair = Pair::start(places, "http.server", &["--log-level", "debug"])?;
    let secret = |place: &str| format!("hunter2{place}Zq9xK4");
    let places_of_secrets = [
        ("query", "GET /login?password=SECRET HTTP/1.1\r\nHost: x\r\n"),
        ("querybare", "GET /login?SECRET HTTP/1.1\r\nHost: x\r\n"),
        ("fragment", "GET /login#SECRET HTTP/1.1\r\nHost: x\r\n"),
        ("userinfo", "GET http://ada:SECRET@x/login HTTP/1.1\r\nHost: x\r\n"),
        ("authorization", "GET /login HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SECRET\r\n"),
        ("proxy", "GET /login HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic SECRET\r\n"),
        ("cookie", "GET /login HTTP/1.1\r\nHost: x\r\nCookie: session=SECRET; theme=dark\r\n"),
        ("key", "GET /login HTTP/1.1\r\nHost: x\r\nX-Api-Key: SECRET\r\n"),
        ("referer", "GET /login HTTP/1.1\r\nHost: x\r\nReferer: http://y/reset?token=SECRET\r\n"),
        ("fold", "GET /login HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\r\n SECRET\r\n"),
    ];
    let mut secrets = Vec::new();
    for (place, head) in places_of_secrets {
        let text = format!("{head}Connection: close\r\n\r\n").replace("SECRET", &secret(place));
        pair.send(text.as_bytes())?;
        secrets.push(secret(place));
    }
    for (place, kind) in [("json", "application/json"), ("form", "application/x-www-form-urlencoded")] {
        let body = format!("{{\"card\":\"{}\"}}", secret(place));
        let head = format!(
            "POST /pay HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n",
            body.len()
        );
        pair.send(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())?;
        secrets.push(secret(place));
    }
    pair.shown("/last")?;
    let mut answers = String::new();
    for path in API {
        answers += &pair.agent.get(path).with_context(|| path.to_owned())?.to_string();
    }
    ensure!(answers.contains("/login") && answers.contains("/pay"), "the requests are not in {answers}");
    let search = |pair: &Pair, when: &str| -> Result<()> {
        for secret in &secrets {
            if let Some(file) = file_with(pair.agent.store(), secret)? {
                anyhow::bail!("{when}: {secret} is in {}", file.display());
            }
            ensure!(!pair.agent.process.output().contains(secret), "{when}: {secret} is in the log");
            ensure!(!answers.contains(secret), "{secret} is in an answer");
        }
        ensure!(file_with(pair.agent.store(), "/pay")?.is_some(), "{when}: the search finds nothing at all");
        Ok(())
    };
    search(&pair, "while running")?;
    pair.agent.stop()?;
    search(&pair, "after the end")?;
    Ok(Verdict::Passed(format!(
        "{} secrets in {} bytes of answers, files and log: none",
        secrets.len(),
        answers.len()
    )))
}

/// Bytes that are no HTTP, or HTTP that two readers may read differently: the agent goes on and still sees what follows.
fn garbage(places: &Places) -> Result<Verdict> {
    let mut pair = Pair::start(places, "http.server", &[])?;
    let noise: Vec<u8> =
        (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let large = format!("GET /large HTTP/1.1\r\nHost: x\r\nX-Pad: {}\r\n\r\n", "a".repeat(1 << 20));
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[7; 506]].concat();
    let shapes: &[(&str, &[u8])] = &[
        ("noise", &noise),
        ("TLS on a plain port", &hello),
        ("headers of 1 MiB", large.as_bytes()),
        ("two lengths", b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabc"),
        (
            "length and chunks",
            b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        ),
        ("chunk size too large", b"POST /s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
        ("bare line feeds", b"GET /lf HTTP/1.1\nHost: x\n\n"),
        ("space before colon", b"GET /sp HTTP/1.1\r\nHost : x\r\n\r\n"),
        ("negative length", b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
        ("half a request", b"GET /half HTTP/1.1\r\nHo"),
    ];
    for (at, (what, bytes)) in shapes.iter().enumerate() {
        pair.send(bytes).with_context(|| (*what).to_owned())?;
        pair.shown(&format!("/after/{at}")).with_context(|| format!("after {what}"))?;
    }
    pair.agent.stop()?;
    Ok(Verdict::Passed(format!("{} shapes, each followed by a request that was seen", shapes.len())))
}

/// An agent that stands still while its ring overflows: what was lost is counted, what is shown happened, and soon after
/// every request is seen again.
fn ring_overflow(places: &Places) -> Result<Verdict> {
    const SENT: usize = 1500;
    const AFTER: usize = 100;
    let mut pair = Pair::start(places, "http.server", &["--ring-mb", "1"])?;
    pair.shown("/before")?;
    ensure!(pair.lost("ring_full")? == 0, "the ring was full before");
    pair.agent.process.signal(libc::SIGSTOP);
    let mut stream = pair.connect()?;
    let body = "b".repeat(4000);
    for n in 0..SENT {
        let head = format!("POST /n/{n} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes())?;
        read_answer(&mut stream)?;
    }
    pair.agent.process.signal(libc::SIGCONT);
    let resumed = Instant::now();
    // What is asked before the ring has been emptied may still be lost.
    let mut tries = 0;
    until(SHOWN, "a new request to be shown", || {
        tries += 1;
        let path = format!("/recovered/{tries}");
        pair.send(request(&path).as_bytes())?;
        pair.agent
            .get("/api/requests?window=300")
            .map(|answer| answer.to_string().contains("/recovered/").then_some(()))
    })?;
    let recovered = resumed.elapsed();
    // The counters are published once a second.
    let full = until(SHOWN, "the losses of a ring of 1 MiB to be counted", || {
        Ok(Some(pair.lost("ring_full")?).filter(|&full| full > 0))
    })?;
    let gap_bytes = pair.lost("gap_bytes")?;
    // The connection with the gap in its middle is read again too. The first request there only tells that those before
    // it must have been answered.
    for n in 0..AFTER {
        stream.write_all(format!("GET /after/{n} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        read_answer(&mut stream)?;
    }
    let full = full.max(pair.lost("ring_full")?);
    pair.agent.stop()?;
    let events = pair.agent.events()?;
    let seen: HashSet<&str> = events.iter().map(|event| event.path.as_str()).collect();
    let missing: Vec<usize> = (1..AFTER).filter(|n| !seen.contains(format!("/after/{n}").as_str())).collect();
    ensure!(
        missing.is_empty(),
        "not seen on the connection that had lost bytes: requests {missing:?} of {AFTER}"
    );
    let shown: Vec<&str> =
        events.iter().map(|event| event.path.as_str()).filter(|path| path.starts_with("/n/")).collect();
    let distinct: HashSet<&str> = shown.iter().copied().collect();
    let sent: HashSet<String> = (0..SENT).map(|n| format!("/n/{n}")).collect();
    ensure!(distinct.len() == shown.len(), "a request is shown twice");
    ensure!(distinct.iter().all(|path| sent.contains(*path)), "a request is invented");
    ensure!(shown.len() < SENT, "nothing was lost, so nothing was tested");
    Ok(Verdict::Passed(format!(
        "{SENT} sent, {} shown, none invented; ring_full {full}, gap_bytes {gap_bytes}; a new request shown after {:.2} s",
        shown.len(),
        recovered.as_secs_f64()
    )))
}

/// Reads a whole answer, head and body, and gives back the body: who asks again before that sends a pipeline.
fn read_answer(stream: &mut TcpStream) -> Result<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server closed the connection");
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.context("an answer without a length")?.parse::<usize>()? {
            return Ok(body.to_owned());
        }
    }
}

/// Connections that come and go leave nothing behind.
fn many_connections(places: &Places) -> Result<Verdict> {
    let count = if places.long { 10_000 } else { 1_000 };
    let mut pair = Pair::start(places, "http.server", &[])?;
    pair.shown("/warm")?;
    let memory = |pair: &Pair| -> Result<f64> {
        pair.agent.get("/api/status")?["agent"]["mem_mb"].as_f64().context("no memory figure")
    };
    let before = memory(&pair)?;
    for n in 0..count {
        pair.send(request(&format!("/c/{}", n % 10)).as_bytes())?;
    }
    pair.shown("/last")?;
    let after = memory(&pair)?;
    ensure!(after < before + 30.0, "memory grew from {before:.0} to {after:.0} MB");
    pair.no_losses()?;
    pair.agent.stop()?;
    let seen = pair.agent.events()?.iter().filter(|event| event.path.starts_with("/c/")).count();
    ensure!(seen == count, "{seen} of {count} were seen");
    Ok(Verdict::Passed(format!("{count} connections, all seen; memory {before:.0} -> {after:.0} MB")))
}
