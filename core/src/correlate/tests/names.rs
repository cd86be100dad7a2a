//! Names that could not be resolved.

use super::*;

fn unresolved(caller: Origin, port: &str) -> Unresolved {
    let failure = NameFailure::Unknown;
    let (start, end) = (Time(1_000_000), Time(3_000_000));
    Unresolved { pid: 7, host: "no.example".into(), port: Some(port.into()), caller, start, end, failure }
}

#[test]
fn a_name_that_does_not_resolve_is_a_failed_call_of_its_request() {
    let mut rig = Rig::new();
    rig.correlator.unresolved(unresolved(origin(1, 3, 20, [0; 3]), "443"));
    let read = origin(1, 1, 5, [0; 3]);
    rig.feed(finished(Role::Server, read, read, http("/a", Correlation::default())));
    let ([call], [event]) = (&rig.calls()[..], &rig.events()[..]) else { panic!("{:?}", rig.out) };
    assert_eq!((call.method.as_str(), call.host.as_str(), call.status), ("RESOLVE", "no.example", 0));
    assert_eq!(call.error.as_deref(), Some("name not resolved: it is not known"));
    assert_eq!((call.duration_ms, call.link), (2.0, Some("handover")));
    assert_eq!(call.source_request_id, event.request_id);
    assert_eq!(event.outgoing_count, Some(1));
}

#[test]
fn a_port_is_named_where_it_is_not_that_of_the_web() {
    for (port, host) in [("80", "no.example"), ("http", "no.example"), ("8080", "no.example:8080")] {
        let mut rig = Rig::new();
        rig.correlator.unresolved(unresolved(Origin::default(), port));
        rig.correlator.take(&mut Progress::default(), &World, &mut rig.out);
        let [call] = rig.calls()[..] else { panic!("{:?}", rig.out) };
        assert_eq!((call.host.as_str(), &call.source_request_id), (host, &None));
    }
}
