//! One request with its response, or one query with its reply: what the protocol sessions produce.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::sql::Normalised;
use crate::time::Time;

/// A connection, unique while the agent runs: given by the kernel side when it first sees the socket or TLS stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Which side of a connection the watched process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It accepted the connection: it reads requests and writes responses.
    Server,
    /// It opened the connection: it writes requests and reads responses.
    Client,
}

/// Which way bytes moved, seen from the watched process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The process received them.
    Read,
    /// The process sent them.
    Write,
}

impl Direction {
    /// Does this direction carry requests when the process has `role`?
    pub fn is_request(self, role: Role) -> bool {
        matches!((self, role), (Self::Read, Role::Server) | (Self::Write, Role::Client))
    }

    /// The other way.
    pub fn opposite(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Not known (a TLS stream that is not bound to a socket yet).
    #[default]
    Unknown,
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix socket; the path where it has one.
    Unix(Option<String>),
}

/// What the kernel side knew about the code that moved some bytes: the units of execution and the request.
///
/// All zero where attribution is off or impossible. See `correlate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Thread that made the call.
    pub tid: u32,
    /// How `request` is known: 0 not at all, else a [`crate::exchange::LinkKind`] as the kernel side numbers it.
    pub how: u8,
    /// The request this code runs for; on inbound bytes that start a request, the request itself. 0 = none known.
    pub request: u64,
    /// Generation of the Python context (or thread, or greenlet) that ran; 0 = unknown. On inbound bytes of a connection
    /// without a request of HTTP/1: a number taken as they came, lower than that of each unit made since.
    pub unit: u64,
    /// Generations of the contexts it was copied from, nearest first.
    pub ancestors: [u64; 3],
    /// `unit` is the context or greenlet that made the call: not the thread, nor one that had queued the bytes for it.
    pub in_unit: bool,
    /// Number of the Python call stack captured with the bytes; 0 = none.
    pub stack: u64,
}

/// How a call is known to belong to a request. None of these is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// The Python context that made the call was created for the request.
    Context,
    /// The thread that made the call served the request and nothing else at that time.
    Thread,
    /// A work item handed the request from one thread to another.
    Handover,
    /// The unit that made the call later wrote the request's response.
    Response,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The response was seen to its last byte.
    Complete,
    /// The peer that asked went away before the response was complete (server side: HTTP status 499).
    ClientGone,
    /// The peer that should answer closed before its response was complete.
    ServerGone,
    /// The connection was reset.
    Reset,
    /// The connection was refused.
    Refused,
    /// The connection or the answer timed out.
    TimedOut,
    /// The start of the response was seen, but bytes were lost before its end: `end` is the last byte seen.
    Lost,
}

impl Outcome {
    /// The error text that the user sees; `None` for a complete exchange.
    pub fn error(self, role: Role) -> Option<&'static str> {
        match (self, role) {
            (Self::Complete | Self::Lost, _) => None,
            (Self::ClientGone, Role::Server) => Some("client disconnected before the response was complete"),
            (Self::ClientGone, Role::Client) => Some("call abandoned before the response was complete"),
            (Self::ServerGone, Role::Server) => {
                Some("connection closed by the app before the response was complete")
            }
            (Self::ServerGone, Role::Client) => {
                Some("connection closed by the peer before the response was complete")
            }
            (Self::Reset, _) => Some("connection reset"),
            (Self::Refused, _) => Some("connection refused"),
            (Self::TimedOut, _) => Some("timed out"),
        }
    }
}

/// One request with its response, or one query with its reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// First byte of the request.
    pub start: Time,
    /// First byte of the response, if any came.
    pub first_response: Option<Time>,
    /// Last byte of the response, or the end of the connection.
    pub end: Time,
    /// Bytes of the request on the wire, framing included.
    pub request_bytes: u64,
    /// Bytes of the response on the wire, framing included.
    pub response_bytes: u64,
    /// The code that moved the first byte of the request.
    pub origin: Origin,
    /// The code that moved the first byte of the response.
    pub response_origin: Origin,
    /// How it ended.
    pub outcome: Outcome,
    /// The protocol's own part.
    pub detail: Detail,
}

