//! Requests to the answers they wait for: the state that both directions share.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::exchange::{Outcome, Transaction};
use crate::loss::Loss;
use crate::protocol::Output;
use crate::sql::{self, Dialect, Form, Memo};
use crate::time::Time;

use super::batch::{Answer, Batch, Ended};
use super::frame::Message;
use super::messages::{name, number, string};
use super::names::{Names, Statement, agrees, marker, not_captured, parsed, statement};
use super::queue::{Expected, MAX_QUEUE, Query, Run, Step, StepKind, Undo};
use super::tail::End;

/// Most prepared statements remembered: drivers keep about a hundred, and a text may take 4 KiB.
const MAX_STATEMENTS: usize = 512;
/// Most portals remembered.
const MAX_PORTALS: usize = 256;
/// Most statements of one Query message that are told apart; the rest are shown as not captured, and counted.
const MAX_STATEMENTS_IN_QUERY: usize = 4096;

/// More requests than can be followed.
pub(super) struct QueueFull;

pub(super) struct Conversation {
    pub(super) queue: VecDeque<Expected>,
    pub(super) batch: Batch,
    pub(super) answer: Answer,
    /// After an error the server skips what was sent up to the next Sync, which did not come yet.
    pub(super) skipping: bool,
    /// The server takes CopyData and ignores Sync (PostgreSQL manual, 55.2.6 "COPY Operations").
    pub(super) copying_in: bool,
    /// As the server said last.
    pub(super) dialect: Dialect,
    statements: Names,
    portals: Names,
    /// The execution whose first messages were sent.
    run: Option<Run>,
    runs: u64,
    /// When the last statement ended that was followed. The server runs one after the other.
    last_end: Time,
    /// A request was seen before the answer to the batch before it; which may have been lost.
    asked_ahead: bool,
    /// It was not: the client pipelines.
    pipelined: bool,
    /// Rounds that must still fit before it counts as known that nothing else is unanswered: see [`Self::requests_found`].
    unproven: u8,
}

/// Rounds that prove it, of a client that pipelines.
const ROUNDS_ENOUGH: u8 = 3;

