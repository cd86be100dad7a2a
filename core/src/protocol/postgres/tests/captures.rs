//! Streams recorded from real clients and a real server, with the exchanges that they hold.
//!
//! `UPDATE_EXPECT=1 cargo test` writes the expectations anew; read the difference before it is committed.

use std::path::PathBuf;

use rstest::rstest;

use super::*;
use crate::protocol::testing::{Trial, followed, read_capture};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/postgres")
}

/// The chunks of a capture, as the client sees them.
fn read(name: &str) -> Vec<Piece> {
    let piece =
        |(by_client, bytes)| Piece::Bytes(if by_client { Direction::Write } else { Direction::Read }, bytes);
    read_capture(&format!("postgres/{name}")).into_iter().map(piece).collect()
}

/// What the kernel side leaves of a stream: of a run in one direction the first `budget` bytes, of each later chunk its
/// first and last few.
fn as_captured(pieces: &[Piece], budget: usize, first: usize, last: usize) -> Vec<Piece> {
    let mut left = budget;
    let mut run = None;
    let mut captured = Vec::new();
    for piece in pieces {
        let Piece::Bytes(direction, bytes) = piece else { continue };
        if run != Some(*direction) {
            run = Some(*direction);
            left = budget;
        }
        let head = if left == 0 { first } else { left }.min(bytes.len());
        left = left.saturating_sub(head);
        let tail = last.min(bytes.len() - head);
        captured.push(Piece::Bytes(*direction, bytes[..head].to_vec()));
        captured.push(Piece::Gap(*direction, (bytes.len() - head - tail) as u64));
        captured.push(Piece::Bytes(*direction, bytes[bytes.len() - tail..].to_vec()));
    }
    captured
}

/// Without times and states: what is the same however the stream was cut.
fn asked(fed: &Fed) -> Vec<(String, Option<u64>, Option<String>, Outcome)> {
    let exchanges = fed.out.exchanges.iter();
    exchanges
        .map(|exchange| {
            let sql = sql(exchange);
            (sql.statement.text.clone(), sql.rows, sql.error_code.clone(), exchange.outcome)
        })
        .collect()
}

#[rstest]
fn clients_do_what_they_did(
    #[values(
        "asyncpg_copy",
        "asyncpg_queries",
        "pg8000_queries",
        "psycopg2_queries",
        "psycopg_pipeline",
        "psycopg_queries"
    )]
    name: &str,
) {
    let pieces = read(name);
    let mut fed = Fed::new(true);
    fed.pieces(&pieces).close(CloseReason::Local);
    let found = fed.lines().join("\n") + "\n";
    let path = folder().join(format!("{name}.expected"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap());
    assert_eq!(fed.out.losses, Losses::default());
    assert_eq!(fed.session.in_flight(), 0);
    for exchange in &fed.out.exchanges {
        let sql = sql(exchange);
        assert_eq!((sql.database.as_deref(), sql.user.as_deref()), (Some("shop"), Some("shop")));
    }
    let kept =
        fed.out.exchanges.iter().map(|exchange| sql(exchange).statement.text.as_str()).collect::<String>();
    for secret in ["one", "again", "twenty", "secret", "correct horse", "five"] {
        assert!(!kept.contains(secret), "{secret} survived");
    }

    let calls = read_capture(&format!("postgres/{name}"));
    let protocol = &super::super::PROTOCOL;
    Trial { protocol, calls: &calls, damaged: followed(&calls), told_again: 0 }.run_pairs();
    cut_anywhere(&pieces, &asked(&fed));
    captured_in_part(&pieces, &asked(&fed));
    joined_in_mid_life(&pieces, &asked(&fed));
}

/// The connection ends after any byte: what was complete is told the same, and at most what was open is added.
fn cut_anywhere(pieces: &[Piece], whole: &[(String, Option<u64>, Option<String>, Outcome)]) {
    for count in 0..pieces.len() {
        let Piece::Bytes(direction, bytes) = &pieces[count] else { unreachable!() };
        // Every cut of a small chunk, of a large one those near its ends.
        for cut in (0..bytes.len()).filter(|&cut| cut < 300 || bytes.len() - cut < 100) {
            let mut fed = Fed::new(true);
            fed.pieces(&pieces[..count]).piece(&Piece::Bytes(*direction, bytes[..cut].to_vec()));
            fed.close(CloseReason::Local);
            let found = asked(&fed);
            let complete = found.iter().filter(|exchange| exchange.3 == Outcome::Complete);
            for (found, expected) in complete.zip(whole) {
                assert_eq!((&found.0, found.1), (&expected.0, expected.1), "cut at {cut} of chunk {count}");
            }
            assert_eq!(fed.session.in_flight(), 0);
        }
    }
}

/// With the gaps that the kernel side leaves, every statement is told once and in order, and what is told of one as
/// complete is what happened.
fn captured_in_part(pieces: &[Piece], whole: &[(String, Option<u64>, Option<String>, Outcome)]) {
    for (budget, first, last) in [(16384, 256, 64), (4096, 256, 64), (300, 64, 64)] {
        let mut fed = Fed::new(true);
        fed.pieces(&as_captured(pieces, budget, first, last)).close(CloseReason::Local);
        let found = asked(&fed);
        if budget >= 4096 {
            assert_eq!(found, whole, "{budget}");
            continue;
        }
        let told = found.len() as u64 + fed.lost(Loss::ResponsesWithoutRequest);
        assert!(told >= whole.len() as u64 || fed.lost(Loss::Resyncs) > 0, "{budget}: {found:#?}");
        for exchange in found.iter().filter(|found| found.3 == Outcome::Complete) {
            let same = whole.iter().any(|expected| {
                let text = expected.0 == exchange.0 || exchange.0.len() < expected.0.len();
                text && expected.1 == exchange.1 && expected.2 == exchange.2
            });
            assert!(same, "{budget}: {exchange:?} did not happen");
        }
    }
}

/// Joined before any chunk: what is told of statements whose start was seen is what happened, in its order.
fn joined_in_mid_life(pieces: &[Piece], whole: &[(String, Option<u64>, Option<String>, Outcome)]) {
    for start in 1..pieces.len() {
        let mut fed = Fed::new(false);
        fed.pieces(&pieces[start..]).close(CloseReason::Local);
        let found = asked(&fed);
        let mut expected = whole.iter();
        for exchange in found.iter().filter(|found| found.3 == Outcome::Complete) {
            let matched = expected.any(|expected| {
                let text = expected.0 == exchange.0 || exchange.0.starts_with('<');
                text && expected.1 == exchange.1 && expected.2 == exchange.2
            });
            assert!(matched, "from chunk {start}: {exchange:?} of {found:#?}");
        }
    }
}
