//! Calls that end with their connection.

use super::*;

/// A call that is given up, or whose answer ends with the connection, is told as that happens: its request may be answered
/// within the grace.
#[test]
fn a_call_that_ends_with_its_connection_is_told_at_once() {
    let closed = Change::Closed { peer_first: false };
    let answers = b"HTTP/1.1 200 OK\r\n\r\nbody";
    for (answer, change, outcome) in [
        (&b""[..], closed, Outcome::ClientGone),
        (b"", Change::Failed(CloseReason::Reset), Outcome::Reset),
        (b"", Change::EndOfStream, Outcome::ServerGone),
        (answers, Change::EndOfStream, Outcome::Complete),
    ] {
        let mut rig = Rig::with(Some(Role::Client), true);
        rig.chunk(Direction::Write, REQUEST, 0, b"");
        if !answer.is_empty() {
            rig.chunk(Direction::Read, answer, 0, b"");
        }
        rig.change(change);
        let told: Vec<_> = rig.http().iter().map(|(_, outcome)| *outcome).collect();
        assert_eq!(told, [outcome], "{change:?}");
        rig.change(Change::Gone { reason: None, peer_first: true });
        rig.wait();
        assert_eq!((rig.http().len(), rig.table.len()), (1, 0), "{change:?}");
        assert_eq!(rig.table.take_losses(), Losses::default(), "{change:?}");
    }
    // Another thread's read has not returned.
    let mut rig = Rig::with(Some(Role::Client), true);
    rig.chunk(Direction::Write, REQUEST, 0, b"");
    let moved = [RESPONSE.len() as u64, REQUEST.len() as u64];
    rig.table.changed(ConnId(1), closed, Time(rig.now), moved, &mut rig.progress);
    rig.chunk(Direction::Read, RESPONSE, 0, b"");
    rig.wait();
    assert_eq!(rig.http().iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(), [Outcome::Complete]);
}

/// A server that refuses a request before it has read all of it answers and closes. The kernel resets the connection then,
/// and keeps the answer for whoever reads.
#[test]
fn an_answer_that_waits_behind_a_reset_is_read() {
    let reset = Some(CloseReason::Reset);
    for change in [
        Change::Gone { reason: reset, peer_first: false },
        Change::Gone { reason: reset, peer_first: true },
        Change::Gone { reason: None, peer_first: false },
        Change::WriteFailed(CloseReason::Reset),
    ] {
        let mut rig = Rig::with(Some(Role::Client), true);
        rig.chunk(Direction::Write, REQUEST, 0, b"");
        rig.change(change);
        assert!(rig.http().is_empty(), "{change:?}");
        rig.chunk(Direction::Read, RESPONSE, 0, b"");
        rig.wait();
        let told: Vec<_> = rig.http().iter().map(|(_, outcome)| *outcome).collect();
        assert_eq!(told, [Outcome::Complete], "{change:?}");
    }
    // The read behind it tells that nothing waits.
    let mut rig = Rig::with(Some(Role::Client), true);
    rig.chunk(Direction::Write, REQUEST, 0, b"");
    rig.change(Change::WriteFailed(CloseReason::Reset));
    rig.change(Change::Failed(CloseReason::Reset));
    assert_eq!(rig.http().iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(), [Outcome::Reset]);
}
