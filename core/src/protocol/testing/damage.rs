//! Conversations in pieces, cut short, and with bytes lost.

use std::ops::Range;

use proptest::sample::Index;

use super::line;
use super::replay::{Replay, replay};
use super::script::{Bytes, Closer, Conversation, Step};
use crate::exchange::{Exchange, Outcome, Role};
use crate::protocol::{CloseReason, Protocol};
use crate::time::Time;

/// Captured bytes of a conversation, over all its steps.
pub(in crate::protocol) fn seen_len(steps: &[Step]) -> usize {
    steps.iter().map(|step| seen(step).len()).sum()
}

/// The steps with their captured bytes cut at `cuts` (places counted over all steps).
pub(in crate::protocol) fn split(steps: &[Step], cuts: &[usize]) -> Vec<Step> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for step in steps {
        let mut rest = seen(step);
        if rest.is_empty() {
            pieces.push(step.clone());
            continue;
        }
        let end = from + rest.len();
        let mut inside: Vec<usize> = cuts.iter().copied().filter(|&cut| cut > from && cut < end).collect();
        inside.sort_unstable();
        inside.dedup();
        for cut in inside {
            let (piece, after) = rest.split_at(cut - from);
            pieces.push(Step { bytes: Bytes::Seen(piece.to_vec()), ..*step });
            (rest, from) = (after, cut);
        }
        pieces.push(Step { bytes: Bytes::Seen(rest.to_vec()), ..*step });
        from = end;
    }
    pieces
}

/// The steps up to byte `end`.
pub(in crate::protocol) fn truncate(steps: &[Step], end: usize) -> Vec<Step> {
    let mut from = 0;
    let mut kept = split(steps, &[end]);
    kept.retain(|step| {
        let keep = from < end;
        from += seen(step).len();
        keep
    });
    kept
}

/// The steps with the bytes of `range` lost, which become one gap in each call that they touch.
pub(in crate::protocol) fn lose(steps: &[Step], range: &Range<usize>) -> Vec<Step> {
    let mut from = 0;
    let mut damaged = split(steps, &[range.start, range.end]);
    for step in &mut damaged {
        let len = seen(step).len();
        if len > 0 && from >= range.start && from + len <= range.end {
            step.bytes = Bytes::Gap(len as u64);
        }
        from += len;
    }
    damaged
}

/// The steps cut at `cuts`, with so many bytes lost from a place on.
pub(in crate::protocol) fn damaged(
    steps: &[Step],
    cuts: &[Index],
    (place, size): (Index, usize),
) -> Vec<Step> {
    let len = seen_len(steps);
    let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(len)).collect();
    let start = place.index(len);
    lose(&split(steps, &cuts), &(start..(start + size).min(len)))
}

/// Calls `check` for gaps of some sizes at every place of small conversations: with what comes of the whole, and with the
/// steps that are left.
pub(in crate::protocol) fn check_gaps(
    protocol: &Protocol,
    role: Role,
    conversations: &[Conversation],
    check: impl Fn(&Conversation, &Replay, &[Step]),
) {
    for conversation in conversations.iter().filter(|conversation| is_small(conversation)) {
        let len = seen_len(&conversation.steps);
        let truth = replay(protocol, role, conversation, &conversation.steps);
        for start in 0..len {
            for size in [1, 2, 3, 5, 11, 17, 60, 150] {
                let steps = lose(&conversation.steps, &(start..(start + size).min(len)));
                check(conversation, &truth, &steps);
            }
        }
    }
}

/// Wherever the last bytes of a connection are lost: what was complete is told as ever, of the rest nobody says how it ended.
pub(in crate::protocol) fn check_lost_ends(protocol: &Protocol, role: Role, conversations: &[Conversation]) {
    let checked = |conversation: &&Conversation| is_small(conversation) && conversation.closer.is_some();
    for conversation in conversations.iter().filter(checked) {
        let expected = replay(protocol, role, conversation, &conversation.steps).lines();
        let unseen =
            Conversation { closer: Some(Closer::Other(CloseReason::Unseen)), ..conversation.clone() };
        for end in 0..seen_len(&conversation.steps) {
            let steps = truncate(&conversation.steps, end);
            let last = Time(steps.iter().map(|step| step.call).max().unwrap_or(0));
            let got = replay(protocol, role, &unseen, &steps).output.exchanges;
            // Nor when: it ends with what was seen of it.
            let is_told = |exchange: &Exchange| match exchange.outcome {
                Outcome::Complete => expected.contains(&line(exchange)),
                outcome => outcome == Outcome::Lost && exchange.end <= last,
            };
            let wrong: Vec<String> = got.iter().filter(|exchange| !is_told(exchange)).map(line).collect();
            assert!(wrong.is_empty(), "{} as {role:?} lost from {end}: {wrong:#?}", conversation.name);
        }
    }
}

/// Large repeated runs make exhaustive damage slow without making it better.
fn is_small(conversation: &Conversation) -> bool {
    seen_len(&conversation.steps) < 800
}

fn seen(step: &Step) -> &[u8] {
    match &step.bytes {
        Bytes::Seen(bytes) => bytes,
        Bytes::Gap(_) => &[],
    }
}

/// Who moved how many bytes in which call, for messages.
pub(in crate::protocol) fn outline(steps: &[Step]) -> String {
    let line = |step: &Step| {
        let side = if step.by_client { 'C' } else { 'S' };
        match &step.bytes {
            Bytes::Seen(bytes) => format!("{side}{} {}", step.call, bytes.escape_ascii()),
            Bytes::Gap(len) => format!("{side}{} +{len}", step.call),
        }
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}
