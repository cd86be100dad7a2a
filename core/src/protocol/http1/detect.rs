//! Is this connection HTTP/1?

use super::head::{Plausible, blank_prefix, has_known_method, request_line, status_line};
use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, Verdict};

/// Bytes of a first line after which it must be decided; of a known method even a longer one is believed.
const LINE_CAP: usize = 3 * 1024;

/// Knows a request line in one direction, or a status line in the other (seen first on connections joined in mid-life).
/// `PRI * HTTP/2.0` is neither.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    let line = &opening.bytes[blank_prefix(opening.bytes).min(4)..];
    if line.is_empty() {
        return Verdict::More;
    }
    let (request, status) = (request_line(line), status_line(line));
    let role = match (request, status, opening.direction) {
        (_, Plausible::Yes, Direction::Write) | (Plausible::Yes, _, Direction::Read) => Role::Server,
        (_, Plausible::Yes, Direction::Read) | (Plausible::Yes, _, Direction::Write) => Role::Client,
        (Plausible::No, Plausible::No, _) => return Verdict::NotMine,
        _ if line.len() < LINE_CAP => return Verdict::More,
        _ if has_known_method(line) => match opening.direction {
            Direction::Read => Role::Server,
            Direction::Write => Role::Client,
        },
        _ => return Verdict::NotMine,
    };
    // Whoever accepted the connection does not send requests over it.
    if opening.role.is_some_and(|known| known != role) { Verdict::NotMine } else { Verdict::Mine(role) }
}
