//! The handle that rows are sent to, and the loop of the thread behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use apm_core::loss::Losses;
use apm_core::record::Record;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;

use super::health::Shared;
use super::traffic::Traffic;
use super::{Health, OpenError, Options};

mod commit;

/// Messages in the queue; each holds a batch of rows.
const MESSAGES: usize = 4096;

/// Rows that make a batch before its time.
const BATCH: usize = 2000;

/// Longest wait for the writer when an answer from it is needed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends rows to the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    queue_rows: usize,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// A route found in source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiscoveredRoute {
    /// `fastapi`, `flask`, `django`, ...
    pub framework: String,
    /// Method in upper case; `*` for any.
    pub method: String,
    /// Template as the framework writes it.
    pub route: String,
    /// File, relative to the scan's root.
    pub file: String,
    /// Line of the handler.
    pub line: u32,
    /// Name of the handler.
    pub function: Option<String>,
    /// It stands under a condition that the source alone does not decide.
    pub conditional: bool,
}

/// What a scan of source found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceScan {
    /// Routes whose whole path is known.
    pub routes: Vec<DiscoveredRoute>,
    /// What was read, skipped and not understood, by name; only what is more than zero.
    pub counters: BTreeMap<String, u64>,
}

/// Why the writer could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It has stopped, or is too busy to answer.
    #[error("the store's writer does not answer")]
    NoAnswer,
    /// SQLite refused.
    #[error("the store cannot be written: {0}")]
    Failed(String),
}

#[derive(Debug)]
enum Message {
    Records(Vec<Record>),
    Discovered { service: String, root: String, found: SourceScan, reply: SyncSender<Result<usize, String>> },
    Flush(SyncSender<()>),
    Stop,
}

impl Writer {
    pub(super) fn start(path: &Path, options: Options) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            location: Mutex::new(super::open::Location::File(path.to_owned())),
            generation: AtomicU64::new(0),
            health: Mutex::new(Health {
                max_bytes: options.max_bytes,
                path: path.to_owned(),
                ..Health::default()
            }),
            queued: AtomicUsize::new(0),
            queue_full: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            traffic: Traffic::default(),
        });
        let queue_rows = options.queue_rows;
        let interval = options.interval;
        let work = commit::Work::open(Arc::clone(&shared), options)?;
        let (queue, messages) = sync_channel(MESSAGES);
        let counters = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || run(work, &messages, &counters, interval))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { queue, shared, queue_rows, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Hands rows to the writer. Never waits: rows that find no room in the queue are dropped and counted.
    pub fn send(&self, records: Vec<Record>) {
        let rows = records.len();
        if rows == 0 {
            return;
        }
        let queued = self.shared.queued.fetch_add(rows, Ordering::Relaxed);
        let full = queued > 0 && queued + rows > self.queue_rows;
        if full || self.queue.try_send(Message::Records(records)).is_err() {
            self.shared.queued.fetch_sub(rows, Ordering::Relaxed);
            self.shared.queue_full.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    /// Replaces all routes found in `service`'s source, in one transaction. Waits for the writer. Returns their number.
    ///
    /// # Errors
    /// The writer has stopped or the store cannot be written.
    pub fn replace_discovered(
        &self,
        service: &str,
        root: &str,
        found: SourceScan,
    ) -> Result<usize, WriteError> {
        let (reply, answer) = sync_channel(1);
        self.ask(Message::Discovered { service: service.into(), root: root.into(), found, reply })?;
        answer.recv_timeout(PATIENCE).map_err(|_| WriteError::NoAnswer)?.map_err(WriteError::Failed)
    }

    /// Waits until everything sent before is written, or writing has failed.
    ///
    /// # Errors
    /// The writer has stopped.
    pub fn flush(&self) -> Result<(), WriteError> {
        let (reply, answer) = sync_channel(1);
        self.ask(Message::Flush(reply))?;
        answer.recv_timeout(PATIENCE).map_err(|_| WriteError::NoAnswer)
    }

    /// Writes what waits and stops the writer. What other handles send afterwards is dropped and counted.
    pub fn shutdown(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error means that it has stopped already.
            let _ = self.queue.send(Message::Stop);
            if thread.join().is_err() {
                tracing::error!("the store's writer had failed");
            }
        }
    }

    /// How the store is doing.
    pub fn health(&self) -> Health {
        let mut health = self.shared.health().clone();
        health.rows_waiting += self.shared.queued.load(Ordering::Relaxed);
        health
    }

    /// Counters of the rows that were lost on the way to the store.
    pub fn losses(&self) -> Losses {
        self.shared.losses()
    }

    /// Registers the counters of all traffic since the start.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let traffic = &self.shared.traffic;
        registry.register("requests", "Requests served", traffic.requests.clone());
        registry.register(
            "request_errors",
            "Requests with status 500 and up or an exception",
            traffic.errors.clone(),
        );
        let durations = traffic.durations.clone();
        registry.register_with_unit("request_duration", "Duration of requests", Unit::Seconds, durations);
        registry.register("calls", "Outgoing calls by host", traffic.calls.clone());
        registry.register(
            "call_errors",
            "Outgoing calls with status 400 and up, or failed",
            traffic.call_errors.clone(),
        );
        registry.register("queries", "Queries by database system", traffic.queries.clone());
        registry.register("query_errors", "Failed queries", traffic.query_errors.clone());
    }

    fn ask(&self, mut message: Message) -> Result<(), WriteError> {
        let start = Instant::now();
        loop {
            match self.queue.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) if start.elapsed() < PATIENCE => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return Err(WriteError::NoAnswer),
            }
        }
    }
}

fn run(mut work: commit::Work, messages: &Receiver<Message>, shared: &Shared, interval: Duration) {
    let mut due = Instant::now() + interval;
    loop {
        match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Message::Records(records)) => {
                let rows = records.len();
                work.accept(records);
                shared.queued.fetch_sub(rows, Ordering::Relaxed);
            }
            Ok(Message::Discovered { service, root, found, reply }) => {
                // The asker may have given up.
                let _ = reply.try_send(work.replace_discovered(&service, &root, &found));
            }
            Ok(Message::Flush(reply)) => {
                work.commit();
                let _ = reply.try_send(());
            }
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= due || work.waiting() >= BATCH {
            work.commit();
            due = Instant::now() + interval;
        }
    }
    work.stop();
}
