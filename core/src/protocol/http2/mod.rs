//! HTTP/2 (RFC 9113) with its header compression (HPACK, RFC 7541), server and client side.
//!
//! Each direction is a [`reader`] that cuts frames and a [`hpack::Decoder`] that follows the encoder's table; the
//! [`session`] joins requests and responses by stream number, so that many run at once and none is paired by guess.
//! Bodies are counted, never kept; of the headers only the allow-list of [`crate::exchange::Http`] survives, and the
//! compression table keeps no value of any other header.
//!
//! Joined in mid-life, or after bytes of a header block were lost, the table is not known: fields that refer to what
//! it held before are unknown and stay so; those that stand in the block itself, or were put into the table since, are
//! right, and shown. Streams are counted and timed all the same.

mod detect;
mod frame;
mod head;
mod hpack;
mod reader;
mod session;
mod streams;
#[cfg(test)]
mod tests;

use super::Protocol;

/// The line of the registry.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "http/2", detect: detect::detect, session: session::Http2::boxed };

/// What a client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of one header block that are put together from its frames; a longer one counts as truncated.
const BLOCK_CAP: usize = 64 * 1024;

/// Open streams of one connection; where there are more the oldest is given up.
const STREAM_CAP: usize = 1024;
