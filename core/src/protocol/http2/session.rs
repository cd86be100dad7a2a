//! The session: two readers and the streams between them.

use super::head::Fields;
use super::reader::{Began, Event, Reader};
use super::streams::{Response, Stream, Streams, UPGRADED};
use crate::exchange::{Detail, Exchange, Origin, Outcome, Role};
use crate::loss::{Loss, Losses};
use crate::protocol::{At, CloseReason, Next, Output, Session};
use crate::time::Time;

/// One HTTP/2 connection.
pub(super) struct Http2 {
    requests: Reader,
    responses: Reader,
    open: Open,
}

/// Which streams a chunk of responses, or what one piece of code has added to it, has frames of.
#[derive(Debug, Default)]
struct Sharing {
    /// When it was written.
    time: Time,
    /// By which code.
    unit: u64,
    /// The only one so far; `None`: several.
    stream: Option<u32>,
}

/// What both directions work on.
#[derive(Debug)]
struct Open {
    role: Role,
    streams: Streams,
    /// Highest stream that a request was seen on.
    highest: u32,
    /// Which streams the latest chunk of responses has frames of.
    chunk: Sharing,
    /// Frame size that the requests' side, and the responses' side, takes.
    max_frames: [Option<u32>; 2],
}

impl Http2 {
    pub(super) fn boxed(role: Role, from_start: bool) -> Box<dyn Session> {
        Box::new(Self {
            requests: Reader::new(from_start, true),
            responses: Reader::new(from_start, false),
            open: Open {
                role,
                streams: Streams::default(),
                highest: 0,
                chunk: Sharing::default(),
                max_frames: [None; 2],
            },
        })
    }

    /// Hands the readers what the other side announced.
    fn settle(&mut self) {
        if let Some(max) = self.open.max_frames[0].take() {
            self.responses.allow(max);
        }
        if let Some(max) = self.open.max_frames[1].take() {
            self.requests.allow(max);
        }
    }
}

impl Session for Http2 {
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        let mut losses = std::mem::take(&mut out.losses);
        if at.direction.is_request(self.open.role) {
            self.requests.data(at, bytes, &mut losses, &mut |event| self.open.request(at.time, event, out));
        } else {
            self.responses.data(at, bytes, &mut losses, &mut |event| self.open.response(at.time, event, out));
        }
        out.losses.merge(&losses);
        self.settle();
        Next::Continue
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        if len == 0 {
            return;
        }
        let mut losses = std::mem::take(&mut out.losses);
        if at.direction.is_request(self.open.role) {
            self.requests.gap(len, &mut losses, &mut |event| self.open.request(at.time, event, out));
        } else {
            self.responses.gap(len, &mut losses, &mut |event| self.open.response(at.time, event, out));
        }
        out.losses.merge(&losses);
        self.settle();
    }

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        if reason == CloseReason::Unseen {
            self.open.streams.doubt();
        }
        let outcome = reason.outcome(self.open.role);
        let ended = self.open.streams.drain(outcome, time, &mut out.losses);
        out.exchanges.extend(ended);
    }

    fn in_flight(&self) -> usize {
        self.open.streams.len()
    }

    fn adopt(&mut self, exchange: Exchange) -> Option<Exchange> {
        if self.open.highest > 0 {
            return Some(exchange);
        }
        let stream = Stream::of_upgrade(exchange)?;
        self.open.highest = UPGRADED;
        // The first: there is room.
        self.open.streams.insert(UPGRADED, stream, &mut Losses::default());
        None
    }

    fn mixes_responses(&self) -> bool {
        self.open.role == Role::Server
    }
}

impl Open {
    /// Something of the requests' direction; `now` is when its last byte was moved.
    fn request(&mut self, now: Time, event: Event, out: &mut Output) {
        match event {
            Event::Headers { stream, began, fields, is_whole, bytes, .. } => {
                match self.streams.get_mut(stream) {
                    // Trailers.
                    Some(open) => open.request_bytes += bytes,
                    None => self.start(stream, began, *fields, is_whole, bytes, out),
                }
            }
            Event::Data { stream, bytes, .. } => {
                if let Some(open) = self.streams.get_mut(stream) {
                    open.request_bytes += bytes;
                }
            }
            Event::Reset { stream } => self.end(stream, Outcome::ClientGone, now, out),
            Event::MaxFrame(max) => self.max_frames[0] = Some(max),
            Event::Lost => self.streams.doubt(),
            // A client that leaves still reads what it asked for.
            Event::Goaway { .. } => {}
        }
    }

    /// A request has come.
    fn start(
        &mut self,
        number: u32,
        began: Began,
        fields: Fields,
        is_whole: bool,
        bytes: u64,
        out: &mut Output,
    ) {
        // Clients open odd streams, each higher than those before (RFC 9113 section 5.1.1).
        if number.is_multiple_of(2) || number <= self.highest {
            return;
        }
        let is_trailers = fields.starts_known && !fields.has_pseudo;
        let is_unknown = fields.has_unknown || !is_whole;
        if is_trailers {
            // Of a stream that was opened before the agent came.
            return;
        }
        self.highest = number;
        let stream = Stream::new(number, began, fields, bytes);
        if !stream.is_known() {
            let loss = if is_unknown { Loss::HeadersUnknown } else { Loss::Malformed };
            out.losses.add(loss, 1);
            if !is_unknown {
                return;
            }
        }
        out.started.push(stream.started());
        self.streams.insert(number, stream, &mut out.losses);
    }

