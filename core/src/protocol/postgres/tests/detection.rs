use rstest::rstest;

use super::super::detect::detect;
use super::*;
use crate::protocol::{Opening, Verdict};

const SSL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const OLD: &[u8] = &[0, 0, 0, 9, 0, 2, 0, 0, 0];

#[rstest]
#[case::start_up(&startup(), Verdict::Mine(Role::Client))]
#[case::encryption(SSL, Verdict::Mine(Role::Client))]
#[case::cut(&startup()[..7], Verdict::More)]
#[case::cut_short(&startup()[..2], Verdict::More)]
#[case::protocol_2(OLD, Verdict::NotMine)]
#[case::http(b"GET / HTTP/1.1\r\n", Verdict::NotMine)]
#[case::tls(&[0x16, 3, 1, 0, 200, 1], Verdict::NotMine)]
#[case::mid_life(&query("SELECT 1"), Verdict::NotMine)]
fn tells_a_connection_from_its_start(#[case] bytes: &[u8], #[case] verdict: Verdict) {
    let mut opening =
        Opening { direction: Direction::Write, from_start: true, role: None, peer_port: None, bytes };
    assert_eq!(detect(&opening), verdict);
    opening.role = Some(Role::Server);
    assert_eq!(detect(&opening), Verdict::NotMine, "a server does not write first");
    opening.direction = Direction::Read;
    if verdict == Verdict::Mine(Role::Client) {
        assert_eq!(detect(&opening), Verdict::Mine(Role::Server));
    }
}

#[rstest]
#[case::query(&query("SELECT 1"), Verdict::Mine(Role::Client))]
#[case::batch(&[bind("", "s", b"x"), execute(""), sync()].concat(), Verdict::Mine(Role::Client))]
#[case::long_query(&query(&"SELECT 1".repeat(9))[..40], Verdict::Mine(Role::Client))]
#[case::long_bind(&bind("", "s", &[0; 900])[..40], Verdict::More)]
#[case::copy_data(&message(b'd', "x"), Verdict::NotMine)]
#[case::http(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n", Verdict::NotMine)]
#[case::redis(b"*1\r\n$4\r\nPING\r\n", Verdict::NotMine)]
#[case::mysql(b"\x09\0\0\0\x03SELECT 1", Verdict::NotMine)]
#[case::mysql_of_81_bytes(b"Q\0\0\0\x03SELECT 1", Verdict::NotMine)]
#[case::tls(&[0x17, 3, 3, 0, 200, 1], Verdict::NotMine)]
fn tells_requests_in_mid_life(#[case] bytes: &[u8], #[case] verdict: Verdict) {
    let mut opening =
        Opening { direction: Direction::Write, from_start: false, role: None, peer_port: None, bytes };
    if verdict == Verdict::Mine(Role::Client) {
        assert_eq!(detect(&opening), verdict, "the bytes prove the role");
    }
    opening.role = Some(Role::Client);
    assert_eq!(detect(&opening), verdict);
    // To PostgreSQL's port, bytes in the middle of a message prove nothing.
    opening.peer_port = Some(5432);
    if verdict == Verdict::NotMine {
        let expected = if bytes == message(b'd', "x") { Verdict::Mine(Role::Client) } else { Verdict::More };
        assert_eq!(detect(&opening), expected);
    } else {
        assert_eq!(detect(&opening), Verdict::Mine(Role::Client));
    }
}

#[rstest]
#[case::reply(&[complete("SELECT 1"), ready("I")].concat(), Verdict::Mine(Role::Client))]
#[case::part_of_a_reply(&[row(5), row(5)].concat(), Verdict::More)]
#[case::row(&[b'x'; 50], Verdict::NotMine)]
#[case::http(b"HTTP/1.1 200 OK\r\n", Verdict::NotMine)]
fn tells_replies_in_mid_life(#[case] bytes: &[u8], #[case] verdict: Verdict) {
    let opening = Opening {
        direction: Direction::Read,
        from_start: false,
        role: Some(Role::Client),
        peer_port: None,
        bytes,
    };
    assert_eq!(detect(&opening), verdict);
}
