//! HTTPS, and HTTP/2 with and without it, served by the Python process itself: the agent's list equals what was asked.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::app;
use super::peers::Peers;
use super::tally::Tally;
use crate::agent::{self, Agent};
use crate::places::Places;
use crate::port::free_port;
use crate::process::{Process, until};

/// A server, which ends TLS in Python.
pub(super) struct Server {
    /// Name of the test.
    pub(super) name: &'static str,
    /// Arguments of `python`; `{port}`, `{certificate}` and `{key}` are replaced. A connection that is idle for seconds,
    /// as on a busy machine, stays open: a client may be about to use it again.
    arguments: &'static str,
    /// HTTP version asked for.
    version: &'static str,
    /// `https` or `http`
    scheme: &'static str,
}

/// All of them.
pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "uvicorn-asyncio",
        arguments: "-m uvicorn served:asgi --port {port} --loop asyncio --http h11 --timeout-keep-alive 60 \
                    --log-level warning --ssl-certfile {certificate} --ssl-keyfile {key}",
        version: "1",
        scheme: "https",
    },
    Server {
        name: "uvicorn-uvloop",
        arguments: "-m uvicorn served:asgi --port {port} --loop uvloop --http httptools --timeout-keep-alive 60 \
                    --log-level warning --ssl-certfile {certificate} --ssl-keyfile {key}",
        version: "1",
        scheme: "https",
    },
    Server {
        name: "gunicorn",
        arguments: "-m gunicorn -b 127.0.0.1:{port} -k gthread --threads 60 -w 2 --keep-alive 60 \
                    --log-level warning --certfile {certificate} --keyfile {key} served:wsgi",
        version: "1",
        scheme: "https",
    },
    Server {
        name: "hypercorn",
        arguments: "-m hypercorn -b 127.0.0.1:{port} --keep-alive 60 --log-level warning --certfile {certificate} --keyfile {key} \
                    served:asgi",
        version: "1",
        scheme: "https",
    },
    Server {
        name: "hypercorn-h2",
        arguments: "-m hypercorn -b 127.0.0.1:{port} --keep-alive 60 --log-level warning --certfile {certificate} --keyfile {key} \
                    served:asgi",
        version: "2",
        scheme: "https",
    },
];

/// HTTP/2 without TLS: many streams on one connection, bodies of a megabyte among them.
pub(super) const H2C: &Server = &Server {
    name: "hypercorn-h2c",
    arguments: "-m hypercorn -b 127.0.0.1:{port} --keep-alive 60 --log-level warning served:asgi",
    version: "2",
    scheme: "http",
};

#[derive(Deserialize)]
struct Asked {
    method: String,
    path: String,
    status: u16,
}

/// Puts load on one server and compares.
pub(super) fn judge(places: &Places, peers: &Peers, server: &Server) -> Result<String> {
    let scratch = places.scratch()?;
    let port = free_port()?;
    let arguments = server
        .arguments
        .replace("{port}", &port.to_string())
        .replace("{certificate}", &peers.certificate.display().to_string())
        .replace("{key}", &peers.key.display().to_string());
    let mut command = Command::new(&peers.python);
    command.args(arguments.split_whitespace()).current_dir(&peers.apps).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::start(server.name, &mut command, &scratch.path().join("server.log"))?;
    until(Duration::from_secs(30), "the server to listen", || {
        process.check_alive()?;
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
    })?;
    let mut agent = Agent::watch(&places.agent, process.pid(), scratch.path())?;
    let log = scratch.path().join("asked.jsonl");
    let mut load = Command::new(&peers.python);
    load.arg(peers.apps.join("ask.py")).arg(server.version).arg(&log).arg(&peers.certificate);
    load.arg(format!("{}://127.0.0.1:{port}", server.scheme)).env("PYTHONDONTWRITEBYTECODE", "1");
    super::peers::run(&mut load)?;
    let asked = app::lines::<Asked>(&fs::read_to_string(&log)?)?;
    // The server may still be at the end of its last answers.
    let loss = agent.losses()?;
    process.stop(libc::SIGTERM, Duration::from_secs(30))?;
    agent.stop()?;
    let mut tally = Tally::default();
    tally.lost(&loss, &[]);
    let mut served: HashMap<String, Vec<agent::Event>> = HashMap::new();
    for event in agent.events()? {
        served.entry(event.path.clone()).or_default().push(event);
    }
    for one in asked {
        tally.sent(server.scheme);
        match served.remove(&one.path).unwrap_or_default().as_slice() {
            [event] if event.method == one.method && event.status == one.status && event.error.is_none() => {
                tally.matched(server.scheme);
            }
            [] => tally.fault("missed by the agent", &one.path),
            [event] => tally.fault("differ", format_args!("{event:?} for {} {}", one.method, one.status)),
            _ => tally.fault("seen more than once", &one.path),
        }
    }
    for path in served.keys() {
        tally.fault("invented by the agent", path);
    }
    tally.result()
}
