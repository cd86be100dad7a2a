//! Figures of a window: of services, routes, hosts and statements.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::server::AppState;
use crate::server::answer::Problem;
use crate::server::params::{Ask, Bucket, Limit, OfEndpoint, OneRoute, Window, Within};
use crate::store::{
    Chain, Edge, Heatmap, Host, NPlusOne, Overview, Point, QueryFigures, Reader, RouteFigures, RouteSnapshot,
};

/// Figures over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timeseries {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// As asked.
    bucket_seconds: u32,
    /// Buckets with traffic, ascending.
    points: Vec<Point>,
}

/// Routes with their figures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Routes {
    /// By requests, most first.
    routes: Vec<RouteFigures>,
}

/// Which route calls which.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Chains {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// By calls, most first.
    chains: Vec<Chain>,
}

/// Hosts called.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hosts {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// By calls, most first.
    hosts: Vec<Host>,
}

/// Which route calls which host.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Edges {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// By calls, most first; only calls whose request is known.
    edges: Vec<Edge>,
}

/// SQL statements.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queries {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// Statements, those that took the most time first.
    queries: Vec<QueryFigures>,
    /// Routes that run one statement again and again.
    n_plus_one: Vec<NPlusOne>,
    /// Failures of the statements above by SQLSTATE, most first.
    errors: Vec<SqlState>,
}

/// Failures with one SQLSTATE.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SqlState {
    /// SQLSTATE, or what went wrong when no reply came.
    code: String,
    /// How many.
    count: u64,
    /// A statement that failed so.
    sample_sql: String,
}

/// A window's figures.
#[utoipa::path(get, path = "/api/overview", params(Ask<Within<300>>),
    responses((status = 200, body = Overview), (status = "default", body = Problem)))]
pub(crate) async fn overview(
    State(app): State<AppState>,
    Ask(Within(scope)): Ask<Within<300>>,
) -> Answer<Overview> {
    Ok(Json(app.ask(move |reader| reader.overview(&scope)).await?))
}

/// Figures by time bucket; of one route when both method and route are given.
#[utoipa::path(get, path = "/api/timeseries", params(Ask<(Within<300>, Bucket, OfEndpoint)>),
    responses((status = 200, body = Timeseries), (status = "default", body = Problem)))]
pub(crate) async fn timeseries(
    State(app): State<AppState>,
    Ask((Within(scope), Bucket(bucket), of)): Ask<(Within<300>, Bucket, OfEndpoint)>,
) -> Answer<Timeseries> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    let (bucket_seconds, points) =
        app.ask(move |reader| reader.timeseries(&scope, bucket, of.both())).await?;
    Ok(Json(Timeseries { service, window_seconds, bucket_seconds, points }))
}

/// Requests by time and duration; of one route when both method and route are given.
#[utoipa::path(get, path = "/api/heatmap", params(Ask<(Within<300>, Bucket, OfEndpoint)>),
    responses((status = 200, body = Heatmap), (status = "default", body = Problem)))]
pub(crate) async fn heatmap(
    State(app): State<AppState>,
    Ask((Within(scope), Bucket(bucket), of)): Ask<(Within<300>, Bucket, OfEndpoint)>,
) -> Answer<Heatmap> {
    Ok(Json(app.ask(move |reader| reader.heatmap(&scope, bucket, of.both())).await?))
}

/// Routes with their figures.
#[utoipa::path(get, path = "/api/routes", params(Ask<Within<300>>),
    responses((status = 200, body = Routes), (status = "default", body = Problem)))]
pub(crate) async fn routes(
    State(app): State<AppState>,
    Ask(Within(scope)): Ask<Within<300>>,
) -> Answer<Routes> {
    Ok(Json(Routes { routes: app.ask(move |reader| reader.routes(&scope)).await? }))
}

/// All about one route.
#[utoipa::path(get, path = "/api/route/snapshot", params(Ask<(OneRoute, Window<600>)>),
    responses((status = 200, body = RouteSnapshot), (status = "default", body = Problem)))]
pub(crate) async fn route_snapshot(
    State(app): State<AppState>,
    Ask((of, Window(seconds))): Ask<(OneRoute, Window<600>)>,
) -> Answer<RouteSnapshot> {
    let question = move |reader: &Reader| reader.route_snapshot(&of.service, &of.method, &of.route, seconds);
    Ok(Json(app.ask(question).await?))
}

/// Which route calls which, as requests name their caller.
#[utoipa::path(get, path = "/api/route_chains", params(Ask<(Within<300>, Limit<500>)>),
    responses((status = 200, body = Chains), (status = "default", body = Problem)))]
pub(crate) async fn route_chains(
    State(app): State<AppState>,
    Ask((Within(scope), Limit(limit))): Ask<(Within<300>, Limit<500>)>,
) -> Answer<Chains> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    let chains = app.ask(move |reader| reader.route_chains(&scope, limit)).await?;
    Ok(Json(Chains { service, window_seconds, chains }))
}

/// Hosts that were called.
#[utoipa::path(get, path = "/api/outgoing", params(Ask<(Within<600>, Limit<50>)>),
    responses((status = 200, body = Hosts), (status = "default", body = Problem)))]
pub(crate) async fn outgoing(
    State(app): State<AppState>,
    Ask((Within(scope), Limit(limit))): Ask<(Within<600>, Limit<50>)>,
) -> Answer<Hosts> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    let hosts = app.ask(move |reader| reader.outgoing(&scope, limit)).await?;
    Ok(Json(Hosts { service, window_seconds, hosts }))
}

/// Which route calls which host.
#[utoipa::path(get, path = "/api/route_host_calls", params(Ask<(Within<300>, Limit<500>)>),
    responses((status = 200, body = Edges), (status = "default", body = Problem)))]
pub(crate) async fn route_host_calls(
    State(app): State<AppState>,
    Ask((Within(scope), Limit(limit))): Ask<(Within<300>, Limit<500>)>,
) -> Answer<Edges> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    let edges = app.ask(move |reader| reader.route_host_calls(&scope, limit)).await?;
    Ok(Json(Edges { service, window_seconds, edges }))
}

/// SQL statements, repeats and failures.
#[utoipa::path(get, path = "/api/queries", params(Ask<(Within<600>, Limit<100>)>),
    responses((status = 200, body = Queries), (status = "default", body = Problem)))]
pub(crate) async fn queries(
    State(app): State<AppState>,
    Ask((Within(scope), Limit(limit))): Ask<(Within<600>, Limit<100>)>,
) -> Answer<Queries> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    // What failed may not be among the statements that are listed.
    let (mut queries, n_plus_one) = app
        .ask(move |reader| Ok((reader.queries_and_failed(&scope, limit)?, reader.n_plus_one(&scope, limit)?)))
        .await?;
    let errors = by_code(&queries);
    queries.truncate(limit);
    Ok(Json(Queries { service, window_seconds, queries, n_plus_one, errors }))
}

fn by_code(queries: &[QueryFigures]) -> Vec<SqlState> {
    let mut codes = BTreeMap::<&str, (u64, &str)>::new();
    for query in queries {
        for error in &query.errors_by_code {
            codes.entry(&error.code).or_insert((0, &query.sql)).0 += error.count;
        }
    }
    let mut errors: Vec<_> = codes.into_iter().collect();
    errors.sort_by_key(|(code, (count, _))| (std::cmp::Reverse(*count), *code));
    errors
        .into_iter()
        .map(|(code, (count, sql))| SqlState { code: code.into(), count, sample_sql: sql.into() })
        .collect()
}
