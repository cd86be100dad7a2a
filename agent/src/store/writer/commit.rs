//! The writer's work: batches to transactions, and what to do when they fail.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apm_core::record::Record;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use super::super::Options;
use super::super::code;
use super::super::dictionary::Dictionary;
use super::super::health::{Shared, State};
use super::super::id::{RowIds, row_micros};
use super::super::insert::{Inserter, Item, call_failed, event_failed, query_failed};
use super::super::links::Links;
use super::super::open::{Location, OpenError, identity, is_corrupt, set_aside};
use super::super::rollup::{self, Pending};
use super::super::room;
use super::super::traffic::Counting;
use super::super::unused;
use super::SourceScan;

/// Seconds that rollups stay behind the clock, so that few rows come after their second was rolled up.
const GRACE: i64 = 1;

/// Rows deleted per table and second at least.
const PRUNE: usize = 5000;

/// First and longest wait before writing is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Services whose routes are kept as source tells them, and routes of all of them.
const SCANS: usize = 1_000;
const DISCOVERED: usize = 200_000;

/// Size of the store in memory that stands in for a file.
const MEMORY_BYTES: u64 = 32 << 20;

/// Names the stores in memory of this process apart.
static MEMORIES: AtomicU64 = AtomicU64::new(0);

/// Everything the writer's thread owns.
pub(super) struct Work {
    shared: Arc<Shared>,
    options: Options,
    conn: Option<Connection>,
    file: Option<(u64, u64)>,
    names: Dictionary,
    ids: [RowIds; 4],
    links: Links,
    counting: Counting,
    waiting: VecDeque<Item>,
    maintained: i64,
    written_since: usize,
    retry: Option<(Instant, Duration)>,
}

impl Work {
    /// Opens the store that `shared` names.
    pub(super) fn open(shared: Arc<Shared>, options: Options) -> Result<Self, OpenError> {
        let traffic = shared.traffic.clone();
        let mut work = Self {
            shared,
            options,
            conn: None,
            file: None,
            names: Dictionary::default(),
            ids: Default::default(),
            links: Links::default(),
            counting: Counting::new(traffic),
            waiting: VecDeque::new(),
            maintained: 0,
            written_since: 0,
            retry: None,
        };
        let refused = match work.options.memory_instead.take() {
            Some(why) => Some(why),
            None => match work.connect() {
                Ok(()) => None,
                Err(error) if error.is_of_disk() => Some(error.to_string()),
                Err(error) => return Err(error),
            },
        };
        if let Some(why) = refused {
            let n = MEMORIES.fetch_add(1, Ordering::Relaxed);
            *work.shared.location() = Location::Memory(format!("apm-agent-{}-{n}", std::process::id()));
            work.options.max_bytes = MEMORY_BYTES;
            work.connect()?;
            let mut health = work.shared.health();
            health.state = State::Memory;
            health.max_bytes = MEMORY_BYTES;
            health.since = Some((work.options.clock)());
            health.problem = Some(format!("{why}; figures are kept in memory only, until the agent stops"));
            tracing::warn!("store: {why}; figures are kept in memory only");
            drop(health);
        }
        Ok(work)
    }

    /// Rows that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes rows, and joins them to those they belong to.
    pub(super) fn accept(&mut self, records: Vec<Record>) {
        let mut found = Vec::new();
        for record in records {
            match &record {
                Record::Event(event) => {
                    let failed = event_failed(event);
                    self.counting.event(event, failed);
                    self.links.event(event, failed, &mut found);
                }
                Record::Call(call) => {
                    let failed = call_failed(call);
                    self.counting.call(call, failed);
                    self.links.call(call, failed, &mut found);
                }
                Record::Query(query) => self.counting.query(query, query_failed(query)),
                Record::Sample(_) => {}
            }
            self.waiting.push_back(Item::Record(record));
            self.waiting.extend(found.drain(..).map(Item::Link));
        }
        if self.retry.is_some() {
            self.forget_oldest();
        }
    }

    /// While writing fails, memory has a limit.
    fn forget_oldest(&mut self) {
        let excess = self.waiting.len().saturating_sub(self.options.memory_rows);
        self.waiting.drain(..excess);
        self.shared.failed.fetch_add(excess as u64, Ordering::Relaxed);
    }

