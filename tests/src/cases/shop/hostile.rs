//! The page in front of an app that puts markup into all that it can choose.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Page, Postgres, WAIT, certificate};
use crate::agent::Agent;
use crate::places::Places;
use crate::process::until;
use crate::runner::Verdict;
use crate::server::Server;

/// What an app may call itself, and send as its request id.
const MARKUP: &str = "<img src=x onerror=\"window.pwned=1\">";

/// What to ask for, as it stands on the wire: a client would escape it.
const PATHS: [&str; 2] =
    ["/%3Cimg%20src=x%20onerror=window.pwned=1%3E/<script>window.pwned=1<!--", "/fail/<svg>"];

pub(super) fn shown(places: &Places) -> Result<Verdict> {
    let python = places.clients()?;
    let scratch = places.scratch()?;
    let (certificate, key) = certificate(scratch.path())?;
    let postgres = Postgres::start(&scratch.path().join("postgres"), &certificate, &key)?;
    let Some(page) = Page::of(places) else {
        return Ok(Verdict::Skipped("no Chromium or no Node on this machine".to_owned()));
    };
    let arguments = format!("main.py {{port}} {}", postgres.port);
    let directory = places.apps().join("hostile");
    let app = Server::start_with("hostile", &arguments, &python, &directory, scratch.path())?;
    let watch = ["--pid", &app.process.pid().to_string(), "--service", MARKUP].map(str::to_owned);
    let agent = Agent::start(&places.agent, &watch, scratch.path())?;
    agent.attached(app.process.pid())?;
    let told =
        |path: &str| agent.get(path).map_or_else(|error| format!("{error:#}"), |answer| answer.to_string());
    until(WAIT, "an event with each kind of markup", || {
        PATHS.iter().try_for_each(|path| ask(app.address.port(), path))?;
        let some = |path: &str, list: &str| -> Result<bool> {
            Ok(agent.get(path)?[list].as_array().is_some_and(|list: &Vec<Value>| !list.is_empty()))
        };
        Ok((some("/api/queries", "queries")?
            && some("/api/error_groups", "groups")?
            && some("/api/route_host_calls", "edges")?
            && some("/api/discovered", "routes")?)
        .then_some(()))
    })
    .with_context(|| {
        ["/api/routes", "/api/queries", "/api/error_groups", "/api/route_host_calls", "/api/discovered"]
            .map(|path| format!("{path}: {}", told(path)))
            .join("\n")
    })?;
    let tests = page.tests("hostile", &agent, MARKUP)?;
    Ok(Verdict::Passed(format!("{tests} tests: markup in every name and text is shown as text")))
}

/// Sends one request and reads its answer to the end.
fn ask(port: u16, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: <svg onload=\"window.pwned=1\">\r\n\
         X-Request-ID: {MARKUP}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}
