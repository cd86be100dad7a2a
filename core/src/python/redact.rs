//! Values of variables that must not be shown: by the variable's name, and by what the value looks like.

use super::card::{cards, is_card};
use super::database::{holds_value, statement};
use super::value::Value;

/// What is shown in place of such a value.
pub const REDACTED: &str = "<redacted>";

/// Parts of names of variables that hold secrets, letter case ignored.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "key",
    "authorization",
    "auth",
    "cookie",
    "session",
    "credential",
    "signature",
    "csrf",
    "jwt",
    "otp",
    "ssn",
    "iban",
    "card",
    "cvv",
];

/// Beginnings by which issuers mark their credentials.
pub(crate) const SECRET_PREFIXES: &[&str] = &[
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xox",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "Bearer ",
    "Basic ",
    "-----BEGIN",
];

/// Shortest run of letters and digits that is taken for a key when it mixes them.
const KEY_MIN: usize = 20;

/// The value of `name` as it may be shown.
pub fn shown(name: &str, value: &Value) -> String {
    let secret = match value {
        Value::None | Value::Unbound | Value::Bool(_) => false,
        _ if is_secret_name(name) => true,
        Value::Text { text, whole: true } => holds_secret(text),
        Value::Text { text, whole: false } => return shown_start(text),
        Value::Int(number) => is_card(&number.to_string()),
        Value::Float(_) | Value::Object(_) => false,
    };
    match value {
        _ if secret => REDACTED.to_owned(),
        Value::Text { text, whole: true } => shown_text(text, true),
        other => other.repr(),
    }
}

/// A text of which only the start is known.
fn shown_start(text: &str) -> String {
    let words = whole_words(text);
    if words.is_empty() || holds_secret(text) {
        return REDACTED.to_owned();
    }
    shown_text(words, false)
}

/// Of a statement, what remains without its literals.
fn shown_text(text: &str, whole: bool) -> String {
    let text = statement(text).unwrap_or_else(|| text.to_owned());
    if text == REDACTED { text } else { Value::Text { text, whole }.repr() }
}

/// What is shown of a text of which only the start is known. Its last word is left out, and digits before that: what is cut
/// may be the start of a secret that cannot be told any more.
pub(super) fn whole_words(text: &str) -> &str {
    let words = text.trim_end_matches(|c: char| !c.is_whitespace());
    words.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c.is_whitespace())
}

/// Such a text, or a message of a database with a value.
fn holds_secret(text: &str) -> bool {
    is_secret_text(text) || holds_value(text)
}

/// Does a variable of this name hold a secret?
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// Does the text hold a credential, a card number, an e-mail address or a JSON Web Token?
pub fn is_secret_text(text: &str) -> bool {
    SECRET_PREFIXES.iter().any(|prefix| text.contains(prefix))
        || has_password(text)
        || !cards(text).is_empty()
        || text.split(|c: char| c.is_whitespace() || "\"'<>(),;=&?".contains(c)).any(is_secret_word)
}

pub(super) fn is_secret_word(word: &str) -> bool {
    is_email(word) || is_token(word) || is_key(word)
}

/// A password in a URL (RFC 3986, 3.2.1) or in words like `password=..`.
fn has_password(text: &str) -> bool {
    let in_url = text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        authority.contains('@')
    });
    let lower = text.to_ascii_lowercase();
    in_url
        || ["password", "passwd", "secret", "token", "api_key", "apikey"].iter().any(|word| {
            lower.match_indices(word).any(|(at, _)| {
                lower[at + word.len()..].trim_start_matches(['"', '\'', ' ']).starts_with(['=', ':'])
            })
        })
}

fn is_email(word: &str) -> bool {
    word.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.split('.').count() > 1 && host.split('.').all(|part| !part.is_empty())
    })
}

/// Three parts in base64url (RFC 7519): the first two are JSON objects, so they begin with `{"`. Its start is enough,
/// the text may be cut.
fn is_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() > 10
}

