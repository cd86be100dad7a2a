//! The endpoints that answer questions.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use apm_core::loss::Loss;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::answer::Refusal;
use super::live::Live;
use super::params::Params;
use crate::store::{ReadError, Reader, Scope, ServiceState, State as StoreState};

type Answer = Result<Json<Value>, Refusal>;

impl AppState {
    /// Asks the store on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        // The semaphore is never closed; a permit that is not had is one waiter more.
        let _permit = self.questions.acquire().await;
        let reader = self.reader.clone();
        let answer = tokio::task::spawn_blocking(move || question(&reader)).await;
        Ok(answer.map_err(|error| Refusal::Store(error.to_string()))??)
    }

    /// Services: the store's, with what the pipeline sees now.
    pub(crate) async fn services(&self) -> Result<Vec<ServiceState>, Refusal> {
        let stored = self.ask(Reader::services).await?;
        let mut services: BTreeMap<_, _> = stored.into_iter().map(|s| (s.service.clone(), s)).collect();
        let live = self.live.borrow().clone();
        let mut in_flight = BTreeMap::<&str, i64>::new();
        for process in &live.processes {
            *in_flight.entry(&process.service).or_default() += i64::from(process.in_flight);
        }
        for (name, open) in in_flight {
            let now = (self.clock)();
            let service = services.entry(name.to_owned()).or_insert_with(|| ServiceState {
                service: name.to_owned(),
                last_seen: now,
                alive: true,
                ..ServiceState::default()
            });
            service.in_flight = open;
        }
        Ok(services.into_values().collect())
    }

    /// What the pipeline published, with the store's own losses.
    pub(crate) fn losses(&self) -> Live {
        let mut live: Live = (**self.live.borrow()).clone();
        let store_losses = self.writer.losses();
        for loss in [Loss::StoreQueueFull, Loss::StoreFailed] {
            live.losses.set(loss, store_losses.get(loss));
        }
        live
    }

    /// `/api/status`: what the pipeline published, with what the server and the store know.
    pub(crate) fn status(&self) -> Value {
        let mut live = self.losses();
        let store = self.writer.health();
        if let Some(problem) = &store.problem {
            live.problems.push(format!("Store: {problem}"));
        }
        let mut status = json!(live);
        status["version"] = json!(env!("CARGO_PKG_VERSION"));
        status["uptime_s"] = json!(self.started.elapsed().as_secs());
        status["agent"]["db_bytes"] = json!(store.size_bytes);
        status["store"] = json!(store);
        status
    }
}

/// `GET /healthz`: 200 while rows are stored, 503 while writing fails.
pub(crate) async fn healthz(State(app): State<AppState>) -> Response {
    let health = app.writer.health();
    let status =
        if health.state == StoreState::Failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(json!({"ok": status == StatusCode::OK, "store": health.state, "problem": health.problem})))
        .into_response()
}

/// `GET /api/status`
pub(crate) async fn status(State(app): State<AppState>) -> Json<Value> {
    Json(app.status())
}

/// `GET /api/services`
pub(crate) async fn services(State(app): State<AppState>) -> Answer {
    Ok(Json(json!({"services": app.services().await?})))
}

/// `GET /api/overview`
pub(crate) async fn overview(State(app): State<AppState>, params: Params) -> Answer {
    let scope = params.scope(300)?;
    Ok(Json(json!(app.ask(move |reader| reader.overview(&scope)).await?)))
}

/// `GET /api/timeseries`
pub(crate) async fn timeseries(State(app): State<AppState>, params: Params) -> Answer {
    let scope = params.scope(300)?;
    let (bucket, route) = (params.bucket(5)?, params.route());
    let (service, window) = (scope.service.clone(), scope.seconds);
    let points = app
        .ask(move |reader| {
            reader.timeseries(&scope, bucket, route.as_ref().map(|(m, r)| (m.as_str(), r.as_str())))
        })
        .await?;
    Ok(Json(
        json!({"service": service, "window_seconds": window, "bucket_seconds": bucket, "points": points}),
    ))
}

