//! Which response answers which request. HTTP/1 numbers neither: they belong together by order, as long as none of
//! either was lost.

use std::collections::VecDeque;

use super::QUEUE_CAP;
use super::request::RequestHead;
use crate::exchange::Origin;
use crate::loss::{Loss, Losses};
use crate::time::Time;

/// A request that waits for its response, or has it in progress.
#[derive(Debug)]
pub(super) struct Request {
    /// Number within the connection.
    pub(super) number: u64,
    pub(super) start: Time,
    pub(super) origin: Origin,
    pub(super) bytes: u64,
    pub(super) head: RequestHead,
    /// Its response may have been among bytes that were lost.
    maybe_answered: bool,
}

/// How a request came, as far as it matters for the question whose response is next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) start: Time,
    pub(super) origin: Origin,
    /// Its first byte was the first byte of what a call moved.
    pub(super) at_call_start: bool,
    /// A response is on its way whose end is still to come for certain.
    pub(super) response_busy: bool,
}

/// The requests of a connection that wait for their responses.
#[derive(Debug)]
pub(super) struct Pairing {
    queue: VecDeque<Request>,
    /// Every request since the oldest of the queue is in the queue. While this does not hold, new requests are counted
    /// but not queued: a response might be for one that nobody saw.
    synced: bool,
    /// While not synced: requests known to have come, less the responses that followed.
    owed: u64,
    /// While not synced: there may be more of them, in calls that were lost or before the first that was seen.
    maybe_more: bool,
    /// While not synced: requests in a row that came when their predecessor had been answered, once.
    calm: u8,
    responses_since_request: u8,
    /// A request has come before its predecessor was answered.
    pipelined: bool,
    next_number: u64,
}

/// So many requests and responses in strict turns prove that none is outstanding.
const CALM_ENOUGH: u8 = 3;

impl Pairing {
    pub(super) fn new(from_start: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            synced: from_start,
            owed: 0,
            maybe_more: !from_start,
            calm: 0,
            responses_since_request: 0,
            pipelined: false,
            next_number: 0,
        }
    }

    /// No request waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// No request waits, or none can: a client that does not pipeline sends when it has all answers.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() || (!self.pipelined && self.queue.iter().all(|request| request.maybe_answered))
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// No request can be outstanding that is not in the queue.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// The request with this number, if it waits.
    pub(super) fn find(&mut self, number: u64) -> Option<&mut Request> {
        // The one that is being received is the last, or nearly so.
        self.queue.iter_mut().rev().find(|request| request.number == number)
    }

    /// A request has come; its number if it is queued.
    pub(super) fn push(&mut self, head: RequestHead, came: Arrival, losses: &mut Losses) -> Option<u64> {
        let alone = self.is_idle() && !came.response_busy;
        self.pipelined |= came.response_busy || self.queue.iter().any(|request| !request.maybe_answered);
        if !self.synced {
            let quiet = alone && came.at_call_start;
            let in_turn = quiet && self.responses_since_request == 1;
            self.calm = if in_turn { self.calm.saturating_add(1) } else { 0 };
            // A client that does not pipeline has the answers to all that are not known.
            let none_owed = self.owed == 0 && !(self.pipelined && self.maybe_more);
            self.synced = quiet && (none_owed || self.calm >= CALM_ENOUGH);
            if self.synced {
                self.maybe_more = false;
                losses.add(Loss::RequestsWithoutResponse, self.queue.len() as u64);
                self.queue.clear();
            }
        }
        self.responses_since_request = 0;
        if self.synced && self.queue.len() >= QUEUE_CAP {
            self.synced = false;
            self.owed = 0;
        }
        if !self.synced {
            self.owed = self.owed.saturating_add(1);
            losses.add(Loss::RequestsWithoutResponse, 1);
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        let Arrival { start, origin, .. } = came;
        self.queue.push_back(Request { number, start, origin, bytes: 0, head, maybe_answered: false });
        Some(number)
    }

    /// Bytes were lost among which may have been requests: `begun` of them for certain.
    pub(super) fn lost_requests(&mut self, begun: u64) {
        if self.synced {
            self.owed = 0;
        }
        self.synced = false;
        self.calm = 0;
        self.owed = self.owed.saturating_add(begun);
    }

    /// Bytes were lost that may have been any number of requests, not only a part of a body that nobody copied: while the
    /// pairing is lost, there may be more of them than are known.
    pub(super) fn lost_unknown(&mut self) {
        self.maybe_more |= !self.synced;
    }

    /// Bytes were lost among which may have been responses.
    pub(super) fn lost_responses(&mut self) {
        for request in &mut self.queue {
            request.maybe_answered = true;
        }
        if !self.pipelined {
            self.owed = 0;
        }
    }

    /// A final response has come: the request that it answers, if that is certain.
    pub(super) fn pop(&mut self, losses: &mut Losses) -> Option<Request> {
        self.responses_since_request = self.responses_since_request.saturating_add(1);
        let doubtful = self.queue.iter().take_while(|request| request.maybe_answered).count();
        let fresh = self.queue.len() - doubtful;
        match (doubtful, fresh) {
            (0, 0) => self.owed = self.owed.saturating_sub(1),
            (0, _) => return self.queue.pop_front(),
            // Nobody else is left whom it could answer.
            (1, 0) if self.synced => return self.queue.pop_front(),
            // A client that does not pipeline sent the second when it had the answer to the first.
            (1, 1) if self.synced && !self.pipelined => {
                self.queue.pop_front();
                losses.add(Loss::RequestsWithoutResponse, 1);
                return self.queue.pop_front();
            }
            _ => {
                losses.add(Loss::RequestsWithoutResponse, self.queue.len() as u64);
                self.queue.clear();
                self.lost_requests(fresh as u64);
                // It was one of the doubtful, and the others' answers may still come.
                self.maybe_more |= doubtful > 1;
            }
        }
        losses.add(Loss::ResponsesWithoutRequest, 1);
        None
    }

    /// The connection has ended: the requests that were not answered for certain.
    pub(super) fn drain(&mut self, losses: &mut Losses) -> impl Iterator<Item = Request> {
        let (doubtful, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|request| request.maybe_answered);
        losses.add(Loss::RequestsWithoutResponse, doubtful.len() as u64);
        open.into_iter()
    }
}
