//! Routes found in source, and what is measured of a folder of it.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Answer;
use crate::server::answer::{Problem, Refusal};
use crate::server::params::{Ask, Limit, OfService, OneFolder, Window, Within};
use crate::server::{AppState, ScanRefusal};
use crate::store::{CodePlace, Discovered, FolderSnapshot, ScanRoot};

/// Routes found in source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    /// By service, file and line.
    routes: Vec<Discovered>,
    /// Where they were looked for.
    scan_roots: Vec<ScanRoot>,
}

/// Application code that was seen at work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Code {
    /// As asked; `null` for all.
    service: Option<String>,
    /// As asked.
    window_seconds: u32,
    /// Lines that were seen in the window, most often first.
    code: Vec<CodePlace>,
}

/// Where to look for routes.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ScanRequest {
    /// For which service; what was found for it before is replaced.
    service: String,
    /// A directory below the source of the watched processes.
    path: String,
}

/// What a scan found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scanned {
    /// As asked.
    service: String,
    /// The directory, without links.
    scan_root: String,
    /// Routes found.
    routes: usize,
    /// Routes by framework.
    by_framework: BTreeMap<String, usize>,
    /// What was read, skipped and not understood, by name; only what is more than zero.
    counters: BTreeMap<String, u64>,
}

/// Routes found in source, and where they were looked for.
#[utoipa::path(get, path = "/api/discovered", params(Ask<OfService>),
    responses((status = 200, body = Found), (status = "default", body = Problem)))]
pub(crate) async fn discovered(
    State(app): State<AppState>,
    Ask(OfService(service)): Ask<OfService>,
) -> Answer<Found> {
    let (routes, scan_roots) = app.ask(move |reader| reader.discovered(service.as_deref())).await?;
    Ok(Json(Found { routes, scan_roots }))
}

/// Application code that made queries and calls, or that exceptions left.
#[utoipa::path(get, path = "/api/code", params(Ask<(Within<86_400>, Limit<500>)>),
    responses((status = 200, body = Code), (status = "default", body = Problem)))]
pub(crate) async fn code(
    State(app): State<AppState>,
    Ask((Within(scope), Limit(limit))): Ask<(Within<86_400>, Limit<500>)>,
) -> Answer<Code> {
    let (service, window_seconds) = (scope.service.clone(), scope.seconds);
    let code = app.ask(move |reader| reader.code(&scope, limit)).await?;
    Ok(Json(Code { service, window_seconds, code }))
}

/// Figures of the routes whose handlers lie in a folder.
#[utoipa::path(get, path = "/api/folder/snapshot", params(Ask<(OneFolder, Window<600>)>),
    responses((status = 200, body = FolderSnapshot), (status = "default", body = Problem)))]
pub(crate) async fn folder_snapshot(
    State(app): State<AppState>,
    Ask((of, Window(seconds))): Ask<(OneFolder, Window<600>)>,
) -> Answer<FolderSnapshot> {
    Ok(Json(app.ask(move |reader| reader.folder_snapshot(&of.service, &of.folder, seconds)).await?))
}

/// Looks for routes in source.
#[utoipa::path(post, path = "/api/scan", request_body = ScanRequest, responses(
    (status = 200, body = Scanned), (status = 400, description = "No such directory", body = Problem),
    (status = 403, description = "Outside the source of the watched processes", body = Problem),
    (status = "default", body = Problem),
))]
pub(crate) async fn scan(State(app): State<AppState>, request: Request) -> Answer<Scanned> {
    let (writer, find) = (app.writer.clone(), app.scan.clone());
    // The semaphore is never closed.
    let turn = Arc::clone(&app.scans).acquire_owned().await;
    let work = move |body: Bytes| {
        let _turn = turn;
        let request: ScanRequest =
            serde_json::from_slice(&body).map_err(|error| Refusal::Bad(format!("body: {error}")))?;
        if request.service.trim().is_empty() {
            return Err(Refusal::Bad("service: must not be empty".into()));
        }
        let Some(find) = find else {
            return Err(Refusal::NotHere("this agent was built without the route scanner".into()));
        };
        let path = FilePath::new(&request.path);
        let refused = |refusal: ScanRefusal| {
            let reason = format!("{}: {refusal}", path.display());
            match refusal {
                ScanRefusal::Outside => Refusal::Forbidden(reason),
                ScanRefusal::Bad(_) => Refusal::Bad(reason),
            }
        };
        let (root, found) = find(&request.service, path).map_err(refused)?;
        let counters = found.counters.clone();
        let mut by_framework = BTreeMap::<String, usize>::new();
        for route in &found.routes {
            *by_framework.entry(route.framework.clone()).or_default() += 1;
        }
        let scan_root = root.to_string_lossy().into_owned();
        let routes = writer.replace_discovered(&request.service, &scan_root, found)?;
        Ok(Json(Scanned { service: request.service, scan_root, routes, by_framework, counters }))
    };
    app.with_body(request, work).await
}
