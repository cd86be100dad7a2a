//! What the client says when it logs in ("Protocol::HandshakeResponse41", "Protocol::SSLRequest").

use std::sync::Arc;

use super::packet::{integer, text};

const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_STATEMENTS: u32 = 1 << 16;
const AUTH_LENENC: u32 = 1 << 21;
const DEPRECATE_EOF: u32 = 1 << 24;
const OPTIONAL_METADATA: u32 = 1 << 25;
const ZSTD: u32 = 1 << 26;

/// Capabilities, maximum packet size, character set and filler: what an SSL request has, and nothing more.
pub(super) const FIXED_LEN: usize = 32;

/// What a login says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<Arc<str>>,
    pub(super) database: Option<Arc<str>>,
    /// After the login, packets are compressed.
    pub(super) compresses: bool,
    /// Result sets do not end with EOF packets, if the server can do that, too.
    pub(super) deprecates_eof: bool,
    /// A query may hold several statements.
    pub(super) is_multi: bool,
    /// Result sets may leave out what describes them; no known Python client asks for that.
    pub(super) has_optional_metadata: bool,
}

/// The client's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// TLS begins after it.
    Ssl,
    Login(Login),
}

/// Does this look like the fixed part of a login? Its filler is zero, but for MariaDB's four bytes at its end.
pub(super) fn is_login(payload: &[u8]) -> bool {
    payload.len() >= FIXED_LEN
        && capabilities(payload) & PROTOCOL_41 != 0
        && payload[9..28].iter().all(|&b| b == 0)
}

/// Reads the client's first packet; `None` if it is something else.
pub(super) fn first(payload: &[u8], len: u64) -> Option<First> {
    if !is_login(payload) {
        return None;
    }
    let flags = capabilities(payload);
    if flags & SSL != 0 && len == FIXED_LEN as u64 {
        return Some(First::Ssl);
    }
    let mut login = Login {
        compresses: flags & (COMPRESS | ZSTD) != 0,
        deprecates_eof: flags & DEPRECATE_EOF != 0,
        is_multi: flags & MULTI_STATEMENTS != 0,
        has_optional_metadata: flags & OPTIONAL_METADATA != 0,
        ..Login::default()
    };
    if let Some((user, rest)) = text(&payload[FIXED_LEN..]) {
        login.user = name(user);
        let after_password = if flags & AUTH_LENENC != 0 {
            integer(rest).and_then(|(len, rest)| rest.get(usize::try_from(len).ok()?..))
        } else if flags & SECURE_CONNECTION != 0 {
            rest.split_first().and_then(|(&len, rest)| rest.get(usize::from(len)..))
        } else {
            text(rest).map(|(_, rest)| rest)
        };
        if flags & CONNECT_WITH_DB != 0 {
            login.database = after_password.and_then(text).and_then(|(database, _)| name(database));
        }
    }
    Some(First::Login(login))
}

/// A name of a user or a database; none if it is empty.
pub(super) fn name(bytes: &[u8]) -> Option<Arc<str>> {
    // 64 characters of at most 4 bytes ("Identifier Length Limits").
    let cut = &bytes[..bytes.len().min(256)];
    (!cut.is_empty()).then(|| String::from_utf8_lossy(cut).into())
}

fn capabilities(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |&flags| u32::from_le_bytes(flags))
}
