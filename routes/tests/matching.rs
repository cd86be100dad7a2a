//! Requests against the routes of the fixture applications: which template each framework would pick.

mod common;

use apm_routes::{Lookup, Matcher};
use common::{fixture, scanned};

fn matcher(app: &str) -> Matcher {
    Matcher::new(scanned(&fixture(app)).routes)
}

/// One line per request: method, path, then the template, `-> template` for a redirect, `405 template`, or `none`.
fn check(app: &str, cases: &[(&str, &str, &str)]) {
    let matcher = matcher(app);
    for (method, path, expected) in cases {
        let found = match matcher.lookup(method, path) {
            Lookup::Route(route) => route.route.clone(),
            Lookup::Redirect(route) => format!("-> {}", route.route),
            Lookup::MethodNotAllowed(route) => format!("405 {}", route.route),
            Lookup::None => "none".into(),
        };
        assert_eq!(found, *expected, "{app}: {method} {path}");
    }
}

#[test]
fn fastapi_takes_the_first_route_that_was_registered() {
    check(
        "fastapi_app",
        &[
            ("GET", "/", "/"),
            ("GET", "/api/v1/users/me", "/api/v1/users/me"),
            ("GET", "/api/v1/users/7", "/api/v1/users/{user_id}"),
            ("DELETE", "/api/v1/users/7", "405 /api/v1/users/{user_id}"),
            ("POST", "/api/v1/users/", "/api/v1/users/"),
            ("GET", "/api/v1/users", "/api/v1/users"),
            ("GET", "/api/v1/users/7/", "-> /api/v1/users/{user_id}"),
            ("GET", "/api/v1/users/7/posts/12", "/api/v1/users/{user_id}/posts/{post_id}"),
            ("GET", "/api/v1/users/7/posts/first", "none"),
            ("GET", "/files/a/b/c.txt", "/files/{path}"),
            ("GET", "/sizes/1.5", "/sizes/{size}"),
            ("GET", "/sizes/big", "none"),
            ("GET", "/ids/0b7bb6ee-6e84-4c5c-a4c9-0a9f6f4a6c11", "/ids/{item}"),
            ("GET", "/ids/0b7bb6ee", "none"),
            ("GET", "/legacy/router/deep/x", "/legacy/router/deep/{name}"),
            ("HEAD", "/legacy/plain", "/legacy/plain"),
            ("GET", "/legacy/nested/12", "/legacy/nested/{number}"),
            ("GET", "/legacy/nested/twelve", "none"),
            ("GET", "/static/css/site.css", "/static/{path}"),
            ("GET", "/api/v1/users/a%20b", "/api/v1/users/{user_id}"),
            ("GET", "/nothing/here", "none"),
        ],
    );
}

#[test]
fn flask_prefers_plain_text_and_checks_converters() {
    check(
        "flask_app",
        &[
            ("GET", "/posts/12", "/posts/{post_id}"),
            ("GET", "/posts/twelve", "/posts/{slug}"),
            ("POST", "/posts/12", "/posts/{slug}"),
            ("GET", "/index/", "/index"),
            ("GET", "/contact", "-> /contact/"),
            ("GET", "/about/", "none"),
            ("OPTIONS", "/about", "/about"),
            ("GET", "/files/a/b", "/files/{name}"),
            ("GET", "/files//a", "none"),
            ("POST", "/rate/1.5/up", "/rate/{value}/{way}"),
            ("POST", "/rate/1/up", "none"),
            ("POST", "/rate/1.5/sideways", "none"),
            ("GET", "/by/0b7bb6ee-6e84-4c5c-a4c9-0a9f6f4a6c11/de", "/by/{key}/{country}"),
            ("GET", "/by/0b7bb6ee-6e84-4c5c-a4c9-0a9f6f4a6c11/deu", "none"),
            ("GET", "/manage/reports/2024/", "/manage/reports/{year}/"),
            ("GET", "/manage/assets/x/y.js", "/manage/assets/{filename}"),
        ],
    );
}

