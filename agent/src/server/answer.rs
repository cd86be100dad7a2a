//! What goes wrong, as the client sees it: a status and `{"error": TEXT}`, with the parameter at fault where there is one.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::store::{ReadError, WriteError};

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A parameter is missing or does not parse: 422, as the SDKs' own collector answers.
    Parameter { name: &'static str, reason: String },
    /// The body or a path is not what it should be: 400.
    Bad(String),
    /// Not allowed: 403.
    Forbidden(String),
    /// Nothing there: 404.
    NotFound(String),
    /// This build or configuration cannot: 501.
    NotHere(String),
    /// The store does not answer: 503.
    Store(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Parameter { name, reason } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                json!({"error": format!("parameter `{name}`: {reason}"), "parameter": name, "detail": reason}),
            ),
            Self::Bad(reason) => (StatusCode::BAD_REQUEST, json!({"error": reason, "detail": reason})),
            Self::Forbidden(reason) => (StatusCode::FORBIDDEN, json!({"error": reason, "detail": reason})),
            Self::NotFound(reason) => (StatusCode::NOT_FOUND, json!({"error": reason, "detail": reason})),
            Self::NotHere(reason) => {
                (StatusCode::NOT_IMPLEMENTED, json!({"error": reason, "detail": reason}))
            }
            Self::Store(reason) => {
                (StatusCode::SERVICE_UNAVAILABLE, json!({"error": reason, "detail": reason}))
            }
        };
        (status, Json(body)).into_response()
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        Self::Store(error.to_string())
    }
}
