//! After calls have been lost in the middle of a connection, its requests are told again.

use std::time::Duration;

use crate::exchange::{Direction, Origin, Role};
use crate::protocol::{At, Output};
use crate::time::Time;

/// Requests before and after those of which calls may be lost.
const BEFORE: usize = 2;
const DAMAGED: usize = 3;
const AFTER: usize = 8;
/// Of the requests after the loss, those that may still be missing: the next one tells where the connection stands.
const BLIND: usize = 4;

/// A call: whether it moved bytes of the client, and the bytes.
type Call = (bool, Vec<u8>);

/// What request `n` is answered with.
fn status(n: usize) -> u16 {
    200 + n as u16
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
