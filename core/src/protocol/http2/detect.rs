//! Is it HTTP/2, and which side is the process?

use super::PREFACE;
use super::frame::{Chain, HEAD_LEN, Head, Kind, PADDED, PRIORITY, chain};
use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, Verdict};

pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    if opening.from_start { from_start(opening) } else { mid_life(opening) }
}

/// The client's preface, or the server's: a SETTINGS frame that is no acknowledgement (RFC 9113 section 3.4). Many
/// servers send theirs before they read.
fn from_start(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    let known = bytes.len().min(PREFACE.len());
    if bytes[..known] == PREFACE[..known] {
        return if known == PREFACE.len() { Verdict::Mine(asker(opening.direction)) } else { Verdict::More };
    }
    let Some(head) = bytes.first_chunk::<HEAD_LEN>().map(Head::parse) else {
        // Length of a SETTINGS frame: a few settings of six bytes each; then its type.
        let could_be = bytes.iter().zip([0, 0, 0xff, 4, 0, 0, 0, 0, 0]).all(|(&byte, most)| byte <= most);
        return if could_be { Verdict::More } else { Verdict::NotMine };
    };
    let is_settings =
        head.kind == Kind::Settings && head.flags == 0 && head.len < 0x100 && head.is_plausible();
    if !is_settings {
        return Verdict::NotMine;
    }
    match bytes.get(HEAD_LEN..HEAD_LEN + head.len as usize) {
        Some(settings) if is_known(settings) && chain(bytes).is_some() => {
            Verdict::Mine(asker(opening.direction.opposite()))
        }
        Some(_) => Verdict::NotMine,
        None => Verdict::More,
    }
}

/// Identifiers that are registered, reserved to be ignored (GREASE: 0x?a?a), or for experiments (RFC 7540 section 11.3: from 0xf000
/// on), as those of gRPC's library.
fn is_known(settings: &[u8]) -> bool {
    settings.chunks_exact(6).all(|setting| {
        let id = u16::from_be_bytes([setting[0], setting[1]]);
        (1..=0x10).contains(&id) || id >= 0xf000 || id & 0x0f0f == 0x0a0a
    })
}

/// Frames that follow each other, and a side that is known or that the first header of a block tells.
fn mid_life(opening: &Opening<'_>) -> Verdict {
    if !chain(opening.bytes).is_some_and(Chain::is_proof) {
        return Verdict::NotMine;
    }
    match opening.role.or_else(|| role_by_block(opening)) {
        Some(role) => Verdict::Mine(role),
        None => Verdict::More,
    }
}

/// Pseudo-headers come first (RFC 9113 section 8.3): those of a request and those of a response differ.
fn role_by_block(opening: &Opening<'_>) -> Option<Role> {
    let mut rest = opening.bytes;
    while let Some((head, after)) = rest.split_first_chunk::<HEAD_LEN>() {
        let head = Head::parse(head);
        if head.kind == Kind::Headers {
            let skip = usize::from(head.has(PADDED)) + if head.has(PRIORITY) { 5 } else { 0 };
            let index = match after.get(skip)? {
                indexed @ 0x80.. => indexed & 0x7f,
                named @ 0x40..0x80 => named & 0x3f,
                named @ 0x00..0x20 => named & 0x0f,
                _ => 0,
            };
            return match index {
                1..=7 => Some(asker(opening.direction)),
                8..=14 => Some(asker(opening.direction.opposite())),
                _ => None,
            };
        }
        rest = after.get(head.len as usize..)?;
    }
    None
}

/// The role in which the process moves requests in this direction.
fn asker(direction: Direction) -> Role {
    match direction {
        Direction::Read => Role::Server,
        Direction::Write => Role::Client,
    }
}
