//! How the agent and what it watches are doing.

use apm_core::loss::Loss;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::server::AppState;
use crate::server::answer::Problem;
use crate::server::live::Live;
use crate::store::{Health, ServiceState, State as StoreState};

/// What the agent sees and does not see.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// Version of the agent.
    version: &'static str,
    /// Seconds since the server started.
    uptime_s: u64,
    /// What the pipeline published, with what the server knows beside it.
    #[serde(flatten)]
    pub(crate) live: Live,
    /// How the store is doing.
    pub(crate) store: Health,
}

/// Whether rows are stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Healthz {
    /// They are.
    ok: bool,
    /// State of the store.
    store: StoreState,
    /// What is wrong with it.
    problem: Option<String>,
}

/// All services.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Services {
    /// By name.
    services: Vec<ServiceState>,
}

impl AppState {
    /// What the pipeline published, with the store's own losses.
    pub(crate) fn losses(&self) -> Live {
        let mut live: Live = (**self.live.borrow()).clone();
        let store_losses = self.writer.losses();
        for loss in [Loss::StoreQueueFull, Loss::StoreFailed] {
            live.losses.set(loss, store_losses.get(loss));
        }
        live
    }

    /// What the pipeline published, with what the server and the store know.
    pub(crate) fn status(&self) -> Status {
        let mut live = self.losses();
        let store = self.writer.health();
        if let Some(problem) = &store.problem {
            live.problems.push(format!("Store: {problem}"));
        }
        live.agent.db_bytes = store.size_bytes;
        Status { version: env!("CARGO_PKG_VERSION"), uptime_s: self.started.elapsed().as_secs(), live, store }
    }
}

/// Whether rows are stored: 200 while they are, 503 while writing fails.
#[utoipa::path(get, path = "/healthz", responses(
    (status = 200, body = Healthz), (status = 503, body = Healthz), (status = "default", body = Problem),
))]
pub(crate) async fn healthz(State(app): State<AppState>) -> Response {
    let health = app.writer.health();
    let failing = health.state == StoreState::Failing;
    let status = if failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(Healthz { ok: !failing, store: health.state, problem: health.problem })).into_response()
}

/// What the agent sees and does not see: processes, what attached to them, losses by name, its own use.
#[utoipa::path(get, path = "/api/status", responses((status = 200, body = Status), (status = "default", body = Problem)))]
pub(crate) async fn status(State(app): State<AppState>) -> Json<Status> {
    Json(app.status())
}

/// Services by name, with what their processes use.
#[utoipa::path(get, path = "/api/services",
    responses((status = 200, body = Services), (status = "default", body = Problem)))]
pub(crate) async fn services(State(app): State<AppState>) -> Answer<Services> {
    Ok(Json(Services { services: app.services().await? }))
}
