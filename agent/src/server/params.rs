//! Query parameters: each kind knows how it is read and how it is described. What does not parse is refused with its
//! name, never a 500.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Required, Schema};

use super::answer::Refusal;
use crate::store::{Scope, Sort};

/// Most rows of an answer.
const MAX_LIMIT: usize = 10_000;

/// The query string by name; the last of several wins.
#[derive(Debug, Default)]
pub(crate) struct Params(HashMap<String, String>);

impl Params {
    /// A text; `None` when absent.
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A text; `None` when absent or empty.
    fn given(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    fn required(&self, name: &'static str) -> Result<String, Refusal> {
        self.text(name).ok_or_else(|| Refusal::Parameter { name, reason: "is required".into() })
    }

    /// A whole number of at least `least`.
    fn number(&self, name: &'static str, default: u32, least: u32) -> Result<u32, Refusal> {
        let Some(text) = self.0.get(name) else { return Ok(default) };
        match text.trim().parse::<u32>() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(Refusal::Parameter {
                name,
                reason: format!("must be a whole number from {least} to {}, not {text:?}", u32::MAX),
            }),
        }
    }
}

/// What can be asked for by parameters of the query string.
pub(crate) trait Asked: Sized {
    /// Reads it.
    fn read(params: &Params) -> Result<Self, Refusal>;
    /// Describes it.
    fn describe() -> Vec<Parameter>;
}

/// Extracts what is asked for.
#[derive(Debug)]
pub(crate) struct Ask<T>(pub(crate) T);

impl<T: Asked, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let params = Query::try_from_uri(&parts.uri).map_or_else(|_| HashMap::new(), |Query(params)| params);
        T::read(&Params(params)).map(Self)
    }
}

impl<T: Asked> IntoParams for Ask<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        T::describe()
    }
}

impl<A: Asked, B: Asked> Asked for (A, B) {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok((A::read(params)?, B::read(params)?))
    }

    fn describe() -> Vec<Parameter> {
        [A::describe(), B::describe()].concat()
    }
}

impl<A: Asked, B: Asked, C: Asked> Asked for (A, B, C) {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok((A::read(params)?, B::read(params)?, C::read(params)?))
    }

    fn describe() -> Vec<Parameter> {
        [A::describe(), B::describe(), C::describe()].concat()
    }
}

/// The window `w`, seconds.
#[derive(Debug)]
pub(crate) struct Window<const DEFAULT: u32>(pub(crate) u32);

impl<const DEFAULT: u32> Asked for Window<DEFAULT> {
    fn read(params: &Params) -> Result<Self, Refusal> {
        params.number("w", DEFAULT, 0).map(Self)
    }

    fn describe() -> Vec<Parameter> {
        vec![whole("w", "The window: so many seconds back from now.", DEFAULT, 0)]
    }
}

/// The service and the window.
#[derive(Debug)]
pub(crate) struct Within<const DEFAULT: u32>(pub(crate) Scope);

impl<const DEFAULT: u32> Asked for Within<DEFAULT> {
    fn read(params: &Params) -> Result<Self, Refusal> {
        let Window::<DEFAULT>(seconds) = Window::read(params)?;
        Ok(Self(Scope { service: params.text("service"), seconds }))
    }

    fn describe() -> Vec<Parameter> {
        [OfService::describe(), Window::<DEFAULT>::describe()].concat()
    }
}

/// The most rows wanted.
#[derive(Debug)]
pub(crate) struct Limit<const DEFAULT: u32>(pub(crate) usize);

impl<const DEFAULT: u32> Asked for Limit<DEFAULT> {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok(Self((params.number("limit", DEFAULT, 0)? as usize).min(MAX_LIMIT)))
    }

    fn describe() -> Vec<Parameter> {
        vec![whole("limit", "The most rows wanted; more than 10,000 are never sent.", DEFAULT, 0)]
    }
}

/// The width of a time bucket, seconds.
#[derive(Debug)]
pub(crate) struct Bucket(pub(crate) u32);

impl Bucket {
    const DEFAULT: u32 = 5;
}

