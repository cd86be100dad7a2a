//! What the server refuses.

use apm_agent::config::Secret;
use apm_agent::server::Access;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use rstest::rstest;
use tower::ServiceExt;

use crate::api::Site;

const TOKEN: &str = "0123456789abcdef-XYZ";

fn token() -> Secret {
    Secret::token(TOKEN.to_owned()).unwrap()
}

fn get(uri: &str) -> axum::http::request::Builder {
    Request::get(uri).header("host", "127.0.0.1:9876")
}

async fn status(site: &Site, request: axum::http::request::Builder) -> StatusCode {
    site.ask(request.body(Body::empty()).unwrap()).await.0
}

#[rstest]
#[case("127.0.0.1:9876", StatusCode::OK)]
#[case("localhost", StatusCode::OK)]
#[case("LOCALHOST:1", StatusCode::OK)]
#[case("[::1]:9876", StatusCode::OK)]
#[case("127.0.0.2", StatusCode::OK)]
#[case("evil.example", StatusCode::MISDIRECTED_REQUEST)]
#[case("localhost.evil.example:9876", StatusCode::MISDIRECTED_REQUEST)]
#[case("127.0.0.1.evil.example", StatusCode::MISDIRECTED_REQUEST)]
#[case("192.168.1.7:9876", StatusCode::MISDIRECTED_REQUEST)]
#[case("", StatusCode::MISDIRECTED_REQUEST)]
#[tokio::test]
async fn only_names_of_this_machine_are_served(#[case] host: &str, #[case] expected: StatusCode) {
    let site = Site::new();
    assert_eq!(status(&site, Request::get("/api/services").header("host", host)).await, expected);
}

#[rstest]
#[case(None, "application/json", StatusCode::OK)]
#[case(None, "application/json; charset=utf-8", StatusCode::OK)]
#[case(None, "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE)]
#[case(None, "", StatusCode::UNSUPPORTED_MEDIA_TYPE)]
#[case(Some("http://127.0.0.1:9876"), "application/json", StatusCode::OK)]
#[case(Some("http://127.0.0.1:1"), "application/json", StatusCode::FORBIDDEN)]
#[case(Some("https://evil.example"), "application/json", StatusCode::FORBIDDEN)]
#[case(Some("null"), "application/json", StatusCode::FORBIDDEN)]
#[tokio::test]
async fn a_post_is_json_and_from_here(
    #[case] origin: Option<&str>,
    #[case] kind: &str,
    #[case] expected: StatusCode,
) {
    let site = Site::new();
    let mut request = Request::post("/ingest").header("host", "127.0.0.1:9876").header("content-type", kind);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    assert_eq!(site.ask(request.body(Body::from("{}")).unwrap()).await.0, expected);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_none_allows_other_origins() {
    let site = Site::new();
    for uri in ["/", "/api/overview", "/api/overview?w=x", "/nowhere"] {
        let request = get(uri).header("origin", "https://evil.example").body(Body::empty()).unwrap();
        let response = site.router().oneshot(request).await.unwrap();
        let headers = response.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert!(!headers.contains_key("access-control-allow-origin"), "{uri}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let site = Site::new();
    let (status, _) = site.post("/ingest", vec![b' '; 17 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_flood_is_slowed_down() {
    // One server for all of it: to build one takes longer than to answer.
    let router = Site::new().router();
    let mut refused = 0;
    for _ in 0..3000 {
        let request = get("/healthz").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        refused += usize::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_flood_of_those_that_may_not_ask_shuts_nobody_out() {
    let router = Site::new().router();
    let mut refused = 0;
    for _ in 0..3000 {
        let request = Request::get("/api/status").header("host", "elsewhere.example");
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        refused += usize::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
    let request = get("/healthz").body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::OK);
}

#[test]
fn other_machines_need_a_token() {
    let everyone = [0, 0, 0, 0].into();
    let error = Access::new(everyone, None, Vec::new()).unwrap_err().to_string();
    assert!(error.contains("--token"), "{error}");
    assert!(Access::new(everyone, Some(token()), Vec::new()).is_ok());
}

#[tokio::test]
async fn with_a_token_only_its_holder_is_answered() {
    let site = Site::with(Access::new([0, 0, 0, 0].into(), Some(token()), vec!["box".into()]).unwrap());
    let bearer = |token: &str| get("/api/services").header("authorization", format!("Bearer {token}"));
    assert_eq!(status(&site, bearer(TOKEN)).await, StatusCode::OK);
    assert_eq!(status(&site, bearer("0123456789abcdef-XYz")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&site, bearer("")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&site, get("/api/services")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&site, get("/")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&site, get("/healthz")).await, StatusCode::OK);
    let cookie = get("/api/services").header("cookie", format!("a=b; apm_agent_token={TOKEN}"));
    assert_eq!(status(&site, cookie).await, StatusCode::OK);

    let login = get(&format!("/?token={TOKEN}")).body(Body::empty()).unwrap();
    let response = site.router().oneshot(login).await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert_eq!(status(&site, get("/?token=wrong")).await, StatusCode::UNAUTHORIZED);

    let named = |host: &str| Request::get("/healthz").header("host", host);
    assert_eq!(status(&site, named("Box:9876")).await, StatusCode::OK);
    assert_eq!(status(&site, named("10.0.0.1:9876")).await, StatusCode::OK);
    assert_eq!(status(&site, named("evil.example")).await, StatusCode::MISDIRECTED_REQUEST);
}
