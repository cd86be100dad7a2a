//! The direction of the requests.

use super::body::Body;
use super::chunked::Progress;
use super::head::is_surely_request;
use super::pairing::Arrival;
use super::reader::{Attempt, Began, Piece, State};
use super::request::RequestHead;
use super::session::Http1;
use crate::exchange::Role;
use crate::loss::Loss;
use crate::protocol::{At, Output, Started};

impl Http1 {
    /// Bytes of one call.
    pub(super) fn request_data(&mut self, at: &At, bytes: &[u8], out: &mut Output) {
        // Where the reader is lost, a request may only begin with a call, and when nothing else is going on. In the middle
        // of anything its whole first line must stand there: the end of a body with the start of a request after it, or a
        // request that lacks its first bytes, would else make a request that nobody sent.
        let idle = self.pairing.is_idle() && !self.responses.is_busy();
        if idle && self.requests.is_unsure() && (!self.requests.is_astray() || is_surely_request(bytes)) {
            self.requests.attempt();
        }
        self.request_bytes(at, bytes, true, out);
    }

    fn request_bytes(&mut self, at: &At, bytes: &[u8], mut fresh: bool, out: &mut Output) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.requests.feed(at, rest, fresh) {
                Piece::Head { head, consumed } => {
                    let (parsed, len) = (RequestHead::parse(head), head.len());
                    let part = parsed.is_none().then(|| RequestHead::of_part(head)).flatten();
                    let began = self.requests.began(at);
                    match parsed {
                        Some(parsed) => self.begin(parsed, began, len, out),
                        None => self.begin_part(part, Loss::Malformed, began, len, out),
                    }
                    consumed
                }
                Piece::HeadPart => rest.len(),
                Piece::TooLong => {
                    let held = self.requests.buffer.held();
                    let (part, len) = (RequestHead::of_part(held), held.len());
                    let began = self.requests.began(at);
                    self.begin_part(part, Loss::TruncatedHeads, began, len, out);
                    rest.len()
                }
                Piece::No => match self.requests.refuse() {
                    Some(held) => {
                        self.request_bytes(at, &held, false, out);
                        0
                    }
                    None => {
                        let head = [self.requests.buffer.held(), rest].concat();
                        let began = self.requests.began(at);
                        self.begin_part(RequestHead::of_part(&head), Loss::Malformed, began, head.len(), out);
                        rest.len()
                    }
                },
                Piece::Passed(len) => {
                    self.requests.doubtful = false;
                    self.count_request_bytes(len as u64);
                    len
                }
                Piece::BodyEnd(len) => {
                    self.count_request_bytes(len as u64);
                    self.requests.go(State::Head(Attempt::Sure));
                    len
                }
                Piece::BodyBroken => {
                    self.count_request_bytes(rest.len() as u64);
                    out.losses.add(Loss::Malformed, 1);
                    self.lose_request_framing(out);
                    rest.len()
                }
            };
            rest = &rest[taken.min(rest.len())..];
            fresh = false;
        }
    }

    /// `len` bytes that were not captured.
    pub(super) fn request_gap(&mut self, at: &At, len: u64, out: &mut Output) {
        let unsure = self.requests.is_unsure();
        if unsure {
            self.pairing.lost_requests(0);
        }
        if let Some(held) = self.requests.give_up_attempt() {
            self.request_bytes(at, &held, false, out);
        }
        // Here bytes are requests' heads, or nobody knows what they are; in a body they are the body's.
        let among_heads = matches!(self.requests.state, State::Head(_) | State::Seek);
        match &mut self.requests.state {
            State::Body(Body::Length(_) | Body::Chunked(_) | Body::Unknown) if unsure => {
                // The body that was held back, or a tunnel, or the next request: nobody knows.
                self.requests.go(State::Seek);
                self.lose_request_framing(out);
            }
            State::Seek => self.count_request_bytes(len),
            State::Head(_) if self.requests.buffer.held().is_empty() => self.lose_requests(out),
            State::Head(_) => {
                let held = self.requests.buffer.held();
                let (part, kept) = (RequestHead::of_part(held), held.len());
                let began = self.requests.began(at);
                self.begin_part(part, Loss::TruncatedHeads, began, kept, out);
                self.count_request_bytes(len);
            }
            State::Body(body) => match body.gap(len) {
                Progress::More => self.count_request_bytes(len),
                Progress::End(taken) => {
                    self.count_request_bytes(taken);
                    self.requests.go(State::Head(Attempt::Sure));
                    if taken < len {
                        self.lose_requests(out);
                    }
                }
                Progress::Lost => {
                    self.count_request_bytes(len);
                    self.lose_request_framing(out);
                }
            },
        }
        if among_heads {
            self.pairing.lost_unknown();
        }
    }

    /// A request's head is complete.
    fn begin(&mut self, head: RequestHead, began: Began, len: usize, out: &mut Output) {
        let (framing, is_connect) = (head.framing, head.method == "CONNECT");
        let expects_continue = head.expects_continue;
        self.queue(head, began, len, out);
        match framing.of_request() {
            // The connection becomes a tunnel, unless the answer is no.
            _ if is_connect => self.requests.go(State::Body(Body::Unknown)),
            Some(body) if body.is_empty() => self.requests.go(State::Head(Attempt::Sure)),
            Some(body) => {
                self.requests.go(State::Body(body));
                // A body that is held back for `100 Continue` may never come: after a final answer the next request may
                // stand in its place (RFC 9110 section 10.1.1).
                self.requests.doubtful = expects_continue;
            }
            None => {
                out.losses.add(Loss::Malformed, 1);
                self.requests.go(State::Seek);
                self.pairing.lost_requests(0);
            }
        }
    }

    /// A request's head will never be complete: goes on with the part that is known, if that is enough.
    pub(super) fn begin_part(
        &mut self,
        part: Option<RequestHead>,
        why: Loss,
        began: Began,
        len: usize,
        out: &mut Output,
    ) {
        out.losses.add(why, 1);
        let known = part.is_some();
        if let Some(head) = part {
            self.queue(head, began, len, out);
        }
        self.requests.go(State::Seek);
        self.pairing.lost_requests(u64::from(!known));
    }

    /// A request waits for its response from here.
    pub(super) fn queue(&mut self, head: RequestHead, began: Began, len: usize, out: &mut Output) {
        let came = Arrival {
            start: began.time,
            origin: began.origin,
            at_call_start: began.at_call_start,
            response_busy: self.responses.is_busy(),
        };
        let started = Started {
            time: began.time,
            origin: began.origin,
            method: head.method.clone(),
            path: head.path.clone(),
            correlation: head.correlation.clone(),
            stream: 0,
            relayed: false,
        };
        self.receiving = self.pairing.push(head, came, &mut out.losses);
        // Of one that is not queued no end is told, and who serves it would keep it open for ever. Whom it calls may be told all
        // the same who called.
        if self.receiving.is_some() || self.role == Role::Client {
            out.started.push(started);
        }
        self.count_request_bytes(len as u64);
    }

    /// Bytes were lost in which at least one request began.
    fn lose_requests(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.requests.go(State::Seek);
        self.receiving = None;
        self.pairing.lost_requests(1);
    }

    /// The end of the current body is not known any more.
    fn lose_request_framing(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.pairing.lost_requests(0);
    }

    fn count_request_bytes(&mut self, len: u64) {
        let Some(number) = self.receiving else { return };
        let answered = self.current.as_mut().and_then(|current| current.request.as_mut());
        let request = match answered.filter(|request| request.number == number) {
            Some(request) => Some(request),
            None => self.pairing.find(number),
        };
        if let Some(request) = request {
            request.bytes = request.bytes.saturating_add(len);
        }
    }
}
