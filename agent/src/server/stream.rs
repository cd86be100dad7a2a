//! `GET /api/stream`: server-sent events, one tick a second at most, carrying what changed and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};

use super::AppState;

/// Streams open at once.
const STREAMS: usize = 64;

/// What a tick is made of, by name.
type Parts = BTreeMap<&'static str, Value>;

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
    let mut parts = Parts::new();
    if let Ok(services) = app.services().await {
        // Rounded to what a page shows, without the time of the last look: an idle second is no change.
        let services = services.into_iter().map(|s| {
            json!({
                "service": s.service, "alive": s.alive, "in_flight": s.in_flight,
                "cpu_pct": s.cpu_pct.map(|v| (v * 10.0).round() / 10.0), "mem_mb": s.mem_mb.map(f64::round),
            })
        });
        parts.insert("services", services.collect());
    }
    let status = app.status();
    parts.insert("rows", status["store"]["rows_written"].clone());
    parts.insert("problems", status["problems"].clone());
    let losses = status["losses"].as_array().into_iter().flatten();
    parts.insert("losses", losses.filter(|loss| loss["count"] != 0).cloned().collect());
    let processes = status["processes"].as_array().into_iter().flatten();
    let processes = processes.map(|p| json!({"pid": p["pid"], "service": p["service"], "state": p["state"]}));
    parts.insert("processes", processes.collect());
    parts
}

/// Sends the whole state first, then what changed.
pub(crate) async fn stream(State(app): State<AppState>) -> Response {
    let ticks = Arc::clone(&app.ticks);
    if ticks.open.fetch_add(1, Ordering::Relaxed) >= STREAMS {
        ticks.open.fetch_sub(1, Ordering::Relaxed);
        return (StatusCode::SERVICE_UNAVAILABLE, "too many streams are open").into_response();
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
                .filter(|(name, part)| last.get(*name) != Some(part))
                .map(|(n, p)| (*n, p.clone()))
                .collect();
            last = parts;
            (!changed.is_empty()).then(|| Event::default().event("tick").data(json!(changed).to_string()))
        })
}
