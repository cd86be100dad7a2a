//! Tests of the PostgreSQL session: bytes by hand, bytes of real clients, bytes at random.

mod captures;
mod conversations;
mod detection;
mod losses;
mod properties;

use crate::exchange::{Detail, Direction, Exchange, Origin, Outcome, Role, Sql, Transaction};
use crate::loss::{Loss, Losses};
use crate::protocol::{At, CloseReason, Next, Output, Session};
use crate::time::Time;

use super::Postgres;

/// A piece of a conversation.
#[derive(Clone)]
enum Piece {
    Bytes(Direction, Vec<u8>),
    Gap(Direction, u64),
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(direction, bytes) => write!(f, "{direction:?} \"{}\"", bytes.escape_ascii()),
            Self::Gap(direction, len) => write!(f, "{direction:?} gap of {len}"),
        }
    }
}

/// A session that is fed piece by piece; the time is the number of the piece.
struct Fed {
    session: Postgres,
    time: u64,
    out: Output,
    next: Next,
}

impl Fed {
    fn new(from_start: bool) -> Self {
        let session = Postgres::new(Role::Client, from_start);
        Self { session, time: 0, out: Output::default(), next: Next::Continue }
    }

    fn piece(&mut self, piece: &Piece) -> &mut Self {
        self.time += 1;
        let at = |direction| At { direction, time: Time(self.time), origin: Origin::default() };
        match piece {
            Piece::Bytes(direction, bytes) => {
                self.next = self.session.data(&at(*direction), bytes, &mut self.out);
            }
            Piece::Gap(direction, len) => self.session.gap(&at(*direction), *len, &mut self.out),
        }
        self
    }

    fn pieces(&mut self, pieces: &[Piece]) -> &mut Self {
        for piece in pieces {
            if self.piece(piece).next != Next::Continue {
                break;
            }
        }
        self
    }

    fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.piece(&Piece::Bytes(Direction::Write, bytes.as_ref().to_vec()))
    }

    fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.piece(&Piece::Bytes(Direction::Read, bytes.as_ref().to_vec()))
    }

    fn client_gap(&mut self, len: u64) -> &mut Self {
        self.piece(&Piece::Gap(Direction::Write, len))
    }

    fn server_gap(&mut self, len: u64) -> &mut Self {
        self.piece(&Piece::Gap(Direction::Read, len))
    }

    fn close(&mut self, reason: CloseReason) -> &mut Self {
        self.time += 1;
        self.session.close(Time(self.time), reason, &mut self.out);
        self
    }

    /// What was handed out so far, one line each.
    fn lines(&self) -> Vec<String> {
        self.out.exchanges.iter().map(line).collect()
    }

    fn lost(&self, loss: Loss) -> u64 {
        self.out.losses.get(loss)
    }
}

fn sql(exchange: &Exchange) -> &Sql {
    match &exchange.detail {
        Detail::Sql(sql) => sql,
        other => panic!("not SQL: {other:?}"),
    }
}

/// `start-first response-end rows [state] [failure] [outcome] text`
fn line(exchange: &Exchange) -> String {
    let sql = sql(exchange);
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let state = match sql.transaction {
        Transaction::Unknown => "?",
        Transaction::Idle => "idle",
        Transaction::Open => "open",
        Transaction::Failed => "failed",
    };
    let first = exchange.first_response.map_or("_".to_owned(), |time| time.0.to_string());
    let mut line =
        format!("{}-{first}-{} rows={} {state}", exchange.start.0, exchange.end.0, number(sql.rows));
    if let (Some(severity), Some(code)) = (&sql.severity, &sql.error_code) {
        line += &format!(" {severity} {code}");
    }
    if exchange.outcome != Outcome::Complete {
        line += &format!(" {:?}", exchange.outcome);
    }
    format!("{line} {}", sql.statement.text)
}

/// A message of either side.
fn message(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0"))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0"))
}

/// A Bind with one parameter.
fn bind(portal: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let mut body = format!("{portal}\0{name}\0\0\0\0\x01").into_bytes();
    body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend_from_slice(value);
    body.extend_from_slice(b"\0\0");
    message(b'B', body)
}

fn describe(name: &str) -> Vec<u8> {
    message(b'D', format!("S{name}\0"))
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0"))
}

fn sync() -> Vec<u8> {
    message(b'S', "")
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0"))
}

fn ready(state: &str) -> Vec<u8> {
    message(b'Z', state)
}

fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Msecret text\0\0"))
}

fn row(len: usize) -> Vec<u8> {
    message(b'D', vec![b'x'; len])
}

/// A StartupMessage.
fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0shop\0application_name\0app\0\0";
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

/// A session whose connection was set up: two pieces.
fn connected() -> Fed {
    let mut fed = Fed::new(true);
    fed.client(startup()).server([message(b'R', [0; 4]), message(b'K', [1; 8]), ready("I")].concat());
    fed
}

fn losses(of: &[(Loss, u64)]) -> Losses {
    let mut losses = Losses::default();
    for &(loss, count) in of {
        losses.add(loss, count);
    }
    losses
}
