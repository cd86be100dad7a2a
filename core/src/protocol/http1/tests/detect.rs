//! What is taken for HTTP/1, and in which role.

use rstest::rstest;

use crate::exchange::{Direction, Role};
use crate::protocol::http1::PROTOCOL;
use crate::protocol::{Opening, Verdict};

fn verdict(direction: Direction, bytes: &[u8]) -> Verdict {
    (PROTOCOL.detect)(&Opening { direction, from_start: true, role: None, peer_port: None, bytes })
}

#[rstest]
#[case::empty(b"", Verdict::More)]
#[case::request(b"GET /a?b HTTP/1.1\r\n", Verdict::Mine(Role::Server))]
#[case::blank_lines_first(b"\r\n\r\nGET / HTTP/1.0\n", Verdict::Mine(Role::Server))]
#[case::unknown_method(b"m-search * HTTP/1.1\r\nHost", Verdict::Mine(Role::Server))]
#[case::absolute(b"GET http://h/p HTTP/1.1\r\n", Verdict::Mine(Role::Server))]
#[case::authority(b"CONNECT h:443 HTTP/1.1\r\n", Verdict::Mine(Role::Server))]
#[case::response(b"HTTP/1.1 200 OK\r\n", Verdict::Mine(Role::Client))]
#[case::part_of_method(b"GE", Verdict::More)]
#[case::part_of_target(b"GET /abc", Verdict::More)]
#[case::part_of_version(b"GET /abc HTTP/1", Verdict::More)]
#[case::part_of_status(b"HTTP/1.1 20", Verdict::More)]
#[case::http2_preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Verdict::NotMine)]
#[case::http09(b"GET /\r\n", Verdict::NotMine)]
#[case::tls(b"\x16\x03\x01\x02\x00", Verdict::NotMine)]
#[case::redis(b"*1\r\n$4\r\nPING\r\n", Verdict::NotMine)]
#[case::redis_inline(b"GET key\r\n", Verdict::NotMine)]
#[case::smtp(b"EHLO mail.example\r\n", Verdict::NotMine)]
#[case::postgres(b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Verdict::NotMine)]
#[case::long_word(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Verdict::NotMine)]
#[case::no_target(b"GET  HTTP/1.1\r\n", Verdict::NotMine)]
fn first_bytes_read(#[case] bytes: &[u8], #[case] expected: Verdict) {
    assert_eq!(verdict(Direction::Read, bytes), expected);
    let written = match expected {
        Verdict::Mine(Role::Server) => Verdict::Mine(Role::Client),
        Verdict::Mine(Role::Client) => Verdict::Mine(Role::Server),
        other => other,
    };
    assert_eq!(verdict(Direction::Write, bytes), written);
}

#[test]
fn a_long_target_is_believed_of_a_known_method_only() {
    let target = "x".repeat(4000);
    let known = format!("GET /{target}");
    assert_eq!(verdict(Direction::Read, known.as_bytes()), Verdict::Mine(Role::Server));
    let unknown = format!("GOT /{target}");
    assert_eq!(verdict(Direction::Read, unknown.as_bytes()), Verdict::NotMine);
}

#[test]
fn whoever_accepted_sends_no_requests() {
    let opening = Opening {
        direction: Direction::Write,
        from_start: true,
        role: Some(Role::Server),
        peer_port: None,
        bytes: b"GET / HTTP/1.1\r\n",
    };
    assert_eq!((PROTOCOL.detect)(&opening), Verdict::NotMine);
}
