//! What becomes of figures with time: raw rows go, then the finer buckets; clocks are set; files grow old and full.

use apm_agent::store::{DiscoveredRoute, Options, Retention, Sort, SourceScan};
use apm_core::aggregate::LEVELS;
use apm_core::record::Event;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::support::{START, TestStore, all, ca, call, ev, event, qu, query, rows};

/// Kept for minutes rather than days, so that a test sees every level go.
const SHORT: Retention = Retention { raw: 20, levels: [60, 600, 7200, 100_000, 400_000] };

/// Where a window of `seconds` begins, as the page on the API says: to the microsecond while raw rows and the finest buckets reach
/// back so far, else with a whole bucket of the finest level that does.
fn begins(now: f64, seconds: u32, raw: i64) -> f64 {
    let from = now - f64::from(seconds);
    let second = now.floor() as i64;
    if from.floor() as i64 >= second - (raw + 2).min(SHORT.levels[0]) {
        return from;
    }
    let at = from.floor() as i64;
    let level = LEVELS.iter().zip(SHORT.levels).find(|(width, kept)| {
        at.div_euclid(**width) * **width >= (second - kept).div_euclid(**width) * **width
    });
    let width = level.map_or(LEVELS[LEVELS.len() - 1], |(width, _)| *width);
    (at.div_euclid(width) * width) as f64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Two days of records under a retention of seconds: after each step of the clock every window's figures are those of
    /// all records since the bucket it begins with.
    #[test]
    fn figures_of_every_window_survive_the_rows_they_were_made_of(
        ages in prop::collection::vec(0..6_u32, 20..60),
        windows in prop::collection::vec(1..200_000_u32, 8),
        // Rows may be kept for longer than the finest buckets, and than the next.
        raw in prop::sample::select(vec![20_i64, 500, 5_000]),
    ) {
        let store = TestStore::with(|options| options.retention = Retention { raw, ..SHORT });
        let mut events: Vec<Event> = Vec::new();
        let mut now = START;
        for (n, age) in ages.iter().enumerate() {
            now += 0.37 * 9_f64.powi(age.cast_signed());
            let at = (now * 1e6).round() / 1e6;
            let mut one = event(at, "api", ["/a", "/b"][n % 2]);
            one.duration_ms = 1.0 + n as f64;
            one.status = if n % 5 == 0 { 500 } else { 200 };
            events.push(one.clone());
            store.clock.set(now);
            store.put(vec![ev(one), ca(call(at, "api", "h")), qu(query(at, "api", "SELECT 1"))]);
        }
        // Deletion goes in steps; the floors have moved at once.
        store.clock.set(now + 3.25);
        store.writer.flush().unwrap();
        let now = store.clock.now();
        for seconds in windows {
            let from = begins(now, seconds, raw);
            let rows_from = (now - f64::from(seconds)).max(now.floor() - raw as f64 - 2.0);
            let mut slowest: Vec<f64> =
                events.iter().filter(|e| e.ts >= rows_from).map(|e| e.duration_ms).collect();
            slowest.sort_by(|a, b| b.total_cmp(a));
            let listed = store.reader.requests(&all(seconds), None, None, Sort::Slow, 100).unwrap();
            let listed: Vec<f64> = listed.iter().map(|row| row.duration_ms).collect();
            prop_assert_eq!(listed, slowest, "window {} of rows from {}", seconds, rows_from);
            let within: Vec<&Event> = events.iter().filter(|e| e.ts >= from).collect();
            let overview = store.reader.overview(&all(seconds)).unwrap();
            prop_assert_eq!(overview.total_requests as usize, within.len(), "window {} from {}", seconds, from);
            prop_assert_eq!(overview.errors as usize, within.iter().filter(|e| e.status >= 500).count());
            let longest = within.iter().map(|e| e.duration_ms).fold(0.0, f64::max);
            prop_assert!((overview.max_duration_ms - longest).abs() < 1e-6);
            for bucket in [1, 7, 60] {
                let (used, points) = store.reader.timeseries(&all(seconds), bucket, None).unwrap();
                prop_assert!(used >= bucket && points.iter().all(|p| p.ts as i64 % i64::from(used) == 0));
                // The window cuts the first of them.
                let whole = within.iter().filter(|e| e.ts >= now - f64::from(seconds) + f64::from(used)).count();
                let total: u64 = points.iter().map(|p| p.total).sum();
                prop_assert!((whole..=within.len()).contains(&(total as usize)), "{total} of {whole} by {bucket}");
                let heatmap = store.reader.heatmap(&all(seconds), bucket, None).unwrap();
                let counted: u64 = heatmap.columns.iter().flat_map(|column| &column.counts).sum();
                prop_assert_eq!((heatmap.bucket_seconds, counted), (used, total));
            }
            let routes = store.reader.routes(&all(seconds)).unwrap();
            prop_assert_eq!(routes.iter().map(|r| r.total).sum::<u64>(), overview.total_requests);
            let hosts = store.reader.outgoing(&all(seconds), 9).unwrap();
            prop_assert_eq!(hosts.iter().map(|h| h.calls).sum::<u64>(), overview.total_requests);
            let statements = store.reader.queries(&all(seconds), 9).unwrap();
            prop_assert_eq!(statements.iter().map(|s| s.calls).sum::<u64>(), overview.total_requests);
        }
    }
}

