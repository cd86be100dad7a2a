//! What was asked and not answered yet.

use std::collections::VecDeque;

use super::frame::Stamp;
use super::names::Statement;

/// Most requests without answer that are followed; a client that sends more without reading is lost for this batch.
pub(super) const MAX_QUEUE: usize = 4096;

/// The first message of those that belong to one execution, and the bytes of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Tells it from other executions of the connection.
    pub(super) number: u64,
    pub(super) began: Stamp,
    pub(super) bytes: u64,
}

/// Messages of the extended query protocol (PostgreSQL manual, 55.2.3) that have an answer of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepKind {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
}

/// One such message.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: StepKind,
    pub(super) statement: Statement,
    pub(super) run: Run,
    /// What it changed in the map of statements, to be taken back if the server refuses or skips it.
    pub(super) undo: Option<Box<Undo>>,
}

/// A name and what it stood for before.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) name: Box<[u8]>,
    pub(super) before: Option<Statement>,
}

/// A Query message.
#[derive(Debug)]
pub(super) struct Query {
    /// Its statements that have no answer yet.
    pub(super) statements: VecDeque<Statement>,
    /// There may be more of them, in text that was not captured.
    pub(super) cut: bool,
    pub(super) run: Run,
    /// A statement was answered.
    pub(super) answered: bool,
}

/// An answer that is to come.
#[derive(Debug)]
pub(super) enum Expected {
    /// Authentication and all else up to the first ReadyForQuery.
    Startup(Run),
    Query(Box<Query>),
    /// A FunctionCall; its ReadyForQuery is a [`Expected::Sync`] behind it.
    Function {
        statement: Statement,
        run: Run,
    },
    Step(Step),
    /// The ReadyForQuery that ends a batch.
    Sync,
    /// Requests that were not seen: nothing is known of the answers. Always last.
    Unknown,
}

impl Expected {
    /// Is a ReadyForQuery the last part of this answer?
    pub(super) fn ends_batch(&self) -> bool {
        matches!(self, Self::Startup(_) | Self::Query(_) | Self::Sync)
    }

    /// Has the client asked for a ReadyForQuery, and was none of its requests lost?
    pub(super) fn is_end_of_asked(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Sync)
    }

    /// The statement that runs, if one does and is known.
    pub(super) fn statement(&self) -> Option<&Statement> {
        match self {
            Self::Query(query) => query.statements.front(),
            Self::Step(step) if step.kind == StepKind::Execute => Some(&step.statement),
            _ => None,
        }
    }

    /// Is it the work of a statement?
    pub(super) fn is_work(&self) -> bool {
        match self {
            Self::Query(query) => query.cut || !query.statements.is_empty(),
            Self::Function { .. } => true,
            Self::Step(step) => step.kind == StepKind::Execute,
            Self::Startup(_) | Self::Sync | Self::Unknown => false,
        }
    }
}
