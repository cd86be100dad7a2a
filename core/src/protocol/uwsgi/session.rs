//! The session: packets become heads of HTTP/1; its session does the rest.

use super::vars::{HEADER_LEN, Head, head, length};
use crate::exchange::{Correlation, Role};
use crate::loss::Loss;
use crate::protocol::http1;
use crate::protocol::{At, CloseReason, Next, Output, Session, Started};
use crate::time::Time;

/// What a response of HTTP/1 begins with, and where in it the first digit stands.
const VERSION: &[u8] = b"HTTP/1.1";
const MAJOR: usize = 5;

/// What comes next from the web server.
enum Reading {
    /// A packet; what has come of it. At most 64 KiB: its length has 16 bits.
    Packet(Vec<u8>),
    /// So many bytes of a body.
    Body(u64),
    /// Chunks: only HTTP/1's session can tell where they end.
    Chunks,
    /// Nobody knows what: a part of a packet is missing.
    Unknown,
}

/// One connection between a web server and an application server.
pub(super) struct Uwsgi {
    role: Role,
    http: Box<dyn Session>,
    reading: Reading,
    /// The first bytes of the packet.
    began: Option<At>,
    /// So much longer was the packet than the head that was made of it.
    longer: u64,
    /// Bytes that have come of the response's version; behind it nothing is to be looked at.
    version: usize,
    /// That is another than HTTP/1's.
    is_later: bool,
}

impl Uwsgi {
    pub(super) fn boxed(role: Role, from_start: bool) -> Box<dyn Session> {
        let http = (http1::PROTOCOL.session)(role, from_start);
        let reading = Reading::Packet(Vec::new());
        Box::new(Self {
            role,
            http,
            reading,
            began: None,
            longer: 0,
            version: VERSION.len(),
            is_later: false,
        })
    }

    fn request(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.reading {
                Reading::Chunks => return self.http.data(at, rest, out),
                Reading::Unknown => return Next::Continue,
                Reading::Body(left) => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= len as u64;
                    if *left == 0 {
                        self.reading = Reading::Packet(Vec::new());
                    }
                    let (part, after) = rest.split_at(len);
                    self.http.data(at, part, out);
                    rest = after;
                }
                Reading::Packet(held) => {
                    self.began.get_or_insert(*at);
                    let wanted = match held.first_chunk::<HEADER_LEN>() {
                        None => HEADER_LEN,
                        Some(header) => match length(*header) {
                            Some(len) => HEADER_LEN + len,
                            None => return malformed(out),
                        },
                    };
                    let (part, after) = rest.split_at(rest.len().min(wanted - held.len()));
                    held.extend_from_slice(part);
                    rest = after;
                    if held.len() < wanted || wanted == HEADER_LEN {
                        continue;
                    }
                    let packet = std::mem::take(held);
                    let Some(head) = head(&packet[HEADER_LEN..]) else { return malformed(out) };
                    if self.role == Role::Client {
                        out.started.push(self.handed_on(at));
                        return Next::Ignore;
                    }
                    self.reading = match head.body {
                        Some(0) => Reading::Packet(Vec::new()),
                        Some(len) => Reading::Body(len),
                        None => Reading::Chunks,
                    };
                    self.begin(at, &head, packet.len(), out);
                }
            }
        }
        Next::Continue
    }

    /// A request has its head.
    fn begin(&mut self, at: &At, head: &Head, packet: usize, out: &mut Output) {
        let began = self.began.take().unwrap_or(*at);
        self.longer = packet.saturating_sub(head.http.len()) as u64;
        (self.version, self.is_later) = (0, false);
        let before = out.started.len();
        self.http.data(&began, &head.http, out);
        for started in out.started.iter_mut().skip(before) {
            started.relayed = head.is_routed;
        }
    }

    /// The process is a router: who serves the request tells of it.
    fn handed_on(&self, at: &At) -> Started {
        let began = self.began.unwrap_or(*at);
        Started {
            time: began.time,
            origin: began.origin,
            method: String::new(),
            path: String::new(),
            correlation: Correlation::default(),
            stream: 0,
            relayed: true,
        }
    }

    fn response(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        if self.version == VERSION.len() {
            return self.http.data(at, bytes, out);
        }
        // The server repeats what the web server says that its client speaks, which may be HTTP/2 or 3.
        let mut bytes = bytes.to_vec();
        for byte in bytes.iter_mut().take(VERSION.len() - self.version) {
            self.is_later |= self.version == MAJOR && matches!(*byte, b'2' | b'3');
            if self.is_later {
                *byte = VERSION[self.version];
            }
            self.version += 1;
        }
        self.http.data(at, &bytes, out)
    }

    /// `len` bytes that were not captured, or never arrived. True if HTTP/1's session is to be told.
    fn passes(&mut self, at: &At, len: u64, out: &mut Output) -> bool {
        if !at.direction.is_request(self.role) {
            self.version = VERSION.len();
            return true;
        }
        match &mut self.reading {
            Reading::Chunks => {}
            Reading::Unknown => return false,
            Reading::Body(left) => match left.checked_sub(len) {
                Some(0) => self.reading = Reading::Packet(Vec::new()),
                Some(after) => *left = after,
                None => self.reading = Reading::Unknown,
            },
            Reading::Packet(held) => {
                let held = std::mem::take(held);
                out.losses.add(Loss::TruncatedHeads, 1);
                self.reading = Reading::Unknown;
                let part = held.get(HEADER_LEN..).and_then(head);
                if let Some(head) = part.filter(|_| self.role == Role::Server) {
                    self.begin(at, &head, held.len(), out);
                }
                return false;
            }
        }
        true
    }

    /// Requests were as long as their packets.
    fn measured(&self, before: usize, out: &mut Output) {
        for exchange in out.exchanges.iter_mut().skip(before) {
            exchange.request_bytes = exchange.request_bytes.saturating_add(self.longer);
        }
    }
}

fn malformed(out: &mut Output) -> Next {
    out.losses.add(Loss::Malformed, 1);
    Next::Ignore
}

impl Session for Uwsgi {
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        let before = out.exchanges.len();
        let next = match at.direction.is_request(self.role) {
            true => self.request(at, bytes, out),
            false => self.response(at, bytes, out),
        };
        self.measured(before, out);
        next
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        let before = out.exchanges.len();
        if self.passes(at, len, out) {
            self.http.gap(at, len, out);
        }
        self.measured(before, out);
    }

    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        let before = out.exchanges.len();
        if self.passes(at, len, out) {
            self.http.lost(at, len, out);
        }
        self.measured(before, out);
    }

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        let before = out.exchanges.len();
        self.http.close(time, reason, out);
        self.measured(before, out);
    }

    fn in_flight(&self) -> usize {
        self.http.in_flight()
    }
}
