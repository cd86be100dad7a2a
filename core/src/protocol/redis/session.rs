//! The session: commands wait in a queue, replies take them off.

use std::collections::VecDeque;

use super::QUEUE_CAP;
use super::resp::{Lost, Reader, Value};
use crate::exchange::{Command, Detail, Exchange, Origin, Outcome, Role};
use crate::loss::Loss;
use crate::protocol::{At, CloseReason, Next, Output, Session};
use crate::time::Time;

/// A command that waits for its reply.
#[derive(Debug)]
struct Pending {
    start: Time,
    origin: Origin,
    bytes: u64,
    name: String,
    /// With its reply the connection becomes a stream of messages.
    leaves: bool,
}

impl Pending {
    /// Its reply is one of the messages that follow (redis.io, "Redis Pub/Sub"), and a client may wait for none of them: Celery
    /// subscribes to a task's result as it sends the task. It is no call that was given up.
    fn is_subscription(&self) -> bool {
        let kinds = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"];
        kinds.contains(&self.name.as_str())
    }
}

/// First byte of a value.
#[derive(Clone, Copy, Debug)]
struct Began {
    time: Time,
    origin: Origin,
}

/// One Redis connection.
#[derive(Debug)]
pub(super) struct Redis {
    role: Role,
    commands: Reader,
    replies: Reader,
    command_began: Option<Began>,
    reply_began: Option<Began>,
    queue: VecDeque<Pending>,
    /// Commands behind the queue that found no room in it.
    unqueued: u64,
    /// When the last reply was complete.
    last_end: Time,
    order: Order,
    over: bool,
}

/// Which reply is whose: replies come in the order of the commands, and say nothing of them.
#[derive(Debug)]
enum Order {
    /// Every command since a moment when none was open has been seen.
    Known,
    /// Joined in mid-life: commands from before may still be open. What was answered since is held back until a command
    /// follows upon the last reply; a reply too many tells that replies were taken for those of the wrong commands.
    Supposed { held: Vec<Exchange> },
    /// Nothing can be told apart, until a command comes whose predecessor was answered: since the last command a reply
    /// has come, to its end as far as that shows. The one command that was open as its reply's framing was lost is answered with
    /// what comes before the next command.
    Lost { answered: bool, open: Option<Box<Open>> },
}

/// A command of whose reply only bytes and times are known.
#[derive(Debug)]
struct Open {
    pending: Pending,
    began: Began,
    bytes: u64,
    last: Time,
}

impl Redis {
    pub(super) fn boxed(role: Role, from_start: bool) -> Box<dyn Session> {
        Box::new(Self {
            role,
            commands: Reader::new(true),
            replies: Reader::new(false),
            command_began: None,
            reply_began: None,
            queue: VecDeque::new(),
            unqueued: 0,
            last_end: Time::default(),
            order: if from_start { Order::Known } else { Order::Supposed { held: Vec::new() } },
            over: false,
        })
    }

    fn command_data(&mut self, at: &At, mut bytes: &[u8], out: &mut Output) -> Next {
        let begins = bytes.first() == Some(&b'*');
        let idle = self.is_idle();
        match &mut self.order {
            Order::Known => {}
            Order::Supposed { held } if idle => {
                if held.is_empty() && !begins {
                    // The rest of a command from before.
                    return Next::Continue;
                }
                if !held.is_empty() {
                    out.exchanges.append(held);
                    self.order = Order::Known;
                }
            }
            Order::Supposed { .. } => {}
            Order::Lost { answered, open } => {
                let (answered, open) = (std::mem::take(answered), open.take());
                out.exchanges.extend(open.map(|open| self.end_open(*open)));
                if !(begins && answered) {
                    out.losses.add(Loss::RequestsWithoutResponse, u64::from(begins));
                    return Next::Continue;
                }
                self.order = Order::Known;
            }
        }
        while !bytes.is_empty() {
            let began = *self.command_began.get_or_insert(Began { time: at.time, origin: at.origin });
            let (taken, value) = self.commands.next(bytes);
            bytes = &bytes[taken..];
            match value {
                None => {}
                Some(Ok(value)) => {
                    self.command_began = None;
                    if self.push(value, began, out) == Next::Ignore {
                        return Next::Ignore;
                    }
                }
                Some(Err(Lost)) => {
                    out.losses.add(Loss::Malformed, 1);
                    self.lose(out);
                    return Next::Continue;
                }
            }
            if self.commands.is_at_boundary() {
                self.command_began = None;
            }
        }
        Next::Continue
    }

