//! Is this connection one of the uwsgi protocol?

use super::vars::{HEADER_LEN, length};
use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, Verdict};

/// The longest name of a first variable: those of CGI (RFC 3875, 4.1) are shorter.
const NAME_MAX: usize = 64;

/// Knows a packet with variables by its header and the name of the first.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    let role = match opening.direction {
        Direction::Read => Role::Server,
        Direction::Write => Role::Client,
    };
    if !opening.from_start || opening.role.is_some_and(|known| known != role) {
        return Verdict::NotMine;
    }
    let Some((header, block)) = opening.bytes.split_first_chunk::<HEADER_LEN>() else {
        return if opening.bytes.first() == Some(&0) { Verdict::More } else { Verdict::NotMine };
    };
    let Some(size) = length(*header) else { return Verdict::NotMine };
    let Some((name_len, rest)) = block.split_first_chunk() else { return Verdict::More };
    let name_len = usize::from(u16::from_le_bytes(*name_len));
    if name_len == 0 || name_len > NAME_MAX.min(size) {
        return Verdict::NotMine;
    }
    let name = &rest[..rest.len().min(name_len)];
    match name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_') {
        true if name.len() == name_len => Verdict::Mine(role),
        true => Verdict::More,
        false => Verdict::NotMine,
    }
}