impl Conversation {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            batch: Batch::default(),
            answer: Answer::default(),
            skipping: false,
            copying_in: false,
            dialect: Dialect::Postgres,
            statements: Names::new(MAX_STATEMENTS),
            portals: Names::new(MAX_PORTALS),
            run: None,
            runs: 0,
            last_end: Time::default(),
            asked_ahead: false,
            pipelined: false,
            unproven: 0,
        }
    }

    /// A new execution that begins with this message.
    fn begin(&mut self, message: &Message<'_>) -> Run {
        self.runs += 1;
        Run { number: self.runs, began: message.began, bytes: message.len }
    }

    /// Takes a message of the client, start-up aside.
    pub(super) fn request(&mut self, message: &Message<'_>, memo: &mut Memo) -> Result<(), QueueFull> {
        let mut body = message.body;
        match message.kind {
            b'Q' => self.query(message, memo),
            b'P' => {
                let Some(name) = name(&mut body) else {
                    self.forget_unnamed();
                    return self.step(StepKind::Parse, not_captured(), message, None);
                };
                let statement = parsed(string(&mut body), self.dialect, memo);
                let before = self.statements.set(name, Some(Arc::clone(&statement)));
                self.step(
                    StepKind::Parse,
                    statement,
                    message,
                    Some(Box::new(Undo { name: name.into(), before })),
                )
            }
            b'B' => {
                let portal = name(&mut body);
                let statement = name(&mut body).map_or_else(not_captured, |name| self.statements.get(name));
                match portal {
                    Some(portal) => drop(self.portals.set(portal, Some(Arc::clone(&statement)))),
                    None => self.forget_unnamed(),
                }
                self.step(StepKind::Bind, statement, message, None)
            }
            b'D' => {
                let statement = match body.split_first() {
                    Some((b'P', mut rest)) => name(&mut rest).map(|name| self.portals.get(name)),
                    Some((_, mut rest)) => name(&mut rest).map(|name| self.statements.get(name)),
                    None => None,
                };
                self.step(StepKind::Describe, statement.unwrap_or_else(not_captured), message, None)
            }
            b'E' => {
                let statement = name(&mut body).map_or_else(not_captured, |name| self.portals.get(name));
                self.step(StepKind::Execute, statement, message, None)
            }
            b'C' => self.close_name(message),
            b'F' if self.skipping => Ok(()),
            b'F' => {
                // Which function: its number in `pg_proc`. The large-object calls of libpq are made so.
                let oid = number(body, 0).unwrap_or_default();
                let statement = marker(&format!("<function call {oid}>"), b"");
                let run = self.begin(message);
                self.push(Expected::Function { statement, run })?;
                self.push(Expected::Sync)
            }
            b'S' => {
                self.run = None;
                if self.copying_in { Ok(()) } else { self.push(Expected::Sync) }
            }
            b'H' => {
                self.run = None;
                Ok(())
            }
            b'c' | b'f' => {
                self.copying_in = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the client's StartupMessage.
    pub(super) fn connect(&mut self, message: &Message<'_>) {
        let run = self.begin(message);
        self.queue.push_back(Expected::Startup(run));
    }

    fn query(&mut self, message: &Message<'_>, memo: &mut Memo) -> Result<(), QueueFull> {
        let mut body = message.body;
        let text = string(&mut body);
        let dialect = self.dialect;
        let all = memo.statements(text, dialect, Form::Script, || {
            // One more than is told apart: it tells that there are more.
            let parts = sql::split_statements(text, dialect).take(MAX_STATEMENTS_IN_QUERY + 1);
            parts.map(|text| statement(text, dialect)).collect()
        });
        let statements: VecDeque<_> = all.iter().take(MAX_STATEMENTS_IN_QUERY).cloned().collect();
        let cut = message.cut || statements.len() < all.len();
        let run = self.begin(message);
        self.run = None;
        self.push(Expected::Query(Box::new(Query { statements, cut, run, answered: false })))
    }

    fn close_name(&mut self, message: &Message<'_>) -> Result<(), QueueFull> {
        let mut body = message.body.get(1..).unwrap_or_default();
        let of_portal = message.body.first() == Some(&b'P');
        let (mut statement, mut undo) = (not_captured(), None);
        if let Some(name) = name(&mut body) {
            let names = if of_portal { &mut self.portals } else { &mut self.statements };
            let before = names.set(name, None);
            statement = before.clone().unwrap_or(statement);
            undo = (!of_portal).then(|| Box::new(Undo { name: name.into(), before }));
        }
        let run = self.begin(message);
        self.push(Expected::Step(Step { kind: StepKind::Close, statement, run, undo }))
    }

    fn step(
        &mut self,
        kind: StepKind,
        statement: Statement,
        message: &Message<'_>,
        undo: Option<Box<Undo>>,
    ) -> Result<(), QueueFull> {
        let run = match self.run {
            Some(run) => Run { bytes: run.bytes + message.len, ..run },
            None => self.begin(message),
        };
        self.run = (kind != StepKind::Execute).then_some(run);
        self.push(Expected::Step(Step { kind, statement, run, undo }))
    }

    fn push(&mut self, expected: Expected) -> Result<(), QueueFull> {
        if self.skipping && !matches!(expected, Expected::Sync) {
            self.take_back([expected]);
            return Ok(());
        }
        // What is sent behind the Sync is not skipped, though the server has not answered that yet.
        self.skipping = false;
        if self.queue.len() >= MAX_QUEUE {
            return Err(QueueFull);
        }
        self.asked_ahead |= self.queue.back().is_some_and(Expected::is_end_of_asked);
        self.queue.push_back(expected);
        Ok(())
    }

    /// The step in front is answered. Its answer is the start of that of the execution it belongs to; where it belongs
    /// to none (a statement that is only prepared) the next answer starts afresh.
    pub(super) fn step_done(&mut self) {
        let Some(Expected::Step(done)) = self.queue.pop_front() else { return };
        let goes_on = match self.queue.front() {
            Some(Expected::Step(next)) => next.run.number == done.run.number,
            Some(_) => false,
            None => self.run.is_some_and(|run| run.number == done.run.number),
        };
        if !goes_on {
            self.answer = Answer::default();
        }
    }

    /// What the server did not do has not changed its map of statements.
    pub(super) fn take_back(
        &mut self,
        refused: impl IntoIterator<Item = Expected, IntoIter: DoubleEndedIterator>,
    ) {
        for expected in refused.into_iter().rev() {
            if let Expected::Step(Step { undo: Some(undo), .. }) = expected {
                self.statements.set(&undo.name, undo.before);
            }
        }
    }

    /// What the unnamed statement and portal stand for is not known: they change without being closed. A named one must
    /// be closed first, and drivers do not use a name twice.
    fn forget_unnamed(&mut self) {
        self.statements.set(b"", None);
        self.portals.set(b"", None);
    }

    /// The client's messages cannot be followed from here; what comes back for them answers nothing known.
    pub(super) fn requests_lost(&mut self) {
        self.forget_unnamed();
        self.run = None;
        if !matches!(self.queue.back(), Some(Expected::Unknown)) {
            self.queue.push_back(Expected::Unknown);
        }
    }

    /// The client's messages can be followed again, and none is unanswered: a client that does not pipeline sends the
    /// next when it has all answers. One that does may have sent others whose answers are still to come; so what is
    /// answered from here counts only once whole rounds have fitted, a batch or more asked and all of it answered.
    pub(super) fn requests_found(&mut self) {
        self.queue.clear();
        self.answer = Answer::default();
        self.skipping = false;
        self.copying_in = false;
        self.unproven = if self.pipelined { ROUNDS_ENOUGH } else { 0 };
    }

    /// What is answered now may be the answer to something that was not seen.
    pub(super) fn is_unproven(&self) -> bool {
        self.unproven > 0
    }

    /// A reply follows upon all that came before it.
    pub(super) fn is_answered(&mut self) {
        self.pipelined |= std::mem::take(&mut self.asked_ahead);
    }

    /// The client begins to send after the server did.
    pub(super) fn round(&mut self) {
        if self.queue.is_empty() {
            self.unproven = self.unproven.saturating_sub(1);
        } else if self.unproven > 0 {
            self.unproven = ROUNDS_ENOUGH;
        }
    }

    /// The batch is complete, with this state of the transaction after it.
    pub(super) fn batch_ready(&mut self, state: Transaction, out: &mut Output) {
        if self.unproven > 0 {
            out.losses.add(Loss::RequestsWithoutResponse, self.batch.forget());
        }
        self.batch.ready(state, &mut out.exchanges);
    }

    /// Nothing known is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.queue.front(), None | Some(Expected::Unknown))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.queue.iter().filter(|expected| expected.is_work()).count()
    }

    /// Which answer belongs to which request is not known any more: what is open ends here, as lost. With `doubt`, so does
    /// what seemed complete since the last ReadyForQuery.
    pub(super) fn abandon(&mut self, doubt: bool, out: &mut Output) {
        if doubt || self.unproven > 0 {
            out.losses.add(Loss::RequestsWithoutResponse, self.batch.forget());
        }
        self.lose_works(self.queue.len(), out);
        self.batch.release(&mut out.exchanges);
        self.answer = Answer::default();
        self.asked_ahead = false;
        self.skipping = false;
        self.copying_in = false;
        self.requests_lost();
    }

    /// The first `count` entries of the queue have no end that was seen. Only the first statement can have been answered in
    /// part: it ends with what was seen of that; the others are counted.
    fn lose_works(&mut self, count: usize, out: &mut Output) {
        let seen = self.answer.first.map(|_| self.answer.last);
        for (index, (statement, run)) in self.works(count).into_iter().enumerate() {
            match seen.filter(|_| index == 0 && self.unproven == 0) {
                Some(at) => self.end(&statement, run, Ended::lost(at), out),
                None => out.losses.add(Loss::RequestsWithoutResponse, 1),
            }
        }
    }

    /// The end of a batch was found behind missing bytes. It ends the only batch that is open; were there several, it
    /// could be the end of any. False where that is so. `hidden_since` is when the first of the missing bytes moved.
    pub(super) fn resume(&mut self, end: End, at: Time, hidden_since: Time, out: &mut Output) -> bool {
        let mut ends = (0..self.queue.len()).filter(|&index| self.queue[index].ends_batch());
        let (first, second) = (ends.next(), ends.next());
        let unknown = matches!(self.queue.back(), Some(Expected::Unknown));
        let open = match (first, second) {
            (Some(index), None) if !unknown => index + 1,
            (None, _) if self.queue.is_empty() => 0,
            _ => {
                self.abandon(false, out);
                return false;
            }
        };
        let tag = end.tag.filter(|tag| self.last_of(open).is_none_or(|statement| agrees(statement, tag)));
        // Which of several failed is not known: those behind it did not run.
        let failure = end.failure.filter(|_| self.count_works(open) == 1);
        let is_ones = (tag.is_some() && self.count_works(open) == 1) || failure.is_some();
        if hidden_since == at || is_ones {
            // All of them ended in the call that is read here.
            let mut works = self.works(open);
            let last = works.pop();
            for (statement, run) in works {
                self.end(&statement, run, Ended::lost(at), out);
            }
            if let Some((statement, run)) = last {
                let is_known = tag.is_some() || failure.is_some();
                let outcome = if is_known { Outcome::Complete } else { Outcome::Lost };
                let rows = tag.as_deref().and_then(super::messages::rows);
                self.end(&statement, run, Ended { outcome, rows, failure, ..Ended::lost(at) }, out);
            }
        } else {
            self.lose_works(open, out);
        }
        self.skipping = false;
        self.copying_in = false;
        self.answer = Answer::default();
        self.batch_ready(end.state, out);
        true
    }

    /// The last statement among the first `count` entries of the queue.
    fn last_of(&self, count: usize) -> Option<&Statement> {
        self.queue.iter().take(count).rev().find_map(|expected| match expected {
            Expected::Query(query) => query.statements.back(),
            Expected::Function { statement, .. } => Some(statement),
            Expected::Step(step) if step.kind == StepKind::Execute => Some(&step.statement),
            _ => None,
        })
    }

    /// Statements among the first `count` entries of the queue.
    fn count_works(&self, count: usize) -> usize {
        let of = |expected: &Expected| match expected {
            Expected::Query(query) => query.statements.len() + usize::from(query.cut),
            other => usize::from(other.is_work()),
        };
        self.queue.iter().take(count).map(of).sum()
    }

    /// Takes the first `count` entries off the queue and gives the statements among them.
    fn works(&mut self, count: usize) -> Vec<(Statement, Run)> {
        let mut works = Vec::new();
        for expected in self.queue.drain(..count) {
            match expected {
                Expected::Query(query) => {
                    let run = query.run;
                    if query.cut && query.statements.is_empty() {
                        works.push((not_captured(), run));
                    }
                    works.extend(query.statements.into_iter().map(|statement| (statement, run)));
                }
                Expected::Function { statement, run } => works.push((statement, run)),
                Expected::Step(step) if step.kind == StepKind::Execute => {
                    works.push((step.statement, step.run));
                }
                Expected::Step(_) | Expected::Startup(_) | Expected::Sync | Expected::Unknown => {}
            }
        }
        works
    }

    /// The connection ended: what is open ends with it; with no `outcome`, its answers were lost.
    pub(super) fn close(&mut self, at: Time, outcome: Option<Outcome>, out: &mut Output) {
        if self.unproven > 0 {
            out.losses.add(Loss::RequestsWithoutResponse, self.batch.forget());
        }
        self.batch.release(&mut out.exchanges);
        // Of a Query message only the statement that ran is known to have begun.
        for expected in &mut self.queue {
            if let Expected::Query(query) = expected {
                query.statements.truncate(1);
                query.cut &= query.statements.is_empty();
            }
        }
        match outcome.filter(|_| self.unproven == 0) {
            Some(outcome) => {
                for (statement, run) in self.works(self.queue.len()) {
                    self.end(&statement, run, Ended { outcome, ..Ended::lost(at) }, out);
                }
            }
            None => self.lose_works(self.queue.len(), out),
        }
        self.batch.release(&mut out.exchanges);
    }

    /// A statement ended. Where it was sent while another ran, it began when that one ended: the server runs one after the
    /// other, and the time of one is not that of all behind it.
    pub(super) fn end(&mut self, statement: &Statement, mut run: Run, ended: Ended, out: &mut Output) {
        let answer = std::mem::take(&mut self.answer);
        run.began.time = run.began.time.max(self.last_end.min(ended.at));
        self.last_end = ended.at;
        self.batch.add(statement, run, answer, ended);
        if self.unproven == 0 {
            self.batch.relieve(&mut out.exchanges);
        } else {
            // Whose answers they are may never be proven: no more than a batch of them waits for it.
            out.losses.add(Loss::RequestsWithoutResponse, self.batch.forget_if_long());
        }
    }
}
