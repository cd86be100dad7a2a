//! The HTTP server: the dashboard API, the live stream, the page.
//!
//! **It serves this machine's user and nobody else**: see [`security`] for what a request must show before it is answered.

mod answer;
mod api;
mod body;
mod connections;
mod ingest;
pub mod live;
mod metrics;
mod openapi;
mod page;
mod params;
pub mod security;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};
use utoipa_axum::routes;

use crate::store::{Clock, Reader, SourceScan, Writer};
use answer::Refusal;
use connections::{CONNECTIONS, IDLE, Limited};
use live::Live;
pub use security::Access;

/// Questions asked of the store at once; the others wait. Half of the threads that may block: the rest are for what SDKs send.
const QUESTIONS: usize = 4;

/// Finds the routes of a service in a directory, and tells which directory that is, without links.
pub type Scan = Arc<dyn Fn(&str, &Path) -> Result<(PathBuf, SourceScan), ScanRefusal> + Send + Sync>;

/// Why a directory is not scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanRefusal {
    /// It does not lie below the source of a watched process, or that process could not read it.
    #[error("it lies outside the source of the watched processes; name it with --scan to allow it")]
    Outside,
    /// It cannot be scanned; in words for the user.
    #[error("{0}")]
    Bad(String),
}

/// What the server serves from.
#[derive(Clone)]
pub struct AppState {
    /// Answers questions.
    pub reader: Reader,
    /// Takes what SDKs send.
    pub writer: Writer,
    /// What the pipeline publishes each second.
    pub live: watch::Receiver<Arc<Live>>,
    /// Finds routes in source; `None`: `/api/scan` answers 501.
    pub scan: Option<Scan>,
    /// Who may ask.
    pub access: Arc<Access>,
    /// The clock.
    pub clock: Clock,
    started: Instant,
    questions: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    /// One scan of source at a time, which may take long: it holds one of the places of bodies.
    scans: Arc<Semaphore>,
    ticks: Arc<stream::Ticks>,
}

impl AppState {
    /// A state without a scanner, for the clients that `access` lets in.
    pub fn new(
        reader: Reader,
        writer: Writer,
        live: watch::Receiver<Arc<Live>>,
        access: Access,
        clock: Clock,
    ) -> Self {
        Self {
            reader,
            writer,
            live,
            scan: None,
            access: Arc::new(access),
            clock,
            started: Instant::now(),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            bodies: Arc::new(Semaphore::new(body::BODIES)),
            scans: Arc::new(Semaphore::new(1)),
            ticks: Arc::default(),
        }
    }
}

/// Has a thread that may block do the work. It goes on when the client has left, and holds its permit until it is done.
async fn work_within<T: Send + 'static>(
    permit: Result<OwnedSemaphorePermit, AcquireError>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.map_err(|error| Refusal::Store(error.to_string()))
}

/// All endpoints.
pub fn router(state: AppState) -> Router {
    let endpoints = api::routes()
        .routes(routes!(metrics::metrics))
        .routes(routes!(ingest::ingest))
        .routes(routes!(stream::stream));
    openapi::described(endpoints)
        .route("/", get(page::index))
        .route("/static/{*path}", get(page::asset))
        .fallback(page::missing)
        .layer(DefaultBodyLimit::max(body::MAX_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), security::guard))
        .with_state(state)
}

/// Serves until `shutdown` is true or its sender is gone.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let ticker = tokio::spawn(stream::tick(state.clone()));
    let ticks = Arc::clone(&state.ticks);
    let listener = Limited::new(listener, CONNECTIONS, IDLE);
    let served = axum::serve(listener, router(state))
        .with_graceful_shutdown(async move {
            // An error means that the sender is gone: stop as well.
            let _ = shutdown.wait_for(|stop| *stop).await;
            // Streams never end by themselves.
            ticks.close();
        })
        .await;
    ticker.abort();
    served
}
