//! The store: one SQLite file, one thread that writes it, connections apart that read it.
//!
//! Raw rows are kept for the retention, rollups for a month; see `migrations/` for the schema, [`crate::store::Reader`]
//! for the questions it answers. **Nothing here ever makes the caller of [`Writer::send`] wait, and no file is ever
//! deleted.**

mod code;
mod dictionary;
mod executions;
mod health;
mod id;
mod insert;
mod links;
mod open;
mod query;
mod reader;
mod rollup;
mod room;
mod scan;
mod series;
mod traffic;
mod unused;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use health::{Health, State};
pub use open::OpenError;
pub use query::*;
pub use reader::{ReadError, Reader};
pub use rollup::Retention;
pub use writer::{DiscoveredRoute, SourceScan, WriteError, Writer};

/// Tells the time: Unix seconds.
pub type Clock = Arc<dyn Fn() -> f64 + Send + Sync>;

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// How long data is kept.
    pub retention: Retention,
    /// Size of the file, bytes, beyond which the oldest raw rows are deleted before their time.
    pub max_bytes: u64,
    /// Rows in the queue to the writer; more are dropped ([`apm_core::loss::Loss::StoreQueueFull`]).
    pub queue_rows: usize,
    /// Rows that wait in memory while writing fails; the oldest are dropped ([`apm_core::loss::Loss::StoreFailed`]).
    pub memory_rows: usize,
    /// How often rows are written.
    pub interval: Duration,
    /// Why the store is kept in memory, and no file is opened: its disk takes none.
    pub memory_instead: Option<String>,
    /// The clock, for tests.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            max_bytes: 1 << 30,
            queue_rows: 50_000,
            memory_rows: 50_000,
            interval: Duration::from_millis(200),
            memory_instead: None,
            clock: Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())),
        }
    }
}

/// Opens stores.
#[derive(Debug)]
pub struct Store;

impl Store {
    /// Opens the store at `path`, which is made when missing (file 0600, directory 0700), and starts its writer.
    ///
    /// A file that is damaged or was written by a newer version is renamed, never deleted, and a new one begun; the
    /// [`Health`] says so. Where the disk is read-only, full or failing, figures are kept in memory, up to a bound.
    ///
    /// # Errors
    /// The file cannot be made or opened, and that is not the disk's fault.
    pub fn open(path: &Path, options: Options) -> Result<(Writer, Reader), OpenError> {
        let clock = Arc::clone(&options.clock);
        let writer = Writer::start(path, options)?;
        let reader = Reader::new(writer.shared(), clock);
        Ok((writer, reader))
    }
}
