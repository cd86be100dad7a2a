//! Connections that could not be made are failed calls, unless they were one of several addresses of a name of which
//! another answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Surroundings, rows};
use crate::connection::{FailedConnect, Info};
use crate::exchange::{Endpoint, Role};
use crate::protocol::CloseReason;
use crate::record::{Call, Record};
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
    waiting: VecDeque<FailedConnect>,
    /// The last that were made: by whom, to where, when.
    made: VecDeque<(u32, SocketAddr, Time)>,
}

impl Failures {
    /// A connection failed. The oldest wait no longer when there are too many; they are told of at the next tick.
    pub(super) fn add(&mut self, failed: FailedConnect) {
        // Of two attempts at a time (RFC 8305), the slower is given up once the other has succeeded.
        if failed.reason == CloseReason::GivenUp && self.has_overtaken(&failed) {
            return;
        }
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.front_mut()
        {
            oldest.time = Time(0);
        }
        self.waiting.push_back(failed);
    }

    /// A process makes a connection: failures of its attempts at other addresses with that port were part of it.
    pub(super) fn superseded_by(&mut self, info: &Info) {
        let (Some(Role::Client), Endpoint::Tcp(peer)) = (info.role, &info.peer) else { return };
        if self.made.len() >= MADE_MAX {
            self.made.pop_front();
        }
        self.made.push_back((info.pid, *peer, info.since));
        self.waiting.retain(|failed| match &failed.conn.peer {
            Endpoint::Tcp(other) => {
                failed.conn.pid != info.pid || other.port() != peer.port() || other.ip() == peer.ip()
            }
            _ => true,
        });
    }

    /// Has the process since tried another address of the same name? Its outcome is told by itself.
    fn has_overtaken(&self, failed: &FailedConnect) -> bool {
        let Endpoint::Tcp(peer) = &failed.conn.peer else { return false };
        self.made.iter().any(|(pid, other, since)| {
            *pid == failed.conn.pid
                && *since > failed.conn.since
                && other.port() == peer.port()
                && other.ip() != peer.ip()
        })
    }

    /// Pushes a failed call for each that has waited long enough.
    pub(super) fn ripe(&mut self, now: Time, around: &dyn Surroundings, out: &mut Vec<Record>) {
        while self.waiting.front().is_some_and(|failed| now.since(failed.time) > NEXT_ADDRESS) {
            let Some(failed) = self.waiting.pop_front() else { return };
            let peer = rows::address(&failed.conn.peer);
            out.push(Record::Call(Box::new(Call {
                ts: around.unix(failed.time),
                service: around.service(failed.conn.pid),
                pid: failed.conn.pid,
                method: "CONNECT".to_owned(),
                host: peer.clone().unwrap_or_else(|| "unknown".to_owned()),
                duration_ms: failed.time.since(failed.conn.since).as_secs_f64() * 1000.0,
                error: Some(error(failed.reason).to_owned()),
                peer,
                ..Call::default()
            })));
        }
    }
}

/// What the user is told.
fn error(reason: CloseReason) -> &'static str {
    match reason {
        // By a time limit of its own, or as it was cancelled: nothing tells which.
        CloseReason::GivenUp => "given up before the connection was made",
        _ => reason.outcome(Role::Client).error(Role::Client).unwrap_or("connection failed"),
    }
}
