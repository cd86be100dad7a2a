//! Which request caused it: exchanges become events, calls and queries, and each call and query is linked to its
//! request where that is known.
//!
//! The kernel side says for which request the code ran that moved the first byte (`context`, `thread`, `handover`). What
//! it cannot say is bound afterwards by evidence: the unit of execution that wrote a request's response did that
//! request's work (`response`). What has neither keeps no request.

mod addresses;
mod failures;
mod grpc;
mod ids;
mod link;
mod names;
mod pairs;
mod quiet;
mod raised;
mod relays;
mod rows;
mod shared;
mod streams;
mod unbound;
mod work;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::connection::{Finished, Info, Progress};
use crate::exchange::{ConnId, Correlation, Detail, Exchange, Outcome, Role};
use crate::loss::{Loss, Losses};
use crate::protocol::Started;
use crate::record::Record;
use crate::route::{RouteTable, told};
use crate::time::Time;

use addresses::Addresses;
use failures::Failures;
use ids::Claims;
use pairs::Pairs;
use quiet::Quiet;
use raised::Exceptions;
use relays::Relays;
use shared::{Held, Settlement, Shared};
use streams::Streams;
use unbound::{PATIENT_FOR, UNBOUND_FOR, Unbound, Waiting};
use work::{REMEMBERED, Work};

pub use link::LinkCounts;
pub use names::{NameFailure, Unresolved};
pub use raised::{Raised, Seen};

/// Requests remembered, open or lately ended. A hash table of 65,536 places stays as it is while it is not half full:
/// beyond, the places of those that went would make it grow.
const REQUESTS_MAX: usize = 28_000;
/// Of open ones there may be more.
const OPEN_MAX: usize = 2 * REQUESTS_MAX;
/// In the place of a request: a unit that answered several, of which nothing tells whose work it did.
const NOBODY: u64 = 0;

/// What the core cannot know by itself.
pub trait Surroundings {
    /// Unix seconds of a time.
    fn unix(&self, time: Time) -> f64;
    /// The service that a process belongs to.
    fn service(&self, pid: u32) -> Arc<str>;
    /// The route of a request, where the service's source tells.
    fn route_from_source(&self, _service: &str, _method: &str, _path: &str) -> Option<Arc<str>> {
        None
    }
    /// The application's code that made a call, `file:line function`, by the number of its stack.
    fn call_site(&self, _stack: u64) -> Option<Arc<str>> {
        None
    }
}

/// Joins exchanges to requests, and makes records of them.
pub struct Correlator {
    /// Makes this run's ids differ from those of every other.
    nonce: u32,
    made: u64,
    requests: FxHashMap<u64, Work>,
    /// Those that are not among them any more, and may be heard of.
    quiet: Quiet,
    /// In the order in which they were first seen.
    order: VecDeque<(Time, u64)>,
    /// The request whose response a unit wrote last.
    responders: FxHashMap<u64, u64>,
    unbound: Waiting,
    /// Those of processes in `responding`.
    patient: Waiting,
    /// Processes in which a response has told whose calls were.
    responding: FxHashSet<u32>,
    shared: Shared,
    streams: Streams,
    failures: Failures,
    unresolved: Vec<Unresolved>,
    exceptions: Exceptions,
    pairs: Pairs,
    relays: Relays,
    routes: RouteTable,
    claims: Claims,
    addresses: Addresses,
    links: LinkCounts,
}

impl Correlator {
    /// `nonce` should differ between runs of the agent.
    pub fn new(nonce: u32) -> Self {
        Self {
            nonce,
            made: 0,
            requests: FxHashMap::default(),
            quiet: Quiet::default(),
            order: VecDeque::new(),
            responders: FxHashMap::default(),
            unbound: Waiting::default(),
            patient: Waiting::default(),
            responding: FxHashSet::default(),
            shared: Shared::default(),
            streams: Streams::default(),
            failures: Failures::default(),
            unresolved: Vec::new(),
            exceptions: Exceptions::default(),
            pairs: Pairs::default(),
            relays: Relays::default(),
            routes: RouteTable::default(),
            claims: Claims::default(),
            addresses: Addresses::default(),
            links: LinkCounts::default(),
        }
    }

