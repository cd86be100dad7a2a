//! Whole conversations; then the same in pieces, cut short and with gaps.

mod losses;

use std::sync::LazyLock;

use proptest::prelude::*;
use rstest::rstest;

use super::PROTOCOL;
use crate::exchange::{Direction, Outcome, Role};
use crate::protocol::testing::{
    Bytes, Conversation, Replay, Step, all_of, all_wrong, check_gaps, check_lost_ends, damaged, line,
    outline, parse, replay, seen_len, split, truncate, unescape,
};
use crate::protocol::{Opening, Verdict};

/// Conversations whose lines are packets: `C:0 payload` is a packet of the client with sequence number 0; `{zeros}` is
/// the filler of a login.
fn corpus() -> Vec<Conversation> {
    let framed = include_str!("conversations.txt").lines().map(|text| {
        let text = text.replace("{zeros}", &"\\x00".repeat(23));
        match text.split_once(' ').and_then(|(head, payload)| Some((head.split_once(':')?, payload))) {
            Some(((side @ ("C" | "S"), sequence), payload)) => {
                let len = unescape(&format!("{payload}\\")).len();
                let sequence: u8 = sequence.parse().expect("a sequence number");
                format!("{side} \\x{:02x}\\x{:02x}\\x00\\x{sequence:02x}{payload}\\\n", len & 0xff, len >> 8)
            }
            _ => text + "\n",
        }
    });
    parse(&framed.collect::<String>())
}

fn whole() -> &'static [Conversation] {
    static WHOLE: LazyLock<Vec<Conversation>> = LazyLock::new(|| {
        let whole = |conversation: &Conversation| conversation.losses.is_empty() && !conversation.mid_life;
        corpus().into_iter().filter(whole).collect()
    });
    &WHOLE
}

#[test]
fn every_conversation_gives_what_is_written_beside_it() {
    let wrong = all_wrong(&PROTOCOL, &corpus());
    assert!(wrong.is_empty(), "other than written:\n{wrong}");
}

#[test]
fn no_literal_and_no_password_survives() {
    for conversation in corpus() {
        let lines = replay(&PROTOCOL, Role::Client, &conversation, &conversation.steps).lines();
        assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:#?}");
    }
}

#[test]
fn every_split_gives_the_same() {
    for conversation in whole() {
        let expected = replay(&PROTOCOL, Role::Client, conversation, &conversation.steps);
        let len = seen_len(&conversation.steps);
        for cuts in (1..len).map(|cut| vec![cut]).chain([(1..len).collect()]) {
            let got = replay(&PROTOCOL, Role::Client, conversation, &split(&conversation.steps, &cuts));
            assert_eq!(all_of(&got), all_of(&expected), "{} cut at {cuts:?}", conversation.name);
        }
    }
}

#[test]
fn every_truncation_leaves_the_exchanges_that_were_complete() {
    for conversation in whole() {
        let expected = replay(&PROTOCOL, Role::Client, conversation, &conversation.steps).lines();
        for end in 0..seen_len(&conversation.steps) {
            let got = replay(&PROTOCOL, Role::Client, conversation, &truncate(&conversation.steps, end));
            let complete =
                got.output.exchanges.iter().filter(|exchange| exchange.outcome == Outcome::Complete);
            let complete: Vec<String> = complete.map(line).collect();
            assert!(expected.starts_with(&complete), "{} cut at {end}: {complete:#?}", conversation.name);
            assert_eq!(got.losses(), "", "{} cut at {end}", conversation.name);
        }
    }
}

/// Calls of start and end, and how it ended: what must be right whatever was lost.
fn bones(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    let times = words.next()?;
    let start = times.split("..").next()?;
    let end = times.rsplit("..").next()?;
    (words.nth(1)? == "Complete").then_some((start, end))
}

#[test]
fn nobody_says_how_it_ended_where_the_end_was_lost() {
    check_lost_ends(&PROTOCOL, Role::Client, whole());
}

/// Whatever was lost of a conversation is told, and nothing is told that did not happen.
fn check_honest(conversation: &Conversation, truth: &Replay, steps: &[Step]) {
    let got = replay(&PROTOCOL, Role::Client, conversation, steps);
    let real = truth.lines();
    for line in got.lines() {
        let known = bones(&line);
        // How many statements a text held that is lost is not known: it is one, from the first's start to the last's end.
        let is_text = line.ends_with("<statement not captured>");
        let spans = |(start, end): (&str, &str)| {
            let bones = || real.iter().filter_map(|real| bones(real));
            bones().any(|real| real.0 == start) && bones().any(|real| real.1 == end)
        };
        let happened = known.is_none_or(|known| {
            real.iter().any(|real| bones(real) == Some(known)) || (is_text && spans(known))
        });
        assert!(happened, "invented: {line}\n{}\n{}", outline(steps), real.join("\n"));
    }
    let lost = got.output.exchanges.iter().any(|exchange| exchange.outcome == Outcome::Lost);
    let told =
        lost || got.losses() != truth.losses() || got.output.exchanges.len() == truth.output.exchanges.len();
    assert!(told, "not told:\n{}\n{}", outline(steps), got.lines().join("\n"));
}

