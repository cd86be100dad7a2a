//! A store in a directory of its own, with a clock that the test moves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apm_agent::store::{Options, Reader, Scope, Store, Writer};
use apm_core::record::{Call, Event, ProcessSample, Query, Record};
use apm_core::sql::Normalised;
use tempfile::TempDir;

/// When the tests begin: a second that is no multiple of any bucket but one.
pub(crate) const START: f64 = 1_700_000_003.25;

#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START.to_bits())))
    }

    pub(crate) fn set(&self, now: f64) {
        self.0.store(now.to_bits(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn clock(&self) -> apm_agent::store::Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

pub(crate) struct TestStore {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) clock: TestClock,
    pub(crate) path: PathBuf,
    pub(crate) dir: TempDir,
}

/// Options whose writer acts only when the test flushes it.
pub(crate) fn options(clock: &TestClock) -> Options {
    Options { interval: Duration::from_secs(3600), clock: clock.clock(), ..Options::default() }
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("apm").join("apm.db");
        let clock = TestClock::new();
        let mut options = options(&clock);
        change(&mut options);
        let (writer, reader) = Store::open(&path, options).unwrap();
        Self { writer, reader, clock, path, dir }
    }

    /// Sends rows and waits until they are written.
    pub(crate) fn put(&self, records: Vec<Record>) {
        self.writer.send(records);
        self.writer.flush().unwrap();
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.writer.shutdown();
    }
}

pub(crate) fn event(ts: f64, service: &str, route: &str) -> Event {
    Event {
        ts,
        service: service.into(),
        pid: 7,
        method: "GET".into(),
        route: route.into(),
        path: route.into(),
        status: 200,
        duration_ms: 1.5,
        ..Event::default()
    }
}

pub(crate) fn call(ts: f64, service: &str, host: &str) -> Call {
    Call {
        ts,
        service: service.into(),
        pid: 7,
        method: "GET".into(),
        host: host.into(),
        path: "/x".into(),
        status: 200,
        duration_ms: 2.5,
        ..Call::default()
    }
}

/// A statement that is normalised already.
pub(crate) fn statement(text: &str, operation: &str, is_transaction_control: bool) -> Arc<Normalised> {
    Arc::new(Normalised {
        text: text.into(),
        fingerprint: text.bytes().fold(7_u64, |hash, b| hash.wrapping_mul(31).wrapping_add(u64::from(b))),
        operation: operation.into(),
        table: None,
        is_transaction_control,
    })
}

pub(crate) fn query(ts: f64, service: &str, sql: &str) -> Query {
    Query {
        ts,
        service: service.into(),
        pid: 7,
        system: "postgresql",
        statement: statement(sql, "SELECT", false),
        duration_ms: 0.5,
        ..Query::default()
    }
}

pub(crate) fn sample(ts: f64, service: &str, pid: u32, in_flight: u32) -> ProcessSample {
    ProcessSample {
        ts,
        service: service.into(),
        pid,
        host: None,
        cpu_pct: Some(10.0),
        mem_mb: Some(50.0),
        in_flight,
    }
}

pub(crate) fn ev(event: Event) -> Record {
    Record::Event(Box::new(event))
}

pub(crate) fn ca(call: Call) -> Record {
    Record::Call(Box::new(call))
}

pub(crate) fn qu(query: Query) -> Record {
    Record::Query(Box::new(query))
}

pub(crate) fn sa(sample: ProcessSample) -> Record {
    Record::Sample(Box::new(sample))
}

/// All services.
pub(crate) fn all(seconds: u32) -> Scope {
    Scope { service: None, seconds }
}

/// Requests of one second.
pub(crate) fn rows(at: f64, count: u32, routes: u32) -> Vec<Record> {
    (0..count)
        .map(|n| ev(event(at + f64::from(n) / f64::from(count), "api", &format!("/r{}", n % routes))))
        .collect()
}
