//! Names that could not be resolved: calls that failed before there was a connection to be made.

use super::{Surroundings, rows};
use crate::exchange::Origin;
use crate::record::Call;
use crate::time::Time;

/// Why a name could not be resolved, as the resolver has it (getaddrinfo(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFailure {
    /// There is no such name, or it has no address.
    Unknown,
    /// No name server answered, or one could not tell for now.
    NoAnswer,
    /// A name server answered with a failure.
    Refused,
    /// The resolver itself failed.
    System,
}

impl NameFailure {
    fn text(self) -> &'static str {
        match self {
            Self::Unknown => "name not resolved: it is not known",
            Self::NoAnswer => "name not resolved: no answer for now",
            Self::Refused => "name not resolved: the name server failed",
            Self::System => "name not resolved: the resolver failed",
        }
    }
}

/// A name that could not be resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Unresolved {
    /// Process that asked.
    pub pid: u32,
    /// The name, as the app gave it.
    pub host: String,
    /// Port or service that was wanted.
    pub port: Option<String>,
    /// Which code asked.
    pub caller: Origin,
    /// When it asked.
    pub start: Time,
    /// When it was told.
    pub end: Time,
    /// Why.
    pub failure: NameFailure,
}

/// Its row.
pub(super) fn call(failed: &Unresolved, around: &dyn Surroundings) -> Call {
    let host = match failed.port.as_deref() {
        // As a `Host` header would name it.
        None | Some("" | "0" | "80" | "443" | "http" | "https") => failed.host.clone(),
        Some(port) => format!("{}:{port}", failed.host),
    };
    Call {
        ts: around.unix(failed.end),
        service: around.service(failed.pid),
        pid: failed.pid,
        method: "RESOLVE".to_owned(),
        host,
        duration_ms: rows::millis(failed.end.since(failed.start)),
        error: Some(failed.failure.text().to_owned()),
        ..Call::default()
    }
}
