//! What is kept: rows of the store, as the pipeline hands them over. Times are Unix seconds, durations milliseconds.
//!
//! Field names are those of the dashboard API where it has them.

use std::sync::Arc;

use crate::sql::Normalised;

/// One served request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// When the request ended, Unix seconds.
    pub ts: f64,
    /// Service that served it.
    pub service: Arc<str>,
    /// Process that served it.
    pub pid: u32,
    /// HTTP method.
    pub method: String,
    /// Route template.
    pub route: String,
    /// Path as requested, without query string.
    pub path: String,
    /// HTTP status; 499 when the client went away, 0 when the app closed without an answer.
    pub status: u16,
    /// First byte of the request to last byte of the response.
    pub duration_ms: f64,
    /// First byte of the request to first byte of the response.
    pub ttfb_ms: Option<f64>,
    /// What went wrong, in words; `None` for a plain answer whatever its status.
    pub error: Option<String>,
    /// This hop's id: the one the client sent, else made by the agent.
    pub request_id: Option<Arc<str>>,
    /// The chain's id.
    pub correlation_id: Option<Arc<str>>,
    /// The caller's request id.
    pub parent_id: Option<Arc<str>>,
    /// Exception class, qualified.
    pub error_type: Option<String>,
    /// Exception message, at most 500 characters.
    pub error_message: Option<String>,
    /// Traceback as Python prints it, at most 16,000 characters.
    pub error_traceback: Option<String>,
    /// Hash of the traceback's code path.
    pub error_fingerprint: Option<String>,
    /// Application code that it left first, `file:line function`.
    pub error_site: Option<Arc<str>>,
    /// How the exception is known to be what the request failed with. `response`: it was being handled as the failed
    /// response was written; `handler`: it reached the framework's or server's function that answers for the application;
    /// `log`: it was being handled as something was written to standard error. `raised` is a hint only: it left the
    /// application's code, and what has handled it was not seen.
    pub error_link: Option<&'static str>,
    /// Locals of the raising frame, redacted, as JSON.
    pub error_locals: Option<String>,
    /// Queries this request caused; `None` where not known.
    pub db_query_count: Option<u32>,
    /// Their summed duration.
    pub db_total_ms: Option<f64>,
    /// The three slowest of them.
    pub db_slow: Vec<SlowSql>,
    /// Outgoing calls this request caused; `None` where not known.
    pub outgoing_count: Option<u32>,
    /// Their summed duration.
    pub outgoing_total_ms: Option<f64>,
    /// Fingerprint of the statement that ran ten times or more in this request.
    pub n_plus_one: Option<u64>,
    /// Address of the client.
    pub client: Option<Arc<str>>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// Host the client asked for.
    pub host: Option<String>,
    /// `http/1.0`, `http/1.1`, `h2`
    pub protocol: Option<&'static str>,
    /// The connection was encrypted and the app itself decrypted it.
    pub tls: bool,
    /// The connection became something else (WebSocket) with this request.
    pub upgraded: bool,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the response.
    pub response_bytes: u64,
}

/// One of a request's slowest statements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlowSql {
    /// Normalised text, at most 400 characters.
    pub sql: String,
    /// Duration.
    pub ms: f64,
}

/// One outgoing HTTP call (or key-value command, with `host` as `redis host:port` and the command as method; or `CONNECT`, a
/// connection that was not made or that a database has refused).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// When it ended, Unix seconds.
    pub ts: f64,
    /// Service that made it.
    pub service: Arc<str>,
    /// Process that made it.
    pub pid: u32,
    /// HTTP method.
    pub method: String,
    /// Host as the app named it, port kept where it is not the scheme's default.
    pub host: String,
    /// Path without query string.
    pub path: String,
    /// Status; 0 when the call failed.
    pub status: u16,
    /// First byte written to last byte read.
    pub duration_ms: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// The request that caused it.
    pub source_request_id: Option<Arc<str>>,
    /// The chain's id.
    pub correlation_id: Option<Arc<str>>,
    /// How `source_request_id` is known: `context`, `thread`, `handover`, `response`; `None` with no request.
    pub link: Option<&'static str>,
    /// Application code that made it, `file:line function`.
    pub call_site: Option<Arc<str>>,
    /// Address of the peer.
    pub peer: Option<Arc<str>>,
    /// Through TLS.
    pub tls: bool,
}

/// One SQL statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// When it ended, Unix seconds.
    pub ts: f64,
    /// Service that sent it.
    pub service: Arc<str>,
    /// Process that sent it.
    pub pid: u32,
    /// `postgresql`, `mysql`
    pub system: &'static str,
    /// The statement without its values.
    pub statement: Arc<Normalised>,
    /// Rows, from the command tag.
    pub rows: Option<u64>,
    /// First byte sent to the reply that ended it.
    pub duration_ms: f64,
    /// SQLSTATE when it failed.
    pub error_code: Option<String>,
    /// Severity when it failed.
    pub severity: Option<String>,
    /// Why it got no reply.
    pub error: Option<String>,
    /// Database.
    pub database: Option<Arc<str>>,
    /// User.
    pub user: Option<Arc<str>>,
    /// Address of the server.
    pub server: Option<Arc<str>>,
    /// `idle`, `in transaction`, `failed`
    pub transaction: Option<&'static str>,
    /// A round of a cursor: not counted into N+1.
    pub is_cursor_round: bool,
    /// The request that caused it.
    pub source_request_id: Option<Arc<str>>,
    /// How that is known.
    pub link: Option<&'static str>,
    /// Application code that sent it, `file:line function`.
    pub call_site: Option<Arc<str>>,
    /// Through TLS.
    pub tls: bool,
}

/// State of one process at one second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSample {
    /// Unix seconds.
    pub ts: f64,
    /// Its service.
    pub service: Arc<str>,
    /// Its pid, in its own host's or container's numbering.
    pub pid: u32,
    /// Host name an SDK sent with it; `None` for a process this agent watches. Two containers may both have a pid 1.
    pub host: Option<Arc<str>>,
    /// CPU over the last second, percent of one core; `None` where not known.
    pub cpu_pct: Option<f64>,
    /// Resident memory, MiB; `None` where not known.
    pub mem_mb: Option<f64>,
    /// Requests open now.
    pub in_flight: u32,
}

/// What the pipeline hands to the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A served request.
    Event(Box<Event>),
    /// An outgoing call.
    Call(Box<Call>),
    /// A SQL statement.
    Query(Box<Query>),
    /// A process's state.
    Sample(Box<ProcessSample>),
}
