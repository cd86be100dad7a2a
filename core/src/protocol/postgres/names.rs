//! What a connection's names stand for: prepared statements and portals.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sql::{self, Dialect, Form, Memo, Normalised};

/// Text of a statement whose Parse was not seen.
const PREPARED_BEFORE: &str = "<prepared before attach>";
/// Text of a statement that lies, or whose name lies, in a part of a message that was not captured.
const NOT_CAPTURED: &str = "<statement not captured>";
/// Text of a query string without a statement.
const EMPTY: &str = "<empty>";

/// A statement, shared by all that refers to it.
pub(super) type Statement = Arc<Normalised>;

/// A statement from its text.
pub(super) fn statement(text: &[u8], dialect: Dialect) -> Statement {
    let found = sql::normalise(text, dialect);
    if found.text.is_empty() { marker(EMPTY, b"") } else { Arc::new(found) }
}

/// The statement that a Parse message holds.
pub(super) fn parsed(text: &[u8], dialect: Dialect, memo: &mut Memo) -> Statement {
    let one = memo.statements(text, dialect, Form::Statement, || [statement(text, dialect)].into());
    one.first().map_or_else(not_captured, Arc::clone)
}

/// A statement of which only a name is known: executions of one name stay together.
pub(super) fn marker(text: &str, name: &[u8]) -> Statement {
    let key = [text.as_bytes(), name].concat();
    Arc::new(Normalised {
        text: text.to_owned(),
        fingerprint: sql::fingerprint(&key),
        ..Normalised::default()
    })
}

/// A statement of which nothing is known.
pub(super) fn not_captured() -> Statement {
    marker(NOT_CAPTURED, b"")
}

/// Can this be the statement's command tag? Only where both are of the common verbs is it certain that not.
pub(super) fn agrees(statement: &Statement, tag: &[u8]) -> bool {
    const VERBS: &[&[u8]] = &[b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"MERGE", b"COPY", b"FETCH"];
    let verb = tag.split(|&byte| byte == b' ').next().unwrap_or(tag);
    let operation = statement.operation.as_bytes();
    verb == operation || !(VERBS.contains(&verb) && VERBS.contains(&operation))
}

/// A map from names to statements that holds at most `cap`; the one unused for longest goes first.
pub(super) struct Names {
    cap: usize,
    clock: u64,
    map: HashMap<Box<[u8]>, (Statement, u64)>,
}

impl Names {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, clock: 0, map: HashMap::new() }
    }

    /// The statement of `name`; a marker where it is not known.
    pub(super) fn get(&mut self, name: &[u8]) -> Statement {
        self.clock += 1;
        match self.map.get_mut(name) {
            Some((statement, used)) => {
                *used = self.clock;
                Arc::clone(statement)
            }
            None => marker(PREPARED_BEFORE, name),
        }
    }

    /// Sets or, with `None`, removes a name; returns what it stood for.
    pub(super) fn set(&mut self, name: &[u8], statement: Option<Statement>) -> Option<Statement> {
        self.clock += 1;
        let Some(statement) = statement else {
            return self.map.remove(name).map(|(before, _)| before);
        };
        if let Some(entry) = self.map.get_mut(name) {
            entry.1 = self.clock;
            return Some(std::mem::replace(&mut entry.0, statement));
        }
        if self.map.len() >= self.cap {
            let oldest = self.map.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                self.map.remove(&oldest);
            }
        }
        self.map.insert(name.into(), (statement, self.clock));
        None
    }
}