    fn push(&mut self, value: Value, began: Began, out: &mut Output) -> Next {
        let name = word(&value.word);
        if name == "CLIENT" && value.second.eq_ignore_ascii_case(b"REPLY") {
            // Commands without replies: nothing can be told apart any more.
            out.losses.add(Loss::RequestsWithoutResponse, self.queue.len() as u64);
            out.losses.add(Loss::ConnectionsHidden, 1);
            self.queue.clear();
            return Next::Ignore;
        }
        if self.unqueued > 0 || self.queue.len() >= QUEUE_CAP {
            self.unqueued += 1;
            out.losses.add(Loss::RequestsWithoutResponse, 1);
            return Next::Continue;
        }
        let leaves =
            matches!(name.as_str(), "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "MONITOR" | "SYNC" | "PSYNC");
        let Began { time: start, origin } = began;
        self.queue.push_back(Pending { start, origin, bytes: value.bytes, name, leaves });
        Next::Continue
    }

    fn reply_data(&mut self, at: &At, mut bytes: &[u8], out: &mut Output) -> Next {
        if let Order::Lost { answered, open } = &mut self.order {
            *answered = bytes.ends_with(b"\r\n");
            count(open, at, bytes.len() as u64);
            return Next::Continue;
        }
        while !bytes.is_empty() {
            if self.is_surplus(bytes[0]) {
                let Order::Supposed { held } = &self.order else { return Next::Continue };
                if !held.is_empty() {
                    self.lose(out);
                    self.order = Order::Lost { answered: bytes.ends_with(b"\r\n"), open: None };
                }
                return Next::Continue;
            }
            self.reply_began.get_or_insert(Began { time: at.time, origin: at.origin });
            let (taken, value) = self.replies.next(bytes);
            bytes = &bytes[taken..];
            match value {
                None => {}
                Some(Ok(value)) => {
                    let next = self.answer(at, value, out);
                    if next != Next::Continue {
                        return next;
                    }
                }
                Some(Err(Lost)) => {
                    out.losses.add(Loss::Malformed, 1);
                    self.lose(out);
                    return Next::Continue;
                }
            }
        }
        Next::Continue
    }

    /// No command is open, none has begun, and neither has a reply.
    fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.unqueued == 0
            && self.commands.is_at_boundary()
            && self.replies.is_at_boundary()
    }

    /// Does a reply begin with this byte that answers a command from before the agent came? A push answers none.
    fn is_surplus(&self, first: u8) -> bool {
        matches!(self.order, Order::Supposed { .. }) && self.is_idle() && first != b'>'
    }

    /// A reply is complete.
    fn answer(&mut self, at: &At, value: Value, out: &mut Output) -> Next {
        let began = self.reply_began.take();
        let leaves = self.queue.front().is_some_and(|pending| pending.leaves);
        // In RESP3 the answer to SUBSCRIBE and UNSUBSCRIBE is a push; any other push answers nothing.
        let is_pushed = self.queue.front().is_some_and(|pending| leaves || pending.is_subscription());
        if value.kind == b'>' && !is_pushed {
            return Next::Continue;
        }
        let Some(pending) = self.queue.pop_front() else {
            self.last_end = at.time;
            if self.unqueued > 0 {
                self.unqueued -= 1;
            } else {
                out.losses.add(Loss::ResponsesWithoutRequest, 1);
            }
            return Next::Continue;
        };
        let error = matches!(value.kind, b'-' | b'!').then(|| error_word(&value.word));
        // One that was refused leaves the connection as it was.
        let leaves = leaves && error.is_none();
        let answered = self.end(pending, began, value.bytes, error, Outcome::Complete, at.time);
        match &mut self.order {
            Order::Supposed { held } if !leaves && held.len() < QUEUE_CAP => held.push(answered),
            // No command will follow that could prove it.
            Order::Supposed { .. } => {
                out.losses.add(Loss::RequestsWithoutResponse, 1);
                self.lose(out);
            }
            Order::Known | Order::Lost { .. } => out.exchanges.push(answered),
        }
        if leaves {
            // Commands behind it are answered inside the stream.
            out.losses.add(Loss::RequestsWithoutResponse, self.queue.len() as u64);
            self.queue.clear();
            return Next::Ignore;
        }
        Next::Continue
    }

    /// A command ended. Where it was sent while another was open, it began when that one ended: the server runs those of a
    /// connection one after the other (redis.io, "Redis pipelining"), and the time of one is not that of all behind it.
    fn end(
        &mut self,
        pending: Pending,
        began: Option<Began>,
        response_bytes: u64,
        error: Option<String>,
        outcome: Outcome,
        end: Time,
    ) -> Exchange {
        let Pending { start, origin, bytes, name, .. } = pending;
        let start = start.max(self.last_end.min(end));
        let first_response = began.map(|began| began.time.max(start));
        let end = end.max(first_response.unwrap_or(start));
        self.last_end = end;
        Exchange {
            start,
            first_response,
            end,
            request_bytes: bytes,
            response_bytes,
            origin,
            response_origin: began.map(|began| began.origin).unwrap_or_default(),
            outcome,
            detail: Detail::Command(Command { system: "redis", name, error }),
        }
    }

    fn end_open(&mut self, open: Open) -> Exchange {
        self.end(open.pending, Some(open.began), open.bytes, None, Outcome::Lost, open.last)
    }

