//! After calls have been lost in the middle of a connection, its requests are told again.

use std::time::Duration;

use crate::exchange::{Direction, Origin, Role};
use crate::protocol::testing::{Call, Trial};
use crate::protocol::{At, Output};
use crate::time::Time;

/// Requests before and after those of which calls may be lost.
const BEFORE: usize = 2;
const DAMAGED: usize = 3;
const AFTER: usize = 8;
/// Of the requests after the loss, those that may still be missing: the next one tells where the connection stands.
const BLIND: usize = 4;

/// What request `n` is answered with.
fn status(n: usize) -> u16 {
    400 + n as u16
}

/// A request with a body, its answer in two pieces: three calls.
fn exchange(n: usize) -> [Call; 3] {
    let request = format!("POST /n/{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n{}", "b".repeat(40));
    let head = format!("HTTP/1.1 {} OK\r\nContent-Length: 20\r\n\r\n", status(n));
    [(true, request.into()), (false, head.into()), (false, vec![b'r'; 20])]
}

/// The requests that are told, by number, each with its status.
fn told(role: Role, calls: &[Call], lost: &[bool]) -> Vec<(usize, u16)> {
    let mut session = (crate::protocol::http1::PROTOCOL.session)(role, true);
    let mut out = Output::default();
    let mut gap = [0u64; 2];
    for (n, ((by_client, bytes), lost)) in calls.iter().zip(lost).enumerate() {
        let of_request = if role == Role::Server { Direction::Read } else { Direction::Write };
        let of_response = if role == Role::Server { Direction::Write } else { Direction::Read };
        let direction = if *by_client { of_request } else { of_response };
        let time = Time(Duration::from_millis(n as u64).as_nanos() as u64);
        let at = At { direction, time, origin: Origin::default() };
        let gap = &mut gap[usize::from(*by_client)];
        if *lost {
            *gap += bytes.len() as u64;
            continue;
        }
        if *gap > 0 {
            session.lost(&at, std::mem::take(gap), &mut out);
        }
        session.data(&at, bytes, &mut out);
    }
    out.exchanges
        .iter()
        .filter_map(|exchange| match &exchange.detail {
            crate::exchange::Detail::Http(http) => {
                let number = http.path.strip_prefix("/n/").and_then(|number| number.parse().ok());
                Some((number.expect("a path that was sent"), http.status))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_connection_that_lost_calls_is_told_again() {
    let all = BEFORE + DAMAGED + AFTER;
    let calls: Vec<Call> = (0..all).flat_map(exchange).collect();
    let (mut stuck, mut wrong) = (Vec::new(), Vec::new());
    for role in [Role::Server, Role::Client] {
        for pattern in 1u32..1 << (3 * DAMAGED) {
            let lost: Vec<bool> = (0..calls.len())
                .map(|n| {
                    let at = n.wrapping_sub(3 * BEFORE);
                    at < 3 * DAMAGED && pattern >> at & 1 == 1
                })
                .collect();
            let told = told(role, &calls, &lost);
            if told.iter().any(|(n, shown)| *shown != status(*n)) {
                wrong.push(format!("{role:?} {pattern:09b}: {told:?}"));
            }
            let missing: Vec<usize> = (BEFORE + DAMAGED + BLIND..all)
                .filter(|n| !told.iter().any(|(number, _)| number == n))
                .collect();
            if !missing.is_empty() {
                stuck.push(format!("{role:?} {pattern:09b}: {missing:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(stuck.is_empty(), "{} of {}:\n{}", stuck.len(), 2 * ((1 << (3 * DAMAGED)) - 1), stuck.join("\n"));
}

/// Two requests in a call each, then their answers, one with a body and one without.
fn pipelined(n: usize) -> Vec<Call> {
    let ask = |n: usize| (true, format!("GET /n/{n} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes());
    let answer = |n: usize, len: usize| {
        let head = format!("HTTP/1.1 {} OK\r\nContent-Length: {len}\r\n\r\n", status(n));
        (false, [head.into_bytes(), vec![b'r'; len]].concat())
    };
    let (one, other) = (2 * n, 2 * n + 1);
    vec![ask(one), ask(other), answer(one, 20), answer(other, 0)]
}

/// One after the other, without bodies: a call each.
fn in_turn(n: usize) -> Vec<Call> {
    vec![
        (true, format!("GET /n/{n} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()),
        (false, format!("HTTP/1.1 {} OK\r\nContent-Length: 0\r\n\r\n", status(n)).into_bytes()),
    ]
}

fn line(exchange: &crate::exchange::Exchange) -> (String, String) {
    match &exchange.detail {
        crate::exchange::Detail::Http(http) => (http.path.clone(), http.status.to_string()),
        other => panic!("no HTTP: {other:?}"),
    }
}

#[rstest::rstest]
// A client that never waits for an answer never shows that none is outstanding.
#[case::pipelined(pipelined, 2, 0)]
#[case::in_turn(in_turn, 4, AFTER - BLIND)]
fn whatever_is_lost_nothing_is_told_that_did_not_happen(
    #[case] speaks: fn(usize) -> Vec<Call>,
    #[case] damaged: usize,
    #[case] told_again: usize,
) {
    let per = speaks(0).len();
    let calls: Vec<Call> = (0..BEFORE + damaged + AFTER).flat_map(speaks).collect();
    Trial {
        protocol: &crate::protocol::http1::PROTOCOL,
        calls: &calls,
        damaged: BEFORE * per..(BEFORE + damaged) * per,
        told_again,
    }
    .run();
}

/// As Werkzeug's development server writes: the framing of each chunk in calls of its own. What answers a request that was
/// not seen is followed to its end, blank calls included.
#[test]
fn a_chunked_answer_to_nothing_known_is_followed_call_by_call() {
    let mut session = (crate::protocol::http1::PROTOCOL.session)(Role::Server, false);
    let mut out = Output::default();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let data = "x".repeat(16);
    for (time, text) in
        (1..).zip([head, "10", "\r\n", &data, "\r\n", "10", "\r\n", &data, "\r\n", "0\r\n\r\n"])
    {
        let at = At { direction: Direction::Write, time: Time(time), origin: Origin::default() };
        session.data(&at, text.as_bytes(), &mut out);
    }
    assert_eq!(out.losses.get(crate::loss::Loss::Malformed), 0);
    assert_eq!(out.losses.get(crate::loss::Loss::ResponsesWithoutRequest), 1);
    let request = At { direction: Direction::Read, time: Time(20), origin: Origin::default() };
    session.data(&request, b"GET /n/0 HTTP/1.1\r\nHost: x\r\n\r\n", &mut out);
    let answer = At { direction: Direction::Write, time: Time(21), origin: Origin::default() };
    session.data(&answer, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &mut out);
    assert_eq!(out.exchanges.iter().map(line).collect::<Vec<_>>(), [("/n/0".to_owned(), "200".to_owned())]);
}
