//! Finding the place again in a stream of replies of which parts are missing.

use crate::exchange::Transaction;

use super::frame::{Sender, is_length};
use super::messages::{self, Failure, name, number};

/// How much of the stream is looked at: what the probes copy of a chunk's end, with room for short chunks before it. The end of a
/// reply takes less, but for errors that say much.
const SIZE: usize = 320;

/// The end of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Body of the CommandComplete before it, if that is what stood there.
    pub(super) tag: Option<Vec<u8>>,
    /// What the ErrorResponse before it says, if that stood there, whole.
    pub(super) failure: Option<Failure>,
    /// State of the ReadyForQuery.
    pub(super) state: Transaction,
}

/// The last bytes that were seen in a row.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Bytes are missing here.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds bytes and looks whether they end with the end of a reply. Evidence is a ReadyForQuery (six bytes of which
    /// five are fixed) that lies exactly at the end, or has only whole asynchronous messages behind it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<End> {
        let bytes = &bytes[bytes.len().saturating_sub(SIZE)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(SIZE);
        self.0.drain(..excess);
        self.0.extend_from_slice(bytes);
        let ready = (0..self.0.len()).rev().find(|&at| is_ready(&self.0[at..]))?;
        let end = End {
            tag: command_tag(&self.0[..ready]).map(<[u8]>::to_vec),
            failure: failure(&self.0[..ready]),
            state: messages::transaction(self.0[ready + 5]),
        };
        self.clear();
        Some(end)
    }
}

/// A ReadyForQuery with nothing but whole NoticeResponse, NotificationResponse and ParameterStatus messages behind it.
fn is_ready(bytes: &[u8]) -> bool {
    if !(bytes.starts_with(b"Z\0\0\0\x05") && bytes.len() >= 6 && b"ITE".contains(&bytes[5])) {
        return false;
    }
    let mut rest = &bytes[6..];
    while let Some(&kind) = rest.first() {
        let Some(length) = number(rest, 1) else { return false };
        let whole = usize::try_from(length).is_ok_and(|length| length < rest.len());
        if !(b"NAS".contains(&kind) && is_length(Sender::Backend, kind, length) && whole) {
            return false;
        }
        rest = &rest[1 + length as usize..];
    }
    true
}

/// The body of the CommandComplete that ends `bytes`, CloseComplete messages behind it aside.
fn command_tag(mut bytes: &[u8]) -> Option<&[u8]> {
    while let Some(rest) = bytes.strip_suffix(b"3\0\0\0\x04") {
        bytes = rest;
    }
    let start = (0..bytes.len().saturating_sub(5)).rev().find(|&at| {
        bytes[at] == b'C'
            && number(bytes, at + 1).is_some_and(|length| length as usize == bytes.len() - at - 1)
    })?;
    let body = &bytes[start + 5..];
    let tag = body.strip_suffix(b"\0")?;
    let is_tag = tag.first().is_some_and(u8::is_ascii_uppercase)
        && tag.iter().all(|&byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    is_tag.then_some(body)
}

/// What the ErrorResponse that ends `bytes` says: a message of the right length, of fields alone, SQLSTATE among them.
fn failure(bytes: &[u8]) -> Option<Failure> {
    let body = (0..bytes.len().saturating_sub(5)).rev().find_map(|at| {
        let is_error = bytes[at] == b'E'
            && number(bytes, at + 1).is_some_and(|length| length as usize == bytes.len() - at - 1);
        Some(&bytes[at + 5..]).filter(|body| is_error && are_fields(body))
    })?;
    Some(messages::failure(body)).filter(|failure| failure.code.is_some() && failure.severity.is_some())
}

/// Fields to the end: each a letter and a zero-terminated text, a zero behind the last (manual, 55.7, ErrorResponse).
fn are_fields(mut body: &[u8]) -> bool {
    while let Some((&field, rest)) = body.split_first() {
        body = rest;
        if field == 0 {
            return body.is_empty();
        }
        if !field.is_ascii_alphabetic() || name(&mut body).is_none() {
            return false;
        }
    }
    false
}
