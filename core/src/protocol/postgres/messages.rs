//! What is read from message bodies.

use crate::exchange::Transaction;
use crate::sql::Dialect;

/// Protocol 3.x, as the first number of a StartupMessage: the major version is in the upper half.
pub(super) const STARTUP_MAJOR: u32 = 3;
/// CancelRequest (manual, 55.7).
pub(super) const CANCEL_REQUEST: u32 = 80_877_102;
/// SSLRequest.
pub(super) const SSL_REQUEST: u32 = 80_877_103;
/// GSSENCRequest.
pub(super) const GSSENC_REQUEST: u32 = 80_877_104;

/// Longest user or database name kept; the server's own limit is 63 bytes.
const MAX_NAME: usize = 128;

/// The big-endian number at `at`.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Cuts a zero-terminated string off `bytes`; none where its end was not captured, for a part of a name is another name.
pub(super) fn name<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    memchr::memchr(0, bytes).map(|_| string(bytes))
}

/// Cuts a zero-terminated string off `bytes`; where its end was not captured it is all that is left.
pub(super) fn string<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let (text, rest) = match memchr::memchr(0, bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (*bytes, &bytes[bytes.len()..]),
    };
    *bytes = rest;
    text
}

/// What is kept of a StartupMessage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Startup {
    pub(super) user: Option<String>,
    pub(super) database: Option<String>,
    /// The connection streams the write-ahead log (manual, 55.4 "Streaming Replication Protocol").
    pub(super) replication: bool,
}

/// Reads the parameters of a StartupMessage, from behind the protocol number on.
pub(super) fn startup(mut body: &[u8]) -> Startup {
    let mut found = Startup::default();
    while let (Some(parameter), Some(value)) = (name(&mut body), name(&mut body)) {
        let text = || Some(String::from_utf8_lossy(&value[..value.len().min(MAX_NAME)]).into_owned());
        match parameter {
            b"user" => found.user = text(),
            b"database" => found.database = text(),
            b"replication" => {
                let off = [&b"false"[..], b"off", b"no", b"0"];
                found.replication = !off.iter().any(|word| value.eq_ignore_ascii_case(word));
            }
            _ => {}
        }
    }
    // "Defaults to the user name" (manual, 55.7, StartupMessage).
    found.database = found.database.or_else(|| found.user.clone());
    found
}

/// What is kept of an ErrorResponse; its message may hold literals and is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// SQLSTATE, five characters.
    pub(super) code: Option<String>,
    /// `ERROR`, `FATAL`, `PANIC`; the untranslated form where the server sends it (9.6 and later).
    pub(super) severity: Option<String>,
}

impl Failure {
    /// The server closes the connection with this error.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self.severity.as_deref(), Some("FATAL" | "PANIC"))
    }
}

/// Reads severity and SQLSTATE (manual, 55.8 "Error and Notice Message Fields").
pub(super) fn failure(mut body: &[u8]) -> Failure {
    let mut found = Failure::default();
    while let Some((&field, rest)) = body.split_first() {
        body = rest;
        let Some(value) = name(&mut body) else { break };
        let text = || Some(String::from_utf8_lossy(&value[..value.len().min(16)]).into_owned());
        match field {
            b'S' if found.severity.is_none() => found.severity = text(),
            b'V' => found.severity = text(),
            b'C' if value.len() == 5 && value.is_ascii() => found.code = text(),
            _ => {}
        }
    }
    found
}

/// How the server reads statements from here on, if a ParameterStatus is about that. It comes at start-up and after each
/// change (manual, 55.2.7 "Asynchronous Operations").
pub(super) fn dialect(mut body: &[u8]) -> Option<Dialect> {
    let (name, value) = (name(&mut body)?, name(&mut body)?);
    (name == b"standard_conforming_strings").then_some(match value {
        b"off" => Dialect::PostgresEscapes,
        _ => Dialect::Postgres,
    })
}

/// Rows of a CommandComplete: the last number of its tag, `SELECT 5`, `INSERT 0 5`; none of `BEGIN` or of a tag whose
/// end was not captured.
pub(super) fn rows(body: &[u8]) -> Option<u64> {
    let tag = body.strip_suffix(b"\0")?;
    let last = tag.rsplit(|&byte| byte == b' ').next()?;
    std::str::from_utf8(last).ok()?.parse().ok()
}

/// Transaction state of a ReadyForQuery.
pub(super) fn transaction(state: u8) -> Transaction {
    match state {
        b'I' => Transaction::Idle,
        b'T' => Transaction::Open,
        b'E' => Transaction::Failed,
        _ => Transaction::Unknown,
    }
}
