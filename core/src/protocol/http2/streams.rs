//! Open streams: a request and what has come of its response.

use std::collections::BTreeMap;

use super::STREAM_CAP;
use super::head::Fields;
use super::reader::Began;
use crate::exchange::{Correlation, Detail, Exchange, Http, HttpVersion, Origin, Outcome};
use crate::loss::{Loss, Losses};
use crate::protocol::Started;
use crate::time::Time;

/// The stream that answers the request that asked for HTTP/2 (RFC 7540, 3.2).
pub(super) const UPGRADED: u32 = 1;

/// A request whose response is not complete.
#[derive(Debug)]
pub(super) struct Stream {
    number: u32,
    began: Began,
    method: String,
    path: String,
    host: Option<String>,
    user_agent: Option<String>,
    pub(super) correlation: Correlation,
    pub(super) request_bytes: u64,
    pub(super) response: Option<Response>,
    /// Bytes of the response, interim ones included.
    pub(super) response_bytes: u64,
    /// When its last byte so far was moved.
    pub(super) last: Time,
    /// Frames were lost while it was open: its end may have been among them.
    is_doubtful: bool,
}

/// The final response of a stream.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) began: Began,
    /// 0 where it is not known.
    pub(super) status: u16,
    pub(super) request_id: Option<String>,
    pub(super) grpc_status: Option<u32>,
}

impl Stream {
    /// What is told of a request as it begins.
    pub(super) fn started(&self) -> Started {
        Started {
            time: self.began.time,
            origin: self.began.origin,
            method: self.method.clone(),
            path: self.path.clone(),
            correlation: self.correlation.clone(),
            stream: self.number,
            relayed: false,
        }
    }

    /// A stream from the head of its request. Where method or path are not known they are empty.
    pub(super) fn new(number: u32, began: Began, fields: Fields, bytes: u64) -> Self {
        let host = fields.authority.or(fields.host);
        let method = fields.method.unwrap_or_default();
        let path = match fields.path {
            Some(path) => path,
            // RFC 9113 section 8.5: CONNECT has an authority and no path.
            None if method == "CONNECT" => host.clone().unwrap_or_default(),
            None => String::new(),
        };
        Self {
            number,
            began,
            method,
            path,
            host,
            user_agent: fields.user_agent,
            correlation: fields.correlation,
            request_bytes: bytes,
            response: None,
            response_bytes: 0,
            last: began.time,
            is_doubtful: false,
        }
    }

    /// The stream of a request that was sent as HTTP/1.
    pub(super) fn of_upgrade(exchange: Exchange) -> Option<Self> {
        let Exchange { start, end, request_bytes, response_bytes, origin, detail, .. } = exchange;
        let Detail::Http(http) = detail else { return None };
        Some(Self {
            number: UPGRADED,
            began: Began { time: start, origin },
            method: http.method,
            path: http.path,
            host: http.host,
            user_agent: http.user_agent,
            correlation: http.correlation,
            request_bytes,
            response: None,
            response_bytes,
            last: end,
            is_doubtful: false,
        })
    }

    /// Everything that an exchange needs is known of its request.
    pub(super) fn is_known(&self) -> bool {
        !self.method.is_empty() && !self.path.is_empty()
    }

    /// Which code wrote the head of its response, if that began in what `unit` wrote then, is not known after all.
    pub(super) fn forget_writer(&mut self, time: Time, unit: u64) {
        let is_it =
            |response: &&mut Response| response.began.time == time && response.began.origin.unit == unit;
        if let Some(response) = self.response.as_mut().filter(is_it) {
            response.began.origin = Origin::default();
        }
    }

    /// Does a successful response turn it into a tunnel?
    pub(super) fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }

    pub(super) fn exchange(self, outcome: Outcome, end: Time, upgraded: bool) -> Exchange {
        let start = self.began.time;
        let first = self.response.as_ref().map(|response| response.began.time.max(start));
        let (response_origin, status, request_id, grpc_status) = match self.response {
            Some(response) => {
                (response.began.origin, response.status, response.request_id, response.grpc_status)
            }
            None => Default::default(),
        };
        Exchange {
            start,
            first_response: first,
            // Events of two processors may be off by a little; an exchange never ends before it begins.
            end: end.max(first.unwrap_or(start)),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            origin: self.began.origin,
            response_origin,
            outcome,
            detail: Detail::Http(Http {
                version: HttpVersion::Http2,
                stream: self.number,
                method: self.method,
                path: self.path,
                host: self.host,
                status,
                upgraded,
                user_agent: self.user_agent,
                correlation: self.correlation,
                response_request_id: request_id,
                grpc_status,
            }),
        }
    }
}

/// The open streams of a connection, by number.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<u32, Stream>);

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Stream> {
        self.0.get_mut(&number)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Stream> {
        self.0.remove(&number)
    }

    pub(super) fn insert(&mut self, number: u32, stream: Stream, losses: &mut Losses) {
        if self.0.len() >= STREAM_CAP && self.0.pop_first().is_some() {
            losses.add(Loss::ExchangesEvicted, 1);
        }
        self.0.insert(number, stream);
    }

    /// Frames were lost.
    pub(super) fn doubt(&mut self) {
        for stream in self.0.values_mut() {
            stream.is_doubtful = true;
        }
    }

    /// Takes out the streams with a higher number.
    pub(super) fn above(&mut self, number: u32) -> impl Iterator<Item = Stream> {
        match number.checked_add(1) {
            Some(first) => self.0.split_off(&first).into_values(),
            None => BTreeMap::new().into_values(),
        }
    }

    /// Takes all out, as the connection has ended: how each of them ended, where that can be said.
    pub(super) fn drain(&mut self, outcome: Outcome, end: Time, losses: &mut Losses) -> Vec<Exchange> {
        let mut ended = Vec::new();
        for stream in std::mem::take(&mut self.0).into_values() {
            match (stream.is_doubtful, &stream.response) {
                (false, _) => ended.push(stream.exchange(outcome, end, false)),
                (true, Some(_)) => {
                    let last = stream.last;
                    ended.push(stream.exchange(Outcome::Lost, last, false));
                }
                (true, None) => losses.add(Loss::RequestsWithoutResponse, 1),
            }
        }
        ended
    }
}
