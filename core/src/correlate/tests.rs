//! Exchanges in, rows out.

mod failures;
mod names;
mod paths;
mod refused;
mod relays;
mod remembered;
mod responses;
mod streams;

use super::*;
use crate::exchange::{
    ConnId, Correlation, Endpoint, Exchange, Http, HttpVersion, Origin, Outcome, Sql, Transaction,
};
use crate::record::{Call, Event, Query};
use crate::sql::Normalised;

struct World;

impl Surroundings for World {
    fn unix(&self, time: Time) -> f64 {
        time.0 as f64 / 1e9
    }

    fn service(&self, _pid: u32) -> Arc<str> {
        "shop".into()
    }
}

pub(super) fn info(role: Role, peer: &str) -> Info {
    Info {
        id: ConnId(1),
        key: 1,
        pid: 7,
        role: Some(role),
        local: Endpoint::Unknown,
        peer: Endpoint::Tcp(peer.parse().unwrap()),
        from_start: true,
        since: Time(0),
        tls: false,
        caller: Origin::default(),
    }
}

fn origin(request: u64, how: u8, unit: u64, ancestors: [u64; 3]) -> Origin {
    Origin { request, how, unit, ancestors, ..Origin::default() }
}

fn finished(role: Role, origin: Origin, response_origin: Origin, detail: Detail) -> Finished {
    let ms = 1_000_000;
    Finished {
        exchange: Exchange {
            start: Time(10 * ms),
            first_response: Some(Time(12 * ms)),
            end: Time(14 * ms),
            request_bytes: 1,
            response_bytes: 2,
            origin,
            response_origin,
            outcome: Outcome::Complete,
            detail,
        },
        conn: Arc::new(info(role, "10.0.0.1:80")),
        role,
        pid: 7,
    }
}

fn http(path: &str, headers: Correlation) -> Detail {
    Detail::Http(Http {
        version: HttpVersion::Http11,
        stream: 0,
        method: "GET".into(),
        path: path.into(),
        host: Some("api.example".into()),
        status: 200,
        upgraded: false,
        user_agent: None,
        correlation: headers,
        response_request_id: None,
        grpc_status: None,
    })
}

fn sql(fingerprint: u64, control: bool) -> Detail {
    Detail::Sql(Sql {
        system: "postgresql",
        statement: Arc::new(Normalised {
            text: format!("SELECT {fingerprint}"),
            fingerprint,
            operation: "SELECT".into(),
            table: None,
            is_transaction_control: control,
        }),
        rows: Some(1),
        error_code: None,
        severity: None,
        database: None,
        user: None,
        transaction: Transaction::Idle,
        is_cursor_round: false,
    })
}

/// Feeds exchanges one by one; what comes out.
struct Rig {
    correlator: Correlator,
    out: Vec<Record>,
}

impl Rig {
    fn new() -> Self {
        Self { correlator: Correlator::new(1), out: Vec::new() }
    }

    fn feed(&mut self, finished: Finished) -> &mut Self {
        let mut progress = Progress { finished: vec![finished], ..Progress::default() };
        self.correlator.take(&mut progress, &World, &mut self.out);
        self
    }

    fn start(&mut self, role: Role, local: &str, peer: &str, request: u64, path: &str, ids: Correlation) {
        let started = Started {
            time: Time(1),
            origin: origin(request, 1, 2, [0; 3]),
            method: "GET".into(),
            path: path.into(),
            correlation: ids,
            stream: 0,
            relayed: false,
        };
        let conn = Info { local: Endpoint::Tcp(local.parse().unwrap()), ..info(role, peer) };
        let mut progress = Progress { started: vec![(Arc::new(conn), role, started)], ..Progress::default() };
        self.correlator.take(&mut progress, &World, &mut self.out);
    }

    fn events(&self) -> Vec<&Event> {
        self.out.iter().filter_map(|r| if let Record::Event(e) = r { Some(&**e) } else { None }).collect()
    }

    fn calls(&self) -> Vec<&Call> {
        self.out.iter().filter_map(|r| if let Record::Call(c) = r { Some(&**c) } else { None }).collect()
    }

