//! Connections that could not be made.

use super::*;
use crate::connection::FailedConnect;
use crate::protocol::CloseReason;

/// Failed attempts that are not shown.
fn retried(rig: &Rig) -> u64 {
    let mut losses = Losses::default();
    rig.correlator.losses(&mut losses);
    losses.get(Loss::ConnectsRetried)
}

#[test]
fn a_connection_that_is_given_up_is_a_failed_call_unless_another_address_was_faster() {
    let attempt = |peer: &str, since| Info { since: Time(since), ..info(Role::Client, peer) };
    let given_up = |info: &Info| Progress {
        failed: vec![FailedConnect {
            conn: Arc::new(info.clone()),
            reason: CloseReason::GivenUp,
            time: Time(300_000_000),
        }],
        ..Progress::default()
    };
    for (second, expected) in [("127.0.0.1:9000", 0), ("127.0.0.1:9001", 1), ("[::1]:9000", 1)] {
        let mut rig = Rig::new();
        let first = attempt("[::1]:9000", 0);
        rig.correlator.connected(&first);
        rig.correlator.connected(&attempt(second, 250_000_000));
        rig.correlator.take(&mut given_up(&first), &World, &mut rig.out);
        rig.correlator.tick(Time(2_000_000_000), &World, &mut rig.out);
        assert_eq!(rig.calls().len(), expected, "{second}");
        assert_eq!(retried(&rig), u64::from(expected == 0), "{second}");
        let error = "given up before the connection was made";
        assert!(rig.calls().iter().all(|call| call.error.as_deref() == Some(error) && call.status == 0));
    }
}

#[test]
fn a_refused_address_is_no_failed_call_when_the_next_one_answers() {
    let mut rig = Rig::new();
    let refused = |peer: &str| FailedConnect {
        conn: Arc::new(info(Role::Client, peer)),
        reason: CloseReason::Refused,
        time: Time(0),
    };
    let mut progress =
        Progress { failed: vec![refused("[::1]:9000"), refused("127.0.0.1:9001")], ..Progress::default() };
    rig.correlator.take(&mut progress, &World, &mut rig.out);
    rig.correlator.connected(&info(Role::Client, "127.0.0.1:9000"));
    rig.correlator.tick(Time(2_000_000_000), &World, &mut rig.out);
    let [call] = rig.calls()[..] else { panic!("{:?}", rig.out) };
    assert_eq!(retried(&rig), 1, "the other is counted");
    assert_eq!((call.host.as_str(), call.status), ("127.0.0.1:9001", 0));
    assert_eq!(call.error.as_deref(), Some("connection refused"));
}

fn refused(caller: Origin, peer: &str) -> Progress {
    let conn = Arc::new(Info { caller, ..info(Role::Client, peer) });
    let failed = FailedConnect { conn, reason: CloseReason::Refused, time: Time(1) };
    Progress { failed: vec![failed], ..Progress::default() }
}

#[test]
fn a_failed_connection_counts_for_the_request_that_wanted_it() {
    // By its number, and by the unit that later wrote the answer.
    let by_number = (origin(1, 1, 20, [0; 3]), "context");
    let by_writer = (origin(0, 0, 20, [9, 0, 0]), "response");
    for (caller, link) in [by_number, by_writer] {
        let mut rig = Rig::new();
        rig.correlator.take(&mut refused(caller, "127.0.0.1:9000"), &World, &mut rig.out);
        assert!(rig.calls().is_empty(), "another address may answer");
        let read = origin(1, 1, 5, [0; 3]);
        let writer = origin(1, 1, 9, [0; 3]);
        rig.feed(finished(Role::Server, read, writer, http("/a", Correlation::default())));
        let ([call], [event]) = (&rig.calls()[..], &rig.events()[..]) else { panic!("{:?}", rig.out) };
        assert_eq!((call.link, call.status), (Some(link), 0));
        assert_eq!(call.source_request_id, event.request_id);
        assert_eq!(event.outgoing_count, Some(1));
    }
}

