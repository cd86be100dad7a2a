//! Pieces change nothing; what is cut short or lost is told, and never leads to a wrong exchange.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::corpus;
use crate::exchange::{Detail, Direction, Exchange, Origin, Outcome, Role};
use crate::protocol::http1::PROTOCOL;
use crate::protocol::testing::{
    Conversation, Replay, Step, all_of, check_gaps, check_lost_ends, line, lose, outline, replay, seen_len,
    split, truncate,
};
use crate::protocol::{At, CloseReason, Next, Output};
use crate::time::Time;

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Conversations of which every byte was seen from the start.
fn whole() -> &'static [Conversation] {
    static WHOLE: LazyLock<Vec<Conversation>> = LazyLock::new(|| {
        let whole = |conversation: &Conversation| conversation.losses.is_empty() && !conversation.mid_life;
        corpus().into_iter().filter(whole).collect()
    });
    &WHOLE
}

#[test]
fn every_split_gives_the_same() {
    for conversation in whole() {
        for role in ROLES {
            let expected = replay(&PROTOCOL, role, conversation, &conversation.steps);
            for cut in 1..seen_len(&conversation.steps) {
                let got = replay(&PROTOCOL, role, conversation, &split(&conversation.steps, &[cut]));
                assert_eq!(all_of(&got), all_of(&expected), "{} as {role:?} cut at {cut}", conversation.name);
            }
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same() {
    for conversation in whole() {
        let cuts: Vec<usize> = (1..seen_len(&conversation.steps)).collect();
        for role in ROLES {
            let expected = replay(&PROTOCOL, role, conversation, &conversation.steps);
            let got = replay(&PROTOCOL, role, conversation, &split(&conversation.steps, &cuts));
            assert_eq!(all_of(&got), all_of(&expected), "{} as {role:?}", conversation.name);
        }
    }
}

#[test]
fn every_truncation_leaves_the_exchanges_that_were_complete() {
    for conversation in whole() {
        for role in ROLES {
            let expected = replay(&PROTOCOL, role, conversation, &conversation.steps).lines();
            for end in 0..seen_len(&conversation.steps) {
                let steps = truncate(&conversation.steps, end);
                let got = replay(&PROTOCOL, role, conversation, &steps);
                let complete: Vec<&Exchange> = got
                    .output
                    .exchanges
                    .iter()
                    .filter(|exchange| exchange.outcome == Outcome::Complete)
                    .collect();
                for (exchange, expected) in complete.iter().zip(&expected) {
                    let until_close = conversation.name.contains("until close");
                    assert!(
                        until_close || line(exchange) == *expected,
                        "{} as {role:?} cut at {end}:\n{}\n{expected}",
                        conversation.name,
                        line(exchange)
                    );
                }
                assert_eq!(got.losses(), "", "{} as {role:?} cut at {end}", conversation.name);
            }
        }
    }
}

#[test]
fn nobody_says_how_it_ended_where_the_end_was_lost() {
    for role in ROLES {
        check_lost_ends(&PROTOCOL, role, whole());
    }
}

/// With bytes lost: every exchange is one of the real ones, joined rightly, and what is missing is told.
fn check_honest(role: Role, conversation: &Conversation, truth: &Replay, steps: &[Step]) {
    let got = replay(&PROTOCOL, role, conversation, steps);
    let context = || {
        format!(
            "{}, {role:?}\n{}\ngot:\n{}\n{}\ntruth:\n{}",
            conversation.name,
            outline(steps),
            got.lines().join("\n"),
            got.losses(),
            truth.lines().join("\n")
        )
    };
    for exchange in &got.output.exchanges {
        let Detail::Http(http) = &exchange.detail else { panic!("not HTTP") };
        if let (Some(asked), Some(answered)) = (&http.correlation.request_id, &http.response_request_id) {
            assert_eq!(asked, answered, "wrongly joined: {}", context());
        }
        let real = truth.output.exchanges.iter().any(|real| {
            let Detail::Http(real_http) = &real.detail else { return false };
            (&real_http.method, &real_http.path, real.start) == (&http.method, &http.path, exchange.start)
                && (http.status == 0 || http.status == real_http.status)
                && (exchange.outcome != Outcome::Complete || exchange.end == real.end)
        });
        assert!(real, "invented: {}\n{}", line(exchange), context());
    }
    let told = got.losses() != truth.losses()
        || got.output.exchanges.iter().any(|exchange| exchange.outcome == Outcome::Lost);
    assert!(told || all_of(&got) == all_of(truth), "not told: {}", context());
}

#[test]
fn every_gap_is_told_and_joins_nothing_wrongly() {
    for role in ROLES {
        check_gaps(&PROTOCOL, role, whole(), |conversation, truth, steps| {
            check_honest(role, conversation, truth, steps);
        });
    }
}

/// Words of the protocol in any order.
fn words() -> impl Strategy<Value = Vec<&'static str>> {
    let words = [
        "HTTP/1.1 ",
        "HTTP/1.0",
        "GET ",
        "CONNECT ",
        "HEAD",
        " /",
        "\r\n",
        "\r\n\r\n",
        "\n",
        ": ",
        "0",
        "5",
        "ff",
        "200",
        " 101 ",
        "100 ",
        "Transfer-Encoding: chunked",
        "Content-Length: ",
        "Expect: 100-continue",
        "\0",
        "\u{e9}",
        "x",
        ";",
        " ",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn pieces_and_gaps_anywhere(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        gaps in prop::collection::vec((any::<prop::sample::Index>(), 1usize..120), 0..4),
        role in prop::sample::select(&ROLES[..]),
    ) {
        let conversation = which.get(whole());
        let len = seen_len(&conversation.steps);
        let truth = replay(&PROTOCOL, role, conversation, &conversation.steps);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(len)).collect();
        let mut steps = split(&conversation.steps, &cuts);
        for (start, size) in gaps {
            // Places count what is still seen.
            let left = seen_len(&steps);
            if left > 0 {
                let start = start.index(left);
                steps = lose(&steps, &(start..(start + size).min(left)));
            }
        }
        check_honest(role, conversation, &truth, &steps);
    }

    #[test]
    fn whatever_comes_it_does_not_panic_and_stays_small(
        parts in prop::collection::vec((any::<bool>(), words(), any::<u64>()), 0..40),
        from_start in any::<bool>(),
        role in prop::sample::select(&ROLES[..]),
    ) {
        let mut session = (PROTOCOL.session)(role, from_start);
        let mut out = Output::default();
        for (number, (read, text, len)) in parts.iter().enumerate() {
            let direction = if *read { Direction::Read } else { Direction::Write };
            let at = At { direction, time: Time(number as u64), origin: Origin::default() };
            if text.is_empty() {
                session.gap(&at, *len, &mut out);
            } else if session.data(&at, text.concat().as_bytes(), &mut out) != Next::Continue {
                break;
            }
        }
        session.close(Time(100), CloseReason::Peer, &mut out);
        prop_assert_eq!(session.in_flight(), 0);
        for exchange in &out.exchanges {
            prop_assert!(exchange.end >= exchange.start);
        }
    }
}
