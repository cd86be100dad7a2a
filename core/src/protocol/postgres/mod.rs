//! The PostgreSQL wire protocol, version 3 (PostgreSQL manual, chapter 55 "Frontend/Backend Protocol").
//!
//! Requests go into a queue of expected answers, replies take them off: simple queries, every statement of them on its
//! own; the extended protocol with its pipelines, where each Execute is an exchange; function calls and COPY. An
//! exchange starts with the first byte of the Query, or of the Parse, Bind, Describe or Execute that begins its
//! execution, and ends with the reply that ends it; it is handed out at ReadyForQuery, which tells the transaction
//! state. Of statements sent in one message or batch, or before those before them were answered, each starts when its
//! predecessor ended: the server runs one after the other, and times that overlapped would count several times in a sum.
//!
//! SQL text is normalised as soon as its message is complete and the text overwritten where it had to be kept.
//! Passwords, parameter values, rows and error messages are skipped by their lengths.

mod batch;
mod conversation;
mod detect;
mod frame;
mod messages;
mod names;
mod queue;
mod reply;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::exchange::Role;
use crate::loss::{Loss, Losses};
use crate::protocol::{At, CloseReason, Next, Output, Protocol, Session};
use crate::time::Time;

use batch::Answer;
use conversation::{Conversation, QueueFull};
use frame::{FRONTEND, Framer, Message, Sender, Stamp, UNTYPED};
use messages::{CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP_MAJOR, number};
use reply::Taken;
use tail::Tail;

/// This protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    detect: detect::detect,
    session: |role, from_start| Box::new(Postgres::new(role, from_start)),
};

/// Messages that can be the first of a connection's requests that is seen: they name what they run.
const FIRST_SEEN: &[u8] = b"QPBF";

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client has not named user and database.
    Startup,
    /// The client asked for encryption; one byte answers.
    Encryption,
    /// Typed messages.
    Running,
}

/// A connection.
struct Postgres {
    role: Role,
    phase: Phase,
    frontend: Framer,
    backend: Framer,
    conversation: Conversation,
    /// Joined in mid-life, and nothing was seen yet.
    fresh: bool,
    /// Where the client's next message starts is not known.
    requests_lost: bool,
    /// Where the server's next message starts is not known.
    replies_lost: bool,
    /// The server's last message was ReadyForQuery, and none of the client's was lost since.
    ready: bool,
    /// The client sent last.
    asking: bool,
    /// When the first of the bytes moved for which the place among the replies was lost.
    hidden_since: Time,
    tail: Tail,
}

impl Postgres {
    fn new(role: Role, from_start: bool) -> Self {
        let mut frontend = Framer::new(Sender::Frontend);
        frontend.untyped = from_start;
        Self {
            role,
            phase: if from_start { Phase::Startup } else { Phase::Running },
            frontend,
            backend: Framer::new(Sender::Backend),
            conversation: Conversation::new(),
            fresh: !from_start,
            requests_lost: !from_start,
            replies_lost: false,
            ready: false,
            asking: true,
            hidden_since: Time::default(),
            tail: Tail::default(),
        }
    }

    fn requests(&mut self, at: Stamp, mut bytes: &[u8], out: &mut Output) -> Next {
        if self.phase == Phase::Encryption {
            // The answer was not seen, but what follows tells it: a TLS record, or start-up in the clear.
            if bytes.first() == Some(&0x16) {
                return Next::Redetect { consumed: 0 };
            }
            self.phase = Phase::Startup;
        }
        if !std::mem::replace(&mut self.asking, true) {
            self.conversation.round();
        }
        if self.requests_lost && !self.find_requests(bytes) {
            return Next::Continue;
        }
        while !bytes.is_empty() {
            let (consumed, message) = self.frontend.next(bytes, at);
            bytes = &bytes[consumed..];
            match message {
                None => {}
                Some(Ok(message)) if message.kind == UNTYPED => {
                    let Some(phase) = startup(&message, &mut self.conversation, &mut out.losses) else {
                        return Next::Ignore;
                    };
                    self.phase = phase;
                    self.frontend.untyped = phase != Phase::Running;
                }
                Some(Ok(message)) => match self.conversation.request(&message, &mut out.statements) {
                    Ok(()) => {}
                    Err(QueueFull) => {
                        self.lose_requests(out);
                        return Next::Continue;
                    }
                },
                Some(Err(frame::Malformed)) => {
                    out.losses.add(Loss::Malformed, 1);
                    self.lose_requests(out);
                    return Next::Continue;
                }
            }
        }
        Next::Continue
    }

