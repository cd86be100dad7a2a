//! Query parameters: what does not parse is refused with its name, never a 500.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::answer::Refusal;
use crate::store::{Scope, Sort};

/// Most rows of an answer.
const MAX_LIMIT: usize = 10_000;

/// The query string by name; the last of several wins.
#[derive(Debug, Default)]
pub(crate) struct Params(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Query::try_from_uri(&parts.uri).map_or_else(|_| HashMap::new(), |Query(params)| params)))
    }
}

impl Params {
    /// A text; `None` when absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A text that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::Parameter { name, reason: "is required".into() })
    }

    /// A whole number of at least `least`.
    fn number(&self, name: &'static str, default: u32, least: u32) -> Result<u32, Refusal> {
        let Some(text) = self.text(name) else { return Ok(default) };
        match text.trim().parse::<u32>() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(Refusal::Parameter {
                name,
                reason: format!("must be a whole number from {least} to {}, not {text:?}", u32::MAX),
            }),
        }
    }

    /// The window `w`, seconds.
    pub(crate) fn window(&self, default: u32) -> Result<u32, Refusal> {
        self.number("w", default, 0)
    }

    /// The service and the window.
    pub(crate) fn scope(&self, default: u32) -> Result<Scope, Refusal> {
        Ok(Scope { service: self.text("service").map(Into::into), seconds: self.window(default)? })
    }

    /// The most rows wanted.
    pub(crate) fn limit(&self, default: u32) -> Result<usize, Refusal> {
        Ok((self.number("limit", default, 0)? as usize).min(MAX_LIMIT))
    }

    /// The width of a time bucket, seconds.
    pub(crate) fn bucket(&self, default: u32) -> Result<u32, Refusal> {
        self.number("bucket", default, 1)
    }

    /// Method and route where both are given.
    pub(crate) fn route(&self) -> Option<(String, String)> {
        let given = |name| self.text(name).filter(|text| !text.is_empty()).map(Into::into);
        Some((given("method")?, given("route")?))
    }

    /// The order of requests.
    pub(crate) fn sort(&self) -> Result<Sort, Refusal> {
        match self.text("sort").unwrap_or("recent") {
            "" | "recent" => Ok(Sort::Recent),
            "slow" => Ok(Sort::Slow),
            "failed" => Ok(Sort::Failed),
            other => Err(Refusal::Parameter {
                name: "sort",
                reason: format!("must be `recent`, `slow` or `failed`, not {other:?}"),
            }),
        }
    }
}
