//! One direction of a connection, cut into heads and bodies.

use super::body::Body;
use super::chunked::Progress;
use super::head::{HeadBuffer, Plausible, Take, blank_prefix};
use crate::exchange::Origin;
use crate::protocol::At;
use crate::time::Time;

/// Where a reader is.
#[derive(Debug)]
pub(super) enum State {
    /// At the start of a head, or inside it.
    Head(Attempt),
    /// Inside a body.
    Body(Body),
    /// Its place is lost: it waits for something that can only be a head.
    Seek,
}

/// What becomes of bytes that turn out to be no head.
#[derive(Debug)]
pub(super) enum Attempt {
    /// A head must stand here: they are malformed.
    Sure,
    /// It was only looked for: they are skipped.
    Tried,
    /// It was only looked for: they belong to this body.
    OrBody(Body),
}

/// What a reader made of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// A whole head, and the bytes of the input that it took.
    Head { head: &'a [u8], consumed: usize },
    /// All of the input is part of a head that goes on.
    HeadPart,
    /// The input makes the head longer than what is kept; all of it was taken.
    TooLong,
    /// What was held and the input are no head: [`Reader::refuse`] says what becomes of them.
    No,
    /// So many bytes were body, or skipped.
    Passed(usize),
    /// The body ended after so many bytes.
    BodyEnd(usize),
    /// The body's framing is broken: all of the input was taken.
    BodyBroken,
}

/// The call that brought the first byte of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) time: Time,
    pub(super) origin: Origin,
    /// It was the first byte of the call.
    pub(super) at_call_start: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) state: State,
    pub(super) buffer: HeadBuffer,
    /// The end of the current body may be elsewhere than its head says.
    pub(super) doubtful: bool,
    began: Option<Began>,
    line: fn(&[u8]) -> Plausible,
}

impl Reader {
    pub(super) fn new(from_start: bool, line: fn(&[u8]) -> Plausible) -> Self {
        let state = if from_start { State::Head(Attempt::Sure) } else { State::Seek };
        Self { state, buffer: HeadBuffer::default(), doubtful: false, began: None, line }
    }

    /// Its place is lost, or the end of its current body is not certain.
    pub(super) fn is_unsure(&self) -> bool {
        match &self.state {
            State::Head(Attempt::Sure) => false,
            State::Head(Attempt::Tried) | State::Seek => true,
            State::Body(body) | State::Head(Attempt::OrBody(body)) => self.doubtful || body.is_unsure(),
        }
    }

    /// A message is on its way whose end is still to come for certain.
    pub(super) fn is_busy(&self) -> bool {
        let begun = matches!(self.state, State::Body(_)) || !self.buffer.held().is_empty();
        begun && !self.is_unsure()
    }

    /// From here a head is looked for; what turns out to be none is what it would have been without.
    pub(super) fn attempt(&mut self) {
        let attempt = match std::mem::replace(&mut self.state, State::Seek) {
            State::Seek => Attempt::Tried,
            State::Body(body) => Attempt::OrBody(body),
            State::Head(attempt) => attempt,
        };
        self.state = State::Head(attempt);
    }

    /// Reads on; `fresh` says that `bytes` begin with the first byte of a call.
    pub(super) fn feed<'a>(&'a mut self, at: &At, bytes: &'a [u8], fresh: bool) -> Piece<'a> {
        match &mut self.state {
            State::Seek => return Piece::Passed(bytes.len()),
            State::Body(body) => {
                return match body.feed(bytes) {
                    Progress::More => Piece::Passed(bytes.len()),
                    Progress::End(len) => Piece::BodyEnd(len as usize),
                    Progress::Lost => Piece::BodyBroken,
                };
            }
            // Empty lines before a head are skipped; in a body they count.
            State::Head(Attempt::OrBody(_))
                if self.buffer.held().is_empty() && blank_prefix(bytes) == bytes.len() =>
            {
                return Piece::No;
            }
            State::Head(_) => {}
        }
        if self.began.is_none() && blank_prefix(bytes) < bytes.len() {
            self.began = Some(Began { time: at.time, origin: at.origin, at_call_start: fresh });
        }
        match self.buffer.take(bytes, self.line) {
            Take::Head { head, consumed } => Piece::Head { head, consumed },
            Take::More => Piece::HeadPart,
            Take::TooLong => Piece::TooLong,
            Take::No => Piece::No,
        }
    }

    /// The bytes are no head. What was held is to be read again, then the input; `None` where a head must stand here.
    pub(super) fn refuse(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.state, State::Seek) {
            State::Head(Attempt::OrBody(body)) => {
                self.state = State::Body(body);
                self.began = None;
                Some(self.buffer.release())
            }
            State::Head(Attempt::Tried) => {
                self.go(State::Seek);
                Some(Vec::new())
            }
            sure => {
                self.state = sure;
                None
            }
        }
    }

    /// It may be in the middle of anything.
    pub(super) fn is_astray(&self) -> bool {
        matches!(self.state, State::Seek | State::Body(Body::Unframed(_)))
    }

    /// A gap comes: what was only tried as a head and is not surely one is none.
    pub(super) fn give_up_attempt(&mut self) -> Option<Vec<u8>> {
        if (self.line)(self.buffer.held()) == Plausible::Yes { None } else { self.refuse() }
    }

    /// The call that brought the first byte of the head that has just ended.
    pub(super) fn began(&self, at: &At) -> Began {
        self.began.unwrap_or(Began { time: at.time, origin: at.origin, at_call_start: false })
    }

    /// Goes on from here: nothing is held any more.
    pub(super) fn go(&mut self, state: State) {
        self.state = state;
        self.doubtful = false;
        self.began = None;
        self.buffer.clear();
    }
}
