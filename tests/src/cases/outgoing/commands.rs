//! Redis commands by redis-py: the agent's list equals the app's log.

use std::collections::{HashMap, VecDeque};

use anyhow::Result;
use serde::Deserialize;

use super::app::{self, Line};
use super::calls::{self, Call};
use super::peers::Peers;
use super::tally::Tally;
use crate::places::Places;

/// Clients, by their names in `commands.py`.
pub(super) const CLIENTS: &[&str] = &["redis-py", "redis-py-resp3", "redis-py-async"];

/// What the client says of its own accord when it connects.
const GREETINGS: &[&str] = &["CLIENT", "HELLO"];

/// A command in the app's log.
#[derive(Debug, Deserialize)]
struct Sent {
    name: String,
    error: Option<String>,
    #[serde(flatten)]
    line: Line,
}

/// What the agent shows of a command: commands that are alike are told apart by their number only.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    name: String,
    error: Option<String>,
    tls: bool,
}

/// Runs one client and compares.
pub(super) fn judge(places: &Places, peers: &Peers, name: &str) -> Result<String> {
    let redis = peers.redis()?;
    let rest = [
        redis.directory.display().to_string(),
        redis.port.to_string(),
        redis.tls_port.to_string(),
        peers.certificate.display().to_string(),
    ];
    let run = app::run(places, peers, "commands.py", name, &rest, || Ok(()), |_, _| Ok(()))?;
    let mut ours: HashMap<Key, VecDeque<Call>> = HashMap::new();
    for call in calls::recorded(&run.database)? {
        if !GREETINGS.contains(&call.method.as_str()) {
            let (host, name, error) = (call.host.clone(), call.method.clone(), call.error.clone());
            ours.entry(Key { host, name, error, tls: call.tls }).or_default().push_back(call);
        }
    }
    let socket = redis.directory.join("redis.sock").display().to_string();
    let mut tally = Tally::of_timed();
    for sent in app::lines::<Sent>(&run.log)? {
        let phase = sent.line.phase.as_str();
        tally.sent(phase);
        let place = match phase.split_once('/') {
            Some(("unix", _)) => socket.clone(),
            Some(("tls", _)) => format!("127.0.0.1:{}", redis.tls_port),
            _ => format!("127.0.0.1:{}", redis.port),
        };
        let (name, error) = (sent.name.clone(), sent.error.clone());
        let key = Key { host: format!("redis {place}"), name, error, tls: phase.starts_with("tls") };
        let Some(call) = ours.get_mut(&key).and_then(VecDeque::pop_front) else {
            tally.fault("missed by the agent", format_args!("{key:?} of {phase}"));
            continue;
        };
        tally.matched(phase);
        if sent.line.timed {
            let what = format_args!("{} {:.2} ms, {}", sent.name, call.ms, sent.line.bounds());
            tally.timed(phase, sent.line.agrees(call.ms), what);
        }
    }
    for (key, left) in ours.iter().filter(|(_, left)| !left.is_empty()) {
        tally.fault("invented by the agent", format_args!("{} x {key:?}", left.len()));
    }
    tally.lost(&run.losses, &[]);
    tally.result()
}
