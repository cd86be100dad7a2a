//! Requests on streams of HTTP/2 connections, which the kernel side does not see begin: it knows the bytes, not the frames.
//!
//! Each gets its number here. What was done for it is told by the unit of execution that wrote the head of its response:
//! if that was made after the request's bytes had been read, it is not what serves the connection, but was made for the
//! request. Calls wait until the streams that were open when they were made have ended.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::unbound::{Behind, Unbound, Waiting};
use crate::connection::Info;
use crate::exchange::{ConnId, Exchange};
use crate::time::Time;

/// Streams that may be open at a time, over all connections; of more, those that began first are forgotten.
const OPEN_MAX: usize = 16_384;
/// How long calls wait for the responses of streams: one of events, or one whose end was lost, holds nothing back for good.
const WAITS_FOR: Duration = Duration::from_secs(60);
/// Numbers of HTTP/1 requests that turned their connection into one of HTTP/2.
const REPLACED_MAX: usize = 1_024;
/// Numbers given here; those of the kernel side count up from 1, those of pipelined requests from 2^63.
const OWN: u64 = 1 << 62;

/// All of them.
#[derive(Default)]
pub(super) struct Streams {
    given: u64,
    numbers: BTreeMap<(ConnId, u32), u64>,
    /// By number: connection, stream and process.
    open: BTreeMap<u64, (ConnId, u32, u32)>,
    by_pid: HashMap<u32, BTreeSet<u64>>,
    waiting: Waiting,
    replaced: VecDeque<u64>,
}

/// The unit that wrote the head of the response, if it was made after the head of the request had been read.
pub(super) fn made_for(exchange: &Exchange) -> Option<u64> {
    let (read, writer) = (exchange.origin.unit, exchange.response_origin);
    (read != 0 && writer.in_unit && writer.unit > read).then_some(writer.unit)
}

impl Streams {
    /// A request begins. `of_connection` is the number that the kernel side has for what the connection carries: 0, or
    /// that of the HTTP/1 request that asked for HTTP/2. Returns the request's own.
    pub(super) fn begins(&mut self, conn: &Info, stream: u32, of_connection: u64) -> u64 {
        if of_connection != 0 && !self.replaced(of_connection) {
            if self.replaced.len() >= REPLACED_MAX {
                self.replaced.pop_front();
            }
            self.replaced.push_back(of_connection);
        }
        if self.open.len() >= OPEN_MAX
            && let Some((&oldest, _)) = self.open.first_key_value()
        {
            self.forget(oldest);
        }
        self.given += 1;
        let number = OWN | self.given;
        self.numbers.insert((conn.id, stream), number);
        self.open.insert(number, (conn.id, stream, conn.pid));
        self.by_pid.entry(conn.pid).or_default().insert(number);
        number
    }

    /// Number of the request on a stream; of one that did not begin on one, `otherwise`.
    pub(super) fn request_of(&self, conn: ConnId, stream: u32, otherwise: u64) -> u64 {
        match stream {
            0 => otherwise,
            // One that was sent as HTTP/1 has the number of that.
            _ => self.numbers.get(&(conn, stream)).copied().unwrap_or(otherwise),
        }
    }

    /// Is this the number of a request that turned its connection into one of HTTP/2? What is done for that connection
    /// since has the same number on the kernel side.
    fn replaced(&self, number: u64) -> bool {
        number != 0 && self.replaced.contains(&number)
    }

    /// A number of the kernel side, where it is that of one request; else 0.
    pub(super) fn own(&self, number: u64) -> u64 {
        if self.replaced(number) { 0 } else { number }
    }

    /// A call without a request was made. It waits while streams of its process are open, perhaps in the place of one
    /// that is returned; else it is given back.
    pub(super) fn called(&mut self, pid: u32, call: Unbound) -> Result<Option<Unbound>, Unbound> {
        let Some(stream) = self.by_pid.get(&pid).and_then(|open| open.last().copied()) else {
            return Err(call);
        };
        Ok(self.waiting.push(call, Some(Behind { pid, stream })))
    }

    /// A request has its response, whose head `writer` wrote, if that was made for it. Returns the calls that were
    /// made for it, and those that no stream is left for.
    pub(super) fn ends(&mut self, request: u64, writer: Option<u64>) -> (Vec<Unbound>, Vec<Unbound>) {
        let pid = self.open.get(&request).map(|(.., pid)| *pid);
        self.forget(request);
        let bound = writer.map_or_else(Vec::new, |unit| self.waiting.take_of(unit));
        let settled = pid.map_or_else(Vec::new, |pid| {
            let open = self.by_pid.get(&pid).and_then(|open| open.first().copied());
            self.waiting.take_before(pid, open)
        });
        (bound, settled)
    }

    /// The calls that wait and that `unit`, or a copy of it, has made.
    pub(super) fn take_of(&mut self, unit: u64) -> Vec<Unbound> {
        self.waiting.take_of(unit)
    }

    /// A connection has ended: what is open on it will not end any more. Returns the calls that no stream is left for.
    pub(super) fn connection_over(&mut self, conn: ConnId) -> Vec<Unbound> {
        let open: Vec<u64> =
            self.numbers.range((conn, 0)..=(conn, u32::MAX)).map(|(_, number)| *number).collect();
        open.into_iter().flat_map(|number| self.ends(number, None).1).collect()
    }

    fn forget(&mut self, number: u64) {
        let Some((conn, stream, pid)) = self.open.remove(&number) else { return };
        self.numbers.remove(&(conn, stream));
        if let Some(open) = self.by_pid.get_mut(&pid) {
            open.remove(&number);
            if open.is_empty() {
                self.by_pid.remove(&pid);
            }
        }
    }

    /// A call that has waited long enough; any, without a time.
    pub(super) fn pop_ripe(&mut self, now: Option<Time>) -> Option<Unbound> {
        match now {
            Some(now) => self.waiting.pop_ripe(now, WAITS_FOR),
            None => self.waiting.pop_oldest(),
        }
    }
}
