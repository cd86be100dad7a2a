//! What the client asks ("Command Phase").

use std::collections::VecDeque;
use std::sync::Arc;

use super::attributes;
use super::login::name;
use super::packet::{Packet, text};
use crate::loss::Loss;
use crate::protocol::Output;
use crate::sql::{Dialect, Form, Normalised, fingerprint, normalise, split_statements};

/// Text of a statement that was prepared before the agent came, or is not remembered any more.
const PREPARED_BEFORE: &str = "<prepared before attach>";
/// Text of a statement that was not captured.
const NOT_CAPTURED: &str = "<statement not captured>";

/// A command, as its reply needs it.
#[derive(Debug)]
pub(super) enum Command {
    /// Statements, each with a result of its own; for one alone the results may be many (`CALL`). If the text is cut,
    /// more of them may follow.
    Run { statements: VecDeque<Arc<Normalised>>, is_cut: bool },
    /// Prepare.
    Prepare(Arc<Normalised>),
    /// Log in anew, as this user and with this database.
    ChangeUser { user: Option<Arc<str>>, database: Option<Arc<str>> },
    /// Make this the database.
    InitDb(Option<Arc<str>>),
    /// Forget all statements and settings.
    ResetConnection,
    /// Rows of a cursor, or columns of a table: up to their end.
    List,
    /// Answered by one packet.
    Simple,
}

impl Command {
    /// Is it answered by one packet, if it succeeds?
    pub(super) fn has_one_packet(&self) -> bool {
        matches!(self, Self::ChangeUser { .. } | Self::InitDb(_) | Self::ResetConnection | Self::Simple)
    }
}

/// What a command's packet says.
#[derive(Debug)]
pub(super) enum Asked {
    /// Something that will be answered.
    Command(Command),
    /// Run the statement with this number, or [`LAST`].
    Execute(u32),
    /// Forget the statement with this number.
    Close(u32),
    /// Something that has no answer.
    Nothing,
    /// The connection becomes a replication stream.
    Replication,
    /// What decides was not captured.
    Lost,
}

/// In place of a statement's number: that which was prepared last (MariaDB, "COM_STMT_EXECUTE").
pub(super) const LAST: u32 = u32::MAX;

/// Is this a call that begins with a command? Others may follow in it, and the last may go on in the next call.
pub(super) fn are_commands(mut bytes: &[u8]) -> bool {
    while let [a, b, c, 0, 0x01..=0x1f | 0xfa, ..] = bytes {
        let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        match bytes.get(4 + len..) {
            _ if len == 0 => return false,
            None | Some([]) => return true,
            Some(rest) => bytes = rest,
        }
    }
    false
}

/// Reads a command. `is_multi` where a query may hold several statements.
pub(super) fn read(packet: &Packet, is_multi: bool, dialect: Dialect, out: &mut Output) -> Asked {
    let rest = packet.head.get(1..).unwrap_or_default();
    let number = rest.first_chunk().map(|&number| u32::from_le_bytes(number));
    match packet.kind() {
        Some(0x03) => Asked::Command(Command::Run {
            statements: statements(packet, is_multi, dialect, out),
            is_cut: is_cut(packet),
        }),
        Some(0x16) => Asked::Command(Command::Prepare(Arc::new(known(normalise(rest, dialect))))),
        Some(0x17 | 0xfa) => number.map_or(Asked::Lost, Asked::Execute),
        Some(0x19) => number.map_or(Asked::Lost, Asked::Close),
        None => Asked::Lost,
        Some(0x01 | 0x18) => Asked::Nothing,
        Some(0x02) => Asked::Command(Command::InitDb(name(rest))),
        Some(0x11) => Asked::Command(change_user(rest)),
        Some(0x1f) => Asked::Command(Command::ResetConnection),
        Some(0x04 | 0x0a | 0x1c) => Asked::Command(Command::List),
        Some(0x12 | 0x15 | 0x1e) => Asked::Replication,
        _ => Asked::Command(Command::Simple),
    }
}

/// Not all of the packet is there.
pub(super) fn is_cut(packet: &Packet) -> bool {
    packet.cut || packet.len > packet.head.len() as u64
}

/// Runs one statement.
pub(super) fn execute(statement: Arc<Normalised>) -> Command {
    Command::Run { statements: [statement].into(), is_cut: false }
}

/// A statement of which only the number is known.
pub(super) fn prepared_before() -> Arc<Normalised> {
    Arc::new(marker(PREPARED_BEFORE))
}

/// A statement of which nothing is known.
pub(super) fn not_captured() -> Arc<Normalised> {
    Arc::new(marker(NOT_CAPTURED))
}

fn statements(
    packet: &Packet,
    is_multi: bool,
    dialect: Dialect,
    out: &mut Output,
) -> VecDeque<Arc<Normalised>> {
    let Some(query) = attributes::skip(&packet.head[1..]) else {
        if !is_cut(packet) {
            out.losses.add(Loss::Malformed, 1);
        }
        return [not_captured()].into();
    };
    let form = if is_multi { Form::Script } else { Form::Statement };
    let all = out.statements.statements(query, dialect, form, || told_apart(query, dialect, form));
    all.iter().cloned().collect()
}

fn told_apart(query: &[u8], dialect: Dialect, form: Form) -> Arc<[Arc<Normalised>]> {
    let mut all: Vec<Normalised> =
        split_statements(query, dialect).map(|text| normalise(text, dialect)).collect();
    if form == Form::Statement && all.len() > 1 {
        all = vec![normalise(query, dialect)];
    }
    // A procedure has any number of results: which of them is the next statement's cannot be told.
    if all.len() > 1 && all.iter().any(|statement| statement.operation == "CALL") {
        let text = all.iter().map(|statement| statement.text.as_str()).collect::<Vec<_>>().join("; ");
        let text = text[..text.floor_char_boundary(crate::sql::MAX_TEXT)].to_owned();
        let first = all.swap_remove(0);
        all = vec![Normalised { fingerprint: fingerprint(text.as_bytes()), text, ..first }];
    }
    if all.is_empty() {
        all.push(marker(NOT_CAPTURED));
    }
    all.into_iter().map(Arc::new).collect()
}

fn known(statement: Normalised) -> Normalised {
    if statement.text.is_empty() { marker(NOT_CAPTURED) } else { statement }
}

fn marker(text: &str) -> Normalised {
    Normalised { text: text.to_owned(), fingerprint: fingerprint(text.as_bytes()), ..Normalised::default() }
}

fn change_user(rest: &[u8]) -> Command {
    let read = || {
        let (user, rest) = text(rest)?;
        let (&password, rest) = rest.split_first()?;
        let database =
            rest.get(usize::from(password)..).and_then(text).and_then(|(database, _)| name(database));
        Some((name(user), database))
    };
    let (user, database) = read().unwrap_or_default();
    Command::ChangeUser { user, database }
}