    /// How calls and queries were linked so far.
    pub fn links(&self) -> LinkCounts {
        self.links
    }

    /// A connection was seen: attempts at other addresses of the same name were no failed calls.
    pub fn connected(&mut self, info: &Info) {
        self.failures.superseded_by(info, &self.streams);
    }

    /// Takes what the connections made of some events, and pushes the records that are complete.
    pub fn take(&mut self, progress: &mut Progress, around: &dyn Surroundings, out: &mut Vec<Record>) {
        for (conn, role, started) in progress.started.drain(..) {
            self.started(&conn, role, started, around);
        }
        // Before the answers of the requests that caused them.
        for failed in std::mem::take(&mut self.unresolved) {
            self.not_resolved(&failed, around, out);
        }
        for failed in progress.failed.drain(..) {
            if let Some(oldest) = self.failures.add(failed, &self.streams) {
                self.not_connected(&oldest, around, out);
            }
        }
        for finished in progress.finished.drain(..) {
            match finished.role {
                Role::Server => self.served(&finished, around, out),
                Role::Client => self.called(&finished, around, out),
            }
        }
    }

    /// A name could not be resolved; told of with what is taken next.
    pub fn unresolved(&mut self, failed: Unresolved) {
        self.unresolved.push(failed);
    }

    /// An exception was being handled for a request; before the end of that request is told.
    pub fn raised(&mut self, raised: Raised) {
        self.exceptions.add(raised);
    }

    /// Pushes the failed requests that have waited for their exception; to be called often.
    pub fn settle(&mut self, now: Time, out: &mut Vec<Record>) {
        while let Some(event) = self.exceptions.next(Some(now)) {
            out.push(Record::Event(Box::new(event)));
        }
    }

    /// A connection has ended, and what ended with it was taken.
    pub fn connection_over(&mut self, conn: ConnId, out: &mut Vec<Record>) {
        for call in self.streams.connection_over(conn) {
            self.give_up(call, out);
        }
    }

    /// What was lost so far.
    pub fn losses(&self, losses: &mut Losses) {
        losses.add(Loss::ExceptionTableFull, self.exceptions.dropped);
        losses.add(Loss::ConnectsRetried, self.failures.retried);
    }

    /// Lets time pass: what waited long enough is pushed as it is.
    pub fn tick(&mut self, now: Time, around: &dyn Surroundings, out: &mut Vec<Record>) {
        while let Some(unbound) = self.unbound.pop_ripe(now, UNBOUND_FOR) {
            self.give_up(unbound, out);
        }
        while let Some(unbound) = self.patient.pop_ripe(now, PATIENT_FOR) {
            self.give_up(unbound, out);
        }
        let settlement = self.shared.tick(Some(now));
        self.settle_shared(settlement, out);
        while let Some(unbound) = self.streams.pop_ripe(Some(now)) {
            self.give_up(unbound, out);
        }
        for failed in self.failures.ripe(Some(now)) {
            self.not_connected(&failed, around, out);
        }
        self.exceptions.forget_old(now);
        self.pairs.tick(now);
        self.forget_requests(now);
        if self.responders.len() > REQUESTS_MAX {
            self.responders.clear();
        }
    }

    fn forget_requests(&mut self, now: Time) {
        for _ in 0..self.order.len() {
            let Some((seen, request)) = self.order.pop_front() else { break };
            let known = self.requests.len();
            let Some(work) = self.requests.get_mut(&request) else { continue };
            let are_many = known > REQUESTS_MAX;
            if !are_many && now.since(seen) <= REMEMBERED {
                self.order.push_front((seen, request));
                break;
            }
            if known <= OPEN_MAX && work.is_wanted(now, are_many) {
                // Open, however long (a stream), or still at work (a WebSocket): looked at again later, others wait behind it.
                self.order.push_back((now, request));
            } else {
                let ids = self.requests.remove(&request).and_then(Work::lasting);
                if let Some(ids) = ids {
                    self.quiet.keep(request, ids);
                }
            }
        }
    }

