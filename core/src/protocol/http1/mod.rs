//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112), server and client side.
//!
//! One connection is two readers and a queue: [`session`] cuts each direction into heads and bodies, [`pairing`] joins
//! requests and responses, which carry no number and so belong together by order alone. Bodies are counted, never kept;
//! of a head only the allow-list of [`crate::exchange::Http`] survives.
//!
//! Where bytes were lost, order is no longer proof. The session then says so through its loss counters and pairs again
//! only from the first request whose response cannot be another one's.

mod body;
mod chunked;
mod detect;
mod framing;
mod head;
mod pairing;
mod reader;
mod request;
mod requests;
mod response;
mod responses;
mod session;
#[cfg(test)]
mod tests;

use super::Protocol;

/// The line of the registry.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "http/1", detect: detect::detect, session: session::Http1::boxed };

/// Bytes of a head that are put together from pieces; a longer head counts as truncated.
const HEAD_CAP: usize = 16 * 1024;

/// Requests of one connection that wait for their response; later ones are counted as lost.
const QUEUE_CAP: usize = 64;
