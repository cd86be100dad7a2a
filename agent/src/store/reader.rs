//! Connections that read, and the answers' common ground.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::health::Shared;
use super::open::is_corrupt;
use super::{Clock, Health};

/// Connections open at once; more readers wait for one.
const CONNECTIONS: usize = 4;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite refused.
    #[error("the store cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Answers questions about what was stored. Cheap to clone. Calls block: not for an async thread.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    clock: Clock,
}

#[derive(Default)]
struct Pool {
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<(u64, Connection)>,
    out: usize,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("location", &*self.shared.location()).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, clock: Clock) -> Self {
        Self { shared, pool: Arc::default(), clock }
    }

    /// How the store is doing.
    pub fn health(&self) -> Health {
        self.shared.health().clone()
    }

    /// Runs `ask` on one consistent state of the store.
    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce(&Snapshot<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let generation = self.shared.generation.load(Ordering::Acquire);
        let lock = || self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .pool
            .returned
            .wait_while(lock(), |s| s.out >= CONNECTIONS)
            .unwrap_or_else(PoisonError::into_inner);
        state.out += 1;
        state.idle.retain(|(g, _)| *g == generation);
        let idle = state.idle.pop();
        drop(state);
        let _returned = Returned(&self.pool);
        let answered = (|| {
            let mut conn = match idle {
                Some((_, conn)) => conn,
                None => {
                    let location = self.shared.location().clone();
                    location.open_reader()?
                }
            };
            let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let answer = ask(&Snapshot { conn: &tx, now: (self.clock)() })?;
            drop(tx);
            Ok((conn, answer))
        })();
        let (conn, answer) = answered.inspect_err(|error| {
            if is_corrupt(error) {
                // The writer sets the file aside; it may never touch the damaged pages itself.
                self.shared.damaged.store(true, Ordering::Relaxed);
            }
        })?;
        lock().idle.push((generation, conn));
        Ok(answer)
    }
}

/// Gives a place in the pool back, whatever happens.
struct Returned<'a>(&'a Pool);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).out -= 1;
        self.0.returned.notify_one();
    }
}

/// One consistent state of the store, and the time of the question.
pub(crate) struct Snapshot<'a> {
    pub(crate) conn: &'a Connection,
    /// Unix seconds.
    pub(crate) now: f64,
}
