//! Calls that fail: refused, given up before there is a connection, reset, closed instead of an answer, closed within it,
//! given up by the client.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::peers::Peers;
use super::tally::Tally;
use super::{app, calls};
use crate::places::Places;
use crate::port::free_port;

#[derive(Deserialize)]
struct Failed {
    kind: String,
    path: String,
}

/// What the agent says of each.
fn error(kind: &str) -> &'static str {
    match kind {
        "refused" => "connection refused",
        "reset" => "connection reset",
        "unanswered" => "given up before the connection was made",
        "hang" => "call abandoned before the response was complete",
        _ => "connection closed by the peer before the response was complete",
    }
}

/// Runs them and compares.
pub(super) fn judge(places: &Places, peers: &Peers) -> Result<String> {
    let closed = free_port()?;
    let rest = [peers.http_ports[0].to_string(), closed.to_string()];
    let run = app::run(places, peers, "failures.py", "failures", &rest, || Ok(()), |_, _| Ok(()))?;
    let calls = calls::recorded(&run.database)?;
    let failed = app::lines::<Failed>(&run.log)?;
    ensure!(calls.len() == failed.len(), "{} calls for {}: {calls:?}", calls.len(), failed.len());
    let refused_host = format!("127.0.0.1:{closed}");
    let mut refused = calls.iter().filter(|call| call.host == refused_host);
    let mut tally = Tally::default();
    for one in &failed {
        tally.sent(&one.kind);
        let found = match one.kind.as_str() {
            "refused" => refused.next(),
            "unanswered" => calls.iter().find(|call| call.host == one.path),
            _ => calls.iter().find(|call| call.path == one.path),
        };
        // The head of an answer that breaks off has been read.
        let status = if one.kind == "part" { 200 } else { 0 };
        match found {
            Some(call) if call.error.as_deref() == Some(error(&one.kind)) && call.status == status => {
                tally.matched(&one.kind);
            }
            other => tally.fault("differ", format_args!("{other:?} for {} {}", one.kind, one.path)),
        }
    }
    tally.result()
}
