//! Connections that could not be made are failed calls, unless they were one of several addresses of a name of which
//! another answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Surroundings;
use super::streams::Streams;
use crate::connection::{FailedConnect, Info};
use crate::exchange::{Endpoint, Origin, Role};
use crate::protocol::CloseReason;
use crate::record::Call;
use crate::time::Time;

/// How long a client tries the next address of a name before it gives up (RFC 8305, 5: 250 ms between attempts).
const NEXT_ADDRESS: Duration = Duration::from_millis(500);
/// Failures that may wait.
const WAITING_MAX: usize = 1_000;
/// Connections made last that are remembered.
const MADE_MAX: usize = 256;

/// Failed connects that wait for a success elsewhere.
#[derive(Default)]
pub(super) struct Failures {
    waiting: Vec<FailedConnect>,
    /// The last that were made.
    made: VecDeque<Made>,
    /// Failures that are told by the outcome of another attempt.
    pub(super) retried: u64,
}

/// A connection that a process makes.
struct Made {
    pid: u32,
    by: Origin,
    peer: SocketAddr,
    since: Time,
}

impl Failures {
    /// A connection failed. Gives back the one that has waited longest when there are too many.
    pub(super) fn add(&mut self, failed: FailedConnect, streams: &Streams) -> Option<FailedConnect> {
        // Of two attempts at a time (RFC 8305), the slower is given up once the other has succeeded.
        let is_later = |made: &Made| made.since > failed.conn.since;
        if self.made.iter().any(|made| is_later(made) && replaces(made, &failed.conn, streams)) {
            self.retried += 1;
            return None;
        }
        self.waiting.push(failed);
        (self.waiting.len() > WAITING_MAX).then(|| self.waiting.remove(0))
    }

    /// A process makes a connection: failures of its attempts at other addresses with that port were part of it, and its
    /// outcome is told by itself.
    pub(super) fn superseded_by(&mut self, info: &Info, streams: &Streams) {
        let (Some(Role::Client), Endpoint::Tcp(peer)) = (info.role, &info.peer) else { return };
        let made = Made { pid: info.pid, by: info.caller, peer: *peer, since: info.since };
        let waited = self.waiting.len();
        self.waiting.retain(|failed| !replaces(&made, &failed.conn, streams));
        self.retried += (waited - self.waiting.len()) as u64;
        if self.made.len() >= MADE_MAX {
            self.made.pop_front();
        }
        self.made.push_back(made);
    }

    /// Those that have waited long enough; all, without a time.
    pub(super) fn ripe(&mut self, now: Option<Time>) -> Vec<FailedConnect> {
        let is_ripe =
            |failed: &mut FailedConnect| now.is_none_or(|now| now.since(failed.time) > NEXT_ADDRESS);
        self.waiting.extract_if(.., is_ripe).collect()
    }

    /// Those of a request that has its answer, which `writer` wrote: it tries no other address any more.
    pub(super) fn of(&mut self, request: u64, writer: u64, streams: &Streams) -> Vec<FailedConnect> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let is_its = |failed: &mut FailedConnect| {
            let by = &failed.conn.caller;
            match streams.own(by.request) {
                0 => writer != 0 && (by.unit == writer || by.ancestors.contains(&writer)),
                own => own == request,
            }
        };
        self.waiting.extract_if(.., is_its).collect()
    }
}

/// Is what was made another attempt at what `conn` was to be: at another address of the same name, for the same request?
fn replaces(made: &Made, conn: &Info, streams: &Streams) -> bool {
    matches!(&conn.peer, Endpoint::Tcp(peer) if peer.port() == made.peer.port() && peer.ip() != made.peer.ip())
        && conn.pid == made.pid
        && is_same_work(&conn.caller, &made.by, is_other_family(&conn.peer, made.peer), streams)
}

fn is_other_family(one: &Endpoint, other: SocketAddr) -> bool {
    matches!(one, Endpoint::Tcp(peer) if peer.is_ipv4() != other.is_ipv4())
}

/// Do both work for one request? Where that is not known: as one unit, or as two that one has made to try an address of each
/// family at a time (RFC 8305). Where even units are not known, the process is all there is to go by.
fn is_same_work(one: &Origin, other: &Origin, other_family: bool, streams: &Streams) -> bool {
    let is_sibling = one.ancestors[0] != 0 && one.ancestors[0] == other.ancestors[0];
    let request = streams.own(one.request);
    request == streams.own(other.request)
        && (request != 0 || one.unit == other.unit || (is_sibling && other_family))
}

/// The row of a connection that was not made.
pub(super) fn call(failed: &FailedConnect, peer: Option<Arc<str>>, around: &dyn Surroundings) -> Call {
    Call {
        ts: around.unix(failed.time),
        service: around.service(failed.conn.pid),
        pid: failed.conn.pid,
        method: "CONNECT".to_owned(),
        host: peer.as_deref().unwrap_or("unknown").to_owned(),
        duration_ms: failed.time.since(failed.conn.since).as_secs_f64() * 1000.0,
        error: Some(error(failed.reason).to_owned()),
        peer,
        ..Call::default()
    }
}

/// What the user is told.
fn error(reason: CloseReason) -> &'static str {
    match reason {
        // By a time limit of its own, or as it was cancelled: nothing tells which.
        CloseReason::GivenUp => "given up before the connection was made",
        CloseReason::Unreachable => "host unreachable",
        _ => reason.outcome(Role::Client).error(Role::Client).unwrap_or("connection failed"),
    }
}
