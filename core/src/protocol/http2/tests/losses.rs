//! Every pattern of lost calls: nothing is told that did not happen.

use rstest::rstest;

use super::super::PROTOCOL;
use super::writer::{added, data, get, headers, plain, preface, settings, settings_ack};
use crate::protocol::testing::{Call, Trial};

const BEFORE: u32 = 1;
const DAMAGED: u32 = 3;
const AFTER: u32 = 6;

fn status(n: u32) -> Vec<u8> {
    plain(":status", &(200 + n).to_string())
}

/// Requests one after the other, without any table but the static one.
fn static_table(n: u32) -> Vec<Call> {
    let stream = 2 * n + 1;
    vec![
        (true, headers(stream, true, &get(&format!("/p{n}")))),
        (false, headers(stream, false, &status(n))),
        (false, data(stream, true, 40)),
    ]
}

/// Each refers to what its predecessors put into the table: behind a loss it may be read as something else.
fn dynamic_table(n: u32) -> Vec<Call> {
    let stream = 2 * n + 1;
    let path = added(":path", &format!("/p{n}"));
    // The first entry is 62; each path that is added moves the authority one further (RFC 7541 section 2.3.3).
    let authority = match u8::try_from(n).expect("a small number") {
        0 => added(":authority", "h"),
        n => vec![0x80 + 61 + 1 + n],
    };
    let request = [vec![0x82, 0x87], authority, path].concat();
    let answer = if n.is_multiple_of(2) { added(":status", &(200 + n).to_string()) } else { status(n) };
    vec![
        (true, headers(stream, true, &request)),
        (false, headers(stream, false, &answer)),
        (false, data(stream, true, 40)),
    ]
}

/// Two streams at a time, answered in the other order, the second without a body.
fn crossed(n: u32) -> Vec<Call> {
    let (one, other) = (4 * n + 1, 4 * n + 3);
    vec![
        (
            true,
            [headers(one, true, &get(&format!("/p{n}"))), headers(other, true, &get(&format!("/q{n}")))]
                .concat(),
        ),
        (false, [headers(other, true, &status(2 * n)), headers(one, false, &status(2 * n + 1))].concat()),
        (false, data(one, true, 40)),
    ]
}

#[rstest]
#[case::static_table(static_table, 2)]
#[case::dynamic_table(dynamic_table, 0)]
#[case::crossed(crossed, 4)]
fn no_pattern_of_lost_calls_tells_what_did_not_happen(
    #[case] speaks: fn(u32) -> Vec<Call>,
    #[case] told_again: usize,
) {
    let mut calls: Vec<Call> =
        vec![(true, [preface(), settings()].concat()), (false, [settings(), settings_ack()].concat())];
    let per = speaks(0).len();
    let first = calls.len() + BEFORE as usize * per;
    calls.extend((0..BEFORE + DAMAGED + AFTER).flat_map(speaks));
    Trial { protocol: &PROTOCOL, calls: &calls, damaged: first..first + DAMAGED as usize * per, told_again }
        .run();
}
