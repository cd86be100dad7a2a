//! How long a request is known, and what it leaves behind.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn of(request: u64) -> Origin {
    origin(request, 1, 2, [0; 3])
}

impl Rig {
    /// A request with an id of its own comes, and has its answer.
    fn serve(&mut self, request: u64, id: &str, end: u64) {
        let headers = Correlation { request_id: Some(id.into()), ..Correlation::default() };
        self.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", request, "/", headers.clone());
        let mut served = finished(Role::Server, of(request), of(request), http("/", headers));
        served.exchange.end = Time(end);
        self.feed(served);
    }

    /// The id that is told for a statement of `request`.
    fn source(&mut self, request: u64, time: u64) -> Option<String> {
        let mut query = finished(Role::Client, of(request), Origin::default(), sql(1, false));
        (query.exchange.start, query.exchange.end) = (Time(time), Time(time));
        self.feed(query);
        self.queries().last().and_then(|query| query.source_request_id.as_deref().map(str::to_owned))
    }
}

#[test]
fn what_works_on_after_its_end_keeps_its_id_and_holds_up_nobody() {
    let mut rig = Rig::new();
    rig.serve(1, "socket", 0);
    rig.serve(2, "short", 0);
    for minute in 0..30 {
        let now = minute * 60 * SECOND;
        assert_eq!(rig.source(1, now).as_deref(), Some("socket"), "minute {minute}");
        rig.correlator.tick(Time(now), &World, &mut rig.out);
    }
    assert_eq!(rig.correlator.requests.keys().collect::<Vec<_>>(), [&1]);
    for minute in 30..36 {
        rig.correlator.tick(Time(minute * 60 * SECOND), &World, &mut rig.out);
    }
    assert!(rig.correlator.requests.is_empty() && rig.correlator.order.is_empty());
}

#[test]
fn what_was_quiet_for_long_is_known_again() {
    let mut rig = Rig::new();
    rig.serve(1, "task", 0);
    rig.source(1, SECOND);
    rig.serve(2, "short", 0);
    let headers = Correlation { request_id: Some("socket".into()), ..Correlation::default() };
    rig.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", 3, "/", headers.clone());
    let mut switched = finished(Role::Server, of(3), of(3), http("/", headers));
    if let Detail::Http(http) = &mut switched.exchange.detail {
        http.upgraded = true;
    }
    rig.feed(switched);
    for hour in 1..4 {
        let now = hour * 3600 * SECOND;
        rig.correlator.tick(Time(now), &World, &mut rig.out);
        assert!(rig.correlator.requests.is_empty(), "they are quiet");
        for (request, id) in [(1, "task"), (3, "socket")] {
            assert_eq!(rig.source(request, now).as_deref(), Some(id), "hour {hour}");
        }
    }
    assert_ne!(rig.source(2, 4 * 3600 * SECOND).as_deref(), Some("short"), "what left nothing is forgotten");
}

#[test]
fn what_works_on_outlasts_any_number_that_end_meanwhile() {
    let mut rig = Rig::new();
    rig.serve(1, "socket", 0);
    for request in 2..2 * REQUESTS_MAX as u64 {
        rig.serve(request, "", request);
        if request % 1000 == 0 {
            assert_eq!(rig.source(1, request).as_deref(), Some("socket"), "after {request}");
        }
        rig.correlator.tick(Time(request), &World, &mut rig.out);
        assert!(rig.correlator.requests.len() <= REQUESTS_MAX + 1);
        rig.out.clear();
    }
}

#[test]
fn many_that_work_on_stay_within_the_cap() {
    let mut rig = Rig::new();
    for request in 1..=OPEN_MAX as u64 + 100 {
        rig.serve(request, "", request);
        rig.source(request, request);
        rig.out.clear();
    }
    rig.correlator.tick(Time(SECOND), &World, &mut rig.out);
    assert_eq!(rig.correlator.requests.len(), OPEN_MAX);
}

#[test]
fn requests_of_which_no_head_was_read_are_forgotten() {
    let mut rig = Rig::new();
    let many = 2 * REQUESTS_MAX as u64 - 1;
    for request in 1..=many {
        rig.source(request, SECOND);
    }
    rig.out.clear();
    rig.serve(many + 1, "known", 2 * SECOND);
    for second in 3..6 {
        rig.correlator.tick(Time(second * SECOND), &World, &mut rig.out);
    }
    assert!(rig.correlator.requests.len() <= REQUESTS_MAX, "they make room");
    for second in (6..400).step_by(100) {
        rig.correlator.tick(Time(second * SECOND), &World, &mut rig.out);
    }
    assert!(rig.correlator.requests.is_empty() && rig.correlator.order.is_empty());
}

#[test]
fn one_that_is_open_for_days_without_a_call_is_given_up() {
    let mut rig = Rig::new();
    rig.start(Role::Server, "10.0.0.1:80", "10.0.0.2:81", 1, "/", Correlation::default());
    let hour = 3600 * SECOND;
    for hours in 1..24 {
        rig.correlator.tick(Time(hours * hour), &World, &mut rig.out);
        assert_eq!(rig.correlator.requests.len(), 1, "after {hours} hours");
    }
    rig.correlator.tick(Time(25 * hour), &World, &mut rig.out);
    assert!(rig.correlator.requests.is_empty());
}
