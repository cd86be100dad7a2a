//! The endpoints that answer questions: what they are asked with ([`super::params`]) and what they answer.

mod figures;
mod requests;
mod source;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Refusal;
use super::{AppState, work_within};
use crate::store::{ReadError, Reader, ServiceState};

type Answer<T> = Result<Json<T>, Refusal>;

/// All of them, with their description.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(status::healthz))
        .routes(routes!(status::status))
        .routes(routes!(status::services))
        .routes(routes!(figures::overview))
        .routes(routes!(figures::timeseries))
        .routes(routes!(figures::heatmap))
        .routes(routes!(figures::routes))
        .routes(routes!(figures::route_snapshot))
        .routes(routes!(figures::route_chains))
        .routes(routes!(figures::outgoing))
        .routes(routes!(figures::route_host_calls))
        .routes(routes!(figures::queries))
        .routes(routes!(requests::recent_errors))
        .routes(routes!(requests::error_groups))
        .routes(routes!(requests::requests))
        .routes(routes!(requests::request))
        .routes(routes!(requests::trace))
        .routes(routes!(source::discovered))
        .routes(routes!(source::code))
        .routes(routes!(source::folder_snapshot))
        .routes(routes!(source::scan))
}

impl AppState {
    /// Asks the store on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        // The semaphore is never closed; a permit that is not had is one waiter more.
        let permit = Arc::clone(&self.questions).acquire_owned().await;
        let reader = self.reader.clone();
        Ok(work_within(permit, move || question(&reader)).await??)
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
}