#[test]
fn django_tries_patterns_in_order_and_never_forgives_a_slash() {
    check(
        "django_app",
        &[
            ("GET", "/", "/"),
            ("GET", "/news/2024/title/", "/news/{year}/{title}/"),
            ("GET", "/news/2024/title", "none"),
            ("GET", "/again/3/feed", "/again/{edition}/feed"),
            ("DELETE", "/news/feed", "405 /news/feed"),
            ("GET", "/articles/2024/", "/articles/{year}/"),
            ("GET", "/articles/24/", "none"),
            ("GET", "/articles/2024/5/", "/articles/{var}/{var}/"),
            ("GET", "/old/name", "/old/{name}/"),
            ("GET", "/old/plain", "/old/{name}/"),
            ("GET", "/files/a/b/c", "/files/{name}"),
            ("GET", "/extra/a-b/0b7bb6ee-6e84-4c5c-a4c9-0a9f6f4a6c11/", "/extra/{slug}/{key}/"),
            ("GET", "/extra/a-b/0B7BB6EE-6e84-4c5c-a4c9-0a9f6f4a6c11/", "none"),
            ("GET", "/de/about/", "/{language}/about/"),
            ("GET", "/en/shop/cart/7/", "/{language}/shop/cart/{item}/"),
            ("GET", "/pt-br/shop/cart/7/", "none"),
            ("GET", "/deutsch/about/", "none"),
        ],
    );
}

#[test]
fn view_sets_match_by_their_lookup_expression() {
    check(
        "drf_app",
        &[
            ("GET", "/v1/books/", "/v1/books/"),
            ("GET", "/v1/books/most-read/", "/v1/books/most-read/"),
            ("GET", "/v1/books/9780000000000/", "/v1/books/{isbn}/"),
            ("GET", "/v1/books/978/", "none"),
            ("POST", "/v1/books/9780000000000/borrow/", "/v1/books/{isbn}/borrow/"),
            ("GET", "/v1/authors/3.json", "/v1/authors/{pk}.{format}/"),
            ("GET", "/v1/authors/3/works/1999/", "/v1/authors/{pk}/works/{year}/"),
            ("DELETE", "/v2/loans/4", "/v2/loans/{pk}"),
        ],
    );
}

#[test]
fn aiohttp_takes_the_longest_plain_prefix() {
    check(
        "aiohttp_app",
        &[
            ("PUT", "/items/12", "/items/{number}"),
            ("PUT", "/items/x", "none"),
            ("GET", "/any/a/b", "/any/{tail}"),
            ("GET", "/a/x/c", "/a/{b}/c"),
            ("POST", "/admin/users/x", "/admin/users/{name}"),
            ("GET", "/resource/5", "/resource/{id}"),
            ("POST", "/resource/5", "405 /resource/{id}"),
        ],
    );
}

#[test]
fn litestar_and_sanic_ignore_a_trailing_slash() {
    check(
        "litestar_app",
        &[
            ("GET", "/api/users/", "/api/users"),
            ("GET", "/two/5", "/two/{number}"),
            ("GET", "/two/x", "none"),
            ("GET", "/api/inner/files/a/b", "/api/inner/files/{name}"),
        ],
    );
    check(
        "sanic_app",
        &[
            ("GET", "/api/users/-5", "/api/users/{user_id}"),
            ("GET", "/both/", "/both"),
            ("POST", "/api/users/abc/rename", "/api/users/{name}/rename"),
            ("POST", "/api/users/a1/rename", "none"),
            ("GET", "/v1/versioned", "/v1/versioned"),
        ],
    );
}

#[test]
fn tornado_matches_the_whole_path() {
    check(
        "tornado_app",
        &[
            ("GET", "/items/12", "/items/{var}"),
            ("GET", "/items/12/more", "none"),
            ("GET", "/named/3", "/named/{number}/"),
            ("GET", "/named/3/", "/named/{number}/"),
            ("GET", "/static/a/b.css", "/static/{var}"),
        ],
    );
}
