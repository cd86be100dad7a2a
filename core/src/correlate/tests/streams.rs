//! Streams of HTTP/2 connections.

use super::*;

/// When a unit was made, by its number: those of a connection come before its requests, their tasks behind them.
const CONNECTION: u64 = 10;
const READ: u64 = 20;

fn request(stream: u32, of_connection: u64) -> Started {
    Started {
        time: Time(1),
        origin: Origin { unit: READ, request: of_connection, ..Origin::default() },
        method: "GET".into(),
        path: format!("/{stream}"),
        correlation: Correlation::default(),
        stream,
        relayed: false,
    }
}

impl Rig {
    fn opens(&mut self, streams: &[u32], of_connection: u64) {
        let conn = Arc::new(info(Role::Server, "10.0.0.1:80"));
        let started =
            streams.iter().map(|stream| (Arc::clone(&conn), Role::Server, request(*stream, of_connection)));
        let mut progress = Progress { started: started.collect(), ..Progress::default() };
        self.correlator.take(&mut progress, &World, &mut self.out);
    }

    fn calls_by(&mut self, request: u64, unit: u64, ancestors: [u64; 3]) {
        let of = origin(request, u8::from(request != 0), unit, ancestors);
        self.feed(finished(Role::Client, of, Origin::default(), sql(unit, false)));
    }

    fn answers(&mut self, stream: u32, of_connection: u64, writer: Origin) {
        let Detail::Http(mut http) = http(&format!("/{stream}"), Correlation::default()) else { return };
        http.stream = stream;
        let read = request(stream, of_connection).origin;
        self.feed(finished(Role::Server, read, writer, Detail::Http(http)));
    }

    /// Which unit's statement belongs to which stream.
    fn linked(&self) -> Vec<(u64, Option<String>)> {
        let path = |id: &str| {
            let event = self.events().into_iter().find(|event| event.request_id.as_deref() == Some(id));
            event.map(|event| event.path.clone())
        };
        let told =
            |query: &&Query| (query.statement.fingerprint, query.source_request_id.as_deref().and_then(path));
        self.queries().iter().map(told).collect()
    }
}

fn task(unit: u64) -> Origin {
    Origin { unit, in_unit: true, ancestors: [CONNECTION, 0, 0], ..Origin::default() }
}

fn to(path: &str) -> Option<String> {
    Some(path.to_owned())
}

#[test]
fn streams_are_told_apart_by_who_answers() {
    let mut rig = Rig::new();
    rig.opens(&[1, 3], 0);
    rig.calls_by(0, 33, [CONNECTION, 0, 0]);
    rig.calls_by(0, 31, [CONNECTION, 0, 0]);
    rig.calls_by(0, 34, [33, CONNECTION, 0]);
    rig.answers(3, 0, task(33));
    assert_eq!(rig.linked(), [(33, to("/3")), (34, to("/3"))]);
    assert_eq!(rig.events()[0].db_query_count, Some(2));
    rig.answers(1, 0, task(31));
    // What the task does afterwards.
    rig.calls_by(0, 35, [33, CONNECTION, 0]);
    assert_eq!(rig.linked()[2..], [(31, to("/1")), (35, to("/3"))]);
    assert!(rig.queries().iter().all(|query| query.link == Some("response")));
}

#[test]
fn what_serves_the_connection_answers_for_nobody() {
    for (unit, in_unit) in [(CONNECTION, true), (31, false)] {
        let mut rig = Rig::new();
        rig.opens(&[1, 3], 0);
        rig.calls_by(0, 33, [CONNECTION, 31, 0]);
        rig.answers(1, 0, Origin { unit, in_unit, ..Origin::default() });
        assert_eq!(rig.linked(), [], "stream 3 may tell more");
        rig.answers(3, 0, Origin::default());
        assert_eq!(rig.linked(), [(33, None)], "no stream is left");
        assert_eq!(rig.correlator.links().none, 1);
    }
}

#[test]
fn a_task_that_answers_several_did_the_work_of_each() {
    let mut rig = Rig::new();
    rig.opens(&[1, 3, 5], 0);
    rig.answers(1, 0, task(31));
    rig.calls_by(0, 40, [CONNECTION, 0, 0]);
    rig.answers(3, 0, task(31));
    rig.calls_by(0, 31, [CONNECTION, 0, 0]);
    assert_eq!(rig.linked(), [(31, None)]);
    rig.answers(5, 0, task(31));
    assert_eq!(rig.linked()[1..], [(40, None)]);
}

#[test]
fn a_call_of_no_stream_does_not_wait_for_those_that_began_later() {
    let mut rig = Rig::new();
    rig.opens(&[1], 0);
    rig.calls_by(0, 99, [0; 3]);
    rig.opens(&[3], 0);
    rig.answers(1, 0, task(31));
    assert_eq!(rig.linked(), [(99, None)]);
    rig.calls_by(0, 98, [0; 3]);
    rig.correlator.tick(Time(100_000_000_000), &World, &mut rig.out);
    assert_eq!(rig.linked()[1..], [(98, None)], "nor longer than a minute");
}

#[test]
fn the_request_that_asked_for_http2_is_not_the_one_of_all_streams() {
    let mut rig = Rig::new();
    rig.calls_by(700, 30, [0; 3]);
    rig.opens(&[3], 700);
    rig.calls_by(700, 33, [CONNECTION, 0, 0]);
    rig.answers(3, 700, task(33));
    let links: Vec<_> = rig.queries().iter().map(|query| query.link).collect();
    assert_eq!(links, [Some("context"), Some("response")]);
    assert_eq!(rig.linked()[1..], [(33, to("/3"))]);
}