/// Rows of `count` requests in the second from `at`, each on a route of its own out of `routes`.
#[test]
fn old_rows_go_in_small_batches() {
    const COUNT: u32 = 20_000;
    let store = TestStore::with(|options| options.retention.raw = 10);
    for second in 0..10 {
        store.clock.set(START + f64::from(second));
        store.put(rows(START + f64::from(second), COUNT / 10, 3));
    }
    let left = || {
        let conn = Connection::open(&store.path).unwrap();
        conn.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let mut before = left();
    assert_eq!(before, COUNT);
    let mut steps = 0;
    while before > 0 {
        steps += 1;
        store.clock.set(START + 60.0 + f64::from(steps));
        store.writer.flush().unwrap();
        let after = left();
        assert!(before - after <= 5000, "{} rows in one transaction", before - after);
        assert!(steps < 100, "{after} rows never go");
        before = after;
        // What waits to be deleted is not shown.
        assert!(store.reader.requests(&all(3600), None, None, Sort::Recent, 10).unwrap().is_empty());
        assert_eq!(store.reader.overview(&all(3600)).unwrap().total_requests, u64::from(COUNT));
    }
    assert!(steps >= COUNT / 5000, "{steps}");
}

#[test]
fn figures_beyond_the_size_give_up_their_finest_buckets() {
    // So many routes that their buckets, not their rows, fill the store.
    let store = TestStore::with(|options| {
        options.max_bytes = 2 << 20;
        options.retention.raw = 5;
    });
    let mut now = START;
    let mut sent = 0;
    for _ in 0..150 {
        store.put(rows(now, 400, 400));
        sent += 400;
        now += 1.0;
        store.clock.set(now);
    }
    for _ in 0..60 {
        now += 1.0;
        store.clock.set(now);
        store.writer.flush().unwrap();
    }
    let health = store.writer.health();
    assert!(health.size_bytes <= 2 << 20, "{health:?}");
    assert_eq!(
        store.reader.overview(&all(3600)).unwrap().total_requests,
        sent,
        "coarser buckets hold all of it"
    );
}

#[test]
fn a_clock_that_is_set_forth_and_back_leaves_a_store_that_works() {
    let store = TestStore::new();
    store.put(rows(START, 10, 1));
    let day = 86_400.0;
    for (n, now) in [START + day, START + 1.0, START - day, START + 2.0].into_iter().enumerate() {
        store.clock.set(now);
        store.put(rows(now, 10, 1));
        store.clock.set(now + 3.0);
        store.put(rows(now + 2.0, 10, 1));
        let shown = store.reader.requests(&all(60), None, None, Sort::Recent, 100).unwrap();
        let mine = shown.iter().filter(|row| (row.ts - now).abs() < 4.0).count();
        assert!(mine >= 20, "step {n}: {mine} requests of the last seconds are listed");
        assert!(store.reader.overview(&all(60)).unwrap().total_requests >= 20, "step {n}");
    }
    assert_eq!(store.writer.losses().iter().map(|(_, n)| n).sum::<u64>(), 0);
    assert_eq!(store.reader.overview(&all(4 * 86_400)).unwrap().total_requests, 90);
}

/// Numbers that a query gives.
fn number(store: &TestStore, query: &str) -> u32 {
    Connection::open(&store.path).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
}

fn failed(ts: f64, message: &str) -> Event {
    let mut one = event(ts, "api", "/a");
    one.status = 500;
    (one.error_type, one.error_fingerprint) = (Some("KeyError".into()), Some("f".into()));
    one.error_message = Some(message.into());
    one.error_traceback = Some(format!("Traceback (most recent call last):\nKeyError: {message}"));
    one
}

#[test]
fn tracebacks_go_with_the_last_request_that_shows_them() {
    let store = TestStore::with(|options| options.retention.raw = 60);
    store.put((0..1200).map(|n| ev(failed(START, &n.to_string()))).collect());
    let later = START + 2.0 * 3600.0;
    let tracebacks = |store: &TestStore| number(store, "SELECT count(*) FROM traceback");
    assert_eq!(tracebacks(&store), 1200);
    store.clock.set(later);
    store.put(vec![ev(failed(later, "7"))]);
    for second in 1..5 {
        let before = tracebacks(&store);
        store.clock.set(later + f64::from(second));
        store.writer.flush().unwrap();
        assert!(before - tracebacks(&store) <= 500, "so many in one transaction");
    }
    assert_eq!(tracebacks(&store), 1, "the one that came again");
    let shown = store.reader.error_groups(&all(60), 9).unwrap();
    assert!(shown[0].sample_traceback.as_ref().unwrap().ends_with("KeyError: 7"), "{shown:?}");
}

#[test]
fn what_nothing_names_any_more_goes_and_may_come_back() {
    let store = TestStore::with(|options| options.retention = SHORT);
    let day = 86_400.0;
    let all_of = |now: f64, service: &str| {
        let mut one = failed(now, service);
        one.service = service.into();
        one.route = format!("/{service}");
        let sql = format!("SELECT {service}");
        vec![ev(one), ca(call(now, service, service)), qu(query(now, service, &sql))]
    };
    store.put(all_of(START, "old"));
    let route = DiscoveredRoute {
        framework: "flask".into(),
        method: "GET".into(),
        route: "/seen".into(),
        file: "app.py".into(),
        line: 1,
        function: None,
        conditional: false,
    };
    let found = || SourceScan { routes: vec![route.clone()], ..SourceScan::default() };
    store.writer.replace_discovered("scanned", "/srv", found()).unwrap();
    store.writer.replace_discovered("new", "/srv", found()).unwrap();
    let named = |text: &str| number(&store, &format!("SELECT count(*) FROM name WHERE text = '{text}'"));
    assert_eq!([named("old"), named("/old"), named("scanned")], [1, 1, 1]);
    for n in 1..=10 {
        let now = START + f64::from(n) * day;
        store.clock.set(now);
        store.put(all_of(now, "new"));
        store.clock.set(now + 2.0);
        store.writer.flush().unwrap();
        // Five days of buckets, and some to spare.
        assert_eq!(named("old"), u32::from(n <= 6), "day {n}");
    }
    assert_eq!([named("/old"), named("scanned"), named("new")], [0, 0, 1]);
    let (discovered, scans) = store.reader.discovered(None).unwrap();
    assert_eq!(discovered.iter().map(|route| route.service.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(scans.len(), 1);
    assert_eq!(number(&store, "SELECT count(*) FROM statement"), 1);
    assert_eq!(number(&store, "SELECT count(DISTINCT kind) FROM series"), 6);
    assert_eq!(number(&store, "SELECT count(*) FROM series"), 6, "those of the other are gone");
    let now = START + 10.5 * day;
    store.clock.set(now);
    store.put(all_of(now, "old"));
    let routes = store.reader.routes(&all(86_400)).unwrap();
    let mut known: Vec<_> = routes.iter().map(|route| (route.route.as_str(), route.total)).collect();
    known.sort_unstable();
    assert_eq!(known, [("/new", 1), ("/old", 1)]);
    assert_eq!(store.reader.queries(&all(86_400), 9).unwrap().len(), 2);
    assert_eq!(store.reader.outgoing(&all(86_400), 9).unwrap().len(), 2);
}

#[test]
fn routes_of_services_that_callers_make_up_are_kept_up_to_a_number() {
    let store = TestStore::new();
    let scan = |n: usize| store.writer.replace_discovered(&format!("s{n}"), "/srv", SourceScan::default());
    assert!((0..1_000).all(|n| scan(n).is_ok()));
    // What was scanned before any request was written is as new as the rest.
    store.clock.set(START + 1.0);
    store.writer.flush().unwrap();
    assert_eq!(store.reader.discovered(None).unwrap().1.len(), 1_000);
    let refused = scan(1_000).unwrap_err().to_string();
    assert!(refused.contains("1000 services"), "{refused}");
    assert!(scan(7).is_ok(), "one that is known is read again");
}

#[test]
fn defaults_reach_back_thirty_days() {
    let Options { retention, .. } = Options::default();
    assert_eq!(retention.raw, 3600);
    assert!(retention.levels[0] >= 7200 && retention.levels[1] >= 86_400);
    assert!(retention.levels[2..].iter().all(|kept| *kept >= 30 * 86_400));
}
