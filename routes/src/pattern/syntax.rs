//! The path syntaxes of the frameworks.

use std::rc::Rc;

use super::regex::{readable, without_anchors};
use super::{Converter, Token};
use crate::Framework;

/// Builds template, raw text and tokens side by side.
pub(super) struct Builder {
    framework: Framework,
    route: String,
    raw: String,
    tokens: Vec<Token>,
    /// Text whose parameters are still to be read: neighbouring texts are one.
    pending: String,
    open_end: bool,
}

impl Builder {
    pub(super) fn new(framework: Framework) -> Self {
        let (route, raw) = (String::new(), String::new());
        Self { framework, route, raw, tokens: Vec::new(), pending: String::new(), open_end: false }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    pub(super) fn regex(&mut self, source: &str, is_last: bool) {
        self.flush();
        self.raw.push_str(source);
        let (anchored_start, inner, anchored_end) = without_anchors(source);
        let shown = readable(inner);
        // Tornado's patterns hold the leading slash themselves, Django's stand behind it.
        self.lead(shown.starts_with('/'));
        self.route.push_str(&shown);
        if !anchored_start && self.framework == Framework::Django {
            self.tokens.push(Token::Regex(".*?".into()));
        }
        self.tokens.push(Token::Regex(inner.into()));
        let may_go_on = matches!(self.framework, Framework::Django | Framework::Falcon);
        self.open_end = is_last && !anchored_end && may_go_on;
        if self.open_end && self.framework == Framework::Falcon {
            // A sink takes what begins so.
            let slash = if self.route.ends_with('/') { "" } else { "/" };
            self.route.push_str(slash);
            self.route.push_str("{path}");
        }
    }

    pub(super) fn locale(&mut self, optional: bool, languages: &[Rc<str>]) {
        self.flush();
        self.lead(false);
        self.route.push_str("{language}/");
        self.raw.push_str("<language>/");
        self.tokens.push(Token::Param(Converter::Locale {
            optional,
            languages: languages.iter().map(|language| language.to_lowercase()).collect(),
        }));
    }

    pub(super) fn rest(&mut self) {
        self.flush();
        self.lead(false);
        if !self.route.ends_with('/') {
            self.route.push('/');
            self.raw.push('/');
            self.literal("/");
        }
        self.route.push_str("{path}");
        self.raw.push_str(if self.framework == Framework::Django { "<path:path>" } else { "{path:path}" });
        self.tokens.push(Token::Param(Converter::Path { empty: true, slash_first: true }));
    }

    pub(super) fn finish(mut self) -> (String, String, Vec<Token>, bool) {
        self.flush();
        if self.route.is_empty() {
            self.lead(false);
        }
        (self.route, self.raw, self.tokens, self.open_end)
    }

    /// Sees to the slash that every path begins with.
    fn lead(&mut self, has_slash: bool) {
        if self.route.is_empty() && !has_slash {
            self.route.push('/');
            self.literal("/");
        }
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.tokens.last_mut() {
            Some(Token::Literal(last)) => last.push_str(text),
            _ => self.tokens.push(Token::Literal(text.into())),
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.pending);
        if text.is_empty() {
            return;
        }
        self.raw.push_str(&text);
        self.lead(text.starts_with('/'));
        let (open, close) = match self.framework {
            Framework::Flask | Framework::Django | Framework::Sanic | Framework::Bottle => ('<', '>'),
            _ => ('{', '}'),
        };
        let mut rest = text.as_str();
        while let Some(at) = rest.find(open) {
            let Some(len) = parameter_len(&rest[at..], open, close) else { break };
            self.plain(&rest[..at]);
            let inside = &rest[at + 1..at + len - 1];
            let (name, converter) = parameter(self.framework, inside);
            self.route.push('{');
            self.route.push_str(name);
            self.route.push('}');
            self.tokens.push(Token::Param(converter));
            rest = &rest[at + len..];
        }
        self.plain(rest);
    }

    fn plain(&mut self, text: &str) {
        self.route.push_str(text);
        self.literal(text);
    }
}

/// Bytes of a parameter from its opening to its closing bracket; brackets inside (a regular expression's `{4}`) are
/// counted.
fn parameter_len(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + c.len_utf8());
            }
        }
    }
    None
}

const SEGMENT: Converter = Converter::Segment { min: 1, max: usize::MAX };

/// Name and converter of a parameter, from what stands between its brackets.
fn parameter(framework: Framework, inside: &str) -> (&str, Converter) {
    match framework {
        Framework::FastApi | Framework::Starlette => {
            let (name, kind) = inside.split_once(':').unwrap_or((inside, "str"));
            (name, starlette(kind))
        }
        Framework::Flask => match inside.rsplit_once(':') {
            Some((kind, name)) => (name, werkzeug(kind)),
            None => (inside, SEGMENT),
        },
        Framework::Django => match inside.split_once(':') {
            Some((kind, name)) => (name, django(kind)),
            None => (inside, SEGMENT),
        },
        Framework::Aiohttp => match inside.split_once(':') {
            Some((name, source)) => (name, Converter::Regex(source.into())),
            None => (inside, SEGMENT),
        },
        Framework::Litestar => {
            let (name, kind) = inside.split_once(':').unwrap_or((inside, "str"));
            (name.trim(), litestar(kind.trim()))
        }
        Framework::Sanic => {
            let (name, kind) = inside.split_once(':').unwrap_or((inside, "str"));
            (name, sanic(kind))
        }
        Framework::Tornado => (inside, SEGMENT),
        Framework::Falcon => match inside.split_once(':') {
            Some((name, kind)) => (name, falcon(kind)),
            None => (inside, SEGMENT),
        },
        Framework::Bottle => {
            let (name, kind) = inside.split_once(':').unwrap_or((inside, ""));
            (if name.is_empty() { "var" } else { name }, bottle(kind))
        }
    }
}

