//! Which request a call or query belongs to, from what the kernel side knew of the code that made it.

use super::{Correlator, NOBODY, REQUESTS_MAX, Surroundings, Unbound, Unresolved, failures, names, rows};
use crate::connection::{FailedConnect, Finished, Info};
use crate::exchange::{Detail, Origin};
use crate::record::Record;
use crate::time::Time;

/// How calls and queries were linked, counted for the status page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// By the Python context.
    pub context: u64,
    /// By the thread.
    pub thread: u64,
    /// By a hand-over between threads.
    pub handover: u64,
    /// By the response's writer.
    pub response: u64,
    /// Requests that were joined to the call that made them by both ends of their socket.
    pub socket_pair: u64,
    /// No request.
    pub none: u64,
}

/// A call or query, and which code made it.
struct Made {
    pid: u32,
    by: Origin,
    /// When it began.
    start: Time,
    /// When it ended.
    since: Time,
    record: Record,
}

impl Correlator {
    pub(super) fn called(&mut self, finished: &Finished, around: &dyn Surroundings, out: &mut Vec<Record>) {
        let service = around.service(finished.pid);
        let peer = self.addresses.text(&finished.conn.peer);
        let record = match &finished.exchange.detail {
            Detail::Http(http) => Record::Call(Box::new(rows::call(finished, http, peer, &service, around))),
            Detail::Command(command) => {
                Record::Call(Box::new(rows::command(finished, command, peer, &service, around)))
            }
            Detail::Sql(sql) => Record::Query(Box::new(rows::query(finished, sql, peer, &service, around))),
        };
        let exchange = &finished.exchange;
        // A server that says no before it was asked anything answers who made the connection.
        let is_asked = exchange.request_bytes > 0 || !matches!(exchange.detail, Detail::Command(_));
        let made = Made {
            pid: finished.pid,
            by: if is_asked { exchange.origin } else { finished.conn.caller },
            start: exchange.start,
            since: exchange.end,
            record,
        };
        self.link(made, around, out);
    }

    /// A connection was not made.
    pub(super) fn not_connected(
        &mut self,
        failed: &FailedConnect,
        around: &dyn Surroundings,
        out: &mut Vec<Record>,
    ) {
        let record =
            Record::Call(Box::new(failures::call(failed, self.addresses.text(&failed.conn.peer), around)));
        let Info { pid, caller: by, since: start, .. } = *failed.conn;
        self.link(Made { pid, by, start, since: failed.time, record }, around, out);
    }

    /// A name was not resolved.
    pub(super) fn not_resolved(
        &mut self,
        failed: &Unresolved,
        around: &dyn Surroundings,
        out: &mut Vec<Record>,
    ) {
        let record = Record::Call(Box::new(names::call(failed, around)));
        let Unresolved { pid, caller: by, start, end: since, .. } = *failed;
        self.link(Made { pid, by, start, since, record }, around, out);
    }

    /// Links a call or query to its request.
    fn link(&mut self, made: Made, around: &dyn Surroundings, out: &mut Vec<Record>) {
        let Made { by: mut origin, start, since, mut record, .. } = made;
        origin.request = self.streams.own(origin.request);
        rows::set_call_site(&mut record, around.call_site(origin.stack));
        if self.shared.is(origin.request) {
            let call = Unbound { since, start, record, unit: origin.unit, ancestors: origin.ancestors };
            if let Some((call, request)) = self.shared.called(origin.request, call) {
                self.bind(call, request, out);
            }
            return;
        }
        if origin.request != 0 {
            let link = self.count_link(origin.how);
            self.work(origin.request, start).add(&mut record, link, since);
            out.push(record);
            return;
        }
        if origin.unit == 0 {
            self.links.none += 1;
            out.push(record);
            return;
        }
        let units = [origin.unit, origin.ancestors[0], origin.ancestors[1], origin.ancestors[2]];
        let responder = units.iter().find_map(|unit| self.responders.get(unit).copied());
        if responder == Some(NOBODY) {
            self.links.none += 1;
            out.push(record);
            return;
        }
        if let Some(request) = responder {
            // Work that a unit did after its last response: it has not read another request since.
            self.links.response += 1;
            self.work(request, start).add(&mut record, "response", since);
            out.push(record);
            return;
        }
        let call = Unbound { since, start, record, unit: origin.unit, ancestors: origin.ancestors };
        let oldest = self.streams.called(made.pid, call).unwrap_or_else(|call| {
            let patient = self.responding.contains(&made.pid);
            if patient { self.patient.push(call, None) } else { self.unbound.push(call, None) }
        });
        if let Some(oldest) = oldest {
            self.give_up(oldest, out);
        }
    }

    /// The unit that wrote a response of the process `pid` did that request's work.
    pub(super) fn bind_to_response(&mut self, writer: Origin, request: u64, pid: u32, out: &mut Vec<Record>) {
        if writer.unit == 0 {
            return;
        }
        self.responders.insert(writer.unit, request);
        let mut made = self.unbound.take_of(writer.unit);
        made.extend(self.patient.take_of(writer.unit));
        // A process may serve streams as well: until they end, a call may be theirs.
        made.extend(self.streams.take_of(writer.unit));
        if !made.is_empty() && self.responding.insert(pid) && self.responding.len() > REQUESTS_MAX {
            self.responding.clear();
        }
        for unbound in made {
            self.bind(unbound, Some(request), out);
        }
    }

    fn count_link(&mut self, how: u8) -> &'static str {
        // Numbers of the kernel side: `apm_agent_ebpf::link`.
        match how {
            2 => {
                self.links.thread += 1;
                "thread"
            }
            3 => {
                self.links.handover += 1;
                "handover"
            }
            _ => {
                self.links.context += 1;
                "context"
            }
        }
    }
}
