//! Start to stop: store, probes, the capture thread, the server, and a clean end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use apm_core::record::Record;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::signals::Signals;
use super::source::Scanner;
use super::{Engine, status};
use crate::capture::{self, Capture, CaptureOptions};
use crate::config::{Claim, Settings};
use crate::footprint::{self, Standing};
use crate::privileges;
use crate::process::Policy;
use crate::server::live::Live;
use crate::server::{Access, AppState, serve};
use crate::store::{Options, Retention, Store, Writer};
use crate::supervisor::Supervisor;

/// The ring is looked at this often: a tick that the page shows at once, and few enough wake-ups to rest.
const FLUSH: Duration = Duration::from_millis(10);
/// The same when nothing has come for a while.
const FLUSH_IDLE: Duration = Duration::from_millis(40);
/// Seconds after which memory that is free goes back to the kernel: it lies scattered among what is remembered.
const GIVES_BACK: u64 = 60;
/// Looks without an event after which the thread counts as idle.
const IDLE_AFTER: u32 = 100;

/// Watches until a signal ends it.
///
/// # Errors
/// What keeps the store, the probes or the server from starting.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    footprint::share_heap();
    footprint::take_descriptors();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build()?;
    // First, so that a taken port is known before anything is attached.
    let listener = runtime
        .block_on(TcpListener::bind(settings.listen))
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let claim = settings.database.claim()?;
    let capture = Capture::start(CaptureOptions { ring_bytes: settings.ring_bytes })?;
    // Not before: it would take a busy machine twice as long to load the probes, and that once.
    footprint::stand_back();
    // Before the first thread: each inherits what its maker may do. What the store makes belongs to the right user then.
    privileges::give_up(&settings.database)?;
    // This thread attaches probes to libraries as processes come, so it alone keeps what that needs; the others do not.
    let (begin, begun) = sync_channel::<Box<dyn FnOnce() + Send>>(1);
    let engine = thread::Builder::new().name("capture".to_owned()).spawn(move || {
        if let Ok(work) = begun.recv() {
            work();
        }
    })?;
    privileges::give_up_uprobes()?;
    let store = Options {
        retention: Retention {
            raw: i64::try_from(settings.retention.as_secs()).unwrap_or(i64::MAX),
            ..Retention::default()
        },
        max_bytes: settings.max_db_bytes,
        memory_instead: match &claim {
            Claim::Held(_) => None,
            Claim::Refused(why) => Some(why.clone()),
        },
        ..Options::default()
    };
    let clock = Arc::clone(&store.clock);
    let (writer, reader) = Store::open(&settings.database.path, store)?;
    let access = Access::new(settings.listen.ip(), settings.token.clone(), settings.names.clone())?;
    let scanner = Scanner::start(writer.clone())?;
    if let Some(root) = &settings.scan {
        scanner.add(&root.service, &root.path);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (publish, live) = watch::channel(Arc::new(Live::default()));
    let (working, works) = oneshot::channel::<Infallible>();
    {
        let (writer, stop, scanner) = (writer.clone(), Arc::clone(&stop), scanner.clone());
        let (policy, features) = (Policy::of(&settings), settings.features);
        let work = move || {
            // Dropped when the work ends in whatever way.
            let _working = working;
            let mut engine = Engine::new(capture, policy, scanner, features);
            let watched = announce(&engine, address);
            // The kernel's types and the symbols of libraries were large.
            footprint::give_back_memory();
            let mut supervisor = Supervisor::from_environment();
            supervisor.ready(&format!("watching {watched} Python processes, dashboard at http://{address}"));
            turn(&mut engine, &writer, &publish, &stop, &mut supervisor);
            supervisor.stopping();
        };
        begin.send(Box::new(work)).map_err(|_| anyhow::anyhow!("the capture thread has gone"))?;
    }
    let mut state = AppState::new(reader, writer.clone(), live.clone(), access, clock);
    let named = settings.scan.map(|root| root.path);
    state.scan = Some(Arc::new(move |service, path| {
        let watched: Vec<u32> = live.borrow().processes.iter().map(|process| process.pid).collect();
        scanner.scan(service, path, named.as_deref(), &watched)
    }));
    let served = runtime.block_on(until_told_to_stop(listener, state, works));
    stop.store(true, Ordering::Relaxed);
    let joined = engine.join();
    writer.shutdown();
    // A scan that somebody asked for may go on for 20 s; nobody waits for it now.
    runtime.shutdown_background();
    served?;
    joined.map_err(|_| anyhow::anyhow!("the capture thread failed; its message is in the log"))
}

