//! Whole conversations; then the same in pieces, cut short and with gaps.

mod losses;

use std::sync::LazyLock;

use proptest::prelude::*;
use rstest::rstest;

use super::PROTOCOL;
use crate::exchange::{Direction, Outcome, Role};
use crate::protocol::testing::{
    Conversation, Replay, Step, all_of, all_wrong, check_gaps, check_lost_ends, damaged, outline, parse,
    replay, seen_len, split, truncate,
};
use crate::protocol::{Opening, Verdict};

fn corpus() -> Vec<Conversation> {
    parse(include_str!("conversations.txt"))
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
            let complete: Vec<String> = complete.map(crate::protocol::testing::line).collect();
            assert!(expected.starts_with(&complete), "{} cut at {end}: {complete:#?}", conversation.name);
            assert_eq!(got.losses(), "", "{} cut at {end}", conversation.name);
        }
    }
}

#[test]
fn nobody_says_how_it_ended_where_the_end_was_lost() {
    check_lost_ends(&PROTOCOL, Role::Client, whole());
}

/// A line's start and name, and its end.
fn bones(line: &str) -> Option<((&str, &str), u64)> {
    let (times, rest) = line.split_once(' ')?;
    let (start, end) = (times.split("..").next()?, times.rsplit("..").next()?);
    Some(((start, rest.split(' ').nth(2)?), end.parse().ok()?))
}

/// Is it the start of something that happened, of which it is said that its end is not known?
fn is_part(line: &str, real: &[String]) -> bool {
    let Some((part, until)) = bones(line).filter(|_| line.contains(" Lost ")) else { return false };
    real.iter().filter_map(|real| bones(real)).any(|(whole, end)| part == whole && until <= end)
}

/// Whatever was lost of a conversation is told, and nothing is told that did not happen.
fn check_honest(conversation: &Conversation, truth: &Replay, steps: &[Step]) {
    let got = replay(&PROTOCOL, Role::Client, conversation, steps);
    let real = truth.lines();
    for line in got.lines() {
        assert!(
            real.contains(&line) || is_part(&line, &real),
            "invented: {line}\n{}\n{}",
            outline(steps),
            real.join("\n")
        );
    }
    // A switch that a gap completes is told with the next bytes only.
    let told = got.losses() != truth.losses() || got.lines() == truth.lines();
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
        gap in (any::<prop::sample::Index>(), 1usize..60),
    ) {
        let conversation = which.get(whole());
        let truth = replay(&PROTOCOL, Role::Client, conversation, &conversation.steps);
        check_honest(conversation, &truth, &damaged(&conversation.steps, &cuts, gap));
    }
}

#[rstest]
#[case::command(b"*1\r\n$4\r\nPING\r\n", None, Verdict::Mine(Role::Client))]
#[case::part(b"*2\r\n$", None, Verdict::More)]
#[case::no_name(b"*1\r\n$4\r\n\0\0\0\0\r\n", None, Verdict::NotMine)]
#[case::no_count(b"*\r\n$4\r\n", None, Verdict::NotMine)]
#[case::inline_elsewhere(b"PING\r\n", Some(25), Verdict::NotMine)]
#[case::inline(b"PING\r\n", Some(6379), Verdict::Mine(Role::Client))]
#[case::http(b"GET / HTTP/1.1\r\n", None, Verdict::NotMine)]
fn first_bytes_written(#[case] bytes: &[u8], #[case] peer_port: Option<u16>, #[case] expected: Verdict) {
    let opening = Opening { direction: Direction::Write, from_start: true, role: None, peer_port, bytes };
    assert_eq!((PROTOCOL.detect)(&opening), expected);
}

#[test]
fn a_pipeline_longer_than_the_queue_stays_in_step() {
    let text = "## long\nC*5000 *1\\r\\n$4\\r\\nPING\nS*5000 +PONG\nC *2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nk\nS $-1\nclose client\n";
    let conversation = parse(text).remove(0);
    let got = replay(&PROTOCOL, Role::Client, &conversation, &conversation.steps);
    assert_eq!(got.output.exchanges.len(), super::QUEUE_CAP + 1);
    assert_eq!(got.lines().last().map(String::as_str), Some("3..4..4 20/5 Complete GET"));
    assert_eq!(got.losses(), "requests_without_response=904");
}

#[rstest]
fn recorded_clients_did_what_they_did(#[values("redis_py_resp2", "redis_py_resp3")] name: &str) {
    crate::protocol::testing::capture(&PROTOCOL, &format!("redis/{name}"));
}
