//! `POST /ingest`: what in-process SDKs send.

use std::sync::Arc;

use apm_core::python::scrub::scrub;
use apm_core::record::{Call, Event, ProcessSample, Record, SlowSql};
use apm_core::route::told;
use apm_core::sql::{Dialect, normalise};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Problem, Refusal};
use super::body::at_most;

/// Statements kept per request, characters of each, of a message and of a traceback, as the contract says.
const SLOW: usize = 3;
const SQL: usize = 400;
const MESSAGE: usize = 500;
const TRACEBACK: usize = 16_000;

/// Events of an envelope, and calls: SDKs send what they have once a second.
const ITEMS: usize = 20_000;
/// Statements that an event may come with.
const SLOW_SENT: usize = 100;
/// Seconds that a sender's clock may be ahead. What claims to be from later on would be in every window until then.
const AHEAD: f64 = 60.0;

/// Missing and null fields take null or zero.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Envelope {
    service: Option<String>,
    host: Option<String>,
    pid: Option<u32>,
    cpu_pct: Option<f64>,
    mem_mb: Option<f64>,
    in_flight: Option<f64>,
    #[serde(default, deserialize_with = "at_most::<_, _, ITEMS>")]
    events: Option<Vec<EventIn>>,
    #[serde(default, deserialize_with = "at_most::<_, _, ITEMS>")]
    outgoing_calls: Option<Vec<CallIn>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct EventIn {
    ts: Option<f64>,
    method: Option<String>,
    route: Option<String>,
    path: Option<String>,
    status: Option<f64>,
    duration_ms: Option<f64>,
    error: Option<String>,
    request_id: Option<String>,
    correlation_id: Option<String>,
    parent_id: Option<String>,
    error_type: Option<String>,
    error_message: Option<String>,
    error_traceback: Option<String>,
    error_fingerprint: Option<String>,
    db_query_count: Option<f64>,
    db_total_ms: Option<f64>,
    #[serde(default, deserialize_with = "at_most::<_, _, SLOW_SENT>")]
    db_slow: Option<Vec<SlowIn>>,
    outgoing_count: Option<f64>,
    outgoing_total_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct SlowIn {
    sql: Option<String>,
    ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct CallIn {
    ts: Option<f64>,
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    status: Option<f64>,
    duration_ms: Option<f64>,
    error: Option<String>,
    source_request_id: Option<String>,
    correlation_id: Option<String>,
}

/// What was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// It was.
    ok: bool,
    /// Events in it.
    events: usize,
}

/// Takes what an in-process SDK sends: one envelope. An event or call that is dated more than a minute ahead is dated now.
#[utoipa::path(post, path = "/ingest", request_body = Envelope, responses(
    (status = 200, body = Taken), (status = 400, description = "Not an envelope", body = Problem),
    (status = 413, description = "More than 16 MiB", body = Problem), (status = "default", body = Problem),
))]
pub(crate) async fn ingest(State(app): State<AppState>, request: Request) -> Result<Json<Taken>, Refusal> {
    let (writer, now) = (app.writer.clone(), (app.clock)());
    let work = move |body: Bytes| {
        // A list would do for serde: its fields in their order.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{') {
            return Err(Refusal::Bad("payload must be an object".into()));
        }
        let envelope: Envelope =
            serde_json::from_slice(&body).map_err(|error| Refusal::Bad(format!("envelope: {error}")))?;
        let (records, events) = records(envelope, now);
        writer.send(records);
        Ok(Json(Taken { ok: true, events }))
    };
    app.with_body(request, work).await
}

fn records(envelope: Envelope, now: f64) -> (Vec<Record>, usize) {
    let service: Arc<str> =
        envelope.service.filter(|s| !s.is_empty()).unwrap_or_else(|| "unknown".into()).into();
    let pid = envelope.pid.unwrap_or(0);
    let events = envelope.events.unwrap_or_default();
    let count = events.len();
    let mut records = Vec::with_capacity(count + 1);
    records.push(Record::Sample(Box::new(ProcessSample {
        ts: now,
        service: Arc::clone(&service),
        pid,
        host: envelope.host.filter(|h| !h.is_empty()).map(Into::into),
        cpu_pct: envelope.cpu_pct,
        mem_mb: envelope.mem_mb,
        in_flight: number(envelope.in_flight),
    })));
    for event in events {
        records.push(Record::Event(Box::new(event.into_record(&service, pid, now))));
    }
    for call in envelope.outgoing_calls.unwrap_or_default() {
        records.push(Record::Call(Box::new(Call {
            ts: time(call.ts, now),
            service: Arc::clone(&service),
            pid,
            method: call.method.unwrap_or_default(),
            host: without_user(call.host.unwrap_or_default()),
            path: told(&without_query(call.path.unwrap_or_default()), "").into_owned(),
            status: number(call.status).try_into().unwrap_or(u16::MAX),
            duration_ms: call.duration_ms.unwrap_or(0.0),
            error: call.error.map(without_secrets),
            source_request_id: call.source_request_id.filter(|id| !id.is_empty()).map(Arc::from),
            correlation_id: call.correlation_id.map(Arc::from),
            ..Call::default()
        })));
    }
    (records, count)
}

