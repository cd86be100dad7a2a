//! Single requests: recent, slow, failed, and one of them opened.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::server::AppState;
use crate::server::answer::{Problem, Refusal};
use crate::server::params::{Ask, Limit, OfEndpoint, OfRoute, OfService, Within};
use crate::store::{ErrorGroup, Reader, RecentError, RequestRow, Sort, Trace};

/// Failed requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecentErrors {
    /// Newest first.
    errors: Vec<RecentError>,
}

/// Exceptions by code path.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorGroups {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// The most recent first.
    groups: Vec<ErrorGroup>,
}

/// Requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Requests {
    /// In the order asked for.
    requests: Vec<RequestRow>,
}

/// Failed requests, newest first.
#[utoipa::path(get, path = "/api/recent_errors", params(Ask<(OfService, OfRoute, Limit<20>)>),
    responses((status = 200, body = RecentErrors), (status = "default", body = Problem)))]
pub(crate) async fn recent_errors(
    State(app): State<AppState>,
    Ask((OfService(service), OfRoute(route), Limit(limit))): Ask<(OfService, OfRoute, Limit<20>)>,
) -> Answer<RecentErrors> {
    let errors =
        app.ask(move |reader| reader.recent_errors(service.as_deref(), route.as_deref(), limit)).await?;
    Ok(Json(RecentErrors { errors }))
}

/// Exceptions by code path, the most recent first.
#[utoipa::path(get, path = "/api/error_groups", params(Ask<(Within<600>, Limit<50>)>),
    responses((status = 200, body = ErrorGroups), (status = "default", body = Problem)))]
pub(crate) async fn error_groups(
    State(app): State<AppState>,
    Ask((Within(scope), Limit(limit))): Ask<(Within<600>, Limit<50>)>,
) -> Answer<ErrorGroups> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    let groups = app.ask(move |reader| reader.error_groups(&scope, limit)).await?;
    Ok(Json(ErrorGroups { service, window_seconds, groups }))
}

/// Recent, slow or failed requests, as far back as single requests are kept.
#[utoipa::path(get, path = "/api/requests", params(Ask<((Within<3600>, OfEndpoint), Sort, Limit<50>)>),
    responses((status = 200, body = Requests), (status = "default", body = Problem)))]
pub(crate) async fn requests(
    State(app): State<AppState>,
    Ask(((Within(scope), of), sort, Limit(limit))): Ask<((Within<3600>, OfEndpoint), Sort, Limit<50>)>,
) -> Answer<Requests> {
    let question = move |reader: &Reader| {
        reader.requests(&scope, of.method.as_deref(), of.route.as_deref(), sort, limit)
    };
    Ok(Json(Requests { requests: app.ask(question).await? }))
}

/// One request with its statements, calls and exception.
#[utoipa::path(get, path = "/api/request/{id}", params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, body = Trace), (status = 404, body = Problem), (status = "default", body = Problem),
))]
pub(crate) async fn request(State(app): State<AppState>, Path(id): Path<String>) -> Answer<Trace> {
    let wanted = id.clone();
    let request = app.ask(move |reader| reader.request(&wanted)).await?;
    request.map(Json).ok_or_else(|| gone(&id))
}

/// The whole tree a request belongs to, across the processes of this host.
#[utoipa::path(get, path = "/api/trace/{id}",
    params(("id" = String, Path, description = "Id of one of its requests, or of the chain")), responses(
    (status = 200, body = Trace), (status = 404, body = Problem), (status = "default", body = Problem),
))]
pub(crate) async fn trace(State(app): State<AppState>, Path(id): Path<String>) -> Answer<Trace> {
    let wanted = id.clone();
    let trace = app.ask(move |reader| reader.trace(&wanted)).await?;
    trace.map(Json).ok_or_else(|| gone(&id))
}

fn gone(id: &str) -> Refusal {
    Refusal::NotFound(format!(
        "no request with id {id:?} is stored; raw requests are kept for the retention only"
    ))
}
