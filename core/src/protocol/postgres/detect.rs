//! Is a connection PostgreSQL's?

use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, Verdict};

use super::frame::{BACKEND, FRONTEND, Sender, UNTYPED, is_length};
use super::messages::{CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP_MAJOR, number};

/// The port that IANA gave to PostgreSQL.
const PORT: u16 = 5432;
/// Bytes of readable SQL that make a message that is not whole yet believable.
const READABLE: usize = 12;
/// Highest byte of a message's length that is believed in mid-life (64 MiB): text of other protocols has a letter there.
const MAX_HIGH_BYTE: u8 = 3;

/// What a run of bytes is, taken as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// Whole messages to the end; types of the first and the last.
    Whole(u8, u8),
    /// Messages, of which the last goes on behind the end; type of the first.
    Open(u8),
    /// None.
    No,
}

/// Follows messages from type byte to type byte.
pub(super) fn chain(mut bytes: &[u8], sender: Sender) -> Chain {
    let known = if sender == Sender::Frontend { FRONTEND } else { BACKEND };
    let Some(&first) = bytes.first() else { return Chain::No };
    loop {
        let kind = bytes[0];
        if !known.contains(&kind) {
            return Chain::No;
        }
        let Some(length) = number(bytes, 1) else { return Chain::Open(first) };
        if !is_length(sender, kind, length) {
            return Chain::No;
        }
        let next = length as usize + 1;
        match bytes.len() {
            len if len == next => return Chain::Whole(first, kind),
            len if len < next => return Chain::Open(first),
            _ => bytes = &bytes[next..],
        }
    }
}

/// Can these bytes, the first of a new run of requests, start with a request? The types are those that start one.
pub(super) fn starts_requests(bytes: &[u8], types: &[u8]) -> bool {
    match chain(bytes, Sender::Frontend) {
        Chain::Whole(first, _) => types.contains(&first),
        Chain::Open(first @ (b'Q' | b'P')) => types.contains(&first) && is_readable(bytes),
        Chain::Open(first) => types.contains(&first) && bytes.len() >= 5,
        Chain::No => false,
    }
}

/// The body of a Query or Parse begins like text.
fn is_readable(bytes: &[u8]) -> bool {
    let body = bytes.get(5..).unwrap_or_default();
    !body.is_empty() && !body[..body.len().min(READABLE)].iter().any(|&byte| matches!(byte, 1..=8 | 14..=31))
}

/// Looks at the opening of a connection.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    if opening.from_start {
        return from_start(opening);
    }
    let roles = opening.role.map_or(&[Role::Client, Role::Server][..], |role| match role {
        Role::Client => &[Role::Client],
        Role::Server => &[Role::Server],
    });
    let on_port = opening.peer_port == Some(PORT);
    let mut more = false;
    for &role in roles {
        match mid_life(opening.bytes, opening.direction.is_request(role), on_port && role == Role::Client) {
            Verdict::Mine(_) => return Verdict::Mine(role),
            Verdict::More => more = true,
            Verdict::NotMine => {}
        }
    }
    // To the well-known port, what is the middle of a message is no proof against it.
    if more || (on_port && opening.role != Some(Role::Server)) { Verdict::More } else { Verdict::NotMine }
}

fn from_start(opening: &Opening<'_>) -> Verdict {
    let role = match opening.direction {
        Direction::Write => Role::Client,
        Direction::Read => Role::Server,
    };
    if opening.role.is_some_and(|known| known != role) {
        return Verdict::NotMine;
    }
    let bytes = opening.bytes;
    let Some(length) = number(bytes, 0) else {
        // No packet is longer than 10,004 bytes.
        return if bytes.iter().take(2).all(|&byte| byte == 0) { Verdict::More } else { Verdict::NotMine };
    };
    if !is_length(Sender::Frontend, UNTYPED, length) {
        return Verdict::NotMine;
    }
    match number(bytes, 4) {
        None => Verdict::More,
        Some(SSL_REQUEST | GSSENC_REQUEST) if length == 8 => Verdict::Mine(role),
        Some(CANCEL_REQUEST) if length >= 16 => Verdict::Mine(role),
        Some(code) if code >> 16 == STARTUP_MAJOR && length >= 9 => Verdict::Mine(role),
        Some(_) => Verdict::NotMine,
    }
}

fn mid_life(bytes: &[u8], is_request: bool, on_port: bool) -> Verdict {
    let mine = Verdict::Mine(Role::Client);
    if bytes.get(1).is_some_and(|&high| high > MAX_HIGH_BYTE) {
        return Verdict::NotMine;
    }
    if is_request {
        return match chain(bytes, Sender::Frontend) {
            Chain::Whole(b'Q' | b'P' | b'B' | b'F' | b'D' | b'E' | b'C', b'S' | b'Q' | b'H' | b'F') => mine,
            Chain::Whole(..) if on_port => mine,
            // A pipeline may be flushed before its Sync.
            Chain::Whole(b'Q' | b'P', _) | Chain::Open(b'Q' | b'P')
                if bytes.len() >= 5 + READABLE && is_readable(bytes) =>
            {
                mine
            }
            Chain::Open(_) if on_port && bytes.len() >= 5 => mine,
            Chain::Open(_) => Verdict::More,
            Chain::Whole(..) | Chain::No => Verdict::NotMine,
        };
    }
    match chain(bytes, Sender::Backend) {
        Chain::Whole(_, b'Z') => mine,
        Chain::Whole(..) if on_port => mine,
        Chain::Open(_) if on_port && bytes.len() >= 5 => mine,
        Chain::Whole(..) | Chain::Open(_) => Verdict::More,
        Chain::No => Verdict::NotMine,
    }
}