    /// Pushes everything that still waits: the agent stops.
    pub fn drain(&mut self, around: &dyn Surroundings, out: &mut Vec<Record>) {
        for failed in self.failures.ripe(None) {
            self.not_connected(&failed, around, out);
        }
        while let Some(unbound) = self.unbound.pop_oldest().or_else(|| self.patient.pop_oldest()) {
            self.give_up(unbound, out);
        }
        let settlement = self.shared.tick(None);
        self.settle_shared(settlement, out);
        while let Some(unbound) = self.streams.pop_ripe(None) {
            self.give_up(unbound, out);
        }
        while let Some(event) = self.exceptions.next(None) {
            out.push(Record::Event(Box::new(event)));
        }
    }

    fn give_up(&mut self, unbound: Unbound, out: &mut Vec<Record>) {
        self.links.none += 1;
        out.push(unbound.record);
    }

    /// Links a call to the request that its response's writer tells, if it does.
    fn bind(&mut self, mut unbound: Unbound, request: Option<u64>, out: &mut Vec<Record>) {
        let Some(request) = request else { return self.give_up(unbound, out) };
        self.links.response += 1;
        self.work(request, unbound.since).add(&mut unbound.record, "response", unbound.since);
        out.push(unbound.record);
    }

    /// An id for a request that came without one.
    fn make_id(&mut self, request: u64) -> String {
        let number = if request == 0 {
            self.made += 1;
            self.made
        } else {
            request
        };
        format!("{:08x}-{number:016x}", self.nonce)
    }

    fn work(&mut self, request: u64, time: Time) -> &mut Work {
        if !self.requests.contains_key(&request) {
            let work = match self.quiet.take(request) {
                Some(ids) => Work::ended(ids, time),
                None => Work::new(self.make_id(request), time),
            };
            self.order.push_back((time, request));
            self.requests.insert(request, work);
        }
        self.requests.entry(request).or_default()
    }

    /// The head of a request of the process `pid` has been read.
    fn name(
        &mut self,
        request: u64,
        time: Time,
        pid: u32,
        headers: &Correlation,
        around: &dyn Surroundings,
    ) -> &mut Work {
        self.work(request, time);
        let work = self.requests.entry(request).or_default();
        work.name(headers, |id| self.claims.claim(&around.service(pid), id));
        work
    }

    fn started(&mut self, conn: &Info, role: Role, mut started: Started, around: &dyn Surroundings) {
        let number = started.origin.request;
        self.relays.started(conn.pid, role, &started);
        if role == Role::Client && started.relayed {
            return;
        }
        if role == Role::Server && started.stream != 0 {
            started.origin.request = self.streams.begins(conn, started.stream, number);
            self.name(started.origin.request, started.time, conn.pid, &started.correlation, around);
        } else if role == Role::Server && number != 0 {
            // A number that a request has already: this one came behind it, in the same run of bytes.
            if let Some(first) = self.requests.get(&number).filter(|work| work.is_named()) {
                let open = first.is_open();
                started.origin.request = self.shared.begins(number, open, started.time);
            }
            self.name(started.origin.request, started.time, conn.pid, &started.correlation, around);
        }
        let Some((caller, called)) = self.pairs.meet(conn, role, &started) else { return };
        // What the kernel side has may be the number of several requests: then it is not told which made the call.
        let caller = self.streams.own(caller);
        if caller == 0 || called == 0 || self.shared.is(caller) {
            return;
        }
        if let Some((id, chain)) = self.requests.get(&caller).map(Work::ids)
            && let Some(work) = self.requests.get_mut(&called)
            && work.caused_by(id, chain)
        {
            self.links.socket_pair += 1;
        }
    }

