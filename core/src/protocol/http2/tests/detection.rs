//! Whose connection it is, and who asks.

use super::super::PROTOCOL;
use super::writer::{data, frame, get, headers, ok, preface, settings, settings_ack};
use crate::exchange::{Direction, Role};
use crate::protocol::{Opening, REGISTRY, Verdict};

fn opening(direction: Direction, from_start: bool, bytes: &[u8]) -> Opening<'_> {
    Opening { direction, from_start, role: None, peer_port: None, bytes }
}

#[test]
fn the_preface_tells_the_client() {
    let bytes = preface();
    for end in 1..bytes.len() {
        let verdict = (PROTOCOL.detect)(&opening(Direction::Read, true, &bytes[..end]));
        assert_eq!(verdict, Verdict::More, "{end} bytes");
    }
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Read, true, &bytes)), Verdict::Mine(Role::Server));
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Write, true, &bytes)), Verdict::Mine(Role::Client));
}

#[test]
fn a_server_that_speaks_first_is_known_by_its_settings() {
    let bytes = settings();
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Write, true, &bytes)), Verdict::Mine(Role::Server));
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Read, true, &bytes)), Verdict::Mine(Role::Client));
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Read, true, &bytes[..5])), Verdict::More);
}

/// What gRPC's library sends: frames of 4 MiB are taken, a setting of its own. One that is missed makes these frames malformed.
#[test]
fn a_setting_for_experiments_is_one() {
    let body = b"\0\x04\0\x40\0\0\0\x05\0\x40\0\0\0\x06\0\0\x40\0\xfe\x03\0\0\0\x01";
    let bytes = [frame(4, 0, 0, body), frame(8, 0, 0, &[0, 0x3f, 0, 1])].concat();
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Write, true, &bytes)), Verdict::Mine(Role::Server));
    let unassigned = frame(4, 0, 0, b"\xee\x03\0\0\0\x01");
    assert_eq!((PROTOCOL.detect)(&opening(Direction::Write, true, &unassigned)), Verdict::NotMine);
}

#[test]
fn in_mid_life_a_chain_of_frames_is_asked_for_and_a_head_that_tells_the_side() {
    let request = headers(7, true, &get("/"));
    let response = [headers(7, false, &ok()), data(7, true, 20)].concat();
    let detect = |direction, bytes: &[u8]| (PROTOCOL.detect)(&opening(direction, false, bytes));
    assert_eq!(detect(Direction::Read, &request), Verdict::Mine(Role::Server));
    assert_eq!(detect(Direction::Write, &request), Verdict::Mine(Role::Client));
    assert_eq!(detect(Direction::Read, &response), Verdict::Mine(Role::Client));
    // Whose these are nobody can say yet; cut within the first frame they prove nothing.
    assert_eq!(detect(Direction::Read, &[settings_ack(), data(7, true, 20)].concat()), Verdict::More);
    assert_eq!(detect(Direction::Read, &request[..request.len() - 1]), Verdict::NotMine);
    let bytes = settings();
    let known = Opening { role: Some(Role::Client), ..opening(Direction::Read, false, &bytes) };
    assert_eq!((PROTOCOL.detect)(&known), Verdict::Mine(Role::Client));
}

#[test]
fn other_protocols_are_left_to_others() {
    let others: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"+OK\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x4a\x00\x00\x00\x0a8.0.36\x00",
        b"Q\x00\x00\x00\x0dSELECT 1\x00",
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ];
    for bytes in others {
        for from_start in [true, false] {
            for direction in [Direction::Read, Direction::Write] {
                let verdict = (PROTOCOL.detect)(&opening(direction, from_start, bytes));
                assert_eq!(verdict, Verdict::NotMine, "{bytes:?} from start: {from_start}");
            }
        }
    }
}

#[test]
fn no_other_protocol_claims_http2() {
    for bytes in [preface(), settings(), headers(7, true, &get("/"))] {
        for protocol in REGISTRY.iter().filter(|protocol| protocol.name != PROTOCOL.name) {
            for direction in [Direction::Read, Direction::Write] {
                let verdict = (protocol.detect)(&opening(direction, true, &bytes));
                assert!(!matches!(verdict, Verdict::Mine(_)), "{} claims {bytes:?}", protocol.name);
            }
        }
    }
}