impl EventIn {
    fn into_record(self, service: &Arc<str>, pid: u32, now: f64) -> Event {
        let route = self.route.map(without_query).filter(|route| !route.is_empty());
        let path = without_query(self.path.unwrap_or_default());
        let path = told(&path, route.as_deref().unwrap_or_default()).into_owned();
        let slow = self.db_slow.unwrap_or_default().into_iter().take(SLOW);
        let message = self.error_message.clone().map(without_secrets);
        // A traceback ends with the message.
        let traceback = self.error_traceback.map(|text| match (&self.error_message, &message) {
            (Some(told), Some(kept)) if told != kept => text.replace(told, kept),
            _ => text,
        });
        // Those of its causes are in it, too, and what a sender has cut off a message.
        let traceback = traceback.map(|text| scrub(&text).into_owned());
        Event {
            ts: time(self.ts, now),
            service: Arc::clone(service),
            pid,
            method: self.method.unwrap_or_default(),
            route: route.unwrap_or_else(|| path.clone()),
            path,
            status: number(self.status).try_into().unwrap_or(u16::MAX),
            duration_ms: self.duration_ms.unwrap_or(0.0),
            error: self.error.map(without_secrets),
            request_id: self.request_id.map(Arc::from),
            correlation_id: self.correlation_id.map(Arc::from),
            parent_id: self.parent_id.map(Arc::from),
            error_type: self.error_type,
            error_message: message,
            error_traceback: traceback.map(|text| first(text, TRACEBACK)),
            error_fingerprint: self.error_fingerprint,
            db_query_count: self.db_query_count.map(|n| number(Some(n))),
            db_total_ms: self.db_total_ms,
            db_slow: slow
                .map(|s| SlowSql {
                    sql: without_literals(&s.sql.unwrap_or_default()),
                    ms: s.ms.unwrap_or(0.0),
                })
                .collect(),
            outgoing_count: self.outgoing_count.map(|n| number(Some(n))),
            outgoing_total_ms: self.outgoing_total_ms,
            ..Event::default()
        }
    }
}

/// Zero stands for "not given", as with the SDKs' own collector. What cannot have happened yet is dated now, milliseconds in
/// the place of seconds, for instance.
fn time(ts: Option<f64>, now: f64) -> f64 {
    ts.filter(|ts| *ts != 0.0 && *ts <= now + AHEAD).unwrap_or(now)
}

/// A count; what is none becomes the nearest that is.
fn number(value: Option<f64>) -> u32 {
    value.unwrap_or(0.0) as u32
}

/// The first `max` characters.
fn first(mut text: String, max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max) {
        text.truncate(end);
    }
    text
}

/// What an SDK took for normalised may hold literals all the same.
fn without_literals(sql: &str) -> String {
    first(normalise(sql.as_bytes(), Dialect::Postgres).text, SQL)
}

/// An SDK may put its exception's message there.
fn without_secrets(text: String) -> String {
    first(scrub(&text).into_owned(), MESSAGE)
}

/// A URL's authority may hold credentials (RFC 3986, 3.2.1).
fn without_user(host: String) -> String {
    match host.rsplit_once('@') {
        Some((_, host)) => host.to_owned(),
        None => host,
    }
}

/// Values of a query string are secrets until shown otherwise.
fn without_query(mut path: String) -> String {
    if let Some(end) = path.find('?') {
        path.truncate(end);
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_of_an_sdk_keeps_a_secret() {
        let message = "invalid input syntax for type integer: \"hunter2\nhunter2\"\nLINE 1: SELECT 'hunter2\n               ^\n";
        let traceback = format!(
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    f(\"postgres://ada:hunter2@db/x\")\nDataError: {message}\n\
             During handling of the above exception, another exception occurred:\n\nValueError: password=hunter2\n"
        );
        let envelope = json!({
            "events": [{
                "path": "/a?pin=hunter2", "route": "/a?pin=hunter2", "error": "no password=hunter2",
                "error_type": "ValueError", "error_message": message, "error_traceback": traceback,
                "db_slow": [{"sql": "SELECT 'hunter2'", "ms": 1}],
            }],
            "outgoing_calls": [{
                "host": "ada:hunter2@x.example", "path": "/b/eyJhunter2hunter2?pin=hunter2",
                "error": "no connection to https://ada:hunter2@x.example/b?token=hunter2",
            }],
        });
        let (records, _) = records(serde_json::from_value(envelope).unwrap(), 0.0);
        let kept = format!("{records:?}");
        assert!(!kept.contains("hunter2"), "{kept}");
        for part in [
            "\"/a\"",
            "\"/b/{token}\"",
            "\"x.example\"",
            "LINE 1: <redacted>",
            "During handling",
            "no password=",
        ] {
            assert!(kept.contains(part) || kept.contains(&part.escape_debug().to_string()), "{part}: {kept}");
        }
    }
}
