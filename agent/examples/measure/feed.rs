//! Requests as a busy host has them, sent to a store.

use std::sync::Arc;
use std::time::Duration;

use apm_agent::store::Writer;
use apm_core::record::{Call, Event, Query, Record, SlowSql};
use apm_core::sql::Normalised;

/// Sends `count` events on `routes` routes from `at` on: every fifth with a query, every tenth with a call, one in a hundred
/// with an exception, one in twenty caused by another. Waits for room in the queue. Returns the rows sent.
pub(crate) fn feed(writer: &Writer, at: f64, count: u64, first: u64, routes: u64) -> u64 {
    let mut rows = Vec::with_capacity(count as usize * 2);
    for i in 0..count {
        let n = first + i;
        // Within a fiftieth of a second, so that no part of a burst overtakes the next.
        let ts = at + i as f64 / count as f64 / 50.0;
        let (route, service) = (n % routes, format!("s{}", n % routes % 3));
        let id: Arc<str> = format!("r-{n}").into();
        let mut event = Event {
            ts,
            service: service.as_str().into(),
            pid: 100 + (n % 4) as u32,
            method: "GET".into(),
            route: format!("/r{route}"),
            path: format!("/r{route}/{n}"),
            status: if n.is_multiple_of(100) { 500 } else { 200 },
            duration_ms: 1.0 + (n.wrapping_mul(2_654_435_761) % 1000) as f64 / 10.0,
            request_id: Some(id.clone()),
            correlation_id: Some(id.clone()),
            ..Event::default()
        };
        if n.is_multiple_of(100) {
            event.error = Some("ValueError".into());
            event.error_type = Some("ValueError".into());
            event.error_message = Some("no".into());
            event.error_traceback = Some("Traceback (most recent call last):\n".repeat(20));
            event.error_fingerprint = Some(format!("f{}", n % 7));
        }
        if n.is_multiple_of(5) {
            event.db_query_count = Some(1);
            event.db_total_ms = Some(0.7);
            event.db_slow = vec![SlowSql { sql: "SELECT * FROM t WHERE id = ?".into(), ms: 0.7 }];
            rows.push(Record::Query(Box::new(Query {
                ts,
                service: service.as_str().into(),
                system: "postgresql",
                statement: Arc::new(Normalised {
                    text: format!("SELECT * FROM t{} WHERE id = ?", n % 40),
                    fingerprint: n % 40,
                    operation: "SELECT".into(),
                    ..Normalised::default()
                }),
                rows: Some(1),
                duration_ms: 0.7,
                source_request_id: Some(id.clone()),
                ..Query::default()
            })));
        }
        if n.is_multiple_of(10) {
            rows.push(Record::Call(Box::new(Call {
                ts,
                service: service.as_str().into(),
                method: "GET".into(),
                host: format!("h{}.example", n % 20),
                path: "/x".into(),
                status: 200,
                duration_ms: 3.0,
                source_request_id: Some(id),
                ..Call::default()
            })));
        }
        if n % 20 == 1 {
            let parent: Arc<str> = format!("r-{}", n - 1).into();
            event.correlation_id = Some(parent.clone());
            event.parent_id = Some(parent);
        }
        rows.push(Record::Event(Box::new(event)));
    }
    let sent = rows.len() as u64;
    while writer.health().rows_waiting > 20_000 {
        std::thread::sleep(Duration::from_micros(200));
    }
    writer.send(rows);
    sent
}

/// Resident memory, MiB.
pub(crate) fn rss() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / f64::from(1 << 20)
}
