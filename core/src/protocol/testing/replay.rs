//! Conversations replayed into a session.

use super::script::{Bytes, Closer, Conversation, Step};
use crate::exchange::{Direction, Origin, Role};
use crate::protocol::{At, CloseReason, Next, Output, Protocol};
use crate::time::Time;

/// What came of a conversation.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Replay {
    pub(in crate::protocol) output: Output,
    /// `ignore`, or `redetect` with the call and the byte of that call; empty if the session went on to the end.
    pub(in crate::protocol) next: String,
    /// Requests open before the connection closed.
    pub(in crate::protocol) in_flight: usize,
}

impl Replay {
    /// The exchanges, a line each.
    pub(in crate::protocol) fn lines(&self) -> Vec<String> {
        self.output.exchanges.iter().map(super::line).collect()
    }

    /// The losses that are not zero.
    pub(in crate::protocol) fn losses(&self) -> String {
        let counted = self.output.losses.iter().filter(|&(_, n)| n > 0);
        counted.map(|(loss, n)| format!("{}={n}", loss.name())).collect::<Vec<_>>().join(" ")
    }
}

/// Replays `steps` as the process in `role` saw them.
pub(in crate::protocol) fn replay(
    protocol: &Protocol,
    role: Role,
    conversation: &Conversation,
    steps: &[Step],
) -> Replay {
    let mut session = (protocol.session)(role, !conversation.mid_life);
    let mut replay = Replay::default();
    let (mut call, mut offset) = (0, 0);
    for step in steps {
        let direction =
            if step.by_client == (role == Role::Server) { Direction::Read } else { Direction::Write };
        if step.call != call {
            (call, offset) = (step.call, 0);
        }
        let at = At { direction, time: Time(step.call), origin: Origin::default() };
        match &step.bytes {
            Bytes::Gap(len) => session.gap(&at, *len, &mut replay.output),
            Bytes::Seen(bytes) => match session.data(&at, bytes, &mut replay.output) {
                Next::Continue => offset += bytes.len(),
                Next::Ignore => {
                    replay.next = String::from("ignore");
                    return replay;
                }
                Next::Redetect { consumed } => {
                    assert!(consumed <= bytes.len(), "consumed more than there was");
                    // The end of one call and the start of the next are the same place.
                    replay.next = format!("redetect {} {}", step.call, offset + consumed);
                    return replay;
                }
            },
        }
    }
    replay.in_flight = session.in_flight();
    if let Some(closer) = conversation.closer {
        let reason = match (closer, role) {
            (Closer::Client, Role::Client) | (Closer::Server, Role::Server) => CloseReason::Local,
            (Closer::Client | Closer::Server, _) => CloseReason::Peer,
            (Closer::Other(reason), _) => reason,
        };
        session.close(Time(call + 1), reason, &mut replay.output);
        assert_eq!(session.in_flight(), 0, "{}: exchanges open after the end", conversation.name);
    }
    replay
}
