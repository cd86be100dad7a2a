//! From an exchange to a row.

use std::sync::Arc;

use super::{Surroundings, grpc};
use crate::connection::Finished;
use crate::exchange::{Command, Detail, Exchange, Http, HttpVersion, Outcome, Role, Sql, Transaction};
use crate::record::{Call, Event, Query, Record};
use crate::route::told;

/// The status that tells of a client that went away, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

pub(super) fn millis(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn error(exchange: &Exchange, role: Role) -> Option<String> {
    let answered = || match &exchange.detail {
        Detail::Http(http) => grpc::error(http.grpc_status?, role),
        Detail::Sql(_) | Detail::Command(_) => None,
    };
    exchange.outcome.error(role).map(str::to_owned).or_else(answered)
}

/// What is told of a request.
pub(super) struct Told<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) route: &'a str,
}

/// A served request. Its ids are set by the caller.
pub(super) fn event(
    finished: &Finished,
    http: &Http,
    service: &Arc<str>,
    told: Told<'_>,
    around: &dyn Surroundings,
) -> Event {
    let exchange = &finished.exchange;
    let status = match exchange.outcome {
        Outcome::ClientGone => CLIENT_CLOSED_REQUEST,
        _ => http.status,
    };
    Event {
        ts: around.unix(exchange.end),
        service: Arc::clone(service),
        pid: finished.pid,
        method: told.method.to_owned(),
        route: told.route.to_owned(),
        path: told.path.to_owned(),
        status,
        duration_ms: millis(exchange.end - exchange.start),
        ttfb_ms: exchange.first_response.map(|first| millis(first - exchange.start)),
        error: error(exchange, Role::Server),
        user_agent: http.user_agent.clone(),
        host: http.host.clone(),
        protocol: Some(match http.version {
            HttpVersion::Http10 => "http/1.0",
            HttpVersion::Http11 => "http/1.1",
            HttpVersion::Http2 => "h2",
        }),
        tls: finished.conn.tls,
        upgraded: http.upgraded,
        request_bytes: exchange.request_bytes,
        response_bytes: exchange.response_bytes,
        ..Event::default()
    }
}

fn base_call(
    finished: &Finished,
    peer: Option<Arc<str>>,
    service: &Arc<str>,
    around: &dyn Surroundings,
) -> Call {
    let exchange = &finished.exchange;
    Call {
        ts: around.unix(exchange.end),
        service: Arc::clone(service),
        pid: finished.pid,
        duration_ms: millis(exchange.end - exchange.start),
        error: error(exchange, Role::Client),
        peer,
        tls: finished.conn.tls,
        ..Call::default()
    }
}

/// An outgoing HTTP call.
pub(super) fn call(
    finished: &Finished,
    http: &Http,
    peer: Option<Arc<str>>,
    service: &Arc<str>,
    around: &dyn Surroundings,
) -> Call {
    let base = base_call(finished, peer, service, around);
    let host = http
        .host
        .clone()
        .or_else(|| base.peer.as_deref().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    let path = told(&http.path, "").into_owned();
    Call { method: http.method.clone(), host, path, status: http.status, ..base }
}

/// A key-value store's command, shown among the outgoing calls.
pub(super) fn command(
    finished: &Finished,
    command: &Command,
    peer: Option<Arc<str>>,
    service: &Arc<str>,
    around: &dyn Surroundings,
) -> Call {
    let base = base_call(finished, peer, service, around);
    let peer = base.peer.as_deref().unwrap_or("unknown");
    Call {
        method: command.name.clone(),
        host: format!("{} {peer}", command.system),
        error: base.error.clone().or_else(|| command.error.clone()),
        ..base
    }
}

/// A SQL statement.
pub(super) fn query(
    finished: &Finished,
    sql: &Sql,
    server: Option<Arc<str>>,
    service: &Arc<str>,
    around: &dyn Surroundings,
) -> Query {
    let exchange = &finished.exchange;
    Query {
        ts: around.unix(exchange.end),
        service: Arc::clone(service),
        pid: finished.pid,
        system: sql.system,
        statement: Arc::clone(&sql.statement),
        rows: sql.rows,
        duration_ms: millis(exchange.end - exchange.start),
        error_code: sql.error_code.clone(),
        severity: sql.severity.clone(),
        error: error(exchange, Role::Client),
        database: sql.database.clone(),
        user: sql.user.clone(),
        server,
        transaction: match sql.transaction {
            Transaction::Unknown => None,
            Transaction::Idle => Some("idle"),
            Transaction::Open => Some("in transaction"),
            Transaction::Failed => Some("failed"),
        },
        is_cursor_round: sql.is_cursor_round,
        tls: finished.conn.tls,
        ..Query::default()
    }
}

/// The application's code that made a call or sent a query.
pub(super) fn set_call_site(record: &mut Record, site: Option<Arc<str>>) {
    match record {
        Record::Call(call) => call.call_site = site,
        Record::Query(query) => query.call_site = site,
        Record::Event(_) | Record::Sample(_) => {}
    }
}
