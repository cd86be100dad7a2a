//! Start to stop: store, probes, the capture thread, the server, and a clean end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use apm_core::record::Record;
use tokio::signal::unix::{SignalKind, signal};

use super::Engine;
use crate::capture::{Capture, CaptureOptions};
use crate::config::Settings;
use crate::process::Policy;
use crate::store::{Options, Retention, Store, Writer};

/// The ring is looked at this often: a tick that the page shows at once, and few enough wake-ups to rest.
const FLUSH: Duration = Duration::from_millis(10);
/// The same when nothing has come for a while.
const FLUSH_IDLE: Duration = Duration::from_millis(40);
/// Looks without an event after which the thread counts as idle.
const IDLE_AFTER: u32 = 100;

/// Watches until a signal ends it.
///
/// # Errors
/// What keeps the store, the probes or the server from starting.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    let store = Options {
        retention: Retention {
            raw: i64::try_from(settings.retention.as_secs()).unwrap_or(i64::MAX),
            ..Retention::default()
        },
        max_bytes: settings.max_db_bytes,
        ..Options::default()
    };
    let (writer, _reader) = Store::open(&settings.database.path, store)?;
    let capture = Capture::start(CaptureOptions { ring_bytes: settings.ring_bytes })?;
    let stop = Arc::new(AtomicBool::new(false));
    let policy = Policy::of(&settings);
    let engine = {
        let (writer, stop) = (writer.clone(), Arc::clone(&stop));
        thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || turn(&mut Engine::new(capture, policy), &writer, &stop))?
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    });
    stop.store(true, Ordering::Relaxed);
    let joined = engine.join();
    writer.shutdown();
    served?;
    joined.map_err(|_| anyhow::anyhow!("the capture thread failed; its message is in the log"))
}

/// The capture thread.
fn turn(engine: &mut Engine, writer: &Writer, stop: &AtomicBool) {
    let mut quiet = 0;
    let mut records: Vec<Record> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        engine.wait(if quiet > IDLE_AFTER { FLUSH_IDLE } else { FLUSH });
        quiet = if engine.step(&mut records) == 0 { quiet.saturating_add(1) } else { 0 };
        engine.second(&mut records);
        if !records.is_empty() {
            writer.send(std::mem::take(&mut records));
        }
    }
    engine.finish(&mut records);
    writer.send(records);
}
