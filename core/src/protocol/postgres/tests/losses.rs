//! Every pattern of lost calls, for each way in which clients speak: nothing is told that did not happen.

use super::*;
use crate::protocol::testing::{Call, Trial};

/// Statements before the damage, and those that may be blind after it.
const BEFORE: usize = 1;
const BLIND: usize = 4;
const AFTER: usize = BLIND + 2;

/// The calls of statement `n`; all statements of a conversation look alike but for their numbers.
type Speaks = fn(usize) -> Vec<Call>;

fn text(n: usize) -> String {
    format!("SELECT c{n} FROM t")
}

fn tag(n: usize) -> Vec<u8> {
    complete(&format!("SELECT {n}"))
}

/// A statement and its reply in two calls.
fn simple(n: usize) -> Vec<Call> {
    vec![
        (true, query(&text(n))),
        (false, [message(b'T', [0; 20]), row(30)].concat()),
        (false, [row(40), tag(n), ready("I")].concat()),
    ]
}

/// As asyncpg does: prepared, then executed, each with its Sync.
fn prepared(n: usize) -> Vec<Call> {
    let name = format!("s{n}");
    vec![
        (true, [parse(&name, &text(n)), describe(&name), sync()].concat()),
        (false, [message(b'1', ""), message(b't', [0; 6]), message(b'T', [0; 9]), ready("I")].concat()),
        (true, [bind("", &name, b"x"), execute(""), sync()].concat()),
        (false, [message(b'2', ""), row(30), tag(n), ready("I")].concat()),
    ]
}

/// One of two that fails, with an SQLSTATE that has its number.
fn failing(n: usize) -> Vec<Call> {
    let reply = match n % 2 {
        0 => [message(b'1', ""), message(b'2', ""), row(30), tag(n), ready("T")].concat(),
        _ => [message(b'1', ""), error("ERROR", &format!("{:05}", 22_000 + n)), ready("E")].concat(),
    };
    vec![(true, [parse("", &text(n)), bind("", "", b"x"), execute(""), sync()].concat()), (false, reply)]
}

/// Two in one text, each of which ends in a call of its own.
fn several(n: usize) -> Vec<Call> {
    let (one, other) = (2 * n, 2 * n + 1);
    vec![
        (true, query(&format!("{}; {}", text(one), text(other)))),
        (false, [row(30), tag(one)].concat()),
        (false, [row(30), tag(other), ready("I")].concat()),
    ]
}

/// A pipeline of two, each with its Sync, sent before the first is answered.
fn pipelined(n: usize) -> Vec<Call> {
    let ask = |n| [parse("", &text(n)), bind("", "", b"x"), execute(""), sync()].concat();
    let reply = |n| [message(b'1', ""), message(b'2', ""), row(30), tag(n), ready("I")].concat();
    let (one, other) = (2 * n, 2 * n + 1);
    vec![(true, ask(one)), (true, ask(other)), (false, reply(one)), (false, reply(other))]
}

/// COPY in: the data is the client's.
fn copied(n: usize) -> Vec<Call> {
    vec![
        (true, query(&format!("COPY t{n} FROM STDIN"))),
        (false, message(b'G', [0; 3])),
        (true, [message(b'd', [b'x'; 50]), message(b'c', "")].concat()),
        (false, [complete(&format!("COPY {n}")), ready("I")].concat()),
    ]
}

#[rstest::rstest]
#[case::simple(simple, 3, 1)]
#[case::prepared(prepared, 2, 1)]
#[case::failing(failing, 4, 1)]
#[case::several(several, 3, 2)]
#[case::pipelined(pipelined, 2, 2)]
#[case::copied(copied, 2, 1)]
fn no_pattern_of_lost_calls_tells_what_did_not_happen(
    #[case] speaks: Speaks,
    #[case] damaged: usize,
    #[case] statements: usize,
) {
    let mut calls: Vec<Call> =
        vec![(true, startup()), (false, [message(b'R', [0; 4]), message(b'K', [1; 8]), ready("I")].concat())];
    let per = speaks(0).len();
    calls.extend((1..=BEFORE + damaged + AFTER).flat_map(speaks));
    let first = 2 + BEFORE * per;
    Trial {
        protocol: &super::super::PROTOCOL,
        calls: &calls,
        damaged: first..first + damaged * per,
        told_again: (AFTER - BLIND) * statements,
    }
    .run();
}
