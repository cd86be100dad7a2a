//! The app's own ids against the agent's.

use std::collections::HashMap;
use std::fmt;

use apm_core::exchange::{ConnId, Direction};

use crate::watch::Seen;

/// Calls by how they were attributed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    calls: usize,
    right: usize,
    wrong: usize,
    none: usize,
    /// By context, thread, hand-over, and the response's writer.
    how: [usize; 4],
}

/// The number after `rid=`.
fn rid(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head.get(..head.len().min(200))?).ok()?;
    let (_, rest) = text.split_once("rid=")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Calls that all requests of a kind make (`tests/apps/attribution/calls.py`).
fn made(kind: &str) -> usize {
    let each = match kind {
        "background" | "queue" => 1,
        "seq" | "executor" | "to_thread" | "child" => 2,
        "gather" | "pool" => 3,
        other => panic!("nobody says how many calls {other} makes"),
    };
    super::REQUESTS * each
}

impl Score {
    /// Scores the calls with ids from `first` on. What the kernel side does not know is bound as the correlator does it:
    /// the unit that wrote a response did that request's work.
    pub(crate) fn of(log: &[Seen], first: usize) -> Self {
        let mut score = Self::default();
        let mut requests: HashMap<u64, usize> = HashMap::new();
        let mut reading: HashMap<ConnId, u64> = HashMap::new();
        let mut unbound: Vec<(&Seen, usize)> = Vec::new();
        for seen in log {
            let id = rid(&seen.head).filter(|id| *id >= first);
            match (seen.direction, id) {
                (Direction::Read, Some(id)) => {
                    assert!(
                        seen.origin.request != 0,
                        "request {id} was not recognised as one: {:?}",
                        seen.origin
                    );
                    requests.insert(seen.origin.request, id);
                    reading.insert(seen.conn, seen.origin.request);
                }
                (Direction::Write, Some(id)) => {
                    score.calls += 1;
                    if seen.origin.request == 0 {
                        unbound.push((seen, id));
                    } else {
                        score.how[usize::from(seen.origin.how.clamp(1, 3)) - 1] += 1;
                        score.judge(requests.get(&seen.origin.request) == Some(&id));
                    }
                }
                (Direction::Write, None) if seen.head.starts_with(b"HTTP/") && seen.origin.unit != 0 => {
                    let unit = seen.origin.unit;
                    let Some(request) = reading.get(&seen.conn) else { continue };
                    for (call, id) in unbound.extract_if(.., |(call, _)| {
                        call.origin.unit == unit || call.origin.ancestors.contains(&unit)
                    }) {
                        let _ = call;
                        score.how[3] += 1;
                        score.judge(requests.get(request) == Some(&id));
                    }
                }
                _ => {}
            }
        }
        score.none = unbound.len();
        score
    }

    fn judge(&mut self, right: bool) {
        if right {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }

    /// By thread alone: each request's own call, and nothing wrongly.
    pub(crate) fn is_right_by_thread(&self, kind: &str) -> bool {
        let own = if kind == "seq" { self.calls } else { super::REQUESTS };
        self.calls == made(kind) && self.right == own && self.right + self.none == self.calls
    }

    /// Everything attributed, nothing wrongly; work that comes through a global queue must have no request.
    pub(crate) fn is_right(&self, kind: &str) -> bool {
        let expected = if kind == "queue" { self.none } else { self.right };
        self.calls == made(kind) && expected == self.calls
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, right, wrong, none, how: [context, thread, handover, response] } = self;
        write!(f, "{calls} | {right} | {wrong} | {none} | ")?;
        write!(f, "context {context}, thread {thread}, handover {handover}, response {response}")
    }
}
