//! `GET /api/openapi.json`: what every endpoint takes and answers, as OpenAPI 3.1, collected from the handlers.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::AppState;

/// What is said of all endpoints together.
#[derive(OpenApi)]
#[openapi(info(
    title = "apm-agent",
    description = "What the watched processes of this machine do. Times are Unix seconds, durations milliseconds, rates 0 \
                   to 1. An event is one served request; it is an error when its status is 500 or more or it ended in an \
                   exception. An outgoing call is an error when its status is 400 or more or it failed."
))]
struct About;

/// The endpoints with one more, which describes them.
pub(crate) fn described(endpoints: OpenApiRouter<AppState>) -> Router<AppState> {
    let (router, endpoints) = endpoints.split_for_parts();
    let mut document = About::openapi();
    document.merge(endpoints);
    // Types have names and texts only: this cannot fail.
    let document = document.to_json().unwrap_or_default();
    router.route(
        "/api/openapi.json",
        get(async move || ([(header::CONTENT_TYPE, "application/json")], document.clone())),
    )
}