    fn queries(&self) -> Vec<&Query> {
        self.out.iter().filter_map(|r| if let Record::Query(q) = r { Some(&**q) } else { None }).collect()
    }
}

#[test]
fn what_a_request_caused_is_counted_on_its_event() {
    let mut rig = Rig::new();
    let of = |request| origin(request, 1, 50, [0; 3]);
    for n in 0..4 {
        rig.feed(finished(Role::Client, of(900), Origin::default(), sql(n, false)));
    }
    rig.feed(finished(Role::Client, of(900), Origin::default(), http("/out", Correlation::default())));
    rig.feed(finished(Role::Client, of(901), Origin::default(), sql(7, false)));
    rig.feed(finished(Role::Server, of(900), of(900), http("/users/7", Correlation::default())));
    let event = rig.events()[0];
    assert_eq!((event.db_query_count, event.outgoing_count), (Some(4), Some(1)));
    assert_eq!((event.db_total_ms, event.duration_ms, event.ttfb_ms), (Some(16.0), 4.0, Some(2.0)));
    assert_eq!(event.db_slow.len(), 3);
    assert_eq!(event.route, "/users/{id}");
    let id = event.request_id.as_deref();
    assert!(id.is_some());
    assert_eq!(rig.calls()[0].source_request_id.as_deref(), id);
    assert_eq!(rig.calls()[0].link, Some("context"));
    assert_ne!(rig.queries()[4].source_request_id.as_deref(), id, "another request's");
}

#[test]
fn without_attribution_nothing_is_said_about_queries() {
    let mut rig = Rig::new();
    rig.feed(finished(Role::Client, Origin::default(), Origin::default(), sql(1, false)));
    rig.feed(finished(Role::Server, Origin::default(), Origin::default(), http("/", Correlation::default())));
    assert_eq!(rig.events()[0].db_query_count, None);
    assert_eq!(rig.queries()[0].source_request_id, None);
    assert_eq!(rig.queries()[0].link, None);
    assert_eq!(rig.correlator.links().none, 1);
}

