//! Is this connection MySQL?

use super::command::are_commands;
use super::login::is_login;
use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, Verdict};

/// Knows the server's greeting, the client's login (the first thing inside TLS), and a query.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    let (sends_requests, sends_replies) = match opening.direction {
        Direction::Write => (Role::Client, Role::Server),
        Direction::Read => (Role::Server, Role::Client),
    };
    let [a, b, c, sequence, kind, rest @ ..] = opening.bytes else { return few(opening.bytes) };
    let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    let payload = &opening.bytes[4..];
    let (verdict, role) = match (*sequence, *kind) {
        // Greeting: protocol version 10, then the server's version in text, which begins with a digit.
        (0, 0x0a) if opening.from_start && (40..=512).contains(&len) => match rest.first() {
            None => return Verdict::More,
            Some(first) => (first.is_ascii_digit(), sends_replies),
        },
        // The server takes no connection: an error that names no state ("Connection Phase"), of the numbers that servers have.
        (0, 0xff) if opening.from_start && payload.len() == len => match rest {
            [low, high, text @ ..] if (1000..2000).contains(&u16::from_le_bytes([*low, *high])) => (
                text.len() >= 8 && text.iter().all(|byte| matches!(byte, b' '..=b'~' | 0x80..)),
                sends_replies,
            ),
            _ => return Verdict::NotMine,
        },
        (1 | 2, _) if opening.from_start && (32..=4096).contains(&len) => {
            if payload.len() < 32 {
                return if payload.get(9..).is_none_or(|filler| filler.iter().all(|&b| b == 0)) {
                    Verdict::More
                } else {
                    Verdict::NotMine
                };
            }
            (is_login(payload), sends_requests)
        }
        // Running a prepared statement: its number, the kind of its cursor, and 1 ("COM_STMT_EXECUTE").
        (0, 0x17) if !opening.from_start && len >= 10 && are_commands(opening.bytes) => match rest {
            [_, _, _, _, cursor, 1, 0, 0, 0, ..] => (*cursor <= 0x0f, sends_requests),
            _ => return Verdict::NotMine,
        },
        // A query of a connection in mid-life, or preparing one: the call holds it whole, or its start. MariaDB's clients
        // prepare and run in one call.
        (0, 0x03 | 0x16) if !opening.from_start && len > 6 && are_commands(opening.bytes) => {
            let text = rest.strip_prefix(&[0, 1]).unwrap_or(rest);
            (text.first().is_some_and(|&b| b.is_ascii_alphabetic() || b"/(-".contains(&b)), sends_requests)
        }
        _ => return Verdict::NotMine,
    };
    if verdict && opening.role.is_none_or(|known| known == role) {
        Verdict::Mine(role)
    } else {
        Verdict::NotMine
    }
}

/// Fewer bytes than a header and one more.
fn few(bytes: &[u8]) -> Verdict {
    let fits =
        bytes.get(3).is_none_or(|&sequence| sequence <= 2) && bytes.get(2).is_none_or(|&high| high == 0);
    if fits { Verdict::More } else { Verdict::NotMine }
}
