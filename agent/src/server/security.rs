//! What a request must show before it is answered.
//!
//! The agent knows much about an app, so a web page of somebody else must not learn it through the user's browser:
//! - `Host` must name this machine, or a page could point its own domain here (DNS rebinding);
//! - a POST must be JSON, and its `Origin`, if any, this server: no form and no script of another site can send one;
//! - there is no CORS header: no other origin may read an answer;
//! - beyond loopback a token is demanded.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::AppState;
use crate::config::Secret;

/// Requests per second on average, and at once.
const RATE: (f64, f64) = (500.0, 1000.0);

/// Scripts and styles from here only; the page may also talk to the model providers that the user chooses.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self' https://api.anthropic.com https://api.openai.com http://localhost:11434 \
    http://127.0.0.1:11434; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name of the cookie that holds the token.
const COOKIE: &str = "apm_agent_token";

/// Who may ask.
#[derive(Debug)]
pub struct Access {
    address: IpAddr,
    names: Vec<String>,
    token: Option<Secret>,
    /// What is left of the allowance of those that may ask, and when that was counted.
    bucket: Mutex<(Instant, f64)>,
    /// The same of others: however many come, they take nothing of it.
    strangers: Mutex<(Instant, f64)>,
}

/// An address that cannot be served: everyone on the network could read what the agent sees.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} can be reached from other machines: give a --token that clients must send, or listen on 127.0.0.1"
)]
pub struct TokenNeeded(IpAddr);

impl Access {
    /// Access to a server that listens on `address`. `names` are further names under which it is reached (host names,
    /// without port).
    ///
    /// # Errors
    /// The address is no loopback address and there is no token.
    pub fn new(address: IpAddr, token: Option<Secret>, names: Vec<String>) -> Result<Self, TokenNeeded> {
        if token.is_none() && !address.is_loopback() {
            return Err(TokenNeeded(address));
        }
        let names = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        let full = || Mutex::new((Instant::now(), RATE.1));
        Ok(Self { address, names, token, bucket: full(), strangers: full() })
    }

    /// Is `host` (a `Host` header) a name of this machine? Where other machines may connect, any address is: it cannot
    /// be another site's name.
    fn is_ours(&self, host: &str) -> bool {
        let name = host_name(host).to_ascii_lowercase();
        if name == "localhost" || self.names.contains(&name) {
            return true;
        }
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || ip == self.address || !self.address.is_loopback(),
            Err(_) => false,
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookie = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE)
            .map(|(_, value)| value);
        [bearer, cookie].into_iter().flatten().any(|given| is_token(token, given))
    }

    /// The cookie for a browser that came with the right `?token=`.
    pub(crate) fn cookie(&self, query: Option<&str>) -> Option<String> {
        let token = self.token.as_ref()?;
        let given = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        is_token(token, given)
            .then(|| format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", token.expose()))
    }

    /// Takes a request from the allowance of this second. One that is refused takes nothing.
    fn admits(&self, request: &Request, host: &str) -> bool {
        let from = request.headers().get("sec-fetch-site");
        let is_known = self.is_ours(host)
            && from.is_none_or(|site| site != "cross-site")
            && (self.has_token(request.headers()) || self.comes_with_token(request));
        let bucket = if is_known { &self.bucket } else { &self.strangers };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut bucket, Instant::now())
    }

    /// A browser that opens the page by its link with the token.
    fn comes_with_token(&self, request: &Request) -> bool {
        request.uri().path() == "/" && self.cookie(request.uri().query()).is_some()
    }

    fn refuse(&self, request: &Request) -> Option<(StatusCode, String)> {
        let headers = request.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).or_else(|| request.uri().host()).unwrap_or_default();
        if !self.admits(request, host) {
            return Some((StatusCode::TOO_MANY_REQUESTS, "too many requests".into()));
        }
        if !self.is_ours(host) {
            let reason = format!(
                "host {host:?} is not a name of this server: use its address, or start it with --allow-host NAME"
            );
            return Some((StatusCode::MISDIRECTED_REQUEST, reason));
        }
        if request.method() == Method::POST {
            if let Some(origin) = text(header::ORIGIN)
                && origin.split_once("://").is_none_or(|(_, origin)| !origin.eq_ignore_ascii_case(host))
            {
                return Some((StatusCode::FORBIDDEN, format!("origin {origin:?} may not send data here")));
            }
            if text(HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
                return Some((StatusCode::FORBIDDEN, "another site may not send data here".into()));
            }
            let kind =
                text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
            if !kind.eq_ignore_ascii_case("application/json") {
                let reason = format!("content type {kind:?}: send application/json");
                return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
            }
        }
        let path = request.uri().path();
        if path != "/healthz" && !self.comes_with_token(request) && !self.has_token(headers) {
            return Some((
                StatusCode::UNAUTHORIZED,
                "send `Authorization: Bearer TOKEN`, or open /?token=TOKEN".into(),
            ));
        }
        None
    }
}

/// Takes one from an allowance that fills with time; false where there is none to take.
fn take((last, left): &mut (Instant, f64), now: Instant) -> bool {
    *left = (*left + now.duration_since(*last).as_secs_f64() * RATE.0).min(RATE.1);
    *last = now;
    let admits = *left >= 1.0;
    *left -= f64::from(u8::from(admits));
    admits
}

/// Compares in a time that does not tell how much of `given` is right.
fn is_token(token: &Secret, given: &str) -> bool {
    token.expose().as_bytes().ct_eq(given.as_bytes()).into()
}

/// A `Host` header without its port.
fn host_name(host: &str) -> &str {
    // Colons within brackets, or more than one, belong to an IPv6 address.
    match host.rsplit_once(':') {
        Some((name, port))
            if (!name.contains(':') || name.ends_with(']')) && port.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

/// Refuses what [`Access`] does not let in, and puts the security headers on every answer.
pub(crate) async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let is_asset = request.uri().path().starts_with("/static/");
    let mut response = match app.access.refuse(&request) {
        Some((status, reason)) => (status, Json(json!({"error": reason, "detail": reason}))).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    set("content-security-policy", POLICY);
    set("x-content-type-options", "nosniff");
    set("x-frame-options", "DENY");
    set("referrer-policy", "no-referrer");
    set("cross-origin-opener-policy", "same-origin");
    set("cross-origin-resource-policy", "same-origin");
    if !is_asset {
        set("cache-control", "no-store");
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_refused_takes_nothing_from_the_allowance() {
        let start = Instant::now();
        let mut allowance = (start, 0.0);
        let times = (1..=1_200).map(|n| start + Duration::from_secs(1) * n / 1_200);
        let admitted = times.filter(|now| take(&mut allowance, *now)).count();
        assert!((499..=500).contains(&admitted), "{admitted}");
    }
}
