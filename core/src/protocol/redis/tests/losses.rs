//! Every pattern of lost calls: nothing is told that did not happen.

use rstest::rstest;

use super::super::PROTOCOL;
use crate::protocol::testing::{Call, Trial};

/// Commands before the damage, and those that may be blind after it.
const BEFORE: usize = 1;
const BLIND: usize = 4;
const AFTER: usize = BLIND + 2;

fn command(n: usize) -> Vec<u8> {
    let name = format!("C{n:03}");
    format!("*2\r\n${}\r\n{name}\r\n$3\r\nkey\r\n", name.len()).into_bytes()
}

/// What is answered tells the number, as an error's word is shown.
fn reply(n: usize) -> Vec<u8> {
    format!("-E{n:03} no\r\n").into_bytes()
}

/// One command, its reply in one call.
fn one(n: usize) -> Vec<Call> {
    vec![(true, command(n)), (false, reply(n))]
}

/// A reply in two calls, the first of which ends as a reply may.
fn halves(n: usize) -> Vec<Call> {
    let line = format!("-E{n:03} no");
    vec![
        (true, command(n)),
        (false, format!("!{}\r\n", line.len() - 1).into_bytes()),
        (false, format!("{}\r\n", &line[1..]).into_bytes()),
    ]
}

/// A list in three calls, the first of which ends as a reply may.
fn list(n: usize) -> Vec<Call> {
    let reply = [&b"*2\r\n$3\r\nabc\r\n"[..], b"$3\r\n", b"abc\r\n"];
    std::iter::once((true, command(n))).chain(reply.map(|part| (false, part.to_vec()))).collect()
}

/// A pipeline of two, in a call each.
fn pipelined(n: usize) -> Vec<Call> {
    let (one, other) = (2 * n, 2 * n + 1);
    vec![(true, command(one)), (true, command(other)), (false, reply(one)), (false, reply(other))]
}

#[rstest]
#[case::one(one, 4, 1)]
#[case::halves(halves, 3, 1)]
#[case::list(list, 3, 1)]
#[case::pipelined(pipelined, 2, 2)]
fn no_pattern_of_lost_calls_tells_what_did_not_happen(
    #[case] speaks: fn(usize) -> Vec<Call>,
    #[case] damaged: usize,
    #[case] commands: usize,
) {
    let per = speaks(0).len();
    let calls: Vec<Call> = (1..=BEFORE + damaged + AFTER).flat_map(speaks).collect();
    Trial {
        protocol: &PROTOCOL,
        calls: &calls,
        damaged: BEFORE * per..(BEFORE + damaged) * per,
        told_again: (AFTER - BLIND) * commands,
    }
    .run();
}
