//! The direction of the replies.

use std::sync::Arc;

use super::STATEMENTS_CAP;
use super::command::{self, Command};
use super::reply::{self, Ending, Place, Step};
use super::session::{Mysql, Pending, Phase, exchange, sql};
use crate::exchange::{Command as Refusal, Detail, Origin, Outcome};
use crate::loss::Loss;
use crate::protocol::{At, Next, Output};

impl Mysql {
    pub(super) fn reply_data(&mut self, at: &At, bytes: &[u8], out: &mut Output) {
        let mut rest = bytes;
        while !rest.is_empty() && self.over.is_none() {
            if self.replies_lost {
                self.count(at, rest.len() as u64);
                if matches!(self.place, Place::Rows(_))
                    && !self.requests_lost
                    && !self.queue.is_empty()
                    && let Some(ending) = reply::tail(bytes)
                {
                    self.replies.reset();
                    self.replies_lost = false;
                    self.end(at, ending, out);
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
    pub(super) fn reply(&mut self, at: &At, out: &mut Output) {
        let packet = &self.replies.packet;
        let kind = packet.kind();
        if reply::is_progress(&packet.head) {
            return;
        }
        // What is one packet alone, the end of the login among others. A result's end has its status from `end`.
        let is_alone = match self.phase {
            Phase::Commands => self.queue.front().is_some_and(|pending| pending.command.has_one_packet()),
            _ => true,
        };
        if let Some((_, status)) = reply::ok(packet).filter(|_| kind == Some(0) && is_alone) {
            self.dialect = reply::dialect(status);
        }
        if self.phase != Phase::Commands {
            match kind {
                Some(0) if self.phase == Phase::Login => {
                    self.phase = Phase::Commands;
                    self.login = None;
                    self.hide(out);
                }
                Some(0xff) => self.refused(at, out),
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
        let runs = matches!(pending.command, Command::Run { .. });
        if runs && self.place == Place::First && self.deprecates_eof.is_none() && reply::is_eof(packet) {
            // No result begins so: it ends the answer to the Prepare that came in one call with this command.
            self.deprecates_eof = Some(false);
            return;
        }
        // Only its first byte tells whether a packet ends an answer, unless any one packet does.
        if kind.is_none() && !matches!(pending.command, Command::Simple | Command::ResetConnection) {
            return self.lose_replies(out);
        }
        let failed = kind == Some(0xff);
        match &mut pending.command {
            Command::Run { .. } => match reply::step(self.place, packet, &mut self.deprecates_eof) {
                Step::To(place) => self.place = place,
                Step::End(ending) => self.end(at, ending, out),
                Step::File => self.in_file = true,
                Step::Lost => self.lose_replies(out),
            },
            Command::Prepare(_) if failed => match reply::error(&packet.head) {
                Some(ending) => {
                    self.end(at, ending, out);
                    // What was to run it has not run: its answer is an error, too.
                    for pending in self.queue.iter_mut().take_while(|pending| pending.of_prepare) {
                        pending.command = Command::Simple;
                    }
                    self.last_prepared = None;
                }
                None => self.lose_replies(out),
            },
            Command::Prepare(statement) => match (self.place, packet.head.as_slice()) {
                (Place::First, [0, a, b, c, d, columns @ .., _, _, _]) if packet.len == 12 && !packet.cut => {
                    let [c0, c1, p0, p1] = columns else { return self.lose_replies(out) };
                    let definitions =
                        u64::from(u16::from_le_bytes([*c0, *c1])) + u64::from(u16::from_le_bytes([*p0, *p1]));
                    let id = u32::from_le_bytes([*a, *b, *c, *d]);
                    self.statements.insert(id, Arc::clone(statement));
                    self.last_prepared = Some(id);
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

    /// The server takes no connection, or not this client.
    fn refused(&mut self, at: &At, out: &mut Output) {
        let packet = &self.replies.packet;
        // The first packet of all may be the refusal.
        let asked = match self.login.take() {
            None if packet.sequence == 0 => Some(Pending::connect(at.time, Origin::default())),
            login => login,
        };
        let Some(mut connect) = asked else { return };
        let Some(ending) = reply::error(&packet.head) else { return self.lose_replies(out) };
        connect.first = Some((at.time, at.origin));
        connect.response_bytes = packet.wire;
        let detail = Detail::Command(Refusal::refused("mysql", ending.error));
        out.exchanges.push(exchange(&connect, Outcome::Complete, at.time, detail));
        self.over = Some(Next::Ignore);
    }

    /// A result of the command in front has ended.
    fn end(&mut self, at: &At, ending: Ending, out: &mut Output) {
        self.place = Place::First;
        self.dialect = ending.status.map_or(self.dialect, reply::dialect);
        let Some(pending) = self.queue.front_mut() else { return };
        let more = ending.has_more();
        let statement = match &mut pending.command {
            Command::Run { statements, .. } if statements.len() > 1 => statements.pop_front(),
            // The next result is that of a statement behind the cut, unless what was cut off may make it a procedure's.
            Command::Run { statements, is_cut: true } if more => match statements.front_mut() {
                Some(known) if !"CALL".starts_with(&known.operation) => {
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
                let named = statement.text.split_whitespace().nth(1).map(|name| name.replace('`', "").into());
                self.database = named.or(self.database.take());
            }
            let detail = sql(&statement, &ending, self.database.clone(), self.user.clone());
            out.exchanges.push(exchange(pending, Outcome::Complete, at.time, Detail::Sql(detail)));
            // The next statement's part of the reply is counted for it.
            (pending.first, pending.response_bytes, pending.bytes) = (None, 0, 0);
            // It ran when this one had ended: its time is not counted twice.
            pending.start = at.time;
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

    pub(super) fn count(&mut self, at: &At, len: u64) {
        if let Some(pending) = self.queue.front_mut() {
            pending.first.get_or_insert((at.time, at.origin));
            pending.last = at.time;
            pending.response_bytes = pending.response_bytes.saturating_add(len);
        }
    }

    /// Leaves a connection alone of which nothing can be read after the login.
    fn hide(&mut self, out: &mut Output) {
        if self.hides {
            out.losses.add(Loss::ConnectionsHidden, 1);
            self.over = Some(Next::Ignore);
        }
    }

    pub(super) fn lose_replies(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.replies.reset();
        self.replies_lost = true;
        if self.phase == Phase::Login {
            // Where the login ends was not seen: the first command will tell.
            self.requests.reset();
            self.requests_lost = true;
            self.hide(out);
        }
    }
}