    /// Can these bytes be the next requests, all earlier ones being answered?
    fn find_requests(&mut self, bytes: &[u8]) -> bool {
        let at_rest =
            self.ready && !self.replies_lost && self.backend.is_at_boundary() && self.conversation.is_idle();
        let types = match self.fresh {
            true => FIRST_SEEN,
            false if at_rest => FRONTEND,
            false => return false,
        };
        let found = detect::starts_requests(bytes, types);
        if found {
            self.requests_lost = false;
            self.frontend.reset();
            self.conversation.requests_found();
        } else if self.fresh {
            self.replies_lost = true;
        }
        self.fresh = false;
        found
    }

    fn lose_requests(&mut self, out: &mut Output) {
        out.losses.add(Loss::Resyncs, 1);
        self.requests_lost = true;
        // A reply to what was lost must come before it is known that none is outstanding.
        self.ready = false;
        self.phase = Phase::Running;
        self.frontend.untyped = false;
        self.frontend.reset();
        self.conversation.requests_lost();
    }

    fn replies(&mut self, at: Stamp, mut bytes: &[u8], out: &mut Output) -> Next {
        if self.phase == Phase::Encryption {
            match bytes.first() {
                Some(b'S' | b'G') => return Next::Redetect { consumed: 1 },
                Some(b'N') => {
                    self.phase = Phase::Startup;
                    bytes = &bytes[1..];
                }
                // A server that knows no such request answers with an ErrorResponse and closes.
                _ => self.phase = Phase::Running,
            }
        }
        self.asking = false;
        if self.fresh {
            self.fresh = false;
            self.replies_lost = true;
        }
        if !self.replies_lost {
            self.conversation.is_answered();
        }
        while !bytes.is_empty() {
            if self.replies_lost {
                self.find_replies(at.time, bytes, out);
                return Next::Continue;
            }
            let before = bytes;
            let (consumed, message) = self.backend.next(bytes, at);
            bytes = &bytes[consumed..];
            let taken = match message {
                None => continue,
                Some(Ok(message)) => {
                    self.ready = message.kind == b'Z' || (self.ready && b"ANS".contains(&message.kind));
                    self.conversation.reply(&message, at.time, out)
                }
                Some(Err(frame::Malformed)) => {
                    out.losses.add(Loss::Malformed, 1);
                    Taken::Mismatch
                }
            };
            match taken {
                Taken::Fits => {}
                Taken::Replication => {
                    out.losses.add(Loss::ConnectionsHidden, 1);
                    return Next::Ignore;
                }
                Taken::Mismatch => {
                    self.out_of_step(at.time, out);
                    bytes = before;
                }
            }
        }
        Next::Continue
    }

    /// A reply came that cannot be the next.
    fn out_of_step(&mut self, at: Time, out: &mut Output) {
        self.conversation.answer = Answer::default();
        self.conversation.abandon(true, out);
        self.lose_requests(out);
        self.lose_replies(at);
    }

    fn lose_replies(&mut self, at: Time) {
        self.hidden_since = at;
        self.replies_lost = true;
        self.ready = false;
        self.backend.reset();
        self.tail.clear();
    }

