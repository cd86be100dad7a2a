//! Is this connection Redis?

use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, Verdict};

/// The port that is Redis' own.
const PORT: u16 = 6379;

/// Knows an array of strings that begins with a command's name. What could be anything's (inline commands, replies) is
/// believed on Redis' own port only.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    let sends = match opening.direction {
        Direction::Write => Role::Client,
        Direction::Read => Role::Server,
    };
    let by_port = opening.peer_port == Some(PORT) && opening.role != Some(Role::Server);
    match command(opening.bytes) {
        // An array that comes from Redis' port is a reply.
        Verdict::Mine(_) if opening.direction == Direction::Read && by_port => Verdict::Mine(Role::Client),
        Verdict::Mine(_) if opening.role.is_some_and(|role| role != sends) => Verdict::NotMine,
        // In mid-life an array may as well be a reply.
        Verdict::Mine(_) if opening.role.is_none() && !opening.from_start && sends == Role::Server => {
            Verdict::NotMine
        }
        Verdict::Mine(_) => Verdict::Mine(sends),
        Verdict::NotMine if by_port => text(opening),
        other => other,
    }
}

/// `*` count, `$` length, letters.
fn command(bytes: &[u8]) -> Verdict {
    let mut rest = bytes;
    for kind in [b'*', b'$'] {
        match rest.split_first() {
            None => return Verdict::More,
            Some((first, after)) if *first == kind => rest = after,
            Some(_) => return Verdict::NotMine,
        }
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 7 {
            return Verdict::NotMine;
        }
        match &rest[digits..] {
            [] | [b'\r'] => return Verdict::More,
            [b'\r', b'\n', after @ ..] if digits > 0 && rest[0] != b'0' => rest = after,
            _ => return Verdict::NotMine,
        }
    }
    match rest.first() {
        None => Verdict::More,
        Some(letter) if letter.is_ascii_alphabetic() => Verdict::Mine(Role::Client),
        Some(_) => Verdict::NotMine,
    }
}

/// What comes from Redis' port, or goes there, and has the look of a reply or an inline command.
fn text(opening: &Opening<'_>) -> Verdict {
    let looks = match (opening.direction, opening.bytes.first()) {
        (_, None) => return Verdict::More,
        (Direction::Read, Some(kind)) => b"+-:$*_#,(!=%~>|".contains(kind),
        (Direction::Write, Some(letter)) => letter.is_ascii_alphabetic(),
    };
    if looks { Verdict::Mine(Role::Client) } else { Verdict::NotMine }
}
