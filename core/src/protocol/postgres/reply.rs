//! Replies of the server, matched to what was asked in its order (PostgreSQL manual, 55.2 "Message Flow").

use crate::exchange::{Command, Detail, Exchange, Outcome};
use crate::loss::Loss;
use crate::protocol::Output;
use crate::sql::Dialect;
use crate::time::Time;

use super::batch::{Answer, Ended};
use super::conversation::Conversation;
use super::frame::Message;
use super::messages::{self, Failure};
use super::names::{Statement, agrees, not_captured};
use super::queue::{Expected, Run, Step, StepKind};

/// SQLSTATE syntax_error.
const SYNTAX_ERROR: &str = "42601";

/// What a reply means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It answers what it should.
    Fits,
    /// It cannot be an answer to what was asked first: replies and requests are out of step.
    Mismatch,
    /// From here on it is a replication stream.
    Replication,
}

impl Conversation {
    /// Takes a message of the server, whose last byte came at `at`.
    pub(super) fn reply(&mut self, message: &Message<'_>, at: Time, out: &mut Output) -> Taken {
        if message.kind == b'S' {
            self.dialect = messages::dialect(message.body).unwrap_or(self.dialect);
        }
        if matches!(message.kind, b'A' | b'N' | b'S') {
            return Taken::Fits; // asynchronous: may come at any time
        }
        self.answer.first.get_or_insert(message.began);
        self.answer.last = at;
        self.answer.bytes += message.len;
        self.answer.rows += u64::from(message.kind == b'D');
        let complete = |rows| Ended { at, outcome: Outcome::Complete, rows, failure: None, suspended: false };
        let front = self.queue.front_mut();
        match (message.kind, front) {
            (b'W', _) => return Taken::Replication,
            (b'E', _) => return self.error(messages::failure(message.body), at, out),
            (b'Z', _) => return self.ready(message, out),
            (b'R' | b'K' | b'v', Some(Expected::Startup(_) | Expected::Unknown)) => {}
            (b'C', Some(front))
                if front.statement().is_some_and(|statement| !agrees(statement, message.body)) =>
            {
                return Taken::Mismatch;
            }
            (b'C' | b's' | b'V', Some(Expected::Unknown)) => out.losses.add(Loss::ResponsesWithoutRequest, 1),
            (_, Some(Expected::Unknown)) => {}
            (b'C' | b'I', Some(Expected::Query(query))) => {
                query.answered = true;
                let empty = message.kind == b'I' && query.statements.is_empty() && !query.cut;
                let statement = query.statements.pop_front().unwrap_or_else(|| {
                    out.losses.add(Loss::StatementsCut, u64::from(!empty));
                    if empty { super::names::statement(b"", self.dialect) } else { not_captured() }
                });
                let run = query.run;
                // The message is the first one's.
                query.run.bytes = 0;
                self.copying_in = false;
                self.end(&statement, run, complete(messages::rows(message.body)), out);
            }
            (b'C' | b'I' | b's', Some(Expected::Step(Step { kind: StepKind::Execute, .. }))) => {
                let suspended = message.kind == b's';
                let rows = if suspended { Some(self.answer.rows) } else { messages::rows(message.body) };
                self.copying_in = false;
                self.pop_work(Ended { suspended, ..complete(rows) }, out);
            }
            (b'V', Some(Expected::Function { .. })) => self.pop_work(complete(None), out),
            (b'T' | b'D' | b'H' | b'd' | b'c', Some(Expected::Query(_))) => {}
            (b'D' | b'H' | b'd' | b'c', Some(Expected::Step(Step { kind: StepKind::Execute, .. }))) => {}
            (b'G', Some(Expected::Query(_))) => self.copying_in = true,
            (b'G', Some(Expected::Step(Step { kind: StepKind::Execute, .. }))) => {
                // The Sync that the client sent with the Execute is ignored; it sends another after the data.
                self.copying_in = true;
                self.queue.retain(|expected| !matches!(expected, Expected::Sync));
            }
            (b't', Some(Expected::Step(Step { kind: StepKind::Describe, .. }))) => {}
            (b'1', Some(Expected::Step(Step { kind: StepKind::Parse, .. })))
            | (b'2', Some(Expected::Step(Step { kind: StepKind::Bind, .. })))
            | (b'3', Some(Expected::Step(Step { kind: StepKind::Close, .. })))
            | (b'T' | b'n', Some(Expected::Step(Step { kind: StepKind::Describe, .. }))) => self.step_done(),
            _ => return Taken::Mismatch,
        }
        Taken::Fits
    }

