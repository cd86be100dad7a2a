//! Texts from which secrets are taken out, and the rest is left: messages of exceptions.

use std::borrow::Cow;
use std::ops::Range;

use super::card::cards;
use super::database::{searched, values, without_literals};
use super::redact::{REDACTED, SECRET_PREFIXES, is_secret_word};

/// Names whose value follows after `=` or `:`.
const NAMES: &[&str] =
    &["password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey", "authorization"];

/// `text` without what looks like a credential, a card number, an e-mail address, a JSON Web Token or a statement's value.
/// Takes time in proportion to its length.
pub fn scrub(text: &str) -> Cow<'_, str> {
    match without_literals(text) {
        Cow::Borrowed(text) => redacted(text),
        Cow::Owned(text) => Cow::Owned(redacted(&text).into_owned()),
    }
}

fn redacted(text: &str) -> Cow<'_, str> {
    let mut secrets = secrets(text);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for Range { start, end } in secrets {
        if start >= done {
            out.push_str(&text[done..start]);
            out.push_str(REDACTED);
        }
        done = done.max(end);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// Places of secrets in a text, in no order.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let lower = searched(text);
    let mut secrets = cards(text);
    named(text, &lower, &mut secrets);
    values(text, &lower, &mut secrets);
    words(text, &mut secrets);
    if let Some(at) = text.find("-----BEGIN") {
        secrets.push(at..text.len());
    }
    secrets.retain(|range| !range.is_empty());
    secrets
}

/// `password=..`, `secret: ..`, `"token": ".."`: up to the closing quote, or to the end of the word.
fn named(text: &str, lower: &str, secrets: &mut Vec<Range<usize>>) {
    let mut words = Words { text, last: 0..0 };
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            let rest = text[at + name.len()..].trim_start_matches(['"', '\'', ' ']);
            let Some(value) = rest.strip_prefix(['=', ':']) else { continue };
            // `unexpected token: ..` is no credential.
            if *name == "token" && rest.starts_with(": ") {
                continue;
            }
            let value = value.trim_start();
            let start = text.len() - value.len();
            let length = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
                // The scheme of a header is followed by what counts.
                _ if value.starts_with("Bearer ") || value.starts_with("Basic ") => {
                    let scheme = value.find(' ').map_or(0, |end| end + 1);
                    words.end(start + scheme) - start
                }
                _ => words.end(start) - start,
            };
            secrets.push(start..start + length);
        }
    }
}

/// Where words of a text end.
struct Words<'a> {
    text: &'a str,
    /// The last one that was asked for: names may stand in it by the thousand, each with the rest of it as its value.
    last: Range<usize>,
}

impl Words<'_> {
    /// End of the word that begins, or goes on, at `start`.
    fn end(&mut self, start: usize) -> usize {
        if !self.last.contains(&start) {
            let ends = |c: char| c.is_whitespace() || ",;&)]}\"'".contains(c);
            let end = self.text[start..].find(ends).map_or(self.text.len(), |length| start + length);
            self.last = start..end;
        }
        self.last.end
    }
}

