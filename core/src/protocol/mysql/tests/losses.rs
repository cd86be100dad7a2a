//! Every pattern of lost calls: nothing is told that did not happen.

use rstest::rstest;

use super::super::PROTOCOL;
use crate::protocol::testing::{Call, Trial};

/// Statements before the damage, and those that may be blind after it.
const BEFORE: usize = 1;
const BLIND: usize = 4;
const AFTER: usize = BLIND + 2;

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short packet");
    [&[len, 0, 0, sequence], payload].concat()
}

/// An OK packet that tells `n` rows; without a session that goes on.
fn ok(sequence: u8, n: usize) -> Vec<u8> {
    packet(sequence, &[0, u8::try_from(n).expect("a small number"), 0, 2, 0, 0, 0])
}

/// An error whose number has `n`, SQLSTATE 42S02.
fn error(sequence: u8, n: usize) -> Vec<u8> {
    let code = u16::try_from(1000 + n).expect("a small number").to_le_bytes();
    packet(sequence, &[&[0xff], &code[..], b"#42S02no"].concat())
}

fn query(n: usize) -> Vec<u8> {
    packet(0, format!("\x03UPDATE t{n} SET a = 1").as_bytes())
}

/// A change of rows.
fn update(n: usize) -> Vec<Call> {
    vec![(true, query(n)), (false, ok(1, n))]
}

/// One of two fails.
fn failing(n: usize) -> Vec<Call> {
    vec![(true, query(n)), (false, if n.is_multiple_of(2) { ok(1, n) } else { error(1, n) })]
}

/// Rows, in three calls, told as EOF packets end them (no CLIENT_DEPRECATE_EOF).
fn rows(n: usize) -> Vec<Call> {
    let eof = |sequence| packet(sequence, &[0xfe, 0, 0, 2, 0]);
    let definition = packet(2, b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x0b\0\0\0\x03\0\0\0\0\0");
    vec![
        (true, packet(0, format!("\x03SELECT a FROM t{n}").as_bytes())),
        (false, [packet(1, &[1]), definition, eof(3)].concat()),
        (false, packet(4, b"\x015")),
        (false, [packet(5, b"\x016"), eof(6)].concat()),
    ]
}

#[rstest]
#[case::update(update, 4)]
#[case::failing(failing, 4)]
#[case::rows(rows, 2)]
fn no_pattern_of_lost_calls_tells_what_did_not_happen(
    #[case] speaks: fn(usize) -> Vec<Call>,
    #[case] damaged: usize,
) {
    // Capabilities of the login: protocol 4.1, transactions, no CLIENT_DEPRECATE_EOF.
    let login = [&[0x00, 0xa2, 0x08, 0x00, 0, 0, 0, 1, 0x2d][..], &[0; 23], b"app\0\0"].concat();
    let mut calls: Vec<Call> = vec![
        (false, packet(0, b"\x0a8.0.36\0\x01\0\0\0aaaaaaaa\0\xff\xff\x2d\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0aaaaaaaaaaaa\0")),
        (true, packet(1, &login)),
        (false, ok(2, 0)),
    ];
    let per = speaks(0).len();
    let first = calls.len() + BEFORE * per;
    calls.extend((1..=BEFORE + damaged + AFTER).flat_map(speaks));
    Trial {
        protocol: &PROTOCOL,
        calls: &calls,
        damaged: first..first + damaged * per,
        told_again: AFTER - BLIND,
    }
    .run();
}
