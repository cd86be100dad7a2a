//! Whole conversations; then the same in pieces, cut short and with gaps.

use std::fmt::Write;
use std::sync::LazyLock;

use rstest::rstest;

use super::PROTOCOL;
use crate::exchange::{Detail, Direction, Outcome, Role};
use crate::protocol::testing::{
    Conversation, Replay, Step, all_of, check_gaps, check_lost_ends, outline, parse, replay, seen_len, split,
    truncate, unlike,
};
use crate::protocol::{Opening, Verdict};

/// A packet, as nginx makes it.
fn packet(variables: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let block: Vec<u8> =
        variables.iter().flat_map(|(name, value)| [text(name), text(value)].concat()).collect();
    let [low, high] = (block.len() as u16).to_le_bytes();
    [&[0, low, high, 0][..], &block].concat()
}

/// It as a line of a conversation.
fn line(packet: &[u8]) -> String {
    let mut line = String::from("C ");
    packet.iter().for_each(|byte| write!(line, "\\x{byte:02x}").unwrap());
    line + "\\"
}

fn get(uri: &str) -> Vec<u8> {
    packet(&[
        ("QUERY_STRING", "token=s3cret"),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_LENGTH", ""),
        ("REQUEST_URI", uri),
    ])
}

/// `{NAME}` in the text stands for a packet.
fn corpus() -> Vec<Conversation> {
    let known = [
        ("{GET}", get("/items/1?token=s3cret")),
        (
            "{FULL}",
            packet(&[
                ("REQUEST_METHOD", "GET"),
                ("REQUEST_URI", "/a b"),
                ("HTTP_HOST", "shop"),
                ("HTTP_USER_AGENT", "curl\r\nX-Request-ID: forged"),
                ("HTTP_X_REQUEST_ID", "r1"),
                ("HTTP_AUTHORIZATION", "Bearer s3cret"),
            ]),
        ),
        (
            "{POST}",
            packet(&[
                ("REQUEST_METHOD", "POST"),
                ("REQUEST_URI", "/items"),
                ("CONTENT_LENGTH", "6"),
                ("SERVER_PROTOCOL", "HTTP/2.0"),
            ]),
        ),
        (
            "{CHUNKS}",
            packet(&[
                ("REQUEST_METHOD", "PUT"),
                ("SCRIPT_NAME", "/shop"),
                ("PATH_INFO", "/é"),
                ("HTTP_TRANSFER_ENCODING", "chunked"),
            ]),
        ),
        (
            "{HEAD}",
            packet(&[("REQUEST_METHOD", "HEAD"), ("REQUEST_URI", "/h"), ("SERVER_PROTOCOL", "HTTP/1.0")]),
        ),
    ];
    let mut text = String::from(include_str!("tests.txt"));
    let (_, full) = &known[1];
    text = text.replace("C {CUT}", &line(&full[..full.len() - 20]));
    for (name, packet) in &known {
        text = text.replace(&format!("C {name}"), &line(packet)).replace(name, &packet.len().to_string());
    }
    parse(&text)
}

fn whole() -> &'static [Conversation] {
    static WHOLE: LazyLock<Vec<Conversation>> = LazyLock::new(|| {
        corpus().into_iter().filter(|conversation| conversation.losses.is_empty()).collect()
    });
    &WHOLE
}

fn served(conversation: &Conversation, steps: &[Step]) -> Replay {
    replay(&PROTOCOL, Role::Server, conversation, steps)
}

#[test]
fn every_conversation_gives_what_is_written_beside_it() {
    let mut wrong = String::new();
    for conversation in corpus() {
        let got = served(&conversation, &conversation.steps);
        wrong += &unlike(&conversation, Role::Server, &got);
        assert!(!format!("{:?}", got.output).contains("s3cret"), "{}", conversation.name);
    }
    assert!(wrong.is_empty(), "other than written:\n{wrong}");
}

#[test]
fn every_split_gives_the_same() {
    for conversation in whole() {
        let expected = served(conversation, &conversation.steps);
        let len = seen_len(&conversation.steps);
        for cuts in (1..len).map(|cut| vec![cut]).chain([(1..len).collect()]) {
            let got = served(conversation, &split(&conversation.steps, &cuts));
            assert_eq!(all_of(&got), all_of(&expected), "{} cut at {cuts:?}", conversation.name);
        }
    }
}

