//! The attributes that a query may begin with ("COM_QUERY").
//!
//! They are there if client and server announced CLIENT_QUERY_ATTRIBUTES. What the server announces is not always seen (inside
//! TLS, in mid-life), and libmysqlclient announces them to any server; so the query tells. Their number is followed by that of
//! their sets, which is always 1: no statement has such a byte there.

use super::packet::integer;

/// The text of a query. `None` if the end of its attributes is not there.
pub(super) fn skip(query: &[u8]) -> Option<&[u8]> {
    match integer(query) {
        Some((0, [1, text @ ..])) => Some(text),
        Some((count, [1, rest @ ..])) => behind(count, rest),
        _ => Some(query),
    }
}

/// What follows `count` attributes: which are null, their types and names, and their values.
fn behind(count: u64, rest: &[u8]) -> Option<&[u8]> {
    let count = usize::try_from(count).ok()?;
    let (nulls, rest) = rest.split_at_checked(count.div_ceil(8))?;
    let Some((1, mut rest)) = rest.split_first() else { return None };
    let mut kinds = Vec::new();
    for _ in 0..count {
        let [kind, _unsigned, name @ ..] = rest else { return None };
        kinds.push(*kind);
        rest = string(name)?;
    }
    for (at, kind) in kinds.into_iter().enumerate() {
        if nulls[at / 8] & 1 << (at % 8) == 0 {
            rest = value(kind, rest)?;
        }
    }
    Some(rest)
}

/// What follows a value of this type ("Binary Protocol Value", `enum_field_types`).
fn value(kind: u8, rest: &[u8]) -> Option<&[u8]> {
    match kind {
        6 => Some(rest),            // null
        1 => rest.get(1..),         // tiny
        2 | 13 => rest.get(2..),    // short, year
        3 | 4 | 9 => rest.get(4..), // long, float, 24 bits
        5 | 8 => rest.get(8..),     // double, long long
        _ => string(rest),          // texts; dates and times, whose one byte of length is at most 12
    }
}

/// What follows a string with its length before it.
fn string(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = integer(bytes)?;
    rest.get(usize::try_from(len).ok()?..)
}
