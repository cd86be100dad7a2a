//! The Redis protocol, RESP2 and RESP3 (redis.io, "Redis serialization protocol specification").
//!
//! Commands and replies carry no number: the n-th reply answers the n-th command. So a command whose framing was lost
//! makes all open ones uncertain; the session drops them, says so, and pairs again from the first command that comes
//! when its predecessor has been answered. Of a command only its name is kept, of an error only its first word.

mod detect;
mod resp;
mod session;
#[cfg(test)]
mod tests;

use super::Protocol;

/// The line of the registry.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "redis", detect: detect::detect, session: session::Redis::boxed };

/// Commands of one connection that wait for their reply; of a longer pipeline the rest is counted as lost.
const QUEUE_CAP: usize = 4096;
