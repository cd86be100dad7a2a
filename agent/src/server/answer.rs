//! What goes wrong, as the client sees it: a status and `{"error": TEXT}`, with the parameter at fault where there is one.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// More than is taken at once: 413.
    TooLarge(String),
    /// This build or configuration cannot: 501.
    NotHere(String),
    /// The store does not answer: 503.
    Store(String),
}

/// Why a request has no answer, as JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// For people.
    error: String,
    /// The same without the parameter's name; the word some SDKs look for.
    detail: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'static str>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, reason, parameter) = match self {
            Self::Parameter { name, reason } => (StatusCode::UNPROCESSABLE_ENTITY, reason, Some(name)),
            Self::Bad(reason) => (StatusCode::BAD_REQUEST, reason, None),
            Self::Forbidden(reason) => (StatusCode::FORBIDDEN, reason, None),
            Self::NotFound(reason) => (StatusCode::NOT_FOUND, reason, None),
            Self::TooLarge(reason) => (StatusCode::PAYLOAD_TOO_LARGE, reason, None),
            Self::NotHere(reason) => (StatusCode::NOT_IMPLEMENTED, reason, None),
            Self::Store(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason, None),
        };
        let error = parameter.map_or_else(|| reason.clone(), |name| format!("parameter `{name}`: {reason}"));
        (status, Json(Problem { error, detail: reason, parameter })).into_response()
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