/// What an exchange was about, by protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// HTTP/1 or HTTP/2.
    Http(Http),
    /// A SQL statement (Postgres, MySQL).
    Sql(Sql),
    /// A command of a key-value store (Redis), or a connection that a database has refused.
    Command(Command),
}

/// HTTP protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// An HTTP request with its response. Only what the allow-list of headers lets through is kept: no cookie, no
/// credential, no body, no query-string value.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Version of the request.
    pub version: HttpVersion,
    /// Stream of its connection (RFC 9113 section 5); 0 for HTTP/1.
    pub stream: u32,
    /// Method as sent, at most 32 bytes. Empty where the head was lost ("headers unknown").
    pub method: String,
    /// Path without query string, as sent (percent-encoding kept), at most 2,048 bytes. `*` for asterisk-form;
    /// the authority for CONNECT.
    pub path: String,
    /// Host as the client named it (`Host`, `:authority` or absolute-form target), port kept where it stands there.
    pub host: Option<String>,
    /// Final status; 0 where no response head was seen.
    pub status: u16,
    /// The connection became something else (WebSocket, CONNECT tunnel) with this response.
    pub upgraded: bool,
    /// `User-Agent`, at most 256 bytes.
    pub user_agent: Option<String>,
    /// Correlation headers of the request.
    pub correlation: Correlation,
    /// Correlation headers of the response (a server often tells its request id there).
    pub response_request_id: Option<String>,
    /// `grpc-status` of the trailers.
    pub grpc_status: Option<u32>,
}

/// Correlation headers, letter case ignored, each at most 128 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correlation {
    /// `X-Request-ID`
    pub request_id: Option<String>,
    /// `X-Correlation-ID`
    pub correlation_id: Option<String>,
    /// `X-Parent-Request-ID`
    pub parent_id: Option<String>,
    /// W3C `traceparent`
    pub traceparent: Option<String>,
}

/// State of the database session's transaction after a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// Not known.
    #[default]
    Unknown,
    /// Outside a transaction block.
    Idle,
    /// Inside a transaction block.
    Open,
    /// Inside a transaction block that failed.
    Failed,
}

/// A SQL statement with its reply. The text is normalised already: no literal survives.
#[derive(Clone, Debug, PartialEq)]
pub struct Sql {
    /// `postgresql`, `mysql`
    pub system: &'static str,
    /// The statement; its text is a marker in angle brackets where it is not known (prepared before the agent came).
    pub statement: Arc<Normalised>,
    /// Rows from the command tag or row count.
    pub rows: Option<u64>,
    /// SQLSTATE (or the server's error number) when it failed.
    pub error_code: Option<String>,
    /// Severity when it failed.
    pub severity: Option<String>,
    /// Database of the session.
    pub database: Option<Arc<str>>,
    /// User of the session.
    pub user: Option<Arc<str>>,
    /// Transaction state after the statement.
    pub transaction: Transaction,
    /// A round of a cursor, after which there may be others: not counted into N+1.
    pub is_cursor_round: bool,
}

/// A key-value store's command; or `CONNECT`, a connection that a database has refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// `redis`, `postgresql`, `mysql`
    pub system: &'static str,
    /// Command name, upper case; no arguments.
    pub name: String,
    /// Error word of the reply (`ERR`, `WRONGTYPE`, ...) when it failed.
    pub error: Option<String>,
}

impl Command {
    /// A database server has refused to set up a connection, with this SQLSTATE or error number.
    pub fn refused(system: &'static str, code: Option<String>) -> Self {
        let error = format!("refused by the server: {}", code.as_deref().unwrap_or("no reason"));
        Self { system, name: "CONNECT".to_owned(), error: Some(error) }
    }
}