fn words(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut at = 0;
    let mut is_credential = false;
    for word in text.split(|c: char| c.is_whitespace() || "\"'<>(),;=&?".contains(c)) {
        let here = at..at + word.len();
        // Every separator is one byte but for white space beyond ASCII.
        at = here.end + text[here.end..].chars().next().map_or(0, char::len_utf8);
        if let Some((scheme, rest)) = word.split_once("://") {
            let authority = rest.split(['/', '#']).next().unwrap_or("");
            if let Some((user, _)) = authority.rsplit_once('@') {
                let start = here.start + scheme.len() + 3;
                secrets.push(start..start + user.len());
                continue;
            }
        }
        let is_marked =
            SECRET_PREFIXES.iter().any(|prefix| !prefix.ends_with(' ') && word.starts_with(prefix));
        if is_secret_word(word) || is_marked || (is_credential && !word.is_empty()) {
            secrets.push(here);
        }
        is_credential = word == "Bearer" || word == "Basic";
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_taken_out_of_their_sentence() {
        for (text, expected) in [
            ("login of ann with password=hunter2 failed", "login of ann with password=<redacted> failed"),
            ("{'user': 7, 'password': 'two words'}", "{'user': 7, 'password': <redacted>}"),
            ("bad PASSWORD: hunter2, try again", "bad PASSWORD: <redacted>, try again"),
            (
                "no connection to postgres://shop:hunter2@db:5432/x",
                "no connection to postgres://<redacted>@db:5432/x",
            ),
            ("refused: Authorization: Bearer abc.def", "refused: Authorization: <redacted>"),
            ("sent Basic aHVudGVyMg== twice", "sent Basic <redacted>== twice"),
            ("paid with 4111 1111 1111 1111 today", "paid with <redacted> today"),
            ("paid with 4111 1111 1111 1111 12/27 today", "paid with <redacted> 12/27 today"),
            ("row 17 4111111111111111 123", "row 17 <redacted> 123"),
            ("unknown user ann@example.org", "unknown user <redacted>"),
            ("key sk-live-1 is void", "key <redacted> is void"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc expired", "<redacted> expired"),
            ("GET /x?token=abc&page=2 failed", "GET /x?token=<redacted>&page=2 failed"),
            (
                "DETAIL:  Key (email)=(ann) already exists.",
                "DETAIL:  Key (email)=(<redacted>) already exists.",
            ),
            ("Failing row contains (1, ann (x), 2).", "Failing row contains (<redacted>)."),
            ("Duplicate entry 'o'neill' for key 'name'", "Duplicate entry '<redacted>' for key 'name'"),
            ("failed [parameters: ('ann', 1)]", "failed [parameters: <redacted>]"),
            ("failed [parameters: ('ann', 'x]y', 'hun", "failed [parameters: <redacted>"),
            (
                "[parameters: (\"don't\\nsay\", 1)]\n(Background on this error at: https://sqlalche.me/e/20/x)",
                "[parameters: <redacted>]\n(Background on this error at: https://sqlalche.me/e/20/x)",
            ),
            (
                "DETAIL:  Failing row contains (7, ann (x)\nmy pin is 1234).\nCONTEXT:  COPY t",
                "DETAIL:  Failing row contains (<redacted>).\nCONTEXT:  COPY t",
            ),
            ("Failing row contains (7, ann (x)\nmy pin is 1234).", "Failing row contains (<redacted>)."),
            (
                "Key (note)=(a)\nb) already exists.\n\n[SQL: INSERT INTO t (note) VALUES (%s)]",
                "Key (note)=(<redacted>) already exists.\n\n[SQL: INSERT INTO t (note) VALUES (?)]",
            ),
            ("Duplicate entry 'a\nb' for key 'name'", "Duplicate entry '<redacted>' for key 'name'"),
            ("Duplicate entry 'a\nb", "Duplicate entry '<redacted>"),
            (
                "value \"99999999999\" is out of range for type integer",
                "value \"<redacted>\" is out of range for type integer",
            ),
            ("-----BEGIN PRIVATE KEY-----\nabc", "<redacted>"),
        ] {
            assert_eq!(scrub(text), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "cannot do it",
            "'missing'",
            "'password'",
            "unexpected token: 'else'",
            "Expecting value: line 1 column 7 (char 6)",
            "[Errno 2] No such file or directory: '/srv/app/config.toml'",
            "division by zero",
            "123e4567-e89b-12d3-a456-426614174000 not found",
            "",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = scrub(&text);
        }

        #[test]
        fn no_text_of_telling_parts_panics(parts in prop::collection::vec(
            prop::sample::select(vec!["password", "=", ":", " ", "'", "\"", "é", "://", "@", ")=(", "\n", "Bearer", "4111", "\u{2003}"]), 0..20,
        )) {
            let _ = scrub(&parts.concat());
        }
    }
}