    fn served(&mut self, finished: &Finished, around: &dyn Surroundings, out: &mut Vec<Record>) {
        let exchange = &finished.exchange;
        let Detail::Http(http) = &exchange.detail else { return };
        let service = around.service(finished.pid);
        let declared = around.route_from_source(&service, &http.method, &http.path);
        let path = told(&http.path, declared.as_deref().unwrap_or_default());
        let route =
            declared.clone().unwrap_or_else(|| self.routes.route(&service, &path, http.status != 404));
        let mut request = self.streams.request_of(finished.conn.id, http.stream, exchange.origin.request);
        let method = self.routes.method(&http.method);
        let told = rows::Told { method, path: &path, route: &route };
        let mut event = rows::event(finished, http, &service, told, around);
        event.client = self.addresses.text(&finished.conn.peer);
        for failed in self.failures.of(request, exchange.response_origin.unit, &self.streams) {
            self.not_connected(&failed, around, out);
        }
        if let Some(own) = self.shared.ends(request, exchange.response_origin.unit, exchange.end) {
            self.bind_to_response(exchange.response_origin, own, finished.pid, out);
            self.name(own, exchange.start, finished.pid, &http.correlation, around);
            let settlement = self.shared.hold(request, Held { request: own, end: exchange.end, event });
            // An exception is known by the number that they share: it is not told apart.
            return self.settle_shared(settlement, out);
        }
        if request == 0 {
            let id = self.make_id(0);
            let mut own = Work::new(id, exchange.end);
            own.name(&http.correlation, |id| self.claims.claim(&service, id));
            own.identify(&mut event);
        } else {
            let writer = if http.stream == 0 {
                self.bind_to_response(exchange.response_origin, request, finished.pid, out);
                None
            } else {
                self.bind_to_stream(exchange, request, out)
            };
            let work = self.name(request, exchange.start, finished.pid, &http.correlation, around);
            work.end(exchange.end, &mut event);
            if http.upgraded {
                work.goes_on();
            }
            if http.stream != 0 {
                // An exception is known by the unit that it was seen in.
                request = writer.unwrap_or(exchange.origin.request);
            }
        }
        if self.relays.told_elsewhere(finished.pid, exchange.start) {
            return;
        }
        let is_grpc_failure = exchange.outcome == Outcome::Complete && event.error.is_some();
        let failed = event.status >= 500 || exchange.outcome == Outcome::ServerGone || is_grpc_failure;
        if let Some(event) = self.exceptions.ended(request, exchange.end, failed, event) {
            out.push(Record::Event(Box::new(event)));
        }
    }

    /// Pipelined requests have their answers: what was done for them is told apart, where it can be.
    fn settle_shared(&mut self, settlement: Settlement, out: &mut Vec<Record>) {
        for (call, request) in settlement.calls {
            self.bind(call, request, out);
        }
        for Held { request, end, mut event } in settlement.held {
            let work = self.work(request, end);
            if settlement.is_counted {
                work.end(end, &mut event);
            } else {
                work.end_uncounted(end, &mut event);
            }
            out.push(Record::Event(Box::new(event)));
        }
    }

    /// The code that answered the stream of `request`, if it was made for it, did that request's work. Returns that unit.
    fn bind_to_stream(&mut self, exchange: &Exchange, request: u64, out: &mut Vec<Record>) -> Option<u64> {
        let writer = streams::made_for(exchange);
        if let Some(unit) = writer {
            // One that answered several did the work of each.
            let only = !self.responders.contains_key(&unit);
            self.responders.insert(unit, if only { request } else { NOBODY });
        }
        let writer = writer.filter(|unit| self.responders.get(unit) == Some(&request));
        let (bound, settled) = self.streams.ends(request, writer);
        for call in bound {
            self.bind(call, Some(request), out);
        }
        for call in settled {
            self.give_up(call, out);
        }
        writer
    }
}