    /// Writes what waits. On failure it stays, and is tried again later.
    pub(super) fn commit(&mut self) {
        if self.retry.is_some_and(|(at, _)| Instant::now() < at) {
            self.report();
            return;
        }
        match self.try_commit() {
            Ok(()) => {
                self.retry = None;
                let mut health = self.shared.health();
                if health.state == State::Failing {
                    tracing::info!("store: writing works again");
                    health.state = State::Ok;
                    health.problem = None;
                    health.since = None;
                }
            }
            Err(failure) => self.failed(&failure),
        }
        self.report();
    }

    /// The last write, and the end.
    pub(super) fn stop(mut self) {
        self.retry = None;
        self.commit();
        let lost = self.waiting.len() as u64;
        self.shared.failed.fetch_add(lost, Ordering::Relaxed);
        if let Some(conn) = self.conn.take()
            && let Err((_, error)) = conn.close()
        {
            tracing::warn!("store: {error}");
        }
    }

    /// Replaces a service's discovered routes in one transaction.
    pub(super) fn replace_discovered(
        &mut self,
        service: &str,
        root: &str,
        found: &SourceScan,
    ) -> Result<usize, String> {
        let now = (self.options.clock)();
        self.names.set_day(now.floor() as i64 / 86_400);
        let mut replace = || -> Result<usize, Failure> {
            self.connect()?;
            let conn = self.conn.as_mut().ok_or(Failure::Closed)?;
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let service = self.names.name(&tx, service)?;
            tx.execute("DELETE FROM discovered WHERE service = ?1", [service])?;
            let count = |sql: &str| tx.query_row(sql, [service], |row| row.get::<_, usize>(0));
            let others = count("SELECT count(*) FROM scan WHERE service <> ?1")?;
            let routes = count("SELECT count(*) FROM discovered WHERE service <> ?1")?;
            if others >= SCANS || routes + found.routes.len() > DISCOVERED {
                return Err(Failure::Full);
            }
            let counters = serde_json::to_string(&found.counters).unwrap_or_default();
            tx.execute(
                "INSERT OR REPLACE INTO scan (service, scanned_at, scan_root, counters) VALUES (?1, ?2, ?3, ?4)",
                params![service, now, root, counters],
            )?;
            let mut insert = tx.prepare_cached(
                "INSERT OR REPLACE INTO discovered
                    (service, framework, method, route, file, line, function, scanned_at, scan_root, conditional)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            for r in &found.routes {
                insert.execute(params![
                    service,
                    r.framework,
                    r.method,
                    r.route,
                    r.file,
                    r.line,
                    r.function,
                    now,
                    root,
                    r.conditional
                ])?;
            }
            drop(insert);
            tx.commit()?;
            Ok(found.routes.len())
        };
        let result = replace();
        if result.is_err() {
            self.names.forget();
        }
        result.map_err(|failure| failure.to_string())
    }

    fn try_commit(&mut self) -> Result<(), Failure> {
        if self.shared.damaged.swap(false, Ordering::Relaxed) {
            return Err(Failure::Damaged);
        }
        let now = (self.options.clock)();
        let second = now.floor() as i64;
        let maintain = second != self.maintained;
        if maintain {
            self.check_file();
        }
        self.connect()?;
        if self.waiting.is_empty() && !maintain {
            return Ok(());
        }
        self.names.set_day(second / 86_400);
        let conn = self.conn.as_mut().ok_or(Failure::Closed)?;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rolled = rollup::rolled(&tx)?;
        let is_late = |row| row_micros(row) < rolled.fine * 1_000_000;
        let mut late = Pending::new();
        let mut inserter = Inserter::new(&tx, &mut self.names, &mut self.ids)?;
        let mut seen = code::Batch::default();
        for item in &self.waiting {
            seen.add(item);
            if let Some((table, row)) = inserter.insert(item)?
                && is_late(row)
            {
                rollup::late(&tx, table, row, &mut late)?;
            }
        }
        for (table, row) in inserter.finish()?.into_iter().filter(|(_, row)| is_late(*row)) {
            rollup::late(&tx, table, row, &mut late)?;
        }
        rollup::merge(&tx, &mut self.names, late, rolled.coarse)?;
        seen.write(&tx)?;
        let mut more = false;
        if maintain {
            more = rollup::roll(&tx, &mut self.names, second - GRACE)?;
            let used = room::used_bytes(&tx)?;
            let keep = room::keep(&tx, second, &self.options, used)?;
            let limit = PRUNE.max(self.written_since * 2);
            rollup::prune(&tx, &keep, limit)?;
            code::prune(&tx, second)?;
            if unused::prune(&tx, second, keep.raw, &self.options.retention)? {
                self.names.forget();
            }
            self.shared.health().size_bytes = used;
        }
        tx.commit()?;
        let is_traffic = |item: &&Item| !matches!(item, Item::Record(Record::Sample(_)));
        let rows = self.waiting.iter().filter(is_traffic).count();
        self.waiting.clear();
        self.shared.health().rows_written += rows as u64;
        self.written_since += rows;
        if maintain {
            self.written_since = 0;
            // Behind: the next commit goes on at once.
            self.maintained = if more { 0 } else { second };
        }
        Ok(())
    }

    /// Opens the store where it is closed. A file that cannot be used is set aside and a new one begun.
    fn connect(&mut self) -> Result<(), OpenError> {
        if self.conn.is_some() {
            return Ok(());
        }
        let location = self.shared.location().clone();
        let opened = location.open_writer().or_else(|error| {
            let (Location::File(path), word) = (
                &location,
                match &error {
                    OpenError::Newer(_) => "newer",
                    OpenError::Corrupt { .. } => "corrupt",
                    OpenError::Io { .. } | OpenError::Sqlite { .. } => return Err(error),
                },
            ) else {
                return Err(error);
            };
            let aside = set_aside(path, word, (self.options.clock)() as i64)
                .map_err(|source| OpenError::Io { path: path.clone(), source })?;
            self.shared
                .health()
                .notice(format!("{error}; kept as {} and a new store begun", aside.display()));
            location.open_writer()
        })?;
        self.conn = Some(opened);
        self.names.forget();
        self.file = identity(&location.path());
        self.shared.health().path = location.path();
        self.shared.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A file that was removed or replaced under us is closed: rows written to it would be lost without a word.
    fn check_file(&mut self) {
        let location = self.shared.location().clone();
        if let Location::File(path) = location
            && self.conn.is_some()
            && identity(&path) != self.file
        {
            self.conn = None;
            self.shared.health().notice(format!(
                "{} was removed or replaced; what it held is gone, a new store was begun",
                path.display()
            ));
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.names.forget();
        self.maintained = 0;
        let is_damaged = match failure {
            Failure::Damaged => true,
            Failure::Sqlite(error) => is_corrupt(error),
            Failure::Open(_) | Failure::Closed | Failure::Full => false,
        };
        // Full or locked: the connection itself is sound.
        let is_sound = matches!(failure, Failure::Sqlite(error) if matches!(error.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)));
        if !is_sound {
            self.conn = None;
        }
        if is_damaged
            && let Location::File(path) = self.shared.location().clone()
            && let Ok(aside) = set_aside(&path, "corrupt", (self.options.clock)() as i64)
        {
            let text =
                format!("{} is damaged; kept as {} and a new store begun", path.display(), aside.display());
            self.shared.health().notice(text);
        }
        let wait = self.retry.map_or(BACK_OFF.0, |(_, wait)| (wait * 2).min(BACK_OFF.1));
        self.retry = Some((Instant::now() + wait, wait));
        self.forget_oldest();
        let mut health = self.shared.health();
        if health.state == State::Ok {
            health.state = State::Failing;
            health.since = Some((self.options.clock)());
            tracing::warn!("store: {failure}; the newest rows are kept in memory, writing is tried again");
        }
        health.problem =
            Some(format!("{failure}; the newest rows are kept in memory, writing is tried again"));
    }

    fn report(&self) {
        let mut health = self.shared.health();
        health.rows_waiting = self.waiting.len();
        health.links_forgotten = self.links.forgotten();
    }
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{}", explain(.0))]
    Sqlite(#[from] rusqlite::Error),
    #[error("the store's file is damaged")]
    Damaged,
    #[error("the store is closed")]
    Closed,
    #[error("routes of {SCANS} services, or {DISCOVERED} routes, are known from source already")]
    Full,
}

/// What SQLite says, in words that name the remedy.
fn explain(error: &rusqlite::Error) -> String {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space, or choose another place with --db",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "the file or its directory cannot be written; choose another place with --db"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program holds the file locked",
        _ => return format!("the store cannot be written: {error}"),
    };
    format!("the store cannot be written: {error}: {remedy}")
}