    /// Looks for the end of a reply at the end of these bytes.
    fn find_replies(&mut self, at: Time, bytes: &[u8], out: &mut Output) {
        self.conversation.answer.bytes += bytes.len() as u64;
        let Some(end) = self.tail.push(bytes) else { return };
        // Like that of a batch that was seen whole, its ReadyForQuery is not part of the answer.
        self.conversation.answer.bytes = self.conversation.answer.bytes.saturating_sub(6);
        self.replies_lost = false;
        self.backend.reset();
        let was_known = !self.requests_lost;
        if was_known {
            out.losses.add(Loss::Resyncs, 1);
        }
        if !self.conversation.resume(end, at, self.hidden_since, out) && was_known {
            self.lose_requests(out);
        }
        self.ready = true;
    }
}

/// Takes a message without type: what the connection is now; `None` if it is of no interest.
fn startup(message: &Message<'_>, conversation: &mut Conversation, losses: &mut Losses) -> Option<Phase> {
    match number(message.body, 0)? {
        SSL_REQUEST | GSSENC_REQUEST => Some(Phase::Encryption),
        CANCEL_REQUEST => None,
        code if code >> 16 == STARTUP_MAJOR => {
            let found = messages::startup(&message.body[4..]);
            conversation.batch.user = found.user.map(Arc::from);
            conversation.batch.database = found.database.map(Arc::from);
            conversation.connect(message);
            losses.add(Loss::ConnectionsHidden, u64::from(found.replication));
            (!found.replication).then_some(Phase::Running)
        }
        _ => None,
    }
}

impl Session for Postgres {
    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) -> Next {
        let stamp = Stamp { time: at.time, origin: at.origin };
        if bytes.is_empty() {
            Next::Continue
        } else if at.direction.is_request(self.role) {
            self.requests(stamp, bytes, out)
        } else {
            self.replies(stamp, bytes, out)
        }
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        if len == 0 {
            return;
        }
        if at.direction.is_request(self.role) {
            if self.requests_lost {
                self.fresh = false;
                return;
            }
            let after = self.frontend.gap(len);
            let mut lost = after.lost.is_some();
            if let Some(message) = after.message {
                if message.kind != UNTYPED {
                    lost |= self.conversation.request(&message, &mut out.statements).is_err();
                } else if let Some(phase) = startup(&message, &mut self.conversation, &mut out.losses) {
                    self.phase = phase;
                    self.frontend.untyped = phase != Phase::Running;
                }
            }
            if lost {
                self.lose_requests(out);
            }
        } else if self.phase == Phase::Encryption {
            // Whatever follows tells the answer.
        } else if self.replies_lost {
            self.conversation.answer.bytes += len;
            self.tail.clear();
        } else {
            let after = self.backend.gap(len);
            let lost = after.lost.or(self.fresh.then_some(len));
            self.fresh = false;
            if let Some(message) = after.message {
                self.ready = message.kind == b'Z';
                if self.conversation.reply(&message, at.time, out) == Taken::Mismatch {
                    self.out_of_step(at.time, out);
                    return;
                }
            }
            if let Some(unseen) = lost {
                self.conversation.answer.bytes += unseen;
                self.lose_replies(at.time);
            }
        }
    }

    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        let is_reply = !at.direction.is_request(self.role);
        let is_inside = !self.replies_lost && self.backend.is_inside(len);
        if is_reply && len > 0 && self.phase == Phase::Running && !self.fresh && !is_inside {
            // The end of a reply may have been lost, and after it requests of which nothing is known before the next one
            // comes: the next reply may be to any of those.
            self.conversation.abandon(false, out);
            if !self.requests_lost {
                self.lose_requests(out);
            }
            self.lose_replies(at.time);
        } else {
            self.gap(at, len, out);
        }
    }

    fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        let is_seen = !self.replies_lost && reason != CloseReason::Unseen;
        let outcome = is_seen.then(|| reason.outcome(self.role));
        self.conversation.close(time, outcome, out);
    }

    fn in_flight(&self) -> usize {
        self.conversation.in_flight()
    }
}
