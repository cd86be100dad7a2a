//! `GET /api/stream`: server-sent events, one tick a second at most, carrying what changed and nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Problem, Refusal};
use super::live::{LossCount, loss_counts};

/// Streams open at once.
const STREAMS: usize = 64;

/// What a tick is made of, by name.
type Parts = Map<String, Value>;

/// What the newest state is made of; a tick carries those parts that changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tick {
    /// Services with what a page shows of them all the time.
    #[schema(required = false)]
    services: Vec<TickService>,
    /// Rows written since the start: when it changes there are new figures to ask for.
    #[schema(required = false)]
    rows: u64,
    /// What is wrong beyond a single process.
    #[schema(required = false)]
    problems: Vec<String>,
    /// Losses that are not zero.
    #[schema(required = false)]
    losses: Vec<LossCount>,
    /// Watched processes.
    #[schema(required = false)]
    processes: Vec<TickProcess>,
}

/// A service at this second.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TickService {
    service: String,
    alive: bool,
    in_flight: i64,
    cpu_pct: Option<f64>,
    mem_mb: Option<f64>,
}

/// A process at this second.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TickProcess {
    pid: u32,
    service: String,
    state: String,
}

/// The newest state, for all streams.
#[derive(Debug)]
pub(crate) struct Ticks {
    newest: watch::Sender<Option<Arc<Parts>>>,
    open: AtomicUsize,
    closed: watch::Sender<bool>,
}

impl Default for Ticks {
    fn default() -> Self {
        Self {
            newest: watch::Sender::new(None),
            open: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
        }
    }
}

impl Ticks {
    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// Looks once a second while anyone listens, and publishes what it sees when it differs from before.
pub(crate) async fn tick(app: AppState) {
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if app.ticks.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let parts = Arc::new(parts(&app).await);
        app.ticks.newest.send_if_modified(|newest| {
            let changed = newest.as_ref() != Some(&parts);
            *newest = Some(parts);
            changed
        });
    }
}

async fn parts(app: &AppState) -> Parts {
    let services = app.services().await;
    let status = app.status();
    let processes = status.live.processes.into_iter();
    let tick = Tick {
        // Rounded to what a page shows, without the time of the last look: an idle second is no change.
        services: services
            .iter()
            .flatten()
            .map(|s| TickService {
                service: s.service.clone(),
                alive: s.alive,
                in_flight: s.in_flight,
                cpu_pct: s.cpu_pct.map(|v| (v * 10.0).round() / 10.0),
                mem_mb: s.mem_mb.map(f64::round),
            })
            .collect(),
        rows: status.store.rows_written,
        problems: status.live.problems,
        losses: loss_counts(&status.live.losses).filter(|loss| loss.count > 0).collect(),
        processes: processes
            .map(|p| TickProcess { pid: p.pid, service: p.service, state: p.state })
            .collect(),
    };
    let Value::Object(mut parts) = json!(tick) else { return Parts::new() };
    if services.is_err() {
        // Not known is not none.
        parts.remove("services");
    }
    parts
}

/// The live state as server-sent events of type `tick`: the whole of it first, then what changed, once a second at most.
#[utoipa::path(get, path = "/api/stream", responses(
    (status = 200, description = "Each event's data is a tick", content_type = "text/event-stream", body = Tick),
    (status = "default", body = Problem),
))]
pub(crate) async fn stream(State(app): State<AppState>) -> Response {
    let ticks = Arc::clone(&app.ticks);
    if ticks.open.fetch_add(1, Ordering::Relaxed) >= STREAMS {
        ticks.open.fetch_sub(1, Ordering::Relaxed);
        return Refusal::Store("too many streams are open".into()).into_response();
    }
    let open = Open(Arc::clone(&ticks));
    let first = Arc::new(parts(&app).await);
    let events = changes(&ticks, first).map(move |event| {
        let _counted = &open;
        Ok::<_, Infallible>(event)
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// Counts an open stream.
struct Open(Arc<Ticks>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn changes(ticks: &Ticks, first: Arc<Parts>) -> impl Stream<Item = Event> + use<> {
    enum Message {
        Parts(Option<Arc<Parts>>),
        Closed(bool),
    }
    let newest = WatchStream::from_changes(ticks.newest.subscribe()).map(Message::Parts);
    let closed = WatchStream::new(ticks.closed.subscribe()).map(Message::Closed);
    let start = tokio_stream::once(Message::Parts(Some(first)));
    let mut last = Arc::new(Parts::new());
    start
        .chain(newest.merge(closed))
        .take_while(|message| !matches!(message, Message::Closed(true)))
        .filter_map(move |message| {
            let Message::Parts(Some(parts)) = message else { return None };
            let changed: Parts = parts
                .iter()
                .filter(|(name, part)| last.get(name.as_str()) != Some(part))
                .map(|(n, p)| (n.clone(), p.clone()))
                .collect();
            last = parts;
            (!changed.is_empty()).then(|| Event::default().event("tick").data(json!(changed).to_string()))
        })
}
