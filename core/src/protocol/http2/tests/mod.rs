//! Frames are written by a small encoder of the tests' own; header blocks by hand, from RFC 7541 and from the public
//! stories.

mod conversations;
mod damage;
mod detection;
mod hpack;
mod losses;
mod stories;
mod writer;

use super::PROTOCOL;
use crate::exchange::{Direction, Exchange, Http, Origin, Role};
use crate::protocol::{At, CloseReason, Output};
use crate::time::Time;
use writer::Step;

fn at(step: &Step, role: Role, time: u64) -> At {
    let by_client = step.by_client == (role == Role::Server);
    let direction = if by_client { Direction::Read } else { Direction::Write };
    // Each call by another unit.
    At { direction, time: Time(time), origin: Origin { unit: time, ..Origin::default() } }
}

/// Plays the steps, one call each, and closes the connection as the peer.
fn play(role: Role, from_start: bool, steps: &[Step]) -> Output {
    play_to(CloseReason::Peer, role, from_start, steps)
}

/// The same with another end.
fn play_to(end: CloseReason, role: Role, from_start: bool, steps: &[Step]) -> Output {
    let mut session = (PROTOCOL.session)(role, from_start);
    let mut out = Output::default();
    let mut time = 0;
    for step in steps {
        time += 1;
        let at = at(step, role, time);
        if step.lost > 0 {
            session.gap(&at, step.lost, &mut out);
        }
        session.data(&at, &step.bytes, &mut out);
    }
    session.close(Time(time + 1), end, &mut out);
    assert_eq!(session.in_flight(), 0);
    out
}

fn http(exchange: &Exchange) -> &Http {
    match &exchange.detail {
        crate::exchange::Detail::Http(http) => http,
        other => panic!("no HTTP: {other:?}"),
    }
}

/// An exchange in words.
fn line(exchange: &Exchange) -> String {
    let http = http(exchange);
    let host = http.host.as_deref().unwrap_or("-");
    let grpc = http.grpc_status.map(|status| format!(" grpc={status}")).unwrap_or_default();
    let upgraded = if http.upgraded { " upgraded" } else { "" };
    format!(
        "{} {} {host} {} {:?} {}..{}{grpc}{upgraded}",
        http.method, http.path, http.status, exchange.outcome, exchange.start.0, exchange.end.0
    )
}

fn lines(out: &Output) -> Vec<String> {
    out.exchanges.iter().map(line).collect()
}

fn losses(out: &Output) -> String {
    let counted = out.losses.iter().filter(|&(_, n)| n > 0);
    counted.map(|(loss, n)| format!("{}={n}", loss.name())).collect::<Vec<_>>().join(" ")
}

#[rstest::rstest]
fn recorded_clients_did_what_they_did(#[values("httpx_hypercorn")] name: &str) {
    crate::protocol::testing::capture(&PROTOCOL, &format!("http2/{name}"));
}
