//! The session: two readers, the queue between them, and the exchange that is being answered.

use super::body::Body;
use super::head::{request_line, status_line};
use super::pairing::{Pairing, Request};
use super::reader::{Attempt, Began, Reader, State};
use super::response::ResponseHead;
use crate::exchange::{Detail, Exchange, Http, Outcome, Role};
use crate::protocol::{At, CloseReason, Next, Output, Session};
use crate::time::Time;

/// One HTTP/1 connection.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) role: Role,
    pub(super) requests: Reader,
    pub(super) responses: Reader,
    pub(super) pairing: Pairing,
    /// The request whose body is being received.
    pub(super) receiving: Option<u64>,
    /// The response that is being received.
    pub(super) current: Option<Current>,
    /// Bytes of interim responses before the final one.
    pub(super) interim_bytes: u64,
    /// The connection is not HTTP/1 any more; this is what becomes of it.
    pub(super) over: Option<Next>,
}

/// A response in progress.
#[derive(Debug)]
pub(super) struct Current {
    /// What it answers; `None` where nobody saw that.
    pub(super) request: Option<Request>,
    pub(super) status: u16,
    pub(super) request_id: Option<String>,
    pub(super) began: Began,
    pub(super) bytes: u64,
    /// When its last byte so far was moved.
    pub(super) last: Time,
}

impl Http1 {
    pub(super) fn boxed(role: Role, from_start: bool) -> Box<dyn Session> {
        Box::new(Self {
            role,
            requests: Reader::new(from_start, request_line),
            responses: Reader::new(from_start, status_line),
            pairing: Pairing::new(from_start),
            receiving: None,
            current: None,
            interim_bytes: 0,
            over: None,
        })
    }

    /// The connection goes on as `next` says: whatever comes later belongs to the other protocol from its first byte.
    pub(super) fn switch(&mut self, next: Next) {
        self.over = Some(match next {
            Next::Redetect { .. } => Next::Redetect { consumed: 0 },
            other => other,
        });
    }

    /// Hands out the exchange of the current response.
    pub(super) fn finish(&mut self, outcome: Outcome, end: Time, upgraded: bool, out: &mut Output) {
        if let Some(mut current) = self.current.take()
            && let Some(request) = current.request.take()
        {
            out.exchanges.push(exchange(request, Some(current), outcome, end, upgraded));
        }
    }

    /// Starts the response to `request`, whose head was complete at `now`.
    pub(super) fn start_response(
        &mut self,
        request: Option<Request>,
        head: ResponseHead,
        began: Began,
        now: Time,
        len: usize,
    ) {
        self.current = Some(Current {
            request,
            status: head.status,
            request_id: head.request_id,
            began,
            bytes: std::mem::take(&mut self.interim_bytes).saturating_add(len as u64),
            last: now,
        });
    }
}

impl Session for Http1 {
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        if let Some(next) = self.over {
            return next;
        }
        if at.direction.is_request(self.role) {
            self.request_data(at, bytes, out);
        } else if let Some(next) = self.response_data(at, bytes, out) {
            self.switch(next);
            return next;
        }
        Next::Continue
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        if self.over.is_some() || len == 0 {
            return;
        }
        if at.direction.is_request(self.role) {
            self.request_gap(at, len, out);
        } else {
            self.response_gap(at, len, out);
        }
    }

    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        if at.direction.is_request(self.role) {
            self.gap(at, len, out);
            return self.pairing.lost_unknown();
        }
        // The next response may be that of a request that is not known to be missing yet.
        self.pairing.lost_requests(0);
        self.pairing.lost_unknown();
        let last = self.current.as_ref().map(|current| current.last);
        self.gap(at, len, out);
        // Nor need what follows be this response's, if its end is not known: it ends with what was seen of it.
        if self.responses.is_unsure()
            && let Some(began) = self.current.as_ref().map(|current| current.began.time)
        {
            self.finish(Outcome::Lost, last.unwrap_or(began), false, out);
            self.responses.go(State::Seek);
        }
    }

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        if self.over.is_some() {
            return;
        }
        self.over = Some(Next::Ignore);
        if let Some(current) = &self.current {
            let last = current.last;
            let (outcome, end) = match &self.responses.state {
                _ if reason == CloseReason::Unseen => (Outcome::Lost, last),
                State::Body(Body::UntilClose)
                    if !matches!(
                        reason,
                        CloseReason::Reset | CloseReason::TimedOut | CloseReason::Unreachable
                    ) =>
                {
                    (Outcome::Complete, last)
                }
                State::Body(body) | State::Head(Attempt::OrBody(body)) if body.is_unsure() => {
                    (Outcome::Lost, last)
                }
                _ => (reason.outcome(self.role), time),
            };
            self.finish(outcome, end, false, out);
        }
        if reason == CloseReason::Unseen {
            self.pairing.lost_responses();
        }
        for request in self.pairing.drain(&mut out.losses) {
            out.exchanges.push(exchange(request, None, reason.outcome(self.role), time, false));
        }
    }

    fn in_flight(&self) -> usize {
        let answered = self.current.as_ref().is_some_and(|current| current.request.is_some());
        self.pairing.len() + usize::from(answered)
    }
}

fn exchange(
    request: Request,
    current: Option<Current>,
    outcome: Outcome,
    end: Time,
    upgraded: bool,
) -> Exchange {
    let head = request.head;
    let (status, request_id, first, response_origin, response_bytes) = match current {
        Some(current) => {
            let Began { time, origin, .. } = current.began;
            (current.status, current.request_id, Some(time.max(request.start)), origin, current.bytes)
        }
        None => Default::default(),
    };
    Exchange {
        start: request.start,
        first_response: first,
        // Events of two processors may be off by a little; an exchange never ends before it begins.
        end: end.max(first.unwrap_or(request.start)),
        request_bytes: request.bytes,
        response_bytes,
        origin: request.origin,
        response_origin,
        outcome,
        detail: Detail::Http(Http {
            version: head.version,
            stream: 0,
            method: head.method,
            path: head.path,
            host: head.host,
            status,
            upgraded,
            user_agent: head.user_agent,
            correlation: head.correlation,
            response_request_id: request_id,
            grpc_status: None,
        }),
    }
}
