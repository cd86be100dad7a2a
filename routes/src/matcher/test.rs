//! Tests a path against a pattern without a regular expression: the common case, and cheaper in memory.

use crate::pattern::{Converter, Pattern, Token};

/// Comparisons after which a path is given up: several parameters that may hold slashes can be tried in many ways.
const MAX_TRIES: u32 = 20_000;

/// Is this path the pattern's?
pub(super) fn matches(pattern: &Pattern, path: &str) -> bool {
    let mut tries = MAX_TRIES;
    follows(&pattern.tokens, path, pattern.open_end, &mut tries)
}

fn follows(tokens: &[Token], rest: &str, open_end: bool, tries: &mut u32) -> bool {
    let Some((token, more)) = tokens.split_first() else { return rest.is_empty() || open_end };
    match token {
        Token::Literal(text) => match rest.strip_prefix(text.as_str()) {
            Some(rest) => follows(more, rest, open_end, tries),
            None => false,
        },
        Token::Param(converter) => {
            let longest = longest(converter, rest);
            for end in (0..=longest).rev() {
                if *tries == 0 {
                    return false;
                }
                *tries -= 1;
                if rest.is_char_boundary(end)
                    && accepts(converter, &rest[..end])
                    && follows(more, &rest[end..], open_end, tries)
                {
                    return true;
                }
            }
            false
        }
        // Patterns with regular expressions are tested as one.
        Token::Regex(_) => false,
    }
}

/// Most bytes that the parameter can take.
fn longest(converter: &Converter, rest: &str) -> usize {
    match converter {
        Converter::Path { .. } => rest.len(),
        Converter::Locale { .. } => rest.find('/').map_or(0, |at| at + 1),
        _ => rest.find('/').unwrap_or(rest.len()),
    }
}

/// Does the parameter accept exactly this text?
fn accepts(converter: &Converter, text: &str) -> bool {
    let all = |test: fn(u8) -> bool| !text.is_empty() && text.bytes().all(test);
    match converter {
        Converter::Segment { min, max } => {
            let length = text.chars().count();
            *min <= length && length <= *max
        }
        Converter::Int { signed, digits } => {
            let number = unsigned(text, *signed);
            is_digits(number) && (*digits == 0 || number.len() == *digits)
        }
        Converter::Float { signed, integral } => match unsigned(text, *signed).split_once('.') {
            Some((whole, part)) => is_digits(whole) && is_digits(part),
            None => *integral && is_digits(unsigned(text, *signed)),
        },
        Converter::Uuid { compact, lower } => is_uuid(text, *compact, *lower),
        Converter::Slug => all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
        Converter::Alpha => all(|byte| byte.is_ascii_alphabetic()),
        Converter::Date => {
            let bytes = text.as_bytes();
            bytes.len() == 10
                && bytes.iter().enumerate().all(|(at, byte)| match at {
                    4 | 7 => *byte == b'-',
                    _ => byte.is_ascii_digit(),
                })
        }
        Converter::Path { empty, slash_first } => {
            (*empty || !text.is_empty()) && (*slash_first || !text.starts_with('/'))
        }
        Converter::Any(words) => words.iter().any(|word| word == text),
        Converter::Locale { optional, languages } => {
            let is_one = |code: &str| match &languages[..] {
                [] => is_locale(code),
                listed => listed.iter().any(|language| language.eq_ignore_ascii_case(code)),
            };
            (*optional && text.is_empty()) || text.strip_suffix('/').is_some_and(is_one)
        }
        Converter::Regex(_) => false,
    }
}

fn unsigned(text: &str, signed: bool) -> &str {
    if signed { text.strip_prefix('-').unwrap_or(text) } else { text }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(text: &str, compact: bool, lower: bool) -> bool {
    let is_hyphenated = text.len() == 36 && [8, 13, 18, 23].iter().all(|&at| text.as_bytes()[at] == b'-');
    let hex = text.bytes().filter(|byte| *byte != b'-');
    let (mut digits, mut valid) = (0, true);
    for byte in hex {
        digits += 1;
        valid &= byte.is_ascii_hexdigit() && !(lower && byte.is_ascii_uppercase());
    }
    valid && digits == 32 && (is_hyphenated || (compact && text.len() == 32))
}

fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or("");
    matches!(language.len(), 2 | 3)
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
