//! Whatever comes: pieces change nothing, damage never panics, and nothing wrong is shown.

use proptest::prelude::*;

use super::super::PROTOCOL;
use super::writer::{
    Step, added, client, data, get, headers, ok, plain, preface, server, settings, settings_ack,
};
use super::{at, lines, losses, play};
use crate::exchange::{Outcome, Role};
use crate::protocol::{CloseReason, Output};
use crate::time::Time;

/// A conversation with the table in use.
fn conversation() -> Vec<Step> {
    let mut steps = vec![client(&[preface(), settings()]), server(&[settings(), settings_ack()])];
    let first = [vec![0x82, 0x87], added(":path", "/p0"), added(":authority", "h")].concat();
    steps.push(client(&[headers(1, true, &first)]));
    steps.push(server(&[
        headers(1, false, &[added(":status", "201"), plain("server", "s")].concat()),
        data(1, true, 40),
    ]));
    for number in 1..6_u32 {
        let stream = number * 2 + 1;
        let path = format!("/p{number}");
        steps.push(client(&[headers(
            stream,
            false,
            &[vec![0x82, 0x87], added(":path", &path), vec![0xbf]].concat(),
        )]));
        steps.push(client(&[data(stream, true, 30)]));
        steps.push(server(&[headers(stream, false, &ok()), data(stream, false, 50), data(stream, true, 50)]));
    }
    steps
}

/// The same bytes, cut at these places, each piece a call of its own at its call's time.
fn play_pieces(role: Role, steps: &[Step], cuts: &[usize]) -> Output {
    let mut session = (PROTOCOL.session)(role, true);
    let mut out = Output::default();
    let mut offset = 0;
    for (index, step) in steps.iter().enumerate() {
        let at = at(step, role, index as u64 + 1);
        let mut from = 0;
        for &cut in cuts.iter().filter(|&&cut| offset < cut && cut < offset + step.bytes.len()) {
            session.data(&at, &step.bytes[from..cut - offset], &mut out);
            from = cut - offset;
        }
        session.data(&at, &step.bytes[from..], &mut out);
        offset += step.bytes.len();
    }
    session.close(Time(steps.len() as u64 + 1), CloseReason::Peer, &mut out);
    out
}

fn len(steps: &[Step]) -> usize {
    steps.iter().map(|step| step.bytes.len()).sum()
}

#[test]
fn every_split_gives_the_same() {
    let steps = conversation();
    for role in [Role::Server, Role::Client] {
        let expected = play(role, true, &steps);
        assert_eq!(expected.exchanges.len(), 6);
        for cut in 1..len(&steps) {
            let got = play_pieces(role, &steps, &[cut]);
            assert_eq!((lines(&got), losses(&got)), (lines(&expected), losses(&expected)), "cut at {cut}");
        }
        let all: Vec<usize> = (1..len(&steps)).collect();
        assert_eq!(lines(&play_pieces(role, &steps, &all)), lines(&expected));
    }
}

#[test]
fn every_truncation_leaves_what_was_complete() {
    let steps = conversation();
    let expected = lines(&play(Role::Server, true, &steps));
    for end in 0..len(&steps) {
        let mut left = end;
        let cut: Vec<Step> = steps
            .iter()
            .map(|step| {
                let take = step.bytes.len().min(left);
                left -= take;
                Step { bytes: step.bytes[..take].to_vec(), ..step.clone() }
            })
            .collect();
        let got = play(Role::Server, true, &cut);
        for exchange in got.exchanges.iter().filter(|exchange| exchange.outcome == Outcome::Complete) {
            let line = super::line(exchange);
            assert!(expected.contains(&line), "{line} after {end} bytes");
        }
        // Where the rest was lost, nobody says how or when it ended.
        let got = super::play_to(CloseReason::Unseen, Role::Server, true, &cut);
        for exchange in got.exchanges.iter().filter(|exchange| exchange.outcome == Outcome::Lost) {
            let seen = exchange.end.0 <= steps.len() as u64 && super::http(exchange).status != 0;
            assert!(seen, "{} after {end} bytes", super::line(exchange));
        }
        let told = |exchange| expected.contains(&super::line(exchange));
        assert!(got.exchanges.iter().all(|exchange| exchange.outcome == Outcome::Lost || told(exchange)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A gap anywhere: each exchange that comes is one of the real ones, as far as it is told at all.
    #[test]
    fn a_gap_never_leads_to_a_wrong_exchange(step in 2usize..19, from in 0usize..200, lost in 1usize..300) {
        let steps = conversation();
        let step = step.min(steps.len() - 1);
        let real = play(Role::Server, true, &steps);
        let bytes = &steps[step].bytes;
        let from = from.min(bytes.len());
        let to = (from + lost).min(bytes.len());
        let mut damaged = steps[..step].to_vec();
        damaged.push(Step { bytes: bytes[..from].to_vec(), ..steps[step].clone() });
        damaged.push(Step { lost: (to - from) as u64, bytes: bytes[to..].to_vec(), ..steps[step].clone() });
        damaged.extend_from_slice(&steps[step + 1..]);
        let got = play(Role::Server, true, &damaged);
        for exchange in &got.exchanges {
            let told = super::http(exchange);
            let is_real = real.exchanges.iter().map(super::http).any(|real| {
                (told.path.is_empty() || told.path == real.path)
                    && (told.method.is_empty() || told.method == real.method)
                    && (told.status == 0 || told.status == real.status)
            });
            prop_assert!(is_real, "{}", super::line(exchange));
        }
    }

    /// Any bytes at any time: no panic, bounded state.
    #[test]
    fn any_bytes_are_survived(
        pieces in prop::collection::vec((any::<bool>(), 0u64..40, prop::collection::vec(any::<u8>(), 0..80)), 0..30),
        from_start in any::<bool>(),
        is_server in any::<bool>(),
        real in 0usize..8,
    ) {
        let mut steps = conversation();
        steps.truncate(real);
        steps.extend(pieces.into_iter().map(|(by_client, lost, bytes)| Step { by_client, lost, bytes }));
        let role = if is_server { Role::Server } else { Role::Client };
        let out = play(role, from_start, &steps);
        for exchange in &out.exchanges {
            prop_assert!(exchange.start <= exchange.end);
        }
    }

    /// Frames that are well formed, with any header block.
    #[test]
    fn any_header_block_is_survived(block in prop::collection::vec(any::<u8>(), 0..200), from_start in any::<bool>()) {
        let mut steps = conversation();
        steps.push(client(&[headers(99, true, &block)]));
        steps.push(server(&[headers(99, true, &block)]));
        steps.push(client(&[headers(101, true, &get("/x"))]));
        steps.push(server(&[headers(101, true, &ok())]));
        let out = play(Role::Server, from_start, &steps);
        prop_assert!(lines(&out).iter().any(|line| line.starts_with("GET /x example.org 200 Complete")));
    }
}
