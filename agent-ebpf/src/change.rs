//! What happened to a connection.

/// A read returned 0: the peer sends no more.
pub const END_OF_STREAM: u32 = 1;
/// A read or write failed; `value` is the `errno` and [`WRITING`].
pub const FAILED: u32 = 2;
/// TCP left `SYN_SENT` or `SYN_RECV` for `ESTABLISHED`.
pub const ESTABLISHED: u32 = 3;
/// The peer sent FIN (`CLOSE_WAIT`).
pub const PEER_CLOSED: u32 = 4;
/// This side sent FIN (`FIN_WAIT1`, `LAST_ACK`).
pub const LOCAL_CLOSED: u32 = 5;
/// The connection is gone (TCP `CLOSE`); `value` is the socket's error (`errno`) or 0.
pub const GONE: u32 = 6;
/// The process closed its descriptor of a Unix socket, or freed its TLS stream.
pub const DESCRIPTOR_CLOSED: u32 = 7;

/// Set in `value` of `LOCAL_CLOSED` and `GONE`: the peer had closed before (the TCP state left was `CLOSE_WAIT`,
/// `LAST_ACK` or `CLOSING`). It may have done so before the connection was accepted.
pub const PEER_FIRST: u32 = 1 << 31;
/// Set in `value` of `LOCAL_CLOSED`: this side reads no more either, as after close(2).
pub const READS_NO_MORE: u32 = 1 << 29;
/// Set in `value` of `GONE`: there never was a connection (the TCP state left was `SYN_SENT`).
pub const UNMADE: u32 = 1 << 30;
/// Set in `value` of `FAILED`: it was a write. What has come by then may yet be read.
pub const WRITING: u32 = 1 << 31;
