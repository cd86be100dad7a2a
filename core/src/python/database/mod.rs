//! What databases and their drivers put into the messages of their errors of a statement and its values, where a driver writes
//! values into the statement (psycopg2, Django, `PyMySQL`) above all: in the words of PostgreSQL with the layout of libpq, and in
//! those of MySQL, `SQLite`, asyncpg and `SQLAlchemy`.

mod find;
mod statement;
#[cfg(test)]
mod tests;
mod words;

use std::ops::Range;

use find::{Lines, Signs, after, before};
use words::{VALUES, Value, WHOLE};

pub(super) use statement::{alone as statement, without_literals};

/// `text` as it is searched: in lower case, and what is within a `repr` like the rest; byte for byte as long.
pub(super) fn searched(text: &str) -> String {
    match text.contains('\\') {
        true => text.replace("\\n", "\n ").replace("\\'", "''").to_ascii_lowercase(),
        false => text.to_ascii_lowercase(),
    }
}

/// Places of values and of excerpts of statements.
pub(super) fn values(text: &str, searched: &str, secrets: &mut Vec<Range<usize>>) {
    let lines = Lines::of(searched);
    let mut whole = excerpts(text, &lines);
    for value in WHOLE {
        let found = of_kind(value, searched, &lines, &[]);
        whole.extend(found);
    }
    let whole = disjoint(whole);
    for value in VALUES {
        secrets.extend(of_kind(value, searched, &lines, &whole));
    }
    secrets.extend(whole);
}

/// Is there such a place?
pub(super) fn holds_value(text: &str) -> bool {
    let mut places = Vec::new();
    // What most texts have none of stands before each.
    if text.contains(['"', '\'', '(', ':']) {
        values(text, &searched(text), &mut places);
    }
    text.contains("[SQL: ") || places.iter().any(|place| !place.is_empty())
}

/// The same places, in their order.
fn disjoint(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_by_key(|place| place.start);
    let mut disjoint: Vec<Range<usize>> = Vec::new();
    for place in places {
        match disjoint.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => disjoint.push(place),
        }
    }
    disjoint
}

/// `LINE 1: SELECT ..`, and the line with a mark below it (libpq's `reportErrorPosition`). What is shown of the statement
/// begins and ends anywhere, within a literal for instance.
fn excerpts(text: &str, lines: &Lines) -> Vec<Range<usize>> {
    let mut excerpts: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices("LINE ") {
        let number = at + "LINE ".len();
        let digits = text[number..].bytes().take_while(u8::is_ascii_digit).count();
        let start = number + digits + 2;
        let is_within = excerpts.last().is_some_and(|last| at < last.end);
        if digits > 0 && !is_within && text[number + digits..].starts_with(": ") {
            let end = after(&lines.marks, start).or_else(|| after(&lines.ends, start));
            excerpts.push(start..end.unwrap_or(text.len()));
        }
    }
    excerpts
}

/// Places of values that are told so, none of which begins within `whole`: what looks like one there has no end.
fn of_kind(value: &Value, searched: &str, lines: &Lines, whole: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    // Most are nowhere in most texts.
    if !searched.contains(value.before) {
        return places;
    }
    let mut behind: Vec<_> =
        value.behind.iter().map(|word| searched.match_indices(word).peekable()).collect();
    let mut known = None;
    let mut signs = Signs::of(value.after);
    let closed = value.closing.map(|sign| lines.closed(searched, sign)).unwrap_or_default();
    for (at, _) in searched.match_indices(value.before) {
        for word in &mut behind {
            while let Some((found, word)) = word.next_if(|(found, word)| found + word.len() <= at) {
                known = known.max(Some(found + word.len()));
            }
        }
        let paragraph = before(&lines.blank, at).unwrap_or(0);
        if !behind.is_empty() && known.is_none_or(|known| known < paragraph) {
            continue;
        }
        let next = whole.get(whole.partition_point(|part| part.end <= at));
        if next.is_some_and(|part| part.contains(&at)) {
            continue;
        }
        let start = at + value.before.len();
        let end = match signs.next(searched, start).into_iter().chain(after(&closed, start)).min() {
            Some(end) => end,
            None if value.may_be_cut => searched.len(),
            None => continue,
        };
        if !(value.but_words && is_word(&searched[start..end])) {
            places.push(start..end);
        }
    }
    places
}

/// Letters alone, or a sign or two: what a statement's keywords, names and operators look like, and no literal.
fn is_word(text: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_punctuation() && !"'\"$".contains(c);
    text.chars().all(|c| c.is_alphabetic() || c == '_') || (text.len() <= 2 && text.chars().all(is_sign))
}