#[test]
fn every_truncation_leaves_the_exchanges_that_were_complete() {
    for conversation in whole() {
        let expected = served(conversation, &conversation.steps).lines();
        for end in 0..seen_len(&conversation.steps) {
            let got = served(conversation, &truncate(&conversation.steps, end));
            let complete = got.output.exchanges.iter().filter(|one| {
                // Of a body that ends with the connection nothing tells how much is missing.
                one.outcome == Outcome::Complete
                    && !matches!(&one.detail, Detail::Http(http) if http.path == "/items/1")
            });
            let complete: Vec<String> = complete.map(crate::protocol::testing::line).collect();
            assert!(
                complete.iter().all(|line| expected.contains(line)),
                "{} at {end}: {complete:#?}",
                conversation.name
            );
            assert_eq!(got.losses(), "", "{} cut at {end}", conversation.name);
        }
    }
}

#[test]
fn nobody_says_how_it_ended_where_the_end_was_lost() {
    check_lost_ends(&PROTOCOL, Role::Server, whole());
}

/// Whatever was lost of a conversation is told, and nobody is said to have asked for what was not asked for.
fn check_honest(conversation: &Conversation, truth: &Replay, steps: &[Step]) {
    let asked = |replay: &Replay| -> Vec<(String, String)> {
        let http = |detail: &Detail| match detail {
            Detail::Http(http) => (http.method.clone(), http.path.clone()),
            other => panic!("{other:?}"),
        };
        replay.output.exchanges.iter().map(|exchange| http(&exchange.detail)).collect()
    };
    let got = served(conversation, steps);
    let (all, real) = (asked(&got), asked(truth));
    assert!(all.iter().all(|one| real.contains(one)), "invented: {all:?}\n{}", outline(steps));
    assert!(!got.losses().is_empty() || all == real, "not told:\n{}\n{all:?}", outline(steps));
}

#[test]
fn every_gap_is_told_and_joins_nothing_wrongly() {
    check_gaps(&PROTOCOL, Role::Server, whole(), check_honest);
}

#[test]
fn the_code_that_read_the_first_byte_made_the_request_and_a_router_is_told() {
    let routed = packet(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/"), ("UWSGI_ROUTER", "http")]);
    for (packet, role, relayed) in
        [(get("/"), Role::Server, false), (routed.clone(), Role::Server, true), (routed, Role::Client, true)]
    {
        let conversation = parse(&format!("## one\n{}\n", line(&packet))).remove(0);
        let steps = split(&conversation.steps, &[3]);
        let got = replay(&PROTOCOL, role, &conversation, &steps);
        let started: Vec<_> = got.output.started.iter().map(|one| (one.time.0, one.relayed)).collect();
        assert_eq!(started, [(1, relayed)], "{role:?}");
        assert_eq!(got.next, if role == Role::Client { "ignore" } else { "" });
    }
}

#[rstest]
#[case::whole(get("/"), Verdict::Mine(Role::Server))]
#[case::nothing(Vec::new(), Verdict::NotMine)]
#[case::header(get("/")[..4].to_vec(), Verdict::More)]
#[case::part_of_header(get("/")[..2].to_vec(), Verdict::More)]
#[case::part_of_name(get("/")[..9].to_vec(), Verdict::More)]
#[case::other_language([&[5][..], &get("/")[1..]].concat(), Verdict::NotMine)]
#[case::name_longer_than_all(vec![0, 4, 0, 0, 9, 0, b'A'], Verdict::NotMine)]
#[case::no_name(vec![0, 40, 0, 0, 2, 0, b'a', b'b'], Verdict::NotMine)]
#[case::postgres(b"\0\0\x01\0\0\x03\0\0user\0".to_vec(), Verdict::NotMine)]
#[case::http(b"GET / HTTP/1.1\r\n".to_vec(), Verdict::NotMine)]
fn first_bytes_read(#[case] bytes: Vec<u8>, #[case] expected: Verdict) {
    let opening =
        Opening { direction: Direction::Read, from_start: true, role: None, peer_port: None, bytes: &bytes };
    assert_eq!((PROTOCOL.detect)(&opening), expected);
}