/// Serves until a signal comes, or until the capture thread has failed: what is served without it would be a machine at rest.
async fn until_told_to_stop(
    listener: TcpListener,
    state: AppState,
    works: oneshot::Receiver<Infallible>,
) -> anyhow::Result<()> {
    let (end, ended) = watch::channel(false);
    let mut signals = Signals::new()?;
    let server = serve(listener, state, ended);
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return Ok(result?),
        () = signals.one() => {}
        Err(_) = works => tracing::error!("the capture thread failed"),
    }
    tracing::info!("stopping: storing what was read");
    end.send_replace(true);
    // A client that will not let go of its connection does not keep the agent.
    let _too_slow = tokio::time::timeout(Duration::from_secs(2), server).await;
    Ok(())
}

/// Says what is watched and where to look; returns how many processes that is.
fn announce(engine: &Engine, address: SocketAddr) -> usize {
    let mut count = 0;
    for watched in engine.watched() {
        count += 1;
        let process = &watched.process;
        let python = process.version.map(|v| v.to_string()).unwrap_or_default();
        tracing::info!("watching {} (pid {}, Python {python})", watched.service, process.id.pid);
        for attachment in watched.attachments.iter().filter(|a| a.problem.is_some()) {
            let problem = attachment.problem.as_deref().unwrap_or_default();
            tracing::warn!("{} (pid {}): {}: {problem}", watched.service, process.id.pid, attachment.what);
        }
    }
    if count == 0 {
        tracing::info!("no Python process yet: each will be watched as it starts");
    }
    tracing::info!("dashboard: http://{address}");
    count
}

/// The capture thread.
fn turn(
    engine: &mut Engine,
    writer: &Writer,
    publish: &watch::Sender<Arc<Live>>,
    stop: &AtomicBool,
    supervisor: &mut Supervisor,
) {
    let (mut quiet, mut seconds) = (0, 0_u64);
    let mut standing = Standing::default();
    let mut records: Vec<Record> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        supervisor.alive(capture::now().0);
        engine.wait(if quiet > IDLE_AFTER { FLUSH_IDLE } else { FLUSH });
        standing.set(engine.is_behind());
        quiet = if engine.step(&mut records) == 0 { quiet.saturating_add(1) } else { 0 };
        if engine.second(&mut records) {
            seconds += 1;
            if seconds.is_multiple_of(GIVES_BACK) {
                footprint::give_back_memory();
            }
            let status = engine.status();
            publish.send_replace(Arc::new(status::live(&status, status.losses.clone())));
        }
        if !records.is_empty() {
            // As much will come again: a list that grows is copied.
            let room = Vec::with_capacity(records.len());
            writer.send(std::mem::replace(&mut records, room));
        }
    }
    engine.finish(&mut records);
    writer.send(records);
    let status = engine.status();
    let lost: Vec<_> = status
        .losses
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(loss, count)| format!("{} {count}", loss.name()))
        .collect();
    if !lost.is_empty() {
        tracing::warn!("not told since the start: {}", lost.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_served_any_more_when_the_capture_thread_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = Store::open(&directory.path().join("apm.db"), Options::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let served = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let access = Access::new(listener.local_addr().unwrap().ip(), None, Vec::new()).unwrap();
            let (_publish, live) = watch::channel(Arc::new(Live::default()));
            let clock = Options::default().clock;
            let state = AppState::new(reader, writer.clone(), live, access, clock);
            let (working, works) = oneshot::channel();
            let failing = thread::spawn(move || {
                let _working = working;
                std::panic::panic_any("as a fault would");
            });
            let served = until_told_to_stop(listener, state, works);
            let served = tokio::time::timeout(Duration::from_secs(30), served).await;
            assert!(failing.join().is_err());
            served
        });
        writer.shutdown();
        assert!(served.expect("it goes on serving").is_ok());
    }
}