fn starlette(kind: &str) -> Converter {
    match kind {
        "int" => Converter::Int { signed: false, digits: 0 },
        "float" => Converter::Float { signed: false, integral: true },
        "uuid" => Converter::Uuid { compact: true, lower: false },
        "path" => Converter::Path { empty: true, slash_first: true },
        _ => SEGMENT,
    }
}

/// Name and arguments of a converter: `int(4)`.
fn called(kind: &str) -> (&str, &str) {
    match kind.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
        None => (kind, ""),
    }
}

/// Werkzeug's converters, with their arguments.
fn werkzeug(kind: &str) -> Converter {
    let (name, arguments) = called(kind);
    let argument = |wanted: &str| {
        arguments.split(',').find_map(|argument| {
            let (name, value) = argument.split_once('=')?;
            (name.trim() == wanted).then(|| value.trim())
        })
    };
    let number = |wanted: &str| argument(wanted).and_then(|value| value.parse::<usize>().ok());
    let signed = argument("signed") == Some("True");
    match name {
        "int" => Converter::Int { signed, digits: number("fixed_digits").unwrap_or(0) },
        "float" => Converter::Float { signed, integral: false },
        "uuid" => Converter::Uuid { compact: false, lower: false },
        "path" => Converter::Path { empty: false, slash_first: false },
        "any" => {
            let words = arguments.split(',').map(|word| word.trim().trim_matches(['\'', '"']).to_owned());
            Converter::Any(words.collect())
        }
        "string" | "default" => match number("length") {
            Some(length) => Converter::Segment { min: length, max: length },
            None => Converter::Segment {
                min: number("minlength").unwrap_or(1),
                max: number("maxlength").unwrap_or(usize::MAX),
            },
        },
        _ => SEGMENT,
    }
}

fn django(kind: &str) -> Converter {
    match kind {
        "int" => Converter::Int { signed: false, digits: 0 },
        "slug" => Converter::Slug,
        "uuid" => Converter::Uuid { compact: false, lower: true },
        "path" => Converter::Path { empty: false, slash_first: true },
        // Registered by Django REST framework's `format_suffix_patterns`.
        "drf_format_suffix" => Converter::Regex(r"\.[a-z0-9]+/?".into()),
        _ => SEGMENT,
    }
}

/// Converters of Falcon, with their arguments: `int(4)`, `int(num_digits=4, min=1)`.
fn falcon(kind: &str) -> Converter {
    let (name, arguments) = called(kind);
    match name {
        "int" => {
            let first = arguments.split(',').next().unwrap_or("").trim();
            let digits = first.strip_prefix("num_digits=").unwrap_or(first);
            Converter::Int { signed: true, digits: digits.parse().unwrap_or(0) }
        }
        "float" => Converter::Float { signed: true, integral: true },
        "uuid" => Converter::Uuid { compact: true, lower: false },
        "path" => Converter::Path { empty: true, slash_first: true },
        "dt" if arguments.trim_matches(['\'', '"']) == "%Y-%m-%d" => Converter::Date,
        "re" => Converter::Regex(arguments.trim_matches(['\'', '"']).into()),
        _ => SEGMENT,
    }
}

/// Filters of Bottle, with their configuration: `re:[a-z]+`.
fn bottle(kind: &str) -> Converter {
    match kind.split_once(':').unwrap_or((kind, "")) {
        ("int", _) => Converter::Int { signed: true, digits: 0 },
        ("float", _) => Converter::Regex("-?[0-9.]+".into()),
        ("path", _) => Converter::Path { empty: false, slash_first: true },
        ("re", source) if !source.is_empty() => Converter::Regex(source.into()),
        _ => SEGMENT,
    }
}

fn litestar(kind: &str) -> Converter {
    match kind {
        "int" => Converter::Int { signed: true, digits: 0 },
        "float" | "decimal" => Converter::Float { signed: true, integral: true },
        "uuid" => Converter::Uuid { compact: true, lower: false },
        "date" => Converter::Date,
        "path" => Converter::Path { empty: true, slash_first: true },
        _ => SEGMENT,
    }
}

fn sanic(kind: &str) -> Converter {
    match kind {
        "str" | "string" => SEGMENT,
        "int" => Converter::Int { signed: true, digits: 0 },
        "float" | "number" => Converter::Float { signed: true, integral: true },
        "alpha" => Converter::Alpha,
        "slug" => Converter::Regex("[a-z0-9]+(?:-[a-z0-9]+)*".into()),
        "uuid" => Converter::Uuid { compact: false, lower: false },
        "ymd" => Converter::Date,
        "path" => Converter::Path { empty: true, slash_first: true },
        "strorempty" => Converter::Segment { min: 0, max: usize::MAX },
        kind if kind == "ext" || kind.starts_with("ext=") || kind.starts_with("str=") => SEGMENT,
        source => Converter::Regex(source.into()),
    }
}