    /// Something of the responses' direction.
    fn response(&mut self, now: Time, event: Event, out: &mut Output) {
        match event {
            Event::Headers { stream, began, fields, bytes, ends, .. } => {
                let Some(open) = self.streams.get_mut(stream) else {
                    // Pushed streams are even; trailers of a stream that nobody saw open carry no status.
                    let is_answer = fields.status.is_some_and(|status| status >= 200);
                    out.losses.add(Loss::ResponsesWithoutRequest, u64::from(is_answer && stream % 2 == 1));
                    return;
                };
                open.response_bytes += bytes;
                open.last = now;
                let is_head = head(open, began, *fields, ends, out);
                self.share(stream, began, out);
                let Some(open) = self.streams.get_mut(stream) else { return };
                if is_head {
                    let status = open.response.as_ref().map_or(0, |response| response.status);
                    if open.is_connect() && (200..300).contains(&status) {
                        return self.tunnel(stream, now, out);
                    }
                }
                if ends {
                    self.end(stream, Outcome::Complete, now, out);
                }
            }
            Event::Data { stream, began, bytes, ends } => {
                let Some(open) = self.streams.get_mut(stream) else { return };
                open.response_bytes += bytes;
                open.last = now;
                if open.response.is_none() {
                    unknown_head(open, began, out);
                }
                self.share(stream, began, out);
                if ends {
                    self.end(stream, Outcome::Complete, now, out);
                }
            }
            Event::Reset { stream } => {
                let outcome = if self.role == Role::Server { Outcome::ServerGone } else { Outcome::Reset };
                self.end(stream, outcome, now, out);
            }
            Event::Goaway { last } => {
                let refused = self.streams.above(last);
                out.exchanges.extend(refused.map(|stream| stream.exchange(Outcome::ServerGone, now, false)));
            }
            Event::MaxFrame(max) => self.max_frames[1] = Some(max),
            Event::Lost => self.streams.doubt(),
        }
    }

    /// A frame of `stream` began in the chunk that was written then, in what that code has added. Where that has frames of
    /// several streams, the code need not be that of any of them.
    fn share(&mut self, stream: u32, began: Began, out: &mut Output) {
        let (time, unit) = (began.time, began.origin.unit);
        let before = std::mem::replace(&mut self.chunk, Sharing { time, unit, stream: Some(stream) });
        if (before.time, before.unit) != (time, unit) || before.stream == Some(stream) {
            return;
        }
        self.chunk.stream = None;
        for number in before.stream.into_iter().chain([stream]) {
            match self.streams.get_mut(number) {
                Some(open) => open.forget_writer(time, unit),
                None => {
                    let ended = out.exchanges.iter_mut().rev().find(
                        |exchange| matches!(&exchange.detail, Detail::Http(http) if http.stream == number),
                    );
                    let is_same = |exchange: &&mut Exchange| {
                        exchange.first_response == Some(time) && exchange.response_origin.unit == unit
                    };
                    if let Some(exchange) = ended.filter(is_same) {
                        exchange.response_origin = Origin::default();
                    }
                }
            }
        }
    }

    fn end(&mut self, number: u32, outcome: Outcome, now: Time, out: &mut Output) {
        if let Some(stream) = self.streams.remove(number) {
            out.exchanges.push(stream.exchange(outcome, now, false));
        }
    }

    fn tunnel(&mut self, number: u32, now: Time, out: &mut Output) {
        if let Some(stream) = self.streams.remove(number) {
            out.exchanges.push(stream.exchange(Outcome::Complete, now, true));
        }
    }
}

/// Takes a header block of a response; true where it is the final response's head.
fn head(open: &mut Stream, began: Began, fields: Fields, ends: bool, out: &mut Output) -> bool {
    if let Some(status) = fields.status {
        // Interim responses (RFC 9110 section 15.2) never end a stream.
        if status < 200 && !ends {
            return false;
        }
        let known = open.response.as_ref().is_some_and(|response| response.status != 0);
        if !known {
            // Where a head of unknown status came before, that one was an interim response.
            open.response = Some(Response {
                began,
                status,
                request_id: fields.correlation.request_id,
                grpc_status: fields.grpc_status,
            });
        }
        return !known;
    }
    if open.response.is_none() {
        unknown_head(open, began, out);
    }
    // Trailers.
    if let Some(response) = &mut open.response {
        response.grpc_status = response.grpc_status.or(fields.grpc_status);
    }
    false
}

/// The response has begun, and its status is not known.
fn unknown_head(open: &mut Stream, began: Began, out: &mut Output) {
    out.losses.add(Loss::HeadersUnknown, 1);
    open.response = Some(Response { began, status: 0, request_id: None, grpc_status: None });
}
