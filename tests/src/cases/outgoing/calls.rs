//! HTTP calls by every client: the agent's list equals the app's log one to one.

use std::cell::Cell;
use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;

use super::app::{self, Line};
use super::figures::{HOSTS, agree, sums};
use super::peers::Peers;
use super::tally::Tally;
use crate::agent::Agent;
use crate::places::Places;

/// Clients, by their names in `http_clients.py`.
pub(super) const CLIENTS: &[&str] = &[
    "httpx-sync",
    "httpx-async",
    "httpx-uvloop",
    "httpx-http2",
    "requests",
    "requests-proxy",
    "urllib3",
    "urllib3-pyopenssl",
    "aiohttp",
    "aiohttp-uvloop",
    "urllib",
    "http.client",
    "raw-sockets",
];

/// A call in the app's log.
#[derive(Debug, Deserialize)]
struct Sent {
    method: String,
    path: String,
    status: u16,
    #[serde(flatten)]
    line: Line,
}

/// A call in the agent's database.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) ms: f64,
    pub(super) error: Option<String>,
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) peer: Option<String>,
    pub(super) call_site: Option<String>,
}

/// All calls the agent recorded.
pub(super) fn recorded(database: &rusqlite::Connection) -> Result<Vec<Call>> {
    const QUERY: &str = "
        SELECT method.text, call.path, call.status, call.duration, error.text, call.tls, host.text, peer.text,
               site.text
        FROM call
        JOIN series ON series.id = call.series
        JOIN name AS method ON method.id = call.method
        JOIN name AS host ON host.id = series.b
        LEFT JOIN name AS error ON error.id = call.error
        LEFT JOIN name AS peer ON peer.id = call.peer
        LEFT JOIN name AS site ON site.id = call.call_site
        ORDER BY call.id";
    let mut statement = database.prepare(QUERY)?;
    let rows = statement.query_map([], |row| {
        Ok(Call {
            method: row.get(0)?,
            path: row.get(1)?,
            status: row.get(2)?,
            ms: row.get::<_, i64>(3)? as f64 / 1e6,
            error: row.get(4)?,
            tls: row.get(5)?,
            host: row.get(6)?,
            peer: row.get(7)?,
            call_site: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Runs one client and compares.
pub(super) fn judge(places: &Places, peers: &Peers, name: &str) -> Result<String> {
    let [plain, tls, proxy] = peers.http_ports;
    let [plain, tls] = if name.ends_with("http2") { peers.http2_ports } else { [plain, tls] };
    let mut rest = vec![
        peers.certificate.display().to_string(),
        format!("http://127.0.0.1:{plain}"),
        format!("https://127.0.0.1:{tls}"),
    ];
    if name.ends_with("-proxy") {
        rest.push(format!("http://127.0.0.1:{proxy}"));
    }
    let tunnels = || peers.http.output().matches("CONNECT").count();
    let before = Cell::new(0);
    let begin = || {
        before.set(tunnels());
        Ok(())
    };
    let settled = |agent: &Agent, log: &str| {
        let mut expected = sums(log, |sent: &Sent| {
            let port = if sent.line.phase.starts_with("tls") { tls } else { plain };
            Some((format!("127.0.0.1:{port}"), sent.status >= 400, 0))
        })?;
        // A tunnel is a call of its own.
        expected.entry(format!("127.0.0.1:{tls}")).or_default().calls += (tunnels() - before.get()) as u64;
        agree(agent, &HOSTS, |host| Some(host.to_owned()), &expected)
    };
    let run = app::run(places, peers, "calls.py", name, &rest, begin, settled)?;
    let opened = tunnels() - before.get();
    let mut tally = Tally::of_timed();
    let mut by_path: HashMap<String, Vec<Call>> = HashMap::new();
    for call in recorded(&run.database)? {
        by_path.entry(call.path.clone()).or_default().push(call);
    }
    for sent in app::lines::<Sent>(&run.log)? {
        let phase = sent.line.phase.as_str();
        tally.sent(phase);
        let found = by_path.remove(&sent.path).unwrap_or_default();
        let [call] = found.as_slice() else {
            let kind = if found.is_empty() { "missed by the agent" } else { "seen more than once" };
            tally.fault(kind, format_args!("{} {}", sent.method, sent.path));
            continue;
        };
        if call.method != sent.method || call.status != sent.status || call.error.is_some() {
            tally.fault("differ", format_args!("{call:?} for {} {}", sent.method, sent.status));
            continue;
        }
        let secure = phase.starts_with("tls");
        let host = format!("127.0.0.1:{}", if secure { tls } else { plain });
        if call.tls != secure || call.host != host {
            tally.fault("shown with another host", format_args!("{call:?} for {host}"));
        }
        // On an HTTP/2 connection joined in mid-life, heads that follow much of a body in one write are taken for more of it.
        let hidden = name == "httpx-http2" && phase.ends_with("before");
        let site = call.call_site.as_deref();
        let is_right = app::is_site(site, "/http_clients.py", &["call"]) || hidden && site.is_none();
        if !is_right {
            tally.lineless(site, &sent.path);
        }
        if call.peer.is_none() {
            tally.fault("not bound to a socket", &sent.path);
        }
        tally.matched(phase);
        if sent.line.timed {
            let (path, ours) = (&sent.path, call.ms);
            tally.timed(
                phase,
                sent.line.agrees(ours),
                format_args!("{path} {ours:.2} ms, {}", sent.line.bounds()),
            );
        }
    }
    // The warm-up's calls began before the agent came; a tunnel is a call of its own.
    by_path.retain(|path, _| !path.contains("/warm-up/"));
    let tunnelled = by_path.remove(&format!("127.0.0.1:{tls}")).unwrap_or_default();
    if tunnelled.len() != opened || tunnelled.iter().any(|call| call.method != "CONNECT") {
        tally.fault("other tunnels", format_args!("{} for {opened}", tunnelled.len()));
    }
    for (path, calls) in by_path {
        tally.fault("invented by the agent", format_args!("{path}: {:?}", calls[0]));
    }
    if let Err(differs) = &run.figures {
        tally.fault("other figures", format_args!("{differs:#}"));
    }
    tally.lost(&run.losses, &[]);
    tally.result()
}
