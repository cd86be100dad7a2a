//! Protocols: one folder each, behind one interface, with one line each in [`REGISTRY`].
//!
//! A session is a sans-IO state machine for one connection: it is fed the bytes of both directions in the order in which
//! the process moved them, with gaps named, and hands out exchanges. It must never panic, whatever it is fed, and keeps
//! a bounded amount of state. It drops secrets as it parses.

use crate::exchange::{Correlation, Direction, Exchange, Origin, Outcome, Role};
use crate::loss::Losses;
use crate::sql::Memo;
use crate::time::Time;

mod http1;
mod http2;
mod mysql;
pub mod postgres;
mod redis;
#[cfg(test)]
mod testing;
mod uwsgi;

/// Where and when some bytes were moved, and by which code.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Which way.
    pub direction: Direction,
    /// When the system call that moved them returned.
    pub time: Time,
    /// Which code moved them.
    pub origin: Origin,
}

/// A request whose head has been read; its exchange follows when it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// First byte of the request.
    pub time: Time,
    /// The code that moved it.
    pub origin: Origin,
    /// Method as sent.
    pub method: String,
    /// Path without query string.
    pub path: String,
    /// The correlation headers it came with.
    pub correlation: Correlation,
    /// Its stream of an HTTP/2 connection; 0 where one request follows the other.
    pub stream: u32,
    /// A router hands it on to who serves it, or has done so: both read it from their peer.
    pub relayed: bool,
}

/// What sessions hand out, and what they share.
#[derive(Debug, Default)]
pub struct Output {
    /// Requests that began.
    pub started: Vec<Started>,
    /// Finished exchanges, in the order in which they ended.
    pub exchanges: Vec<Exchange>,
    /// What was lost.
    pub losses: Losses,
    /// Statements met lately, by any of them.
    pub statements: Memo,
}

/// What becomes of a connection after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The session goes on; all bytes were taken.
    Continue,
    /// The rest of the connection is of no interest (WebSocket, pub/sub, replication): left alone from here.
    Ignore,
    /// The rest of this chunk, from `consumed` on, and all that follows belong to another protocol (CONNECT tunnel,
    /// TLS after SSLRequest, HTTP/2 after an upgrade): detect anew.
    Redetect {
        /// Bytes of the chunk that still belonged to this session.
        consumed: usize,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Closed in order by the watched process.
    Local,
    /// Closed in order by the peer before the watched process closed.
    Peer,
    /// Reset by the peer.
    Reset,
    /// Refused: there never was a connection.
    Refused,
    /// Timed out.
    TimedOut,
    /// A router or this host knows no way to the peer.
    Unreachable,
    /// Given up by the watched process before there was a connection.
    GivenUp,
    /// The process that held it ended.
    ProcessEnded,
    /// Its last bytes were lost: it may have ended in any way, and what is open may have been answered.
    Unseen,
}

impl CloseReason {
    /// The outcome of an exchange whose response was not complete when the connection ended so.
    pub fn outcome(self, role: Role) -> Outcome {
        match (self, role) {
            (Self::Reset, Role::Server) | (Self::Peer, Role::Server) => Outcome::ClientGone,
            (Self::Local | Self::GivenUp | Self::ProcessEnded, Role::Server) => Outcome::ServerGone,
            (Self::Peer, Role::Client) => Outcome::ServerGone,
            (Self::Reset, Role::Client) => Outcome::Reset,
            (Self::Local | Self::GivenUp | Self::ProcessEnded, Role::Client) => Outcome::ClientGone,
            (Self::Refused, _) => Outcome::Refused,
            (Self::TimedOut | Self::Unreachable, _) => Outcome::TimedOut,
            (Self::Unseen, _) => Outcome::Lost,
        }
    }
}

/// A protocol's state machine for one connection.
pub trait Session: Send {
    /// Bytes moved in `at.direction`, following all that came before in that direction (gaps included).
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next;

    /// `len` bytes moved in `at.direction` that were not captured: either skipped on purpose (the middle of a large
    /// body) or lost. The session counts a loss only where it needed them.
    fn gap(&mut self, at: &At, len: u64, out: &mut Output);

    /// `len` bytes moved in `at.direction` that never arrived here. What cost them may have cost bytes of the other
    /// direction too, of which nothing is known before more of those come.
    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        self.gap(at, len, out);
    }

    /// The connection ended at `time`. Open exchanges are handed out with the outcome that follows from `reason`;
    /// a response that ends with the connection is complete.
    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output);

    /// Requests seen whose response is not complete yet.
    fn in_flight(&self) -> usize;

    /// The connection spoke another protocol before, and this exchange of it asked for the present one, which answers it:
    /// HTTP/1 with `Upgrade: h2c` (RFC 7540, 3.2). Gives it back where that is not so.
    fn adopt(&mut self, exchange: Exchange) -> Option<Exchange> {
        Some(exchange)
    }

    /// Responses to several requests may be written in one go: who has queued what part of it matters.
    fn mixes_responses(&self) -> bool {
        false
    }
}

/// What a protocol says of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These bytes are mine; this is the role of the watched process that they prove.
    Mine(Role),
    /// Not mine.
    NotMine,
    /// Too few bytes to tell.
    More,
}

/// The first bytes of a connection in one direction, with what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Which way they moved.
    pub direction: Direction,
    /// They follow from the very start of the connection.
    pub from_start: bool,
    /// Role by `accept`/`connect`, where that was seen.
    pub role: Option<Role>,
    /// TCP port of the peer, where known (a hint for protocols that cannot be told in mid-life otherwise).
    pub peer_port: Option<u16>,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A protocol as the connection stage sees it.
pub struct Protocol {
    /// Its name, as shown to the user.
    pub name: &'static str,
    /// Looks at the opening of a connection.
    pub detect: fn(&Opening<'_>) -> Verdict,
    /// A new session; `from_start` is false when the agent joined the connection in mid-life.
    pub session: fn(role: Role, from_start: bool) -> Box<dyn Session>,
}

/// All protocols, in the order in which they are asked.
pub static REGISTRY: &[Protocol] = &[
    http1::PROTOCOL,
    http2::PROTOCOL,
    postgres::PROTOCOL,
    redis::PROTOCOL,
    mysql::PROTOCOL,
    uwsgi::PROTOCOL,
];
