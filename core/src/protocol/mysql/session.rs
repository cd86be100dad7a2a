//! The session: commands wait in a queue, replies take them off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::command::{self, Asked, Command};
use super::login::{self, First};
use super::packet::Packets;
use super::reply::{Ending, Place};
use super::{COMMAND_CAP, QUEUE_CAP};
use crate::exchange::{Detail, Exchange, Origin, Outcome, Role, Sql, Transaction};
use crate::loss::Loss;
use crate::protocol::{At, CloseReason, Next, Output, Session};
use crate::sql::{Dialect, Normalised};
use crate::time::Time;

/// Bytes of a reply's packet that are looked at: an OK packet with its numbers at their longest.
const REPLY_CAP: usize = 32;

/// A command that waits for its reply, or has it in progress.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) start: Time,
    pub(super) origin: Origin,
    pub(super) bytes: u64,
    pub(super) command: Command,
    /// It runs what a command before it in the queue prepares.
    pub(super) of_prepare: bool,
    pub(super) first: Option<(Time, Origin)>,
    pub(super) last: Time,
    pub(super) response_bytes: u64,
}

impl Pending {
    /// The setting up of a connection.
    pub(super) fn connect(start: Time, origin: Origin) -> Self {
        let (command, of_prepare, first) = (Command::Simple, false, None);
        Self { start, origin, bytes: 0, command, of_prepare, first, last: start, response_bytes: 0 }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client has said nothing.
    Greeting,
    /// The client has named itself; the server has not said yes.
    Login,
    Commands,
}

/// One MySQL connection.
#[derive(Debug)]
pub(super) struct Mysql {
    pub(super) role: Role,
    pub(super) phase: Phase,
    pub(super) requests: Packets,
    pub(super) replies: Packets,
    pub(super) request_began: Option<(Time, Origin)>,
    pub(super) queue: VecDeque<Pending>,
    pub(super) place: Place,
    pub(super) statements: BTreeMap<u32, Arc<Normalised>>,
    pub(super) user: Option<Arc<str>>,
    pub(super) database: Option<Arc<str>>,
    pub(super) deprecates_eof: Option<bool>,
    /// A query may hold several statements, or it is not known.
    pub(super) is_multi: bool,
    /// The number of the statement that was prepared last.
    pub(super) last_prepared: Option<u32>,
    /// As the last status that was seen says.
    pub(super) dialect: Dialect,
    /// The login asked for something after which packets cannot be read.
    pub(super) hides: bool,
    /// The client's login, until it is answered.
    pub(super) login: Option<Pending>,
    /// The server has asked for a file, which the client sends.
    pub(super) in_file: bool,
    pub(super) requests_lost: bool,
    pub(super) replies_lost: bool,
    pub(super) over: Option<Next>,
}

impl Mysql {
    pub(super) fn boxed(role: Role, from_start: bool) -> Box<dyn Session> {
        Box::new(Self {
            role,
            phase: if from_start { Phase::Greeting } else { Phase::Commands },
            requests: Packets::new(COMMAND_CAP),
            replies: Packets::new(REPLY_CAP),
            request_began: None,
            queue: VecDeque::new(),
            place: Place::First,
            statements: BTreeMap::new(),
            user: None,
            database: None,
            deprecates_eof: None,
            is_multi: true,
            last_prepared: None,
            dialect: Dialect::Mysql,
            hides: false,
            login: None,
            in_file: false,
            requests_lost: !from_start,
            replies_lost: !from_start,
            over: None,
        })
    }

    fn request_data(&mut self, at: &At, bytes: &[u8], out: &mut Output) {
        if self.requests_lost {
            if !command::are_commands(bytes) {
                return;
            }
            self.phase = Phase::Commands;
            (self.requests_lost, self.in_file) = (false, false);
            self.replies_lost = true;
        }
        if self.replies_lost && self.requests.is_at_boundary() && !self.in_file {
            // Client and server take turns: what was open has been answered.
            self.settle(out);
        }
        let mut rest = bytes;
        while !rest.is_empty() && self.over.is_none() {
            self.request_began.get_or_insert((at.time, at.origin));
            let (taken, ended) = self.requests.next(rest);
            rest = &rest[taken..];
            if ended {
                self.request(bytes.len() - rest.len(), out);
            }
        }
    }

