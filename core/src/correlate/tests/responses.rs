//! Calls whose request the writer of a response tells.

use super::*;

#[test]
fn the_writer_of_the_response_tells_whose_the_work_was() {
    let mut rig = Rig::new();
    let unknown = origin(0, 0, 77, [0; 3]);
    let descendant = origin(0, 0, 78, [77, 0, 0]);
    let stranger = origin(0, 0, 99, [98, 0, 0]);
    for origin in [unknown, descendant, stranger] {
        rig.feed(finished(Role::Client, origin, Origin::default(), sql(1, false)));
    }
    assert!(rig.queries().is_empty(), "they wait");
    rig.feed(finished(Role::Server, origin(6, 1, 1, [0; 3]), unknown, http("/", Correlation::default())));
    assert_eq!(rig.queries().len(), 2);
    assert!(rig.queries().iter().all(|q| q.link == Some("response")));
    assert_eq!(rig.events()[0].db_query_count, Some(2));
    // What it does afterwards is that request's too.
    rig.feed(finished(Role::Client, unknown, Origin::default(), sql(2, false)));
    assert_eq!(rig.queries()[2].source_request_id, rig.events()[0].request_id);
    // The stranger is told of after a while, without a request.
    rig.correlator.tick(Time(60_000_000_000), &World, &mut rig.out);
    assert_eq!(rig.queries()[3].source_request_id, None);
    assert_eq!(rig.correlator.links(), LinkCounts { response: 3, none: 1, ..LinkCounts::default() });
}

#[test]
fn a_slow_response_tells_too_where_responses_have_told_before() {
    let mut rig = Rig::new();
    let serve = |rig: &mut Rig, request, unit| {
        let head = http("/", Correlation::default());
        rig.feed(finished(Role::Server, origin(request, 1, 1, [0; 3]), origin(0, 0, unit, [0; 3]), head));
    };
    for (unit, waited, expected) in [(77, 20, None), (78, 0, Some(1)), (79, 20, Some(1)), (80, 40, None)] {
        let before = rig.events().len();
        rig.feed(finished(Role::Client, origin(0, 0, unit, [0; 3]), Origin::default(), sql(unit, false)));
        rig.correlator.tick(Time(waited * 1_000_000_000), &World, &mut rig.out);
        serve(&mut rig, unit, unit);
        let queries = rig.events()[before].db_query_count.filter(|count| *count > 0);
        assert_eq!(queries, expected, "{unit} after {waited} s");
    }
}

#[test]
fn a_response_tells_while_a_stream_is_open_too() {
    let mut rig = Rig::new();
    rig.correlator.streams.begins(&info(Role::Server, "10.0.0.1:80"), 1, 0);
    rig.feed(finished(Role::Client, origin(0, 0, 77, [0; 3]), Origin::default(), sql(1, false)));
    rig.feed(finished(Role::Client, origin(0, 0, 99, [0; 3]), Origin::default(), sql(2, false)));
    assert!(rig.queries().is_empty(), "they wait for the stream");
    let head = http("/", Correlation::default());
    rig.feed(finished(Role::Server, origin(6, 1, 1, [0; 3]), origin(0, 0, 77, [0; 3]), head));
    assert_eq!(rig.events()[0].db_query_count, Some(1));
    // What is open on a connection that has ended holds nothing back.
    rig.correlator.connection_over(ConnId(1), &mut rig.out);
    assert_eq!((rig.queries().len(), rig.queries()[1].source_request_id.is_none()), (2, true));
}
