//! How connections end, and what is told of it.

use rstest::rstest;

use super::*;

/// A client that ends its TLS session in order writes to a server that has closed: that answers with a reset.
#[test]
fn a_reset_behind_the_end_that_the_peer_sent_takes_nothing_back() {
    let answers = [
        (&b"HTTP/1.1 200 OK\r\n\r\nuntil the end"[..], Outcome::Complete),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", Outcome::ServerGone),
    ];
    for (answer, expected) in answers {
        let mut rig = Rig::with(Some(Role::Client), true);
        rig.chunk(Direction::Write, REQUEST, 0, b"");
        rig.chunk(Direction::Read, answer, 0, b"");
        rig.change(Change::Gone { reason: Some(CloseReason::Reset), peer_first: true });
        rig.wait();
        assert_eq!(rig.http()[0].1, expected);
    }
}

/// One that ends before it is left alone: with one question and its answer, or a word that nobody hears.
#[rstest]
#[case::whole(true, true, 1)]
#[case::silent(true, false, 0)]
#[case::joined_in_mid_life(false, true, 0)]
fn a_short_connection_of_an_unknown_protocol_is_counted(
    #[case] from_start: bool,
    #[case] speaks: bool,
    #[case] counted: u64,
) {
    let mut rig = Rig::with(Some(Role::Client), from_start);
    if speaks {
        rig.chunk(Direction::Write, b"set key 0 0 5\r\nvalue\r\n", 0, b"");
        rig.chunk(Direction::Read, b"STORED\r\n", 0, b"");
    }
    rig.change(Change::Gone { reason: None, peer_first: false });
    rig.wait();
    assert_eq!(rig.table.take_losses().get(Loss::UnknownProtocol), counted);
}

/// A server that says the end of its answer by closing the connection (to HTTP/1.0) has not said it where what it wrote was
/// refused. A client that closed first otherwise may have closed its own direction only.
#[test]
fn a_client_that_leaves_before_the_server_has_closed_is_told() {
    let leaves: [&[Change]; 2] = [
        &[Change::PeerClosed, Change::Gone { reason: Some(CloseReason::Reset), peer_first: true }],
        &[Change::Gone { reason: Some(CloseReason::Reset), peer_first: false }],
    ];
    let stays: [&[Change]; 2] = [
        &[Change::Closed { peer_first: false }, Change::Gone { reason: None, peer_first: false }],
        &[Change::EndOfStream, Change::Closed { peer_first: false }],
    ];
    let expected = leaves.map(|changes| (changes, Outcome::ClientGone));
    for (changes, outcome) in expected.into_iter().chain(stays.map(|changes| (changes, Outcome::Complete))) {
        let mut rig = Rig::with(Some(Role::Server), true);
        rig.chunk(Direction::Read, b"GET /events HTTP/1.0\r\n\r\n", 0, b"");
        rig.chunk(Direction::Write, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: 1", 0, b"");
        for change in changes {
            rig.change(*change);
        }
        rig.wait();
        assert_eq!(rig.http()[0].1, outcome, "{changes:?}");
    }
}