    /// The client's packet is complete; `consumed` bytes of its call are behind.
    fn request(&mut self, consumed: usize, out: &mut Output) {
        let began = self.request_began.take();
        let packet = &self.requests.packet;
        match self.phase {
            Phase::Greeting => match login::first(&packet.head, packet.len) {
                Some(First::Ssl) => self.over = Some(Next::Redetect { consumed }),
                Some(First::Login(login)) => {
                    self.user = login.user;
                    self.database = login.database;
                    // Of a client that can do without EOF packets, the replies tell whether the server can.
                    self.deprecates_eof = (!login.deprecates_eof).then_some(false);
                    self.is_multi = login.is_multi;
                    self.hides = login.compresses || login.has_optional_metadata;
                    self.phase = Phase::Login;
                    let (start, origin) = began.unwrap_or_default();
                    self.login = Some(Pending { bytes: packet.wire, ..Pending::connect(start, origin) });
                }
                None => {
                    out.losses.add(Loss::Malformed, 1);
                    self.lose_requests(out);
                }
            },
            Phase::Login => {}
            Phase::Commands if self.in_file => self.in_file = packet.len > 0,
            // More of a login, after COM_CHANGE_USER.
            Phase::Commands if packet.sequence != 0 => {}
            Phase::Commands => {
                // COM_SET_OPTION: MYSQL_OPTION_MULTI_STATEMENTS_ON is 0, OFF 1.
                if packet.kind() == Some(0x1b) {
                    self.is_multi = packet.head.get(1) != Some(&1);
                }
                let mut of_prepare = false;
                let command = match command::read(packet, self.is_multi, self.dialect, out) {
                    Asked::Command(command) => command,
                    Asked::Execute(id) => {
                        let open = (id == command::LAST).then(|| self.being_prepared()).flatten();
                        of_prepare = open.is_some();
                        let prepared = || {
                            let id = if id == command::LAST { self.last_prepared? } else { id };
                            self.statements.get(&id).cloned()
                        };
                        command::execute(open.or_else(prepared).unwrap_or_else(command::prepared_before))
                    }
                    Asked::Close(id) => {
                        self.statements.remove(&id);
                        return;
                    }
                    Asked::Nothing => return,
                    Asked::Lost => {
                        out.losses.add(Loss::TruncatedHeads, 1);
                        self.lose_requests(out);
                        return;
                    }
                    Asked::Replication => {
                        out.losses.add(Loss::ConnectionsHidden, 1);
                        self.over = Some(Next::Ignore);
                        return;
                    }
                };
                let is_read = matches!(command, Command::Run { is_cut: true, .. } | Command::Prepare(_))
                    || packet.kind() == Some(0x1b);
                if is_read && command::is_cut(packet) {
                    out.losses.add(Loss::TruncatedHeads, 1);
                }
                let bytes = packet.wire;
                let (start, origin) = began.unwrap_or_default();
                let (first, response_bytes) = (None, 0);
                let pending =
                    Pending { start, origin, bytes, command, of_prepare, first, last: start, response_bytes };
                if self.queue.len() >= QUEUE_CAP {
                    self.lose_requests(out);
                } else {
                    self.queue.push_back(pending);
                }
            }
        }
        self.requests.forget();
    }

    /// The statement of the newest Prepare that has no answer yet.
    fn being_prepared(&self) -> Option<Arc<Normalised>> {
        self.queue.iter().rev().find_map(|pending| match &pending.command {
            Command::Prepare(statement) => Some(Arc::clone(statement)),
            _ => None,
        })
    }

    fn lose_requests(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.last_prepared = None;
        self.requests.reset();
        self.request_began = None;
        self.requests_lost = true;
        if self.replies_lost {
            // What was lost began after the replies to all that is open; theirs must not be taken for those.
            self.settle(out);
        }
    }