/// `GET /api/heatmap`
pub(crate) async fn heatmap(State(app): State<AppState>, params: Params) -> Answer {
    let scope = params.scope(300)?;
    let (bucket, route) = (params.bucket(5)?, params.route());
    let heatmap = app
        .ask(move |reader| {
            reader.heatmap(&scope, bucket, route.as_ref().map(|(m, r)| (m.as_str(), r.as_str())))
        })
        .await?;
    Ok(Json(json!(heatmap)))
}

/// `GET /api/routes`
pub(crate) async fn routes(State(app): State<AppState>, params: Params) -> Answer {
    let scope = params.scope(300)?;
    Ok(Json(json!({"routes": app.ask(move |reader| reader.routes(&scope)).await?})))
}

/// `GET /api/recent_errors`
pub(crate) async fn recent_errors(State(app): State<AppState>, params: Params) -> Answer {
    let limit = params.limit(20)?;
    let errors = app
        .ask(move |reader| reader.recent_errors(params.text("service"), params.text("route"), limit))
        .await?;
    Ok(Json(json!({"errors": errors})))
}

/// `GET /api/route/snapshot`
pub(crate) async fn route_snapshot(State(app): State<AppState>, params: Params) -> Answer {
    let required = |name| params.required(name).map(str::to_owned);
    let (service, method, route) = (required("service")?, required("method")?, required("route")?);
    let window = params.window(600)?;
    let snapshot = app.ask(move |reader| reader.route_snapshot(&service, &method, &route, window)).await?;
    Ok(Json(json!(snapshot)))
}

/// `GET /api/route_chains`
pub(crate) async fn route_chains(State(app): State<AppState>, params: Params) -> Answer {
    let (scope, limit) = (params.scope(300)?, params.limit(500)?);
    listed(&app, scope, "chains", move |reader, scope| reader.route_chains(scope, limit)).await
}

/// `GET /api/folder/snapshot`
pub(crate) async fn folder_snapshot(State(app): State<AppState>, params: Params) -> Answer {
    let service = params.required("service")?.to_owned();
    let folder = params.text("folder").unwrap_or_default().to_owned();
    let window = params.window(600)?;
    Ok(Json(json!(app.ask(move |reader| reader.folder_snapshot(&service, &folder, window)).await?)))
}

/// `GET /api/error_groups`
pub(crate) async fn error_groups(State(app): State<AppState>, params: Params) -> Answer {
    let (scope, limit) = (params.scope(600)?, params.limit(50)?);
    listed(&app, scope, "groups", move |reader, scope| reader.error_groups(scope, limit)).await
}

/// `GET /api/outgoing`
pub(crate) async fn outgoing(State(app): State<AppState>, params: Params) -> Answer {
    let (scope, limit) = (params.scope(600)?, params.limit(50)?);
    listed(&app, scope, "hosts", move |reader, scope| reader.outgoing(scope, limit)).await
}

/// `GET /api/route_host_calls`
pub(crate) async fn route_host_calls(State(app): State<AppState>, params: Params) -> Answer {
    let (scope, limit) = (params.scope(300)?, params.limit(500)?);
    listed(&app, scope, "edges", move |reader, scope| reader.route_host_calls(scope, limit)).await
}

/// `GET /api/queries`
pub(crate) async fn queries(State(app): State<AppState>, params: Params) -> Answer {
    let (scope, limit) = (params.scope(600)?, params.limit(100)?);
    let asked = scope.clone();
    let (queries, repeats) = app
        .ask(move |reader| Ok((reader.queries(&asked, limit)?, reader.n_plus_one(&asked, limit)?)))
        .await?;
    let mut codes = BTreeMap::<&str, (u64, &str)>::new();
    for query in &queries {
        for error in &query.errors_by_code {
            codes.entry(&error.code).or_insert((0, &query.sql)).0 += error.count;
        }
    }
    let mut errors: Vec<_> = codes.into_iter().collect();
    errors.sort_by_key(|(code, (count, _))| (std::cmp::Reverse(*count), *code));
    let errors: Vec<_> = errors
        .into_iter()
        .map(|(code, (count, sql))| json!({"code": code, "count": count, "sample_sql": sql}))
        .collect();
    Ok(Json(json!({
        "service": scope.service, "window_seconds": scope.seconds, "queries": queries, "n_plus_one": repeats,
        "errors": errors,
    })))
}

