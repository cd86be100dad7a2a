//! The MySQL client/server protocol, MariaDB's included (MySQL source documentation, "Client/Server Protocol").
//!
//! Client and server take turns, so a command that begins proves that all earlier ones were answered: that is how the
//! session finds its place after a loss. Only the text of statements is read, normalised and dropped; passwords,
//! parameters, rows and error messages are skipped by their lengths.

mod attributes;
mod command;
mod detect;
mod login;
mod packet;
mod replies;
mod reply;
mod session;
#[cfg(test)]
mod tests;

use super::Protocol;

/// The line of the registry.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "mysql", detect: detect::detect, session: session::Mysql::boxed };

/// Commands of one connection that wait for their reply. Clients take turns; only MariaDB's send two at once.
const QUEUE_CAP: usize = 64;
/// Prepared statements of one connection that are remembered; the oldest go first.
const STATEMENTS_CAP: usize = 1024;
/// Bytes of a command that are kept until it is complete.
const COMMAND_CAP: usize = 16 * 1024;
