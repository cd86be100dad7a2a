//! What the server answers ("Generic Response Packets", "Text Resultset").

use super::packet::{Packet, integer};
use crate::exchange::Transaction;
use crate::sql::Dialect;

const IN_TRANSACTION: u16 = 1;
const MORE_RESULTS: u16 = 8;
const CURSOR_EXISTS: u16 = 64;
const NO_BACKSLASH_ESCAPES: u16 = 512;

/// How a result ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// Rows sent, or rows changed; `None` where bytes were lost or it failed.
    pub(super) rows: Option<u64>,
    /// SQLSTATE, or the error's number where it has none.
    pub(super) error: Option<String>,
    /// The server's status, unless it failed.
    pub(super) status: Option<u16>,
}

impl Ending {
    /// Another result follows.
    pub(super) fn has_more(&self) -> bool {
        self.status.is_some_and(|status| status & MORE_RESULTS != 0)
    }

    pub(super) fn transaction(&self) -> Transaction {
        match self.status {
            None => Transaction::Unknown,
            Some(status) if status & IN_TRANSACTION != 0 => Transaction::Open,
            Some(_) => Transaction::Idle,
        }
    }
}

/// How the server reads statements from here on (`SERVER_STATUS_NO_BACKSLASH_ESCAPES`).
pub(super) fn dialect(status: u16) -> Dialect {
    if status & NO_BACKSLASH_ESCAPES == 0 { Dialect::Mysql } else { Dialect::MysqlNoEscapes }
}

/// What an OK packet says, after its first byte: rows changed, and the status.
pub(super) fn ok(packet: &Packet) -> Option<(u64, u16)> {
    let (rows, rest) = integer(packet.head.get(1..)?)?;
    let (_, rest) = integer(rest)?;
    Some((rows, u16::from_le_bytes(*rest.first_chunk()?)))
}

/// The status in an EOF packet.
pub(super) fn eof(packet: &Packet) -> Option<u16> {
    Some(u16::from_le_bytes(*packet.head.get(3..)?.first_chunk()?))
}

/// An EOF packet, or an OK packet in its place; a row that begins so is longer than any packet.
pub(super) fn ends_rows(packet: &Packet) -> bool {
    packet.kind() == Some(0xfe) && packet.len < 0xff_ffff
}

/// An EOF packet of the old kind.
pub(super) fn is_eof(packet: &Packet) -> bool {
    packet.kind() == Some(0xfe) && packet.len == 5
}

/// What an ERR packet says.
pub(super) fn error(payload: &[u8]) -> Option<Ending> {
    let [0xff, low, high, rest @ ..] = payload else { return None };
    let code = match rest {
        [b'#', state @ ..] if state.len() >= 5 && state[..5].iter().all(u8::is_ascii_alphanumeric) => {
            String::from_utf8_lossy(&state[..5]).into_owned()
        }
        _ => u16::from_le_bytes([*low, *high]).to_string(),
    };
    Some(Ending { rows: None, error: Some(code), status: None })
}

/// How far a statement is, which ends nothing: MariaDB sends it as an error of this number to clients that know of it, libmariadb
/// among them (MariaDB, "ERR_Packet").
pub(super) fn is_progress(payload: &[u8]) -> bool {
    payload.starts_with(&[0xff, 0xff, 0xff])
}

/// The end of a result set at the end of what one call moved, where its framing was lost.
pub(super) fn tail(bytes: &[u8]) -> Option<Ending> {
    let ended = |status| Some(Ending { rows: None, error: None, status: Some(u16::from_le_bytes(status)) });
    if let Some([5, 0, 0, _, 0xfe, _, _, low, high]) = bytes.last_chunk() {
        return ended([*low, *high]);
    }
    if let Some([7, 0, 0, _, 0xfe, 0, 0, low, high, _, _]) = bytes.last_chunk() {
        return ended([*low, *high]);
    }
    failure(bytes)
}

/// What the ERR packet says that ends these bytes: one of the right length, with an SQLSTATE.
fn failure(bytes: &[u8]) -> Option<Ending> {
    (0..bytes.len().saturating_sub(12)).rev().find_map(|at| {
        let [a, b, c, _, payload @ ..] = &bytes[at..] else { return None };
        let is_packet = u32::from_le_bytes([*a, *b, *c, 0]) as usize == payload.len();
        let has_state = payload.get(3) == Some(&b'#') && !is_progress(payload);
        if is_packet && has_state { error(payload) } else { None }
    })
}

/// Where in the answer to a command the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Before its first packet, or before the first of the next result.
    #[default]
    First,
    /// In the columns' descriptions, so many to come.
    Columns(u64),
    /// After them, where the old protocol has an EOF packet.
    AfterColumns,
    /// In the rows, so many sent.
    Rows(u64),
    /// In the descriptions of a prepared statement, so many to come.
    Definitions(u64),
}

/// What a packet of a result means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    To(Place),
    End(Ending),
    /// The server asks for a file.
    File,
    /// It makes no sense here, or too little of it was captured.
    Lost,
}

/// Reads the next packet of a statement's result. `deprecates_eof` is learnt where it was not known.
pub(super) fn step(place: Place, packet: &Packet, deprecates_eof: &mut Option<bool>) -> Step {
    let Some(kind) = packet.kind() else { return Step::Lost };
    if kind == 0xff {
        return error(&packet.head).map_or(Step::Lost, Step::End);
    }
    match place {
        Place::First => match kind {
            0 => ok(packet).map_or(Step::Lost, |(rows, status)| {
                Step::End(Ending { rows: Some(rows), error: None, status: Some(status) })
            }),
            0xfb => Step::File,
            _ => match integer(&packet.head) {
                // MariaDB says whether their descriptions follow ("Result Set Packets", MARIADB_CLIENT_CACHE_METADATA).
                Some((columns, [] | [1])) if columns > 0 && !packet.cut => Step::To(Place::Columns(columns)),
                Some((columns, [0])) if columns > 0 && !packet.cut => {
                    Step::To(after_columns(*deprecates_eof))
                }
                _ => Step::Lost,
            },
        },
        Place::Columns(left) if left > 1 => Step::To(Place::Columns(left - 1)),
        Place::Columns(_) => Step::To(after_columns(*deprecates_eof)),
        Place::AfterColumns if is_eof(packet) => {
            *deprecates_eof = Some(false);
            match eof(packet) {
                None => Step::Lost,
                // The rows wait for COM_STMT_FETCH.
                Some(status) if status & CURSOR_EXISTS != 0 => {
                    Step::End(Ending { rows: None, error: None, status: Some(status) })
                }
                Some(_) => Step::To(Place::Rows(0)),
            }
        }
        Place::AfterColumns if *deprecates_eof == Some(false) => Step::Lost,
        Place::AfterColumns => {
            *deprecates_eof = Some(true);
            step(Place::Rows(0), packet, deprecates_eof)
        }
        Place::Rows(rows) if ends_rows(packet) => {
            let status = if packet.len < 7 { eof(packet) } else { ok(packet).map(|(_, status)| status) };
            status.map_or(Step::Lost, |status| {
                let rows = (status & CURSOR_EXISTS == 0 || rows > 0).then_some(rows);
                Step::End(Ending { rows, error: None, status: Some(status) })
            })
        }
        Place::Rows(rows) => Step::To(Place::Rows(rows.saturating_add(1))),
        Place::Definitions(_) => Step::Lost,
    }
}

fn after_columns(deprecates_eof: Option<bool>) -> Place {
    if deprecates_eof == Some(true) { Place::Rows(0) } else { Place::AfterColumns }
}