#[test]
fn every_gap_is_told_and_joins_nothing_wrongly() {
    check_gaps(&PROTOCOL, Role::Client, whole(), check_honest);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn pieces_and_gaps_anywhere(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        gap in (any::<prop::sample::Index>(), 1usize..80),
    ) {
        let conversation = which.get(whole());
        let truth = replay(&PROTOCOL, Role::Client, conversation, &conversation.steps);
        check_honest(conversation, &truth, &damaged(&conversation.steps, &cuts, gap));
    }

    #[test]
    fn whatever_comes_it_does_not_panic(
        calls in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 2, 3, 5, 7, 0x16, 0x17, 0xfb, 0xfe, 0xff, b'a']), 0..40), 0u64..300),
            0..40,
        ),
        mid_life in any::<bool>(),
    ) {
        let steps: Vec<Step> = calls
            .into_iter()
            .zip(1..)
            .map(|((by_client, bytes, len), call)| {
                let bytes = if bytes.is_empty() { Bytes::Gap(len) } else { Bytes::Seen(bytes) };
                Step { by_client, call, bytes }
            })
            .collect();
        let conversation = Conversation { mid_life, ..Conversation::default() };
        let got = replay(&PROTOCOL, Role::Client, &conversation, &steps);
        prop_assert!(got.in_flight <= super::QUEUE_CAP);
    }
}

const GREETING: &[u8] = b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\0";
const LOGIN: &[u8] =
    b"\x40\0\0\x01\x08\xa2\x08\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0app\0";

/// Error 1040, without a state.
const REFUSAL: &[u8] = b"\x17\0\0\0\xff\x10\x04Too many connections";

#[rstest]
#[case::greeting(Direction::Read, GREETING, true, Verdict::Mine(Role::Client))]
#[case::greeting_written(Direction::Write, GREETING, true, Verdict::Mine(Role::Server))]
#[case::refusal(Direction::Read, REFUSAL, true, Verdict::Mine(Role::Client))]
#[case::refusal_written(Direction::Write, REFUSAL, true, Verdict::Mine(Role::Server))]
#[case::refusal_in_mid_life(Direction::Read, REFUSAL, false, Verdict::NotMine)]
#[case::no_number_of_an_error(
    Direction::Read,
    b"\x17\0\0\0\xff\x10\x14Too many connections",
    true,
    Verdict::NotMine
)]
#[case::no_text_of_an_error(
    Direction::Read,
    b"\x0b\0\0\0\xff\x10\x04\x01\x02\x03\x04\x05\x06\x07\x08",
    true,
    Verdict::NotMine
)]
#[case::login(Direction::Write, LOGIN, true, Verdict::Mine(Role::Client))]
#[case::part_of_login(Direction::Write, &LOGIN[..20], true, Verdict::More)]
#[case::part_of_header(Direction::Write, b"\x40\0", true, Verdict::More)]
#[case::query(Direction::Write, b"\x09\0\0\0\x03SELECT 1", false, Verdict::Mine(Role::Client))]
#[case::query_with_attributes(
    Direction::Write,
    b"\x0b\0\0\0\x03\0\x01SELECT 1",
    false,
    Verdict::Mine(Role::Client)
)]
#[case::prepare(Direction::Write, b"\x09\0\0\0\x16SELECT ?", false, Verdict::Mine(Role::Client))]
#[case::prepare_and_execute(
    Direction::Write,
    b"\x09\0\0\0\x16SELECT ?\x0a\0\0\0\x17\xff\xff\xff\xff\0\x01\0\0\0",
    false,
    Verdict::Mine(Role::Client)
)]
#[case::query_and_more(Direction::Write, b"\x09\0\0\0\x03SELECT 1 FROM t", false, Verdict::NotMine)]
#[case::execute(
    Direction::Write,
    b"\x0a\0\0\0\x17\x05\0\0\0\0\x01\0\0\0",
    false,
    Verdict::Mine(Role::Client)
)]
#[case::no_execute(Direction::Write, b"\x0a\0\0\0\x17\x05\0\0\0\0\x02\0\0\0", false, Verdict::NotMine)]
#[case::query_from_the_start(Direction::Write, b"\x09\0\0\0\x03SELECT 1", true, Verdict::NotMine)]
#[case::postgres_startup(Direction::Write, b"\0\0\0\x08\x04\xd2\x16\x2f", true, Verdict::NotMine)]
#[case::tls(Direction::Write, b"\x16\x03\x01\x02\0\x01", true, Verdict::NotMine)]
#[case::http(Direction::Write, b"GET / HTTP/1.1\r\n", true, Verdict::NotMine)]
fn first_bytes(
    #[case] direction: Direction,
    #[case] bytes: &[u8],
    #[case] from_start: bool,
    #[case] expected: Verdict,
) {
    let opening = Opening { direction, from_start, role: None, peer_port: None, bytes };
    assert_eq!((PROTOCOL.detect)(&opening), expected);
}

#[rstest]
fn recorded_clients_did_what_they_did(#[values("pymysql", "mysql_connector")] name: &str) {
    crate::protocol::testing::capture(&PROTOCOL, &format!("mysql/{name}"));
}