impl Asked for Bucket {
    fn read(params: &Params) -> Result<Self, Refusal> {
        params.number("bucket", Self::DEFAULT, 1).map(Self)
    }

    fn describe() -> Vec<Parameter> {
        vec![whole("bucket", "Width of a time bucket, seconds.", Self::DEFAULT, 1)]
    }
}

/// A service; `None` for all.
#[derive(Debug)]
pub(crate) struct OfService(pub(crate) Option<String>);

impl Asked for OfService {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok(Self(params.text("service")))
    }

    fn describe() -> Vec<Parameter> {
        vec![text("service", "A service; all of them when absent or empty.", Required::False)]
    }
}

/// A route, by its template.
#[derive(Debug)]
pub(crate) struct OfRoute(pub(crate) Option<String>);

impl Asked for OfRoute {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok(Self(params.given("route")))
    }

    fn describe() -> Vec<Parameter> {
        vec![text("route", "A route template; all of them when absent or empty.", Required::False)]
    }
}

/// Method and route template, each `None` for all.
#[derive(Debug)]
pub(crate) struct OfEndpoint {
    pub(crate) method: Option<String>,
    pub(crate) route: Option<String>,
}

impl OfEndpoint {
    /// Both, where both are given.
    pub(crate) fn both(&self) -> Option<(&str, &str)> {
        self.method.as_deref().zip(self.route.as_deref())
    }
}

impl Asked for OfEndpoint {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok(Self { method: params.given("method"), route: params.given("route") })
    }

    fn describe() -> Vec<Parameter> {
        let method = text("method", "An HTTP method; all of them when absent or empty.", Required::False);
        [vec![method], OfRoute::describe()].concat()
    }
}

/// One route of one service.
#[derive(Debug)]
pub(crate) struct OneRoute {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) route: String,
}

impl Asked for OneRoute {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            service: params.required("service")?,
            method: params.required("method")?,
            route: params.required("route")?,
        })
    }

    fn describe() -> Vec<Parameter> {
        [("service", "The service."), ("method", "The HTTP method."), ("route", "The route template.")]
            .map(|(name, meaning)| text(name, meaning, Required::True))
            .to_vec()
    }
}

/// One folder of one service's source.
#[derive(Debug)]
pub(crate) struct OneFolder {
    pub(crate) service: String,
    pub(crate) folder: String,
}

impl Asked for OneFolder {
    fn read(params: &Params) -> Result<Self, Refusal> {
        Ok(Self { service: params.required("service")?, folder: params.text("folder").unwrap_or_default() })
    }

    fn describe() -> Vec<Parameter> {
        vec![
            text("service", "The service.", Required::True),
            text("folder", "A folder below the scan's root; the root itself when absent.", Required::False),
        ]
    }
}

impl Asked for Sort {
    fn read(params: &Params) -> Result<Self, Refusal> {
        match params.given("sort").as_deref().unwrap_or("recent") {
            "recent" => Ok(Self::Recent),
            "slow" => Ok(Self::Slow),
            "failed" => Ok(Self::Failed),
            other => Err(Refusal::Parameter {
                name: "sort",
                reason: format!("must be `recent`, `slow` or `failed`, not {other:?}"),
            }),
        }
    }

    fn describe() -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["recent", "slow", "failed"]))
            .default(Some("recent".into()));
        vec![parameter(
            "sort",
            "Newest first, longest first, or failed ones only with the newest first.",
            Required::False,
            schema,
        )]
    }
}

fn whole(name: &str, meaning: &str, default: u32, least: u32) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .maximum(Some(u32::MAX))
        .default(Some(Value::from(default)));
    parameter(name, meaning, Required::False, schema)
}

fn text(name: &str, meaning: &str, required: Required) -> Parameter {
    parameter(name, meaning, required, ObjectBuilder::new().schema_type(Type::String))
}

fn parameter(name: &str, meaning: &str, required: Required, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(meaning))
        .required(required)
        .schema(Some(Schema::from(schema)))
        .build()
}