/// `GET /api/requests`
pub(crate) async fn requests(State(app): State<AppState>, params: Params) -> Answer {
    let (scope, limit, sort) = (params.scope(3600)?, params.limit(50)?, params.sort()?);
    let requests = app
        .ask(move |reader| reader.requests(&scope, params.text("method"), params.text("route"), sort, limit))
        .await?;
    Ok(Json(json!({"requests": requests})))
}

/// `GET /api/request/{id}`
pub(crate) async fn request(State(app): State<AppState>, Path(id): Path<String>) -> Answer {
    let wanted = id.clone();
    let request = app.ask(move |reader| reader.request(&wanted)).await?;
    request.map(|request| Json(json!(request))).ok_or_else(|| gone(&id))
}

/// `GET /api/trace/{id}`
pub(crate) async fn trace(State(app): State<AppState>, Path(id): Path<String>) -> Answer {
    let wanted = id.clone();
    let trace = app.ask(move |reader| reader.trace(&wanted)).await?;
    trace.map(|trace| Json(json!(trace))).ok_or_else(|| gone(&id))
}

/// `GET /api/discovered`
pub(crate) async fn discovered(State(app): State<AppState>, params: Params) -> Answer {
    let (routes, roots) = app.ask(move |reader| reader.discovered(params.text("service"))).await?;
    Ok(Json(json!({"routes": routes, "scan_roots": roots})))
}

/// Body of `POST /api/scan`.
#[derive(Debug, Deserialize)]
struct ScanRequest {
    service: String,
    path: String,
}

/// `POST /api/scan`
pub(crate) async fn scan(State(app): State<AppState>, body: Bytes) -> Answer {
    let request: ScanRequest =
        serde_json::from_slice(&body).map_err(|error| Refusal::Bad(format!("body: {error}")))?;
    let Some(find) = app.scan.clone() else {
        return Err(Refusal::NotHere("this agent was built without the route scanner".into()));
    };
    let roots = app.scan_roots.clone();
    let writer = app.writer.clone();
    let work = move || {
        let path = FilePath::new(&request.path);
        let root = path
            .canonicalize()
            .map_err(|error| Refusal::Bad(format!("path does not exist: {}: {error}", path.display())))?;
        if !root.is_dir() {
            return Err(Refusal::Bad(format!("not a directory: {}", root.display())));
        }
        let allowed = roots().iter().filter_map(|r| r.canonicalize().ok()).any(|r| root.starts_with(r));
        if !allowed {
            return Err(Refusal::Forbidden(format!(
                "{} lies outside the source of the watched processes; name it with --scan to allow it",
                root.display()
            )));
        }
        let routes = find(&root).map_err(Refusal::Bad)?;
        let mut by_framework = BTreeMap::<String, usize>::new();
        for route in &routes {
            *by_framework.entry(route.framework.clone()).or_default() += 1;
        }
        let root = root.to_string_lossy().into_owned();
        let written = writer.replace_discovered(&request.service, &root, routes)?;
        Ok(json!({
            "service": request.service, "scan_root": root, "routes": written, "by_framework": by_framework,
        }))
    };
    let answer =
        tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Store(error.to_string()))?;
    Ok(Json(answer?))
}

/// A list with what was asked around it.
async fn listed<T: serde::Serialize + Send + 'static>(
    app: &AppState,
    scope: Scope,
    name: &str,
    question: impl FnOnce(&Reader, &Scope) -> Result<T, ReadError> + Send + 'static,
) -> Answer {
    let asked = scope.clone();
    let list = app.ask(move |reader| question(reader, &asked)).await?;
    Ok(Json(json!({"service": scope.service, "window_seconds": scope.seconds, name: list})))
}

fn gone(id: &str) -> Refusal {
    Refusal::NotFound(format!(
        "no request with id {id:?} is stored; raw requests are kept for the retention only"
    ))
}
