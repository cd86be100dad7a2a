//! What the user is told about the store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use apm_core::loss::{Loss, Losses};
use serde::Serialize;
use utoipa::ToSchema;

use super::open::Location;
use super::traffic::Traffic;

/// Notices kept.
const NOTICES: usize = 20;

/// How the store is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// See [`State`].
    pub state: State,
    /// What is wrong and what to do about it; `None` when all is well.
    pub problem: Option<String>,
    /// When the problem began, Unix seconds.
    pub since: Option<f64>,
    /// The file, or `(memory)`.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Bytes in use of the file.
    pub size_bytes: u64,
    /// Limit of that, bytes.
    pub max_bytes: u64,
    /// Rows written since the start, samples of processes not counted.
    pub rows_written: u64,
    /// Rows that wait to be written.
    pub rows_waiting: usize,
    /// Calls and requests whose caller was not seen while it was remembered.
    pub links_forgotten: u64,
    /// What happened to the store since the start: files set aside, files removed. Newest last.
    pub notices: Vec<String>,
}

/// State of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StoreState)]
pub enum State {
    /// Rows go to the file.
    #[default]
    Ok,
    /// Writing fails; the newest rows wait in memory, and writing is tried again.
    Failing,
    /// No file can be opened: the store is in memory, small, and gone when the agent stops.
    Memory,
}

/// What the writer's thread, its handles and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) location: Mutex<Location>,
    /// Counts up when the location's file is another one: readers open it anew.
    pub(crate) generation: AtomicU64,
    pub(crate) health: Mutex<Health>,
    /// Rows in the queue.
    pub(crate) queued: AtomicUsize,
    pub(crate) queue_full: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// A reader found the file damaged.
    pub(crate) damaged: AtomicBool,
    /// Counters since the start.
    pub(crate) traffic: Traffic,
}

impl Shared {
    /// Counters of what the store lost.
    pub(crate) fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        losses.set(Loss::StoreQueueFull, self.queue_full.load(Ordering::Relaxed));
        losses.set(Loss::StoreFailed, self.failed.load(Ordering::Relaxed));
        losses
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn location(&self) -> MutexGuard<'_, Location> {
        self.location.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    pub(crate) fn notice(&mut self, text: String) {
        tracing::warn!("store: {text}");
        if self.notices.len() >= NOTICES {
            self.notices.remove(0);
        }
        self.notices.push(text);
    }
}
