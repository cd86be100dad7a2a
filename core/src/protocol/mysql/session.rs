//! The session: commands wait in a queue, replies take them off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::command::{self, Asked, Command};
use super::login::{self, First};
use super::packet::Packets;
use super::reply::{self, Ending, Place, Step};
use super::{COMMAND_CAP, QUEUE_CAP, STATEMENTS_CAP};
use crate::exchange::{Detail, Exchange, Origin, Outcome, Role, Sql, Transaction};
use crate::loss::Loss;
use crate::protocol::{At, CloseReason, Next, Output, Session};
use crate::sql::Normalised;
use crate::time::Time;

/// Bytes of a reply's packet that are looked at: an OK packet with its numbers at their longest.
const REPLY_CAP: usize = 32;

/// A command that waits for its reply, or has it in progress.
#[derive(Debug)]
struct Pending {
    start: Time,
    origin: Origin,
    bytes: u64,
    command: Command,
    first: Option<(Time, Origin)>,
    last: Time,
    response_bytes: u64,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client has said nothing.
    Greeting,
    /// The client has named itself; the server has not said yes.
    Login,
    Commands,
}

/// One MySQL connection.
#[derive(Debug)]
pub(super) struct Mysql {
    role: Role,
    phase: Phase,
    requests: Packets,
    replies: Packets,
    request_began: Option<(Time, Origin)>,
    queue: VecDeque<Pending>,
    place: Place,
    statements: BTreeMap<u32, Arc<Normalised>>,
    user: Option<String>,
    database: Option<String>,
    deprecates_eof: Option<bool>,
    has_attributes: bool,
    /// The login asked for something after which packets cannot be read.
    hides: bool,
    /// The server has asked for a file, which the client sends.
    in_file: bool,
    requests_lost: bool,
    replies_lost: bool,
    over: Option<Next>,
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
            has_attributes: false,
            hides: false,
            in_file: false,
            requests_lost: !from_start,
            replies_lost: !from_start,
            over: None,
        })
    }

    fn request_data(&mut self, at: &At, bytes: &[u8], out: &mut Output) {
        if self.requests_lost {
            let [a, b, c, 0, kind, ..] = bytes else { return };
            let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
            if !command::is_command(*kind) || len == 0 || bytes.len() > len + 4 {
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
                    self.deprecates_eof = Some(login.deprecates_eof);
                    self.has_attributes = login.has_attributes;
                    self.hides = login.compresses || login.has_optional_metadata;
                    self.phase = Phase::Login;
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
                let command = match command::read(packet, self.has_attributes) {
                    Asked::Command(command) => command,
                    Asked::Execute(id) => command::execute(
                        self.statements.get(&id).cloned().unwrap_or_else(command::prepared_before),
                    ),
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
                        self.over = Some(Next::Ignore);
                        return;
                    }
                };
                let has_text = matches!(command, Command::Run { is_cut: true, .. } | Command::Prepare(_));
                if has_text && command::is_cut(packet) {
                    out.losses.add(Loss::TruncatedHeads, 1);
                }
                let bytes = packet.wire;
                let (start, origin) = began.unwrap_or_default();
                let pending =
                    Pending { start, origin, bytes, command, first: None, last: start, response_bytes: 0 };
                if self.queue.len() >= QUEUE_CAP {
                    self.lose_requests(out);
                } else {
                    self.queue.push_back(pending);
                }
            }
        }
        self.requests.forget();
    }

    fn reply_data(&mut self, at: &At, bytes: &[u8], out: &mut Output) {
        let mut rest = bytes;
        while !rest.is_empty() && self.over.is_none() {
            if self.replies_lost {
                self.count(at, rest.len() as u64);
                if matches!(self.place, Place::Rows(_))
                    && !self.requests_lost
                    && !self.queue.is_empty()
                    && let Some(status) = reply::tail(bytes)
                {
                    self.replies.reset();
                    self.replies_lost = false;
                    self.end(at, Ending { rows: None, error: None, status: Some(status) }, out);
                }
                return;
            }
            self.count(at, 0);
            let (taken, ended) = self.replies.next(rest);
            self.count(at, taken as u64);
            rest = &rest[taken..];
            if ended {
                self.reply(at, out);
            }
        }
    }

    /// The server's packet is complete.
    fn reply(&mut self, at: &At, out: &mut Output) {
        let packet = &self.replies.packet;
        let kind = packet.kind();
        if self.phase != Phase::Commands {
            match kind {
                Some(0) if self.phase == Phase::Login => {
                    self.phase = Phase::Commands;
                    self.over = self.hides.then_some(Next::Ignore);
                }
                None => self.lose_replies(out),
                Some(_) => {}
            }
            return;
        }
        let Some(pending) = self.queue.front_mut() else {
            // The end of a Prepare's answer where nobody knew that it has one.
            if self.deprecates_eof.is_none() && reply::is_eof(packet) {
                self.deprecates_eof = Some(false);
            } else {
                out.losses.add(Loss::ResponsesWithoutRequest, 1);
                self.replies_lost = self.requests_lost;
            }
            return;
        };
        let failed = kind == Some(0xff);
        match &mut pending.command {
            Command::Run { .. } => match reply::step(self.place, packet, &mut self.deprecates_eof) {
                Step::To(place) => self.place = place,
                Step::End(ending) => self.end(at, ending, out),
                Step::File => self.in_file = true,
                Step::Lost => self.lose_replies(out),
            },
            Command::Prepare(_) if failed => match reply::error(packet) {
                Some(ending) => self.end(at, ending, out),
                None => self.lose_replies(out),
            },
            Command::Prepare(statement) => match (self.place, packet.head.as_slice()) {
                (Place::First, [0, a, b, c, d, columns @ .., _, _, _]) if packet.len == 12 && !packet.cut => {
                    let [c0, c1, p0, p1] = columns else { return self.lose_replies(out) };
                    let definitions =
                        u64::from(u16::from_le_bytes([*c0, *c1])) + u64::from(u16::from_le_bytes([*p0, *p1]));
                    self.statements.insert(u32::from_le_bytes([*a, *b, *c, *d]), Arc::clone(statement));
                    if self.statements.len() > STATEMENTS_CAP {
                        self.statements.pop_first();
                    }
                    self.place = Place::Definitions(definitions);
                    if definitions == 0 {
                        self.done();
                    }
                }
                (Place::Definitions(left), _) => {
                    let is_eof = reply::is_eof(packet);
                    if is_eof {
                        self.deprecates_eof = Some(false);
                    }
                    let left = if is_eof { left } else { left.saturating_sub(1) };
                    self.place = Place::Definitions(left);
                    if left == 0 && (is_eof || self.deprecates_eof != Some(false)) {
                        self.done();
                    }
                }
                _ => self.lose_replies(out),
            },
            Command::List if failed || reply::ends_rows(packet) => self.done(),
            Command::List => {}
            Command::ChangeUser { user, database } => match kind {
                Some(0) => {
                    (self.user, self.database) = (user.take(), database.take());
                    self.statements.clear();
                    self.done();
                }
                Some(0xff) => self.done(),
                _ => {}
            },
            Command::InitDb(database) => {
                if !failed {
                    self.database = database.take();
                }
                self.done();
            }
            Command::ResetConnection => {
                self.statements.clear();
                self.done();
            }
            Command::Simple => self.done(),
        }
    }

    /// A result of the command in front has ended.
    fn end(&mut self, at: &At, ending: Ending, out: &mut Output) {
        self.place = Place::First;
        let Some(pending) = self.queue.front_mut() else { return };
        let more = ending.has_more();
        let statement = match &mut pending.command {
            Command::Run { statements, .. } if statements.len() > 1 => statements.pop_front(),
            // The next result is that of a statement behind the cut.
            Command::Run { statements, is_cut: true } if more => match statements.front_mut() {
                Some(known) if !matches!(known.operation.as_str(), "CALL" | "") => {
                    Some(std::mem::replace(known, command::not_captured()))
                }
                _ => return,
            },
            // A procedure's results are one statement's.
            Command::Run { .. } if more => return,
            Command::Run { statements, .. } => statements.pop_front(),
            Command::Prepare(statement) => Some(Arc::clone(statement)),
            _ => None,
        };
        if let Some(statement) = statement {
            if statement.operation == "USE" && ending.error.is_none() {
                let named = statement.text.split_whitespace().nth(1).map(|name| name.replace('`', ""));
                self.database = named.or(self.database.take());
            }
            let detail = sql(&statement, &ending, self.database.clone(), self.user.clone());
            out.exchanges.push(exchange(pending, Outcome::Complete, at.time, detail));
            // The next statement's part of the reply is counted for it.
            (pending.first, pending.response_bytes, pending.bytes) = (None, 0, 0);
        }
        if !more {
            self.done();
        }
    }

    /// The command in front has been answered.
    fn done(&mut self) {
        self.place = Place::First;
        self.queue.pop_front();
    }

    fn count(&mut self, at: &At, len: u64) {
        if let Some(pending) = self.queue.front_mut() {
            pending.first.get_or_insert((at.time, at.origin));
            pending.last = at.time;
            pending.response_bytes = pending.response_bytes.saturating_add(len);
        }
    }

    fn lose_requests(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.requests.reset();
        self.request_began = None;
        self.requests_lost = true;
        if self.replies_lost {
            // What was lost began after the replies to all that is open; theirs must not be taken for those.
            self.settle(out);
        }
    }

    fn lose_replies(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.replies.reset();
        self.replies_lost = true;
        if self.phase == Phase::Login {
            // Where the login ends was not seen: the first command will tell.
            self.requests.reset();
            self.requests_lost = true;
            self.over = self.hides.then_some(Next::Ignore);
        }
    }

    /// All that is open was answered, but how was not seen.
    fn settle(&mut self, out: &mut Output) {
        self.replies.reset();
        self.replies_lost = false;
        self.place = Place::First;
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
            out.exchanges.push(exchange(&pending, outcome, end.unwrap_or(pending.last), detail));
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

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        self.over = Some(Next::Ignore);
        for pending in std::mem::take(&mut self.queue) {
            if self.replies_lost {
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

fn exchange(pending: &Pending, outcome: Outcome, end: Time, detail: Sql) -> Exchange {
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
        detail: Detail::Sql(detail),
    }
}

fn sql(statement: &Normalised, ending: &Ending, database: Option<String>, user: Option<String>) -> Sql {
    Sql {
        system: "mysql",
        text: statement.text.clone(),
        fingerprint: statement.fingerprint,
        operation: statement.operation.clone(),
        table: statement.table.clone(),
        rows: ending.rows,
        error_code: ending.error.clone(),
        severity: None,
        database,
        user,
        transaction: if ending.error.is_some() { Transaction::Unknown } else { ending.transaction() },
        is_transaction_control: statement.is_transaction_control,
    }
}