#[test]
fn ids_that_the_client_sent_are_kept_even_for_calls_that_end_first() {
    let mut rig = Rig::new();
    let correlation = Correlation {
        request_id: Some("r-1".into()),
        correlation_id: Some("c-1".into()),
        parent_id: Some("p-1".into()),
        traceparent: None,
    };
    rig.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", 5, "/in", correlation.clone());
    let of = origin(5, 2, 2, [0; 3]);
    rig.feed(finished(Role::Client, of, Origin::default(), http("/out", Correlation::default())));
    rig.feed(finished(Role::Server, of, of, http("/in", correlation)));
    let call = rig.calls()[0];
    assert_eq!(call.source_request_id.as_deref(), Some("r-1"));
    assert_eq!(call.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(call.link, Some("thread"));
    let event = rig.events()[0];
    assert_eq!(event.request_id.as_deref(), Some("r-1"));
    assert_eq!(event.parent_id.as_deref(), Some("p-1"));
}

#[test]
fn a_request_with_the_id_of_another_gets_one_of_its_own_in_the_same_chain() {
    let mut rig = Rig::new();
    let headers = Correlation { request_id: Some("again".into()), ..Correlation::default() };
    for request in [5, 6, 0] {
        let of = origin(request, 2, 2, [0; 3]);
        if request != 0 {
            rig.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", request, "/in", headers.clone());
            rig.feed(finished(Role::Client, of, Origin::default(), http("/out", Correlation::default())));
        }
        rig.feed(finished(Role::Server, of, Origin::default(), http("/in", headers.clone())));
    }
    let [first, second, third] = rig.events()[..] else { panic!("three requests") };
    assert_eq!(first.request_id.as_deref(), Some("again"));
    assert!(second.request_id != first.request_id && third.request_id != first.request_id);
    assert_ne!(second.request_id, third.request_id);
    for event in [first, second, third] {
        assert_eq!(event.correlation_id.as_deref(), Some("again"));
    }
    let callers: Vec<_> = rig.calls().iter().map(|call| &call.source_request_id).collect();
    assert_eq!(callers, [&first.request_id, &second.request_id]);
}

#[test]
fn ten_of_one_statement_are_an_n_plus_one_and_transaction_control_is_not() {
    for (count, control, expected) in [(9, false, None), (10, false, Some(42)), (30, true, None)] {
        let mut rig = Rig::new();
        let of = origin(5, 1, 2, [0; 3]);
        for _ in 0..count {
            rig.feed(finished(Role::Client, of, Origin::default(), sql(42, control)));
        }
        rig.feed(finished(Role::Server, of, of, http("/", Correlation::default())));
        assert_eq!(rig.events()[0].n_plus_one, expected, "{count} {control}");
    }
}

#[test]
fn the_rounds_of_a_cursor_are_no_n_plus_one() {
    let mut rig = Rig::new();
    let of = origin(5, 1, 2, [0; 3]);
    for round in 0..12 {
        let mut query = sql(42, false);
        if let Detail::Sql(sql) = &mut query {
            sql.is_cursor_round = round < 11;
        }
        rig.feed(finished(Role::Client, of, Origin::default(), query));
    }
    rig.feed(finished(Role::Server, of, of, http("/", Correlation::default())));
    assert_eq!((rig.events()[0].n_plus_one, rig.events()[0].db_query_count), (None, Some(12)));
}

#[test]
fn a_client_that_went_away_is_status_499() {
    let mut rig = Rig::new();
    let mut gone =
        finished(Role::Server, Origin::default(), Origin::default(), http("/", Correlation::default()));
    gone.exchange.outcome = Outcome::ClientGone;
    rig.feed(gone);
    assert_eq!(rig.events()[0].status, 499);
    assert!(rig.events()[0].error.is_some());
}

#[test]
fn both_ends_of_a_socket_join_a_request_to_the_call_that_made_it() {
    // The callee may be seen before its caller: their system calls return on different CPUs.
    for callee_first in [false, true] {
        let mut rig = Rig::new();
        let none = Correlation::default;
        rig.start(Role::Server, "127.0.0.1:80", "127.0.0.1:5000", 1, "/front", none());
        let caller = (Role::Client, "127.0.0.1:6000", "127.0.0.1:81", 1);
        let callee = (Role::Server, "127.0.0.1:81", "127.0.0.1:6000", 2);
        let mut ends = [caller, callee];
        if callee_first {
            ends.reverse();
        }
        for (role, local, peer, request) in ends {
            rig.start(role, local, peer, request, "/inner", none());
        }
        let of = |request| origin(request, 1, 2, [0; 3]);
        rig.feed(finished(Role::Server, of(2), of(2), http("/inner", none())));
        rig.feed(finished(Role::Server, of(1), of(1), http("/front", none())));
        let [inner, front] = rig.events()[..] else { panic!("{:?}", rig.out) };
        assert_eq!(inner.parent_id, front.request_id);
        assert_eq!(inner.correlation_id, front.correlation_id);
        assert_eq!(front.parent_id, None);
        assert_eq!(rig.correlator.links().socket_pair, 1);
    }
}

#[test]
fn an_open_request_outlasts_any_number_that_end_meanwhile() {
    let mut rig = Rig::new();
    let headers = Correlation { request_id: Some("slow".into()), ..Correlation::default() };
    rig.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", 1, "/slow", headers.clone());
    let of = |request| origin(request, 1, 2, [0; 3]);
    rig.feed(finished(Role::Client, of(1), Origin::default(), sql(1, false)));
    for request in 2..2 * REQUESTS_MAX as u64 {
        rig.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", request, "/", Correlation::default());
        rig.feed(finished(Role::Server, of(request), of(request), http("/", Correlation::default())));
        rig.correlator.tick(Time(request), &World, &mut rig.out);
        assert!(rig.correlator.requests.len() <= REQUESTS_MAX);
    }
    rig.out.clear();
    rig.feed(finished(Role::Server, of(1), of(1), http("/slow", headers)));
    assert_eq!(rig.events()[0].request_id.as_deref(), Some("slow"));
    assert_eq!(rig.events()[0].db_query_count, Some(1));
}

#[test]
fn headers_win_over_sockets_and_other_paths_do_not_meet() {
    let mut rig = Rig::new();
    let none = Correlation::default;
    let headers = Correlation { parent_id: Some("p".into()), ..none() };
    rig.start(Role::Client, "127.0.0.1:6000", "127.0.0.1:81", 1, "/lost", none());
    rig.start(Role::Client, "127.0.0.1:6000", "127.0.0.1:81", 1, "/inner", none());
    rig.start(Role::Server, "127.0.0.1:81", "127.0.0.1:6000", 2, "/inner", headers.clone());
    let of = origin(2, 1, 2, [0; 3]);
    rig.feed(finished(Role::Server, of, of, http("/inner", headers)));
    assert_eq!(rig.events()[0].parent_id.as_deref(), Some("p"));
    assert_eq!(rig.correlator.links().socket_pair, 0);
}

#[test]
fn a_call_carries_the_code_that_makes_it() {
    struct Sites;
    impl Surroundings for Sites {
        fn unix(&self, _time: Time) -> f64 {
            0.0
        }
        fn service(&self, _pid: u32) -> Arc<str> {
            "shop".into()
        }
        fn call_site(&self, stack: u64) -> Option<Arc<str>> {
            (stack == 5).then(|| "/shop/views.py:7 show".into())
        }
    }
    let mut correlator = Correlator::new(1);
    let mut out = Vec::new();
    for (stack, detail) in [(5, http("/a", Correlation::default())), (5, sql(1, false)), (6, sql(1, false))] {
        let origin = Origin { stack, ..Origin::default() };
        correlator.called(&finished(Role::Client, origin, Origin::default(), detail), &Sites, &mut out);
    }
    let sites: Vec<_> = out
        .iter()
        .map(|record| match record {
            Record::Call(call) => call.call_site.as_deref(),
            Record::Query(query) => query.call_site.as_deref(),
            Record::Event(_) | Record::Sample(_) => None,
        })
        .collect();
    assert_eq!(sites, [Some("/shop/views.py:7 show"), Some("/shop/views.py:7 show"), None]);
}

/// Two pipelined requests that the kernel side gave the number 900; their responses were written by `writers`.
fn pipelined(calls: &[Origin], writers: [u64; 2]) -> Rig {
    let mut rig = Rig::new();
    for path in ["/first", "/second"] {
        rig.start(Role::Server, "127.0.0.1:80", "127.0.0.1:4711", 900, path, Correlation::default());
    }
    for call in calls {
        rig.feed(finished(Role::Client, *call, Origin::default(), sql(1, false)));
    }
    for (path, writer) in ["/first", "/second"].into_iter().zip(writers) {
        let wrote = origin(0, 0, writer, [0; 3]);
        rig.feed(finished(
            Role::Server,
            origin(900, 0, 0, [0; 3]),
            wrote,
            http(path, Correlation::default()),
        ));
    }
    rig
}

#[test]
fn pipelined_requests_are_told_apart_by_who_answers() {
    // The second request's unit is a copy of the first's; each has made a call itself and one in a copy.
    let calls = [
        origin(900, 1, 50, [1, 0, 0]),
        origin(900, 1, 51, [50, 1, 0]),
        origin(900, 1, 60, [50, 1, 0]),
        origin(900, 1, 61, [60, 50, 1]),
    ];
    let rig = pipelined(&calls, [50, 60]);
    let ids: Vec<_> = rig.events().iter().map(|event| event.request_id.clone()).collect();
    assert_ne!(ids[0], ids[1]);
    let linked: Vec<_> = rig.queries().iter().map(|query| query.source_request_id.clone()).collect();
    assert_eq!(linked, [&ids[0], &ids[0], &ids[1], &ids[1]].map(Clone::clone));
    assert!(rig.queries().iter().all(|query| query.link == Some("response")));
    let counts: Vec<_> = rig.events().iter().map(|event| event.db_query_count).collect();
    assert_eq!(counts, [Some(2), Some(2)]);
}

/// Requests that the unit 50 answers one after the other, at these times; calls made by units at these times.
fn one_after_the_other(answered: &[u64], calls: &[(u64, [u64; 3], u64)]) -> Vec<Option<String>> {
    let mut rig = Rig::new();
    let path = |end: &u64| format!("/{end}");
    for end in answered {
        rig.start(Role::Server, "127.0.0.1:80", "127.0.0.1:4711", 900, &path(end), Correlation::default());
    }
    for &(unit, ancestors, start) in calls {
        let of = origin(900, 1, unit, ancestors);
        let mut call = finished(Role::Client, of, Origin::default(), sql(1, false));
        (call.exchange.start, call.exchange.end) = (Time(start), Time(start + 1));
        rig.feed(call);
    }
    for end in answered {
        let (read, wrote) = (origin(900, 0, 0, [0; 3]), origin(0, 0, 50, [0; 3]));
        let mut answer = finished(Role::Server, read, wrote, http(&path(end), Correlation::default()));
        answer.exchange.end = Time(*end);
        rig.feed(answer);
    }
    let of =
        |id: &Option<Arc<str>>| rig.events().iter().find(|e| e.request_id == *id).map(|e| e.path.clone());
    rig.queries()
        .iter()
        .map(|query| query.source_request_id.as_ref().and_then(|id| of(&Some(id.clone()))))
        .collect()
}

#[test]
fn what_a_unit_does_before_each_of_its_answers_is_that_requests_work() {
    let own = |start| (50, [1, 0, 0], start);
    let linked = one_after_the_other(&[100, 200, 300], &[own(10), own(90), own(110), own(210), own(310)]);
    assert_eq!(linked, ["/100", "/100", "/200", "/300", "/300"].map(|path| Some(path.to_owned())));
}

#[test]
fn what_such_a_unit_has_started_belongs_to_none_of_them() {
    let linked = one_after_the_other(&[100, 200], &[(51, [50, 1, 0], 110), (70, [0; 3], 110)]);
    assert_eq!(linked, [None, None]);
}

#[test]
fn what_is_not_told_apart_is_counted_for_none_of_them() {
    // The first call belongs to the first request, the second to either.
    let rig = pipelined(&[origin(900, 1, 50, [0; 3]), origin(900, 1, 70, [0; 3])], [50, 60]);
    assert!(rig.queries().iter().any(|query| query.source_request_id.is_some()));
    assert_eq!(rig.events().len(), 2);
    assert!(
        rig.events().iter().all(|event| event.db_query_count.is_none() && event.outgoing_count.is_none())
    );
}

#[test]
fn a_pipelined_request_does_not_wait_for_ever_for_those_behind() {
    let mut rig = Rig::new();
    for path in ["/first", "/second"] {
        rig.start(Role::Server, "127.0.0.1:80", "127.0.0.1:4711", 900, path, Correlation::default());
    }
    rig.feed(finished(
        Role::Server,
        origin(900, 0, 0, [0; 3]),
        origin(0, 0, 50, [0; 3]),
        http("/first", Correlation::default()),
    ));
    assert!(rig.events().is_empty());
    rig.correlator.tick(Time(10_000_000_000), &World, &mut rig.out);
    let [event] = rig.events()[..] else { panic!("{:?}", rig.out) };
    assert_eq!((event.path.as_str(), event.db_query_count), ("/first", None));
}

#[test]
fn calls_of_pipelined_requests_without_responses_are_given_up() {
    let mut rig = Rig::new();
    for path in ["/first", "/second"] {
        rig.start(Role::Server, "127.0.0.1:80", "127.0.0.1:4711", 900, path, Correlation::default());
    }
    rig.feed(finished(Role::Client, origin(900, 1, 50, [0; 3]), Origin::default(), sql(1, false)));
    assert!(rig.queries().is_empty());
    rig.correlator.tick(Time(10_000_000_000), &World, &mut rig.out);
    assert_eq!(rig.queries()[0].source_request_id, None);
}