/// Letters and digits without a vowel's rhythm cannot be told from words by rule; a long run that mixes digits with
/// letters is no word.
fn is_key(word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/_-=".contains(c);
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let letters = word.chars().filter(char::is_ascii_alphabetic).count();
    let is_path = word.matches('/').count() > 1;
    word.len() >= KEY_MIN
        && word.chars().all(is_part)
        && digits >= 3
        && letters >= 3
        && !is_path
        && !is_uuid(word)
}

/// Identifiers (RFC 9562) are what one looks for in an error.
fn is_uuid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text { text: text.to_owned(), whole: true }
    }

    #[test]
    fn secrets_by_name() {
        for name in
            ["password", "user_token", "API_KEY", "session_id", "cookies", "Authorization", "client_secret"]
        {
            assert_eq!(shown(name, &text("hello")), REDACTED, "{name}");
            assert_eq!(shown(name, &Value::None), "None", "{name}");
        }
        assert_eq!(shown("user_id", &Value::Int(7)), "7");
        assert_eq!(shown("name", &text("hello")), "'hello'");
    }

    #[test]
    fn secrets_by_value() {
        for value in [
            "4111 1111 1111 1111",
            "5500-0000-0000-0004",
            "write to ann@example.org please",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
            "Bearer abc",
            "postgresql://shop:hunter2@db/shop",
            "dbname=shop password=hunter2",
            "AKIAIOSFODNN7EXAMPLE",
            "8f14e45fceea167a5a36dedd4bea2543",
            "4111 1111 1111 1111 12/27",
            "17 4111111111111111",
            "DETAIL:  Key (name)=(ann) already exists.",
        ] {
            assert_eq!(shown("x", &text(value)), REDACTED, "{value}");
        }
        assert_eq!(shown("x", &Value::Int(4_111_111_111_111_111)), REDACTED);
    }

    #[test]
    fn statements_are_shown_without_their_values() {
        for (value, expected) in [
            ("SELECT * FROM t WHERE a = 'hunter2' AND b = 1234", "'SELECT * FROM t WHERE a = ? AND b = ?'"),
            ("insert into t values (\"hunter2\")", "'insert into t values (?)'"),
            ("\n  UPDATE t SET a = %(a)s", "'UPDATE t SET a = ?'"),
            ("SELECT 'it\\'s hunter2'", REDACTED),
            ("SELECT $$hunter2$$", REDACTED),
            ("select 1 --hunter2", REDACTED),
            ("Select 3 of 'these'", "\"Select 3 of 'these'\""),
            ("selected 3 of these", "'selected 3 of these'"),
        ] {
            assert_eq!(shown("x", &text(value)), expected, "{value}");
        }
        let cut = |text: &str| shown("x", &Value::Text { text: text.to_owned(), whole: false });
        assert_eq!(cut("SELECT a FROM t WHERE b = 'two wor"), "'SELECT a FROM t WHERE b = ?'...");
    }

    #[test]
    fn of_a_text_that_is_cut_the_last_word_is_left_out() {
        let cut = |text: &str| shown("x", &Value::Text { text: text.to_owned(), whole: false });
        assert_eq!(cut("an ordinary sente"), "'an ordinary'...");
        assert_eq!(cut("paid with 4111 1111 1111 1"), "'paid with'...");
        assert_eq!(cut("8f14e45fceea167a5a36"), REDACTED);
        assert_eq!(cut("by ann@example.org and oth"), REDACTED);
        assert_eq!(cut("4111 1111 11"), REDACTED);
    }

    #[test]
    fn what_is_no_secret_stays() {
        for value in [
            "an ordinary sentence with 12 words",
            "/usr/lib/python3/dist-packages/v1/module2.py",
            "2026-01-31 10:00:00",
            "1234567890123456",
            "123e4567-e89b-12d3-a456-426614174000",
            "http://example.org/path?a=1",
        ] {
            assert_eq!(shown("x", &text(value)), text(value).repr(), "{value}");
        }
    }
}
