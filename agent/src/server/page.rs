//! The page: what Vite built into `dashboard/dist`, inside the binary.

use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect, Response};
use rust_embed::RustEmbed;

use super::AppState;
use super::answer::Refusal;

/// Empty where the front end was not built: the agent itself needs no Node.
#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Dist;

/// Served at `/` when the front end was not built.
const NOT_BUILT: &str = include_str!("not_built.html");

/// `GET /`. With `?token=` it keeps the token in a cookie that scripts cannot read, and goes on to the page without it.
pub(crate) async fn index(State(app): State<AppState>, RawQuery(query): RawQuery) -> Response {
    if let Some(cookie) = app.access.cookie(query.as_deref()) {
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    match Dist::get("index.html") {
        Some(file) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], file.data).into_response(),
        None => Html(NOT_BUILT).into_response(),
    }
}

/// `GET /static/*`: names carry a hash of the content, so they may be kept forever.
pub(crate) async fn asset(Path(path): Path<String>) -> Result<Response, Refusal> {
    let name = format!("static/{path}");
    let Some(file) = Dist::get(&name) else {
        return Err(Refusal::NotFound(format!("no such file: /{name}")));
    };
    let kind = file.metadata.mimetype().to_owned();
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable".into())];
    Ok((headers, file.data).into_response())
}

/// Everything else.
pub(crate) async fn missing() -> Refusal {
    Refusal::NotFound("no such endpoint".into())
}
