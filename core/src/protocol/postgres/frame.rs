//! Bytes of one direction to messages, keeping of each body only what is read from it.
//!
//! A message is a type byte, a length that counts itself but not the type, and a body (PostgreSQL manual, 55.7
//! "Message Formats"); the first messages of a client have no type byte (55.2.1 "Start-up").

use crate::exchange::Origin;
use crate::time::Time;

/// Most bytes of SQL text kept of one message.
const MAX_SQL: usize = 64 * 1024;
/// Most bytes kept of a start-up packet; the server's own limit is 10,000.
const MAX_STARTUP: usize = 10_000;
/// Most bytes kept of two names.
const MAX_NAMES: usize = 1024;
/// Most bytes kept of an ErrorResponse: severity and SQLSTATE come first.
const MAX_ERROR: usize = 256;
/// Most bytes kept of a ParameterStatus: enough for the one that is read.
const MAX_SETTING: usize = 64;
/// Room that the buffer of a split message keeps for the next one.
const KEPT_ROOM: usize = 4096;
/// Longest message: the server refuses to build more than 1 GiB.
pub(super) const MAX_LENGTH: u32 = 1 << 30;

/// Type given to the messages that have none.
pub(super) const UNTYPED: u8 = 0;

/// Types a client sends (manual, 55.7, "F").
pub(super) const FRONTEND: &[u8] = b"BCDEFHPQSXcdfp";
/// Types a server sends (manual, 55.7, "B").
pub(super) const BACKEND: &[u8] = b"123ACDEGHIKNRSTVWZcdnstv";

/// When some bytes moved, and by which code.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    pub(super) time: Time,
    pub(super) origin: Origin,
}

/// Who sends in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Frontend,
    Backend,
}

/// A message of which all bytes passed (or are known to have passed).
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Type byte; [`UNTYPED`] for none.
    pub(super) kind: u8,
    /// What was kept of the body.
    pub(super) body: &'a [u8],
    /// Bytes that would have been kept were not captured, or were too many.
    pub(super) cut: bool,
    /// Bytes on the wire.
    pub(super) len: u64,
    /// Its first byte.
    pub(super) began: Stamp,
}

/// What a gap did.
pub(super) struct AfterGap<'a> {
    /// The message that the gap ended, or cut short for good.
    pub(super) message: Option<Message<'a>>,
    /// The gap may hold the start of a message, so where the next one starts is not known; the bytes, as far as they
    /// passed, that belong to messages which were not seen whole.
    pub(super) lost: Option<u64>,
}

/// The bytes are not messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// How much of a body to keep.
#[derive(Clone, Copy, Debug, Default)]
struct Keep {
    /// At most this many bytes,
    cap: usize,
    /// and no more than this many zero-terminated strings,
    strings: usize,
    /// after so many bytes.
    after: usize,
}

impl Keep {
    fn of(sender: Sender, kind: u8) -> Self {
        let all = |cap| Self { cap, strings: usize::MAX, after: 0 };
        match (sender, kind) {
            (Sender::Frontend, UNTYPED) => all(MAX_STARTUP),
            (Sender::Frontend, b'Q') => all(MAX_SQL),
            // Of Parse the parameter types are left out, of Bind the parameter values.
            (Sender::Frontend, b'P') => Self { cap: MAX_SQL, strings: 2, after: 0 },
            (Sender::Frontend, b'B') => Self { cap: MAX_NAMES, strings: 2, after: 0 },
            (Sender::Frontend, b'D' | b'C') => Self { cap: MAX_NAMES, strings: 1, after: 1 },
            (Sender::Frontend, b'E') => Self { cap: MAX_NAMES, strings: 1, after: 0 },
            (Sender::Frontend, b'F') => all(4),
            (Sender::Backend, b'C') => all(64),
            (Sender::Backend, b'E') => all(MAX_ERROR),
            (Sender::Backend, b'S') => all(MAX_SETTING),
            (Sender::Backend, b'Z') => all(1),
            _ => Self::default(),
        }
    }

    /// How many of `bytes` to keep after `kept`; and whether nothing is to be kept after those.
    fn of_these(self, kept: &[u8], bytes: &[u8]) -> (usize, bool) {
        let room = self.cap.saturating_sub(kept.len());
        if self.strings == usize::MAX {
            return (bytes.len().min(room), false);
        }
        let zeros = |part: &[u8]| part.iter().filter(|&&byte| byte == 0).count();
        let mut left = self.strings.saturating_sub(zeros(kept.get(self.after..).unwrap_or_default()));
        let head = self.after.saturating_sub(kept.len());
        for (index, &byte) in bytes.iter().enumerate().take(room) {
            if left == 0 {
                return (index, true);
            }
            left -= usize::from(byte == 0 && index >= head);
        }
        (bytes.len().min(room), left == 0)
    }
}

/// Cuts one direction into messages.
pub(super) struct Framer {
    sender: Sender,
    /// The next message has no type byte.
    pub(super) untyped: bool,
    header: [u8; 5],
    have: usize,
    began: Stamp,
    /// The body that is passing.
    body: Option<Body>,
    /// What is kept of it when it comes in pieces; wiped before the next message.
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Body {
    kind: u8,
    len: u64,
    left: u64,
    keep: Keep,
    /// All that is to be kept is kept.
    satisfied: bool,
    cut: bool,
}

impl Body {
    fn message(self, kept: &[u8], began: Stamp) -> Message<'_> {
        Message { kind: self.kind, body: kept, cut: self.cut, len: self.len, began }
    }
}

