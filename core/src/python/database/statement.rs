//! Statements in texts: in the messages of `SQLAlchemy`, and alone.

use std::borrow::Cow;

use super::find::Signs;
use super::searched;
use crate::python::redact::REDACTED;
use crate::python::scrub::secrets;
use crate::sql::{Dialect, normalise};

/// Words that statements with values begin with.
const VERBS: &[&str] = &[
    "select", "insert", "update", "delete", "replace", "merge", "with", "values", "call", "execute", "do",
    "set", "copy", "create", "alter", "grant", "explain", "declare", "prepare", "begin",
];

/// What may be shown of a text that looks like a statement; of a language that is not known.
pub(in crate::python) fn alone(text: &str) -> Option<String> {
    let word = text.trim_start_matches([' ', '\t', '\r', '\n', '(']);
    let word = &word[..word.find(|c: char| !c.is_ascii_alphabetic())?];
    let is_verb = VERBS.iter().any(|verb| word == *verb || word == verb.to_ascii_uppercase());
    is_verb.then(|| {
        // Read as MySQL's, nothing between quotes is taken for a name. What the others have beside that is doubtful.
        if ["\\", "$", "#", "--", "/*"].iter().any(|sign| text.contains(sign)) || is_doubtful(text) {
            return REDACTED.to_owned();
        }
        normalise(text.as_bytes(), Dialect::Mysql).text
    })
}

/// `text` with the statements in `SQLAlchemy`'s `[SQL: ..]` without their literals.
pub(in crate::python) fn without_literals(text: &str) -> Cow<'_, str> {
    const BEFORE: &str = "[sql: ";
    const AFTER: &[&str] =
        &["]\n[parameters: ", "] [parameters: ", "]\n[sql parameters ", "]\n(background ", "]\n\n"];
    if !text.contains("[SQL: ") {
        return Cow::Borrowed(text);
    }
    let searched = searched(text);
    // Names of drivers: `(pymysql.err.ProgrammingError)`, `(mariadb.ProgrammingError)`.
    let is_mysql = ["mysql", "mariadb", "asyncmy"].iter().any(|name| searched.contains(name));
    let dialect = if is_mysql { Dialect::Mysql } else { Dialect::Postgres };
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    let mut signs = Signs::of(AFTER);
    while let Some(at) = searched[done..].find(BEFORE) {
        let start = done + at + BEFORE.len();
        let last = || searched[start..].rfind(']').map(|end| start + end);
        let end = signs.next(&searched, start).or_else(last).unwrap_or(text.len());
        out.push_str(&text[done..start]);
        let statement = &text[start..end];
        out.push_str(&match is_doubtful(statement) {
            true => REDACTED.to_owned(),
            false => normalise(statement.as_bytes(), dialect).text,
        });
        done = end;
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// Where literals end is not certain: a backslash escapes the sign behind it, or a `repr` wrote it. Or there is more in it than
/// literals and places for values: it may be no statement.
fn is_doubtful(statement: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_place = |text: &str| {
        text.strip_prefix("%(")
            .or_else(|| text.strip_prefix(['%', '?', ':', '$']))
            .is_some_and(|name| name.chars().all(is_name))
    };
    statement.contains('\\') || secrets(statement).into_iter().any(|place| !is_place(&statement[place]))
}