    /// `len` bytes of a reply were not captured, and its framing is lost with them. Where its command alone is open, which is how
    /// clients speak that do not pipeline, all is its reply that comes before the next command.
    fn lose_reply(&mut self, at: &At, len: u64, out: &mut Output) {
        let is_alone = matches!(self.order, Order::Known) && self.queue.len() == 1 && self.unqueued == 0;
        let is_value = !self.replies.is_error() && self.queue.front().is_some_and(|pending| !pending.leaves);
        let began = self.reply_began.filter(|_| is_alone && is_value && self.commands.is_at_boundary());
        let open = began.and_then(|began| {
            let (bytes, last) = (self.replies.bytes() + len, at.time);
            Some(Box::new(Open { pending: self.queue.pop_front()?, began, bytes, last }))
        });
        self.lose(out);
        self.order = Order::Lost { answered: false, open };
    }

    /// Framing or order is lost: nothing that is open can be told apart any more.
    fn lose(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        let partial = u64::from(!self.commands.is_at_boundary());
        let order = std::mem::replace(&mut self.order, Order::Lost { answered: false, open: None });
        let held = match order {
            Order::Known => 0,
            Order::Supposed { held } => held.len(),
            Order::Lost { open, .. } => usize::from(open.is_some()),
        };
        out.losses.add(Loss::RequestsWithoutResponse, (self.queue.len() + held) as u64 + partial);
        self.queue.clear();
        self.unqueued = 0;
        self.commands.reset();
        self.replies.reset();
        (self.command_began, self.reply_began) = (None, None);
    }
}

impl Session for Redis {
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        if self.over || bytes.is_empty() {
            return if self.over { Next::Ignore } else { Next::Continue };
        }
        let next = if at.direction.is_request(self.role) {
            self.command_data(at, bytes, out)
        } else {
            self.reply_data(at, bytes, out)
        };
        self.over = next != Next::Continue;
        next
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        if self.over || len == 0 {
            return;
        }
        if let Order::Lost { answered, open } = &mut self.order {
            // Whether what was lost ended a reply is not known.
            *answered = false;
            if at.direction.is_request(self.role) {
                let open = open.take();
                out.exchanges.extend(open.map(|open| self.end_open(*open)));
            } else {
                count(open, at, len);
            }
            return;
        }
        if matches!(&self.order, Order::Supposed { held } if held.is_empty()) && self.is_idle() {
            return;
        }
        if at.direction.is_request(self.role) {
            match self.commands.gap(len) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    let began = self.command_began.take();
                    let began = began.unwrap_or(Began { time: at.time, origin: at.origin });
                    self.over = self.push(value, began, out) != Next::Continue;
                }
                Err(Lost) => self.lose(out),
            }
        } else {
            match self.replies.gap(len) {
                Ok(None) => {}
                Ok(Some(value)) => self.over = self.answer(at, value, out) != Next::Continue,
                Err(Lost) => self.lose_reply(at, len, out),
            }
        }
    }

    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        let ends_reply = !at.direction.is_request(self.role) && !self.replies.is_inside(len);
        if ends_reply && !self.queue.is_empty() && !matches!(self.order, Order::Lost { .. }) {
            // When it ended is not known: of what never arrives only later bytes tell.
            return self.lose(out);
        }
        self.gap(at, len, out);
        // After it the next bytes may answer a command that did not arrive either.
        if let Order::Lost { open, .. } = &mut self.order {
            out.losses.add(Loss::RequestsWithoutResponse, u64::from(open.take().is_some()));
        }
    }

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        self.over = true;
        if let Order::Supposed { held } = &mut self.order {
            if self.queue.is_empty() {
                out.exchanges.append(held);
            } else if !held.is_empty() {
                // One reply is missing: it may be any of them.
                self.lose(out);
            }
        }
        if let Order::Lost { open, .. } = &mut self.order {
            let open = open.take();
            out.exchanges.extend(open.map(|open| self.end_open(*open)));
        }
        if reason == CloseReason::Unseen {
            self.lose(out);
        }
        for pending in std::mem::take(&mut self.queue) {
            let (outcome, end) = match reason.outcome(self.role) {
                Outcome::ClientGone if pending.is_subscription() => (Outcome::Lost, pending.start),
                outcome => (outcome, time),
            };
            let ended = self.end(pending, None, 0, None, outcome, end);
            out.exchanges.push(ended);
        }
    }

    fn in_flight(&self) -> usize {
        self.queue.len() + usize::from(matches!(self.order, Order::Lost { open: Some(_), .. }))
    }
}

/// More of the reply to a command of which only bytes and times are known.
fn count(open: &mut Option<Box<Open>>, at: &At, len: u64) {
    if let Some(open) = open {
        (open.bytes, open.last) = (open.bytes.saturating_add(len), at.time);
    }
}

/// A command's name in upper case; what has other characters than names have is not shown.
fn word(bytes: &[u8]) -> String {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    if bytes.is_empty() || !bytes.iter().all(is_name) {
        return String::from("?");
    }
    String::from_utf8_lossy(bytes).to_ascii_uppercase()
}

/// The first word of an error, which is its code by convention.
fn error_word(text: &[u8]) -> String {
    let end = text.iter().position(|b| !(b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_'));
    match &text[..end.unwrap_or(text.len())] {
        [] => String::from("ERR"),
        word => String::from_utf8_lossy(word).into_owned(),
    }
}