impl Framer {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            untyped: false,
            header: [0; 5],
            have: 0,
            began: Stamp::default(),
            body: None,
            kept: Vec::new(),
        }
    }

    /// The next bytes are the first of a message.
    pub(super) fn reset(&mut self) {
        self.have = 0;
        self.body = None;
        self.wipe();
    }

    /// No message is half read.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.have == 0 && self.body.is_none()
    }

    /// Are the next `len` bytes, whatever they are, part of the message that is passing?
    pub(super) fn is_inside(&self, len: u64) -> bool {
        self.body.is_some_and(|body| len <= body.left)
    }

    /// Overwrites what was kept: it may hold literals.
    fn wipe(&mut self) {
        if !self.kept.is_empty() {
            self.kept.fill(0);
            self.kept.clear();
            self.kept.shrink_to(KEPT_ROOM);
        }
    }

    /// Takes bytes from `input` up to the end of the next message: how many, and the message; none when `input` is
    /// used up first.
    pub(super) fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: Stamp,
    ) -> (usize, Option<Result<Message<'a>, Malformed>>) {
        let mut rest = input;
        if self.body.is_none() {
            self.wipe();
            match self.header(&mut rest, at) {
                Some(Ok(body)) => self.body = Some(body),
                Some(Err(malformed)) => return (input.len() - rest.len(), Some(Err(malformed))),
                None => return (input.len(), None),
            }
        }
        let Some(body) = self.body.as_mut() else { return (input.len(), None) };
        let here = rest.len().min(usize::try_from(body.left).unwrap_or(usize::MAX));
        let bytes = &rest[..here];
        let consumed = input.len() - rest.len() + here;
        let in_one_piece = body.left + 5 >= body.len && here as u64 == body.left && self.kept.is_empty();
        body.left -= here as u64;
        let wants = !body.satisfied && !body.cut && body.keep.cap > 0;
        let (count, satisfied) = if wants { body.keep.of_these(&self.kept, bytes) } else { (0, true) };
        if wants {
            body.satisfied |= satisfied;
            body.cut |= count < bytes.len() && !satisfied;
        }
        if body.left > 0 {
            self.kept.extend_from_slice(&bytes[..count]);
            return (consumed, None);
        }
        let body = *body;
        self.body = None;
        let kept = if in_one_piece {
            &bytes[..count]
        } else {
            self.kept.extend_from_slice(&bytes[..count]);
            &self.kept[..]
        };
        (consumed, Some(Ok(body.message(kept, self.began))))
    }

    fn header(&mut self, input: &mut &[u8], at: Stamp) -> Option<Result<Body, Malformed>> {
        let size = if self.untyped { 4 } else { 5 };
        if self.have == 0 && !input.is_empty() {
            self.began = at;
        }
        let count = input.len().min(size - self.have);
        self.header[self.have..self.have + count].copy_from_slice(&input[..count]);
        *input = &input[count..];
        self.have += count;
        // An unknown type is reported at once: no length would mean anything.
        if !self.untyped && self.have > 0 {
            let known = if self.sender == Sender::Frontend { FRONTEND } else { BACKEND };
            if !known.contains(&self.header[0]) {
                return Some(Err(Malformed));
            }
        }
        if self.have < size {
            return None;
        }
        self.have = 0;
        let [kind, length @ ..] = match self.header {
            [a, b, c, d, _] if self.untyped => [UNTYPED, a, b, c, d],
            header => header,
        };
        self.untyped = false;
        let length = u32::from_be_bytes(length);
        if !is_length(self.sender, kind, length) {
            return Some(Err(Malformed));
        }
        let len = u64::from(length) + u64::from(kind != UNTYPED);
        let left = u64::from(length) - 4;
        Some(Ok(Body { kind, len, left, keep: Keep::of(self.sender, kind), satisfied: false, cut: false }))
    }

    /// `len` bytes passed unseen.
    pub(super) fn gap(&mut self, len: u64) -> AfterGap<'_> {
        let Some(body) = self.body.as_mut() else {
            let unseen = len + self.have as u64;
            self.reset();
            return AfterGap { message: None, lost: Some(unseen) };
        };
        body.cut |= !body.satisfied && body.keep.cap > 0;
        let lost = (len > body.left).then(|| len - body.left);
        body.left = body.left.saturating_sub(len);
        if body.left > 0 {
            return AfterGap { message: None, lost: None };
        }
        let body = *body;
        self.body = None;
        AfterGap { message: Some(body.message(&self.kept, self.began)), lost }
    }
}

/// Can a message of this type have this length?
pub(super) fn is_length(sender: Sender, kind: u8, length: u32) -> bool {
    match (sender, kind) {
        (Sender::Frontend, b'H' | b'S' | b'X' | b'c') => length == 4,
        (Sender::Backend, b'1' | b'2' | b'3' | b'I' | b'n' | b's' | b'c') => length == 4,
        (Sender::Backend, b'Z') => length == 5,
        (Sender::Frontend, UNTYPED) => (8..=10_004).contains(&length),
        _ => (4..=MAX_LENGTH).contains(&length),
    }
}