#[test]
fn another_request_s_connection_is_no_second_attempt() {
    for (request, expected) in [(1, 0), (2, 1), (0, 1)] {
        let mut rig = Rig::new();
        rig.correlator.take(&mut refused(origin(1, 1, 20, [0; 3]), "[::1]:443"), &World, &mut rig.out);
        let caller = origin(request, 1, 21, [0; 3]);
        let since = Time(2);
        rig.correlator.connected(&Info { caller, since, ..info(Role::Client, "127.0.0.1:443") });
        rig.correlator.tick(Time(2_000_000_000), &World, &mut rig.out);
        assert_eq!(rig.calls().len(), expected, "request {request}");
    }
}

#[test]
fn of_work_without_a_request_only_one_unit_or_its_children_try_again() {
    // The unit that fails, its parent; the unit that tries another address, and where.
    let told = |unit, parent, peer: &str| {
        let mut rig = Rig::new();
        rig.correlator.take(&mut refused(origin(0, 0, 20, [10, 0, 0]), "[::1]:443"), &World, &mut rig.out);
        let caller = origin(0, 0, unit, [parent, 0, 0]);
        rig.correlator.connected(&Info { caller, since: Time(2), ..info(Role::Client, peer) });
        // Whoever calls waits for a response that tells whose it is; what is left at the end is told without.
        rig.correlator.drain(&World, &mut rig.out);
        rig.calls().len()
    };
    assert_eq!(told(20, 10, "[::2]:443"), 0);
    assert_eq!(told(21, 10, "127.0.0.1:443"), 0);
    assert_eq!(told(21, 10, "[::2]:443"), 1);
    assert_eq!(told(21, 11, "127.0.0.1:443"), 1);
}

#[test]
fn what_an_upgraded_connection_is_asked_for_is_not_one_work_by_the_number_it_began_with() {
    // Two streams of a connection whose first request, as HTTP/1, had the number 900: so have all, to the kernel side.
    let stream = |number| Started {
        time: Time(1),
        origin: origin(900, 0, 5, [0; 3]),
        method: "GET".into(),
        path: format!("/{number}"),
        correlation: Correlation::default(),
        stream: number,
        relayed: false,
    };
    let conn = Arc::new(info(Role::Server, "10.0.0.1:80"));
    let started = [1, 3].map(|number| (Arc::clone(&conn), Role::Server, stream(number)));
    // The unit that tries another address, and how many calls that makes.
    for (unit, expected) in [(20, 0), (21, 1)] {
        let mut rig = Rig::new();
        let mut progress = Progress { started: started.to_vec(), ..Progress::default() };
        rig.correlator.take(&mut progress, &World, &mut rig.out);
        rig.correlator.take(&mut refused(origin(900, 1, 20, [0; 3]), "127.0.0.1:1"), &World, &mut rig.out);
        let caller = origin(900, 1, unit, [0; 3]);
        rig.correlator.connected(&Info { caller, since: Time(2), ..info(Role::Client, "127.0.0.2:1") });
        rig.correlator.drain(&World, &mut rig.out);
        assert_eq!((rig.calls().len(), retried(&rig)), (expected, 1 - expected as u64), "{unit}");
    }
}

#[test]
fn a_failed_connection_of_a_stream_is_told_with_the_answer_that_its_unit_wrote() {
    let mut rig = Rig::new();
    let started = Started {
        time: Time(1),
        origin: origin(900, 0, 5, [0; 3]),
        method: "GET".into(),
        path: "/1".into(),
        correlation: Correlation::default(),
        stream: 1,
        relayed: false,
    };
    let conn = Arc::new(info(Role::Server, "10.0.0.1:80"));
    let mut progress = Progress { started: vec![(conn, Role::Server, started)], ..Progress::default() };
    rig.correlator.take(&mut progress, &World, &mut rig.out);
    rig.correlator.take(&mut refused(origin(900, 1, 20, [0; 3]), "127.0.0.1:1"), &World, &mut rig.out);
    let Detail::Http(mut answer) = http("/1", Correlation::default()) else { return };
    answer.stream = 1;
    let writer = Origin { in_unit: true, ..origin(0, 0, 20, [0; 3]) };
    rig.feed(finished(Role::Server, origin(900, 0, 5, [0; 3]), writer, Detail::Http(answer)));
    let ([call], [event]) = (&rig.calls()[..], &rig.events()[..]) else { panic!("{:?}", rig.out) };
    assert_eq!((call.link, &call.source_request_id), (Some("response"), &event.request_id));
}
