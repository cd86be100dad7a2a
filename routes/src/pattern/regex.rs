//! Regular expressions of applications: read for people, and rewritten for the matcher.

use super::{Converter, Pattern, Token};

/// Bytes of a compiled expression: each character of a path may be held against all of it, while the ring waits.
const SIZE_MAX: usize = 64 << 10;

/// The regular expression that the pattern takes to be tested; `None` where it takes none. An error where the matcher cannot test
/// it (look-around, back-references), or it would take too long.
pub(crate) fn compiled(pattern: &Pattern) -> Option<Result<regex_lite::Regex, regex_lite::Error>> {
    is_needed(pattern).then(|| regex_lite::RegexBuilder::new(&source(pattern)).size_limit(SIZE_MAX).build())
}

/// Does the pattern hold a regular expression of the application's?
pub(super) fn is_needed(pattern: &Pattern) -> bool {
    pattern.tokens.iter().any(|token| matches!(token, Token::Regex(_) | Token::Param(Converter::Regex(_))))
}

/// Splits `^...$` into whether it is anchored at its start, its inside, and whether it is anchored at its end.
pub(super) fn without_anchors(source: &str) -> (bool, &str, bool) {
    let (start, rest) = match source.strip_prefix('^').or_else(|| source.strip_prefix(r"\A")) {
        Some(rest) => (true, rest),
        None => (false, source),
    };
    if let Some(inner) = rest.strip_suffix(r"\Z").or_else(|| rest.strip_suffix(r"\z")) {
        return (start, inner, true);
    }
    match rest.strip_suffix('$') {
        // `\$` is a dollar sign; `\\$` is a backslash and the anchor.
        Some(inner) if trailing_backslashes(inner).is_multiple_of(2) => (start, inner, true),
        _ => (start, rest, false),
    }
}

fn trailing_backslashes(text: &str) -> usize {
    text.bytes().rev().take_while(|&byte| byte == b'\\').count()
}

/// A regular expression as a template: groups as `{name}` or `{var}`, anchors and optional marks left out.
pub(super) fn readable(source: &str) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => {
                let mut chars = rest[1..].chars();
                match chars.next() {
                    // Anchors; classes outside of a group stay as they are written.
                    Some('A' | 'Z' | 'b' | 'B') => {}
                    Some(class @ ('d' | 'w' | 's' | 'D' | 'W' | 'S')) => {
                        out.push('\\');
                        out.push(class);
                    }
                    Some(other) => out.push(other),
                    None => {}
                }
                rest = chars.as_str();
            }
            '(' => {
                let len = group_len(rest);
                let group = &rest[..len];
                if let Some(name) = group.strip_prefix("(?P<").and_then(|text| text.split('>').next()) {
                    out.push('{');
                    out.push_str(name);
                    out.push('}');
                } else if let Some(inner) = group.strip_prefix("(?:") {
                    out.push_str(&readable(inner.strip_suffix(')').unwrap_or(inner)));
                } else if !group.starts_with("(?") {
                    out.push_str("{var}");
                }
                rest = &rest[len..];
                // A quantifier belongs to the group.
                rest = rest.strip_prefix(['*', '+', '?']).unwrap_or(rest);
            }
            '^' | '$' | '?' => rest = &rest[1..],
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Bytes of the group that the text opens with, character classes and escapes respected.
fn group_len(text: &str) -> usize {
    let (mut depth, mut in_class, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// The whole pattern as one regular expression. Group names are dropped, since two parts may use the same.
pub(crate) fn source(pattern: &Pattern) -> String {
    let mut out = String::from("^");
    for token in &pattern.tokens {
        match token {
            Token::Literal(text) => out.push_str(&regex_lite::escape(text)),
            Token::Regex(source) => {
                out.push_str("(?:");
                out.push_str(&unnamed(source));
                out.push(')');
            }
            Token::Param(converter) => {
                out.push_str("(?:");
                out.push_str(&converter_source(converter));
                out.push(')');
            }
        }
    }
    if !pattern.open_end {
        out.push('$');
    }
    out
}

fn unnamed(source: &str) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(at) = rest.find("(?P<") {
        out.push_str(&rest[..at]);
        out.push_str("(?:");
        let tail = &rest[at + 4..];
        rest = tail.split_once('>').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn converter_source(converter: &Converter) -> String {
    let text = match converter {
        Converter::Segment { min, max } if *max == usize::MAX => return format!("[^/]{{{min},}}"),
        Converter::Segment { min, max } => return format!("[^/]{{{min},{max}}}"),
        Converter::Int { signed, digits } => {
            let sign = if *signed { "-?" } else { "" };
            let count = if *digits == 0 { "+".into() } else { format!("{{{digits}}}") };
            return format!("{sign}[0-9]{count}");
        }
        Converter::Float { signed, integral } => {
            let sign = if *signed { "-?" } else { "" };
            let optional = if *integral { "?" } else { "" };
            return format!(r"{sign}[0-9]+(?:\.[0-9]+){optional}");
        }
        Converter::Uuid { compact: true, .. } => "[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}",
        Converter::Uuid { lower: true, .. } => "[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
        Converter::Uuid { .. } => "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
        Converter::Slug => "[-a-zA-Z0-9_]+",
        Converter::Alpha => "[A-Za-z]+",
        Converter::Date => "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        Converter::Path { empty: true, slash_first: true } => ".*",
        Converter::Path { empty: false, slash_first: true } => ".+",
        Converter::Path { empty: true, .. } => "(?:[^/].*)?",
        Converter::Path { .. } => "[^/].*",
        Converter::Any(words) => {
            let words: Vec<String> = words.iter().map(|word| regex_lite::escape(word)).collect();
            return words.join("|");
        }
        Converter::Regex(source) => return unnamed(without_anchors(source).1),
        Converter::Locale { optional, languages } => {
            let any = "[a-zA-Z]{2,3}(?:-[a-zA-Z0-9]+)*".to_owned();
            let code = if languages.is_empty() { any } else { format!("(?i:{})", languages.join("|")) };
            return format!("(?:{code}/){}", if *optional { "?" } else { "" });
        }
    };
    text.into()
}
