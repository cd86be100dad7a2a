//! Paths as they are told: without what lets whoever reads it in, such as the token of a link that resets a password.

use std::borrow::Cow;

use super::segment::placeholder;
use crate::python::redact::{SECRET_PREFIXES, is_secret_name};

/// Words in a segment behind which a token comes, letter case ignored.
const BEFORE_TOKENS: &[&str] = &[
    "reset",
    "verif",
    "activat",
    "confirm",
    "invit",
    "unsubscribe",
    "magic",
    "token",
    "secret",
    "key",
    "password",
];
/// Characters from which on one that begins as a credential is one.
const PREFIXED_MIN: usize = 12;

/// Characters of what may be a token wherever it stands (those that hold 128 bits in base 64), if it mixes digits and letters of both
/// cases: identifiers in hexadecimal or base 32 (UUID, ObjectId, ULID) and words with numbers do not.
const OPAQUE_MIN: usize = 22;

/// The path of a request to `route` of the source (empty: not known), with placeholders for segments that look like credentials, or that a
/// parameter holds whose name says so.
pub fn told<'a>(path: &'a str, route: &str) -> Cow<'a, str> {
    let same = path.split('/').count() == route.split('/').count();
    // One that takes several segments takes all that are left, for what is asked here.
    let is_long = |parameter: &str| parameter.ends_with(":path}");
    let mut parameters = route.split('/');
    let mut long = None;
    let are_in_line = same || route.split('/').any(is_long);
    let mut before = "";
    let mut is_changed = false;
    let told: Vec<&str> = path
        .split('/')
        .map(|segment| {
            let parameter = long.or_else(|| parameters.next().filter(|_| are_in_line));
            long = parameter.filter(|parameter| !same && is_long(parameter));
            let secret = secret(segment, before, parameter);
            is_changed |= secret.is_some();
            before = segment;
            secret.unwrap_or(segment)
        })
        .collect();
    if is_changed { told.join("/").into() } else { path.into() }
}

/// What stands in place of a segment that is not told.
fn secret(segment: &str, before: &str, parameter: Option<&str>) -> Option<&'static str> {
    // The source has it.
    if parameter == Some(segment) {
        return None;
    }
    let is_token = |part: &str| {
        let has = |class: fn(&u8) -> bool| part.bytes().any(|byte| class(&byte));
        part.len() >= OPAQUE_MIN
            && placeholder(part) == Some("{token}")
            && has(u8::is_ascii_digit)
            && has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_uppercase)
            && !reads_as_words(part)
    };
    let looks = match placeholder(segment) {
        Some("{email}") => Some("{email}"),
        _ if is_token(segment) || segment.split([':', '.', ',']).any(is_token) => Some("{token}"),
        _ => None,
    };
    let is_prefixed = || {
        segment.len() >= PREFIXED_MIN
            && (segment.starts_with("eyJ")
                || SECRET_PREFIXES.iter().any(|prefix| segment.starts_with(prefix)))
    };
    let is_named = || parameter.and_then(name).is_some_and(is_secret_name) && !segment.is_empty();
    let follows = || {
        let before = before.to_ascii_lowercase();
        BEFORE_TOKENS.iter().any(|word| before.contains(word))
            && !matches!(placeholder(segment), None | Some("{id}" | "{date}"))
    };
    looks.or_else(|| (is_prefixed() || is_named() || follows()).then_some("{token}"))
}

/// `GetPaymentMethodsByUserV2`: for the most part a small letter follows a letter. In a text by chance that is so in a third of all
/// places, and in two thirds of 22 once in some 300.
fn reads_as_words(part: &str) -> bool {
    let follows = |pair: &[u8]| pair[0].is_ascii_alphabetic() && pair[1].is_ascii_lowercase();
    let turns = part.as_bytes().windows(2).filter(|pair| !follows(pair)).count();
    20 * turns <= 7 * part.len()
}

/// Name of the parameter that a segment of a route is: `{token}`, `{token:path}`.
fn name(segment: &str) -> Option<&str> {
    let inside = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(inside.split(':').next().unwrap_or(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "", "/reset/{token}")]
    #[case("/reset/4f3a9c8d7e6b5a4f3a9c8d7e6b5a", "", "/reset/{token}")]
    #[case("/password-reset/123e4567-e89b-12d3-a456-426614174000/", "", "/password-reset/{token}/")]
    #[case("/k/sk_live_4eC39HqLyjWDarjtT1zdp7dc/x", "", "/k/{token}/x")]
    #[case("/users/bob@example.org", "/users/{name}", "/users/{email}")]
    #[case("/accounts/MTI/c4f9ab-x/", "/accounts/{uidb64}/{token}/", "/accounts/MTI/{token}/")]
    #[case("/join/abc", "/join/{invite_key:str}", "/join/{token}")]
    #[case("/bot123456:AAF9s6XKzkNRiz8i3ZqdQw4w9WgXcQ/send", "", "/{token}/send")]
    #[case(
        "/services/T00000000/B00000000/9s6XKzkNRiz8i3ZqdQw4w9Wg",
        "",
        "/services/T00000000/B00000000/{token}"
    )]
    #[case("/share/ab12-xy/dir/a.txt", "/share/{token}/{name:path}", "/share/{token}/dir/a.txt")]
    #[case("/files/a/b/c", "/files/{secret:path}", "/files/{token}/{token}/{token}")]
    fn what_lets_somebody_in_is_not_told(#[case] path: &str, #[case] route: &str, #[case] expected: &str) {
        assert_eq!(told(path, route), expected);
    }

    #[rstest::rstest]
    #[case("", "")]
    #[case("/", "/")]
    #[case("/users/42", "/users/{id}")]
    #[case("/orders/507f1f77bcf86cd799439011/items", "/orders/{hex}/items")]
    #[case("/orders/123e4567-e89b-12d3-a456-426614174000", "/orders/{key}/more/of/it")]
    #[case("/reset/now", "/reset/now")]
    #[case("/items/01ARZ3NDEKTSV4RRFFQ69G5FAV/7-1-56-http10-close", "/items/{token}/x/y")]
    #[case("/customers/cus_9s6XKzkNRiz8i3Zq", "/customers/{id}")]
    #[case("/blog/how-we-made-the-page-so-that-it-loads-faster-than-any-of-those-before-it", "/blog/{slug}")]
    #[case("/tokens/42", "/tokens/{id}")]
    #[case("/static/jquery-3.7.1.min.js", "/static/{path}")]
    #[case("/2024-summer-catalogue/index.html", "")]
    #[case("/shop.v1.Payments/GetPaymentMethodsByUserV2", "")]
    #[case("/shop.v1.Storage/ListS3BucketsForAccountV2", "")]
    #[case("/k/9s6XKzkNRiz8i3ZqdQw4w9WgXcQ", "/k/9s6XKzkNRiz8i3ZqdQw4w9WgXcQ")]
    #[case("/share/x/dir/a.txt", "/share/{name}/{token}")]
    fn what_names_a_thing_is(#[case] path: &str, #[case] route: &str) {
        assert!(matches!(told(path, route), Cow::Borrowed(told) if told == path));
    }
}
