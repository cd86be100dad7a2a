//! Conversations in pieces, cut short, and with bytes lost.

use std::ops::Range;

use super::line;
use super::replay::replay;
use super::script::{Bytes, Closer, Conversation, Step};
use crate::exchange::{Exchange, Outcome, Role};
use crate::protocol::{CloseReason, Protocol};

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

/// Wherever the last bytes of a connection are lost: what was complete is told as ever, of the rest nobody says how it ended.
pub(in crate::protocol) fn check_lost_ends(
    protocol: &Protocol,
    role: Role,
    conversations: impl Iterator<Item = &'static Conversation>,
) {
    for conversation in conversations.filter(|conversation| conversation.closer.is_some()) {
        let expected = replay(protocol, role, conversation, &conversation.steps).lines();
        let unseen =
            Conversation { closer: Some(Closer::Other(CloseReason::Unseen)), ..conversation.clone() };
        for end in 0..seen_len(&conversation.steps) {
            let got = replay(protocol, role, &unseen, &truncate(&conversation.steps, end)).output.exchanges;
            let is_told = |exchange: &Exchange| match exchange.outcome {
                Outcome::Complete => expected.contains(&line(exchange)),
                outcome => outcome == Outcome::Lost,
            };
            let wrong: Vec<String> = got.iter().filter(|exchange| !is_told(exchange)).map(line).collect();
            assert!(wrong.is_empty(), "{} as {role:?} lost from {end}: {wrong:#?}", conversation.name);
        }
    }
}

/// Large repeated runs make exhaustive damage slow without making it better.
pub(in crate::protocol) fn is_small(conversation: &Conversation) -> bool {
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