    /// The statement in front ended.
    fn pop_work(&mut self, ended: Ended, out: &mut Output) {
        match self.queue.pop_front() {
            Some(Expected::Step(Step { statement, run, .. }) | Expected::Function { statement, run }) => {
                self.end(&statement, run, ended, out);
            }
            Some(other) => self.queue.push_front(other),
            None => {}
        }
    }

    fn ready(&mut self, message: &Message<'_>, out: &mut Output) -> Taken {
        match self.queue.front() {
            Some(Expected::Sync | Expected::Startup(_)) => {
                self.queue.pop_front();
            }
            Some(Expected::Query(query)) => {
                out.losses.add(Loss::RequestsWithoutResponse, query.statements.len() as u64);
                self.queue.pop_front();
            }
            Some(Expected::Unknown) => {}
            Some(Expected::Step(_) | Expected::Function { .. }) | None => return Taken::Mismatch,
        }
        self.skipping = false;
        self.answer = Answer::default();
        let state = message.body.first().copied().unwrap_or_default();
        self.batch_ready(messages::transaction(state), out);
        Taken::Fits
    }

    fn error(&mut self, failure: Failure, at: Time, out: &mut Output) -> Taken {
        let is_fatal = failure.is_fatal();
        self.copying_in = false;
        match self.queue.front_mut() {
            Some(Expected::Startup(run)) => {
                let run = *run;
                self.queue.pop_front();
                let answer = std::mem::take(&mut self.answer);
                out.exchanges.push(refused(run, answer, failure, at));
            }
            Some(Expected::Unknown) => out.losses.add(Loss::ResponsesWithoutRequest, 1),
            Some(Expected::Sync) => self.batch.fail_last(failure, at),
            Some(Expected::Query(query)) => {
                // The statements behind the failed one did not run. A syntax error is found before any of them runs,
                // and may be in any.
                let none_ran = !query.answered && failure.code.as_deref() == Some(SYNTAX_ERROR);
                let statement = match query.statements.pop_front() {
                    Some(first) if none_ran => joined(first, &query.statements),
                    Some(first) => first,
                    None => not_captured(),
                };
                query.statements.clear();
                query.cut = false;
                let run = query.run;
                self.fail(&statement, run, failure, at, out);
            }
            Some(Expected::Function { .. }) => {
                self.pop_work(
                    Ended {
                        at,
                        outcome: Outcome::Complete,
                        rows: None,
                        failure: Some(failure),
                        suspended: false,
                    },
                    out,
                );
            }
            Some(Expected::Step(_)) => self.step_failed(failure, at, out),
            // The server ends an idle session so (administrator command, timeout).
            None if is_fatal => {}
            None => return Taken::Mismatch,
        }
        if is_fatal && !self.is_unproven() {
            self.batch.release(&mut out.exchanges);
        }
        Taken::Fits
    }

    fn step_failed(&mut self, failure: Failure, at: Time, out: &mut Output) {
        let until =
            self.queue.iter().position(|expected| matches!(expected, Expected::Sync | Expected::Unknown));
        self.skipping = until.is_none();
        let skipped: Vec<_> = self.queue.drain(..until.unwrap_or(self.queue.len())).collect();
        if let Some(Expected::Step(Step { kind, statement, run, .. })) = skipped.first()
            && *kind != StepKind::Close
        {
            self.fail(statement, *run, failure, at, out);
        }
        self.take_back(skipped);
    }

    fn fail(&mut self, statement: &Statement, run: Run, failure: Failure, at: Time, out: &mut Output) {
        self.end(
            statement,
            run,
            Ended { at, outcome: Outcome::Complete, rows: None, failure: Some(failure), suspended: false },
            out,
        );
    }
}

/// The server has refused to set up the connection: too many are open, or the login is wrong.
fn refused(run: Run, answer: Answer, failure: Failure, at: Time) -> Exchange {
    let first = answer.first.unwrap_or_default();
    Exchange {
        start: run.began.time,
        first_response: answer.first.map(|first| first.time),
        end: at,
        request_bytes: run.bytes,
        response_bytes: answer.bytes,
        origin: run.began.origin,
        response_origin: first.origin,
        outcome: Outcome::Complete,
        detail: Detail::Command(Command::refused("postgresql", failure.code)),
    }
}

/// All statements of a Query as one.
fn joined(first: Statement, rest: &std::collections::VecDeque<Statement>) -> Statement {
    if rest.is_empty() {
        return first;
    }
    let texts: Vec<&str> =
        std::iter::once(&first).chain(rest).map(|statement| statement.text.as_str()).collect();
    super::names::statement(texts.join("; ").as_bytes(), Dialect::Postgres)
}
