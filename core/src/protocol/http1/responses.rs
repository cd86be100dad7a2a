//! The direction of the responses.

use super::body::Body;
use super::chunked::Progress;
use super::reader::{Attempt, Began, Piece, State};
use super::request::RequestHead;
use super::response::ResponseHead;
use super::session::Http1;
use crate::exchange::Outcome;
use crate::loss::Loss;
use crate::protocol::{At, Next, Output};

/// The head of a response, as far as it came.
enum Came {
    Whole,
    Cut,
}

impl Http1 {
    /// Bytes of one call; what becomes of the connection, if it is not HTTP/1 after them.
    pub(super) fn response_data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Option<Next> {
        // A response whose end is not certain ends where another begins: with a call, and if a request waits for it.
        let in_body = matches!(self.responses.state, State::Body(_));
        if self.responses.is_unsure() && (!in_body || self.responses.doubtful || !self.pairing.is_empty()) {
            self.responses.attempt();
        }
        self.response_bytes(at, bytes, true, out)
    }

    fn response_bytes(&mut self, at: &At, bytes: &[u8], mut fresh: bool, out: &mut Output) -> Option<Next> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.responses.feed(at, rest, fresh) {
                Piece::Head { head, consumed } => {
                    let (parsed, len) = (ResponseHead::parse(head), head.len());
                    let Some(parsed) = parsed else {
                        out.losses.add(Loss::Malformed, 1);
                        self.lose_responses(out);
                        return None;
                    };
                    let offset = bytes.len() - rest.len() + consumed;
                    if let Some(next) = self.respond(at, parsed, Came::Whole, len, offset, out) {
                        return Some(next);
                    }
                    consumed
                }
                Piece::HeadPart => rest.len(),
                Piece::TooLong => {
                    self.cut_response(at, out);
                    rest.len()
                }
                Piece::No => match self.responses.refuse() {
                    Some(held) => {
                        if let Some(next) = self.response_bytes(at, &held, false, out) {
                            // The switch lay in what was held: all of the input is the other protocol's.
                            let consumed = bytes.len() - rest.len();
                            return Some(match next {
                                Next::Redetect { .. } => Next::Redetect { consumed },
                                other => other,
                            });
                        }
                        0
                    }
                    None => {
                        out.losses.add(Loss::Malformed, 1);
                        self.lose_responses(out);
                        rest.len()
                    }
                },
                Piece::Passed(len) => {
                    self.count_response_bytes(at, len as u64);
                    len
                }
                Piece::BodyEnd(len) => {
                    self.count_response_bytes(at, len as u64);
                    self.end_response(at, out);
                    len
                }
                Piece::BodyBroken => {
                    out.losses.add(Loss::Malformed, 1);
                    out.losses.add(Loss::Resyncs, 1);
                    self.count_response_bytes(at, rest.len() as u64);
                    rest.len()
                }
            };
            rest = &rest[taken.min(rest.len())..];
            fresh = false;
        }
        None
    }

    /// `len` bytes that were not captured.
    pub(super) fn response_gap(&mut self, at: &At, len: u64, out: &mut Output) {
        if let Some(held) = self.responses.give_up_attempt()
            && let Some(next) = self.response_bytes(at, &held, false, out)
        {
            return self.switch(next);
        }
        match &mut self.responses.state {
            State::Seek => self.pairing.lost_responses(),
            State::Head(_) if self.responses.buffer.held().is_empty() => self.lose_responses(out),
            State::Head(_) => {
                self.cut_response(at, out);
                self.count_response_bytes(at, len);
            }
            State::Body(body) => match body.gap(len) {
                Progress::More => self.count_response_bytes(at, len),
                Progress::End(taken) => {
                    self.count_response_bytes(at, taken);
                    self.end_response(at, out);
                    if taken < len {
                        self.lose_responses(out);
                    }
                }
                Progress::Lost => {
                    out.losses.add(Loss::Resyncs, 1);
                    self.count_response_bytes(at, len);
                }
            },
        }
    }

    /// The head of a response has come: joins it with its request and finds out how long it is. `offset` is where the
    /// head ends in the bytes of its call.
    fn respond(
        &mut self,
        at: &At,
        head: ResponseHead,
        came: Came,
        len: usize,
        offset: usize,
        out: &mut Output,
    ) -> Option<Next> {
        let began = self.responses.began(at);
        // Only an uncertain response can still be current: its end was not seen.
        if let Some(last) = self.current.as_ref().map(|current| current.last) {
            self.finish(Outcome::Lost, last, false, out);
        }
        if head.is_interim() {
            self.interim_bytes = self.interim_bytes.saturating_add(len as u64);
            match came {
                Came::Whole => self.responses.go(State::Head(Attempt::Sure)),
                Came::Cut => self.lose_responses(out),
            }
            return None;
        }
        self.answer_unfinished_head(at, out);
        let request = self.pairing.pop(&mut out.losses);
        let method = request.as_ref().map_or("", |request| request.head.method.as_str());
        let status = head.status;
        let next = match (status, method) {
            (101, _) if head.upgrades_to_h2c => Some(Next::Redetect { consumed: offset }),
            (101, _) => Some(Next::Ignore),
            (200..=299, "CONNECT") => Some(Next::Redetect { consumed: offset }),
            _ => None,
        };
        let body = match came {
            Came::Cut => Body::Unknown,
            Came::Whole if method == "HEAD" || matches!(status, 204 | 304) => Body::Length(0),
            Came::Whole => head.framing.of_response().unwrap_or_else(|| {
                out.losses.add(Loss::Malformed, 1);
                Body::Unknown
            }),
        };
        let is_orphan = request.is_none();
        self.start_response(request, head, began, at.time, len);
        if next.is_some() {
            self.finish(Outcome::Complete, at.time, true, out);
            // What was taken for requests behind it belongs to the other protocol, or was never answered.
            let behind = self.pairing.drain(&mut out.losses).count();
            out.losses.add(Loss::RequestsWithoutResponse, behind as u64);
            return next;
        }
        if body.is_empty() {
            self.end_response(at, out);
            return None;
        }
        self.responses.go(State::Body(body));
        // Whether it has a body at all depends on a method that nobody saw.
        self.responses.doubtful = is_orphan;
        None
    }

    /// A head will never be complete: goes on with its status, if that is known.
    fn cut_response(&mut self, at: &At, out: &mut Output) {
        out.losses.add(Loss::TruncatedHeads, 1);
        let held = self.responses.buffer.held();
        let len = held.len();
        match ResponseHead::of_part(held) {
            Some(head) => {
                if let Some(next) = self.respond(at, head, Came::Cut, len, 0, out) {
                    self.switch(next);
                }
            }
            None => self.lose_responses(out),
        }
    }

    /// The server answers before the head of the only request is complete (400, 408, 431): what is known of it counts.
    fn answer_unfinished_head(&mut self, at: &At, out: &mut Output) {
        let held = self.requests.buffer.held();
        let is_sure = matches!(self.requests.state, State::Head(Attempt::Sure));
        if !is_sure || held.is_empty() || !self.pairing.is_empty() || !self.pairing.is_synced() {
            return;
        }
        let Some(part) = RequestHead::of_part(held) else { return };
        let (began, len): (Began, usize) = (self.requests.began(at), held.len());
        self.queue(part, began, len, out);
        self.requests.go(State::Seek);
        self.pairing.lost_requests(0);
    }

    /// The current response is complete.
    fn end_response(&mut self, at: &At, out: &mut Output) {
        self.finish(Outcome::Complete, at.time, false, out);
        self.responses.go(State::Head(Attempt::Sure));
    }

    /// Bytes were lost that may have been whole responses.
    fn lose_responses(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.responses.go(State::Seek);
        self.interim_bytes = 0;
        self.pairing.lost_responses();
    }

    fn count_response_bytes(&mut self, at: &At, len: u64) {
        if let Some(current) = &mut self.current {
            current.bytes = current.bytes.saturating_add(len);
            current.last = at.time;
        }
        if self.responses.is_unsure() {
            self.pairing.lost_responses();
        }
    }
}
