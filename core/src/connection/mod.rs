//! Connections: one per socket or TLS stream. They put chunks in order, name gaps, find the protocol, and say when a
//! connection has ended; the protocol sessions do the rest.

mod proxied;
mod queued;
mod stream;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::exchange::{ConnId, Direction, Endpoint, Exchange, Origin, Role};
use crate::protocol::{CloseReason, Started};
use crate::time::Time;

pub use table::{Limits, Table};

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its number.
    pub id: ConnId,
    /// Key of its socket in the kernel's table; 0 for a TLS stream.
    pub key: u64,
    /// Process that used it first.
    pub pid: u32,
    /// Which side the process is, by `accept` or `connect`.
    pub role: Option<Role>,
    /// The process's own end.
    pub local: Endpoint,
    /// The other end.
    pub peer: Endpoint,
    /// Seen from its first byte.
    pub from_start: bool,
    /// When it was first seen.
    pub since: Time,
    /// Its bytes are plaintext of a TLS session.
    pub tls: bool,
    /// Which code made it, where the process did.
    pub caller: Origin,
}

/// Bytes that one system call (or TLS call) moved.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The connection.
    pub conn: ConnId,
    /// Process that made the call.
    pub pid: u32,
    /// Which way.
    pub direction: Direction,
    /// When the call returned.
    pub time: Time,
    /// Position of the first byte in its direction.
    pub pos: u64,
    /// Bytes moved.
    pub len: u64,
    /// Copied from the start of the chunk.
    pub head: &'a [u8],
    /// Copied from its end; `head.len() + tail.len() <= len`.
    pub tail: &'a [u8],
    /// Which code moved them.
    pub origin: Origin,
    /// The chunk opens a TLS session: the rest of the connection is ciphertext.
    pub opens_tls: bool,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The connection is established.
    Established,
    /// A read returned 0.
    EndOfStream,
    /// The peer sends no more; bytes may still wait to be read.
    PeerClosed,
    /// This side sends no more.
    LocalClosed {
        /// The peer had closed before, perhaps before the connection was accepted.
        peer_first: bool,
    },
    /// A read failed, or the connection attempt did.
    Failed(CloseReason),
    /// A write failed; what the peer had sent before may yet be read.
    WriteFailed(CloseReason),
    /// The process has closed it, and reads no more.
    Closed {
        /// The peer had closed before.
        peer_first: bool,
    },
    /// The connection is gone; what the peer had sent before may yet be read.
    Gone {
        /// Why, where it did not end in order.
        reason: Option<CloseReason>,
        /// The peer had closed before.
        peer_first: bool,
    },
}

/// An exchange with the connection it was seen on.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exchange.
    pub exchange: Exchange,
    /// Its connection.
    pub conn: Arc<Info>,
    /// Role of the process in it.
    pub role: Role,
    /// Process that moved its bytes last.
    pub pid: u32,
}

/// A connection that was never made.
#[derive(Clone, Debug)]
pub struct FailedConnect {
    /// The connection.
    pub conn: Arc<Info>,
    /// Why.
    pub reason: CloseReason,
    /// When it was given up.
    pub time: Time,
}

/// What came of some events.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests that began, with their connection and the role of the process.
    pub started: Vec<(Arc<Info>, Role, Started)>,
    /// Exchanges that ended.
    pub finished: Vec<Finished>,
    /// Connections that could not be made.
    pub failed: Vec<FailedConnect>,
}