    /// All that is open was answered, but how was not seen.
    fn settle(&mut self, out: &mut Output) {
        self.replies.reset();
        self.replies_lost = false;
        self.place = Place::First;
        self.last_prepared = None;
        for pending in std::mem::take(&mut self.queue) {
            self.hand_out(pending, Outcome::Lost, None, out);
        }
    }

    /// Hands out a command whose answer was not seen to its end.
    fn hand_out(&self, pending: Pending, outcome: Outcome, end: Option<Time>, out: &mut Output) {
        let Command::Run { statements, .. } = &pending.command else { return };
        if outcome == Outcome::Lost && (pending.first.is_none() || statements.len() > 1) {
            out.losses.add(Loss::RequestsWithoutResponse, statements.len() as u64);
            return;
        }
        if let Some(statement) = statements.front() {
            let detail = sql(statement, &Ending::default(), self.database.clone(), self.user.clone());
            out.exchanges.push(exchange(&pending, outcome, end.unwrap_or(pending.last), Detail::Sql(detail)));
        }
    }
}

impl Session for Mysql {
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        if let Some(next) = self.over {
            return next;
        }
        if at.direction.is_request(self.role) {
            self.request_data(at, bytes, out);
        } else {
            self.reply_data(at, bytes, out);
        }
        let Some(next) = self.over else { return Next::Continue };
        if let Next::Redetect { .. } = next {
            self.over = Some(Next::Redetect { consumed: 0 });
        }
        next
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        if self.over.is_some() || len == 0 {
            return;
        }
        if at.direction.is_request(self.role) {
            match self.requests.gap(len) {
                _ if self.requests_lost => {}
                None => self.lose_requests(out),
                Some(true) => self.request(0, out),
                Some(false) => {}
            }
        } else {
            self.count(at, len);
            match self.replies.gap(len) {
                _ if self.replies_lost => {}
                None => self.lose_replies(out),
                Some(true) => self.reply(at, out),
                Some(false) => {}
            }
        }
    }

    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        let is_reply = !at.direction.is_request(self.role);
        let is_inside = !self.replies_lost && self.replies.is_inside(len);
        if self.over.is_some() || self.phase != Phase::Commands || !is_reply || is_inside {
            return self.gap(at, len, out);
        }
        // The end of a reply may have been lost, and after it commands of which nothing is known before the next one comes:
        // the next reply may be to any of those. What begins with the next command that is seen is clear again.
        for pending in std::mem::take(&mut self.queue) {
            self.hand_out(pending, Outcome::Lost, None, out);
        }
        self.place = Place::First;
        self.last_prepared = None;
        self.lose_replies(out);
    }

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        self.over = Some(Next::Ignore);
        for pending in std::mem::take(&mut self.queue) {
            if self.replies_lost || reason == CloseReason::Unseen {
                self.hand_out(pending, Outcome::Lost, None, out);
            } else {
                self.hand_out(pending, reason.outcome(self.role), Some(time), out);
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.queue.len()
    }
}

pub(super) fn exchange(pending: &Pending, outcome: Outcome, end: Time, detail: Detail) -> Exchange {
    let first_response = pending.first.map(|(time, _)| time.max(pending.start));
    Exchange {
        start: pending.start,
        first_response,
        end: end.max(first_response.unwrap_or(pending.start)),
        request_bytes: pending.bytes,
        response_bytes: pending.response_bytes,
        origin: pending.origin,
        response_origin: pending.first.map(|(_, origin)| origin).unwrap_or_default(),
        outcome,
        detail,
    }
}

pub(super) fn sql(
    statement: &Arc<Normalised>,
    ending: &Ending,
    database: Option<Arc<str>>,
    user: Option<Arc<str>>,
) -> Sql {
    Sql {
        system: "mysql",
        statement: Arc::clone(statement),
        rows: ending.rows,
        error_code: ending.error.clone(),
        severity: None,
        database,
        user,
        transaction: if ending.error.is_some() { Transaction::Unknown } else { ending.transaction() },
        is_cursor_round: false,
    }
}
