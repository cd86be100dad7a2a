//! One route's shape: from the framework's own syntax to a template for people and a pattern for the matcher.

mod regex;
mod syntax;

use std::rc::Rc;

use crate::Framework;

pub(crate) use regex::compiled;

/// A piece of a route's path, as it was registered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// Text in the framework's own syntax.
    Text(Rc<str>),
    /// A regular expression (Django's `re_path`, Tornado).
    Regex(Rc<str>),
    /// The language that Django's `i18n_patterns` puts first; left out for the default language where `optional`.
    Locale {
        optional: bool,
        /// Those of the settings; empty where they name none.
        languages: Rc<[Rc<str>]>,
    },
    /// Everything below a mount.
    Rest,
    /// Not known.
    Unknown,
}

impl Part {
    /// Bytes of its text.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Regex(text) => text.len(),
            Self::Locale { .. } | Self::Rest | Self::Unknown => 0,
        }
    }
}

/// What a trailing slash means to a route that is spelled with or without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slash {
    /// The path must be spelled exactly so.
    Exact,
    /// The other spelling is redirected to this one (Starlette).
    Redirect,
    /// A route that ends in a slash redirects the path without it; the other way round is no match (Flask).
    RedirectToSlash,
    /// Both spellings are served (Sanic, Litestar; Flask with `strict_slashes=False`).
    Ignored,
}

impl Slash {
    pub(crate) fn default_of(framework: Framework) -> Self {
        match framework {
            Framework::FastApi | Framework::Starlette => Self::Redirect,
            Framework::Flask => Self::RedirectToSlash,
            Framework::Litestar | Framework::Sanic => Self::Ignored,
            Framework::Django
            | Framework::Aiohttp
            | Framework::Tornado
            | Framework::Falcon
            | Framework::Bottle => Self::Exact,
        }
    }
}

/// What a parameter accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Converter {
    /// Anything but a slash, between `min` and `max` characters.
    Segment {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// Decimal digits, with a sign where `signed`; exactly `digits` of them where that is not zero.
    Int {
        /// A minus sign may come first.
        signed: bool,
        /// Number of digits, 0 = any.
        digits: usize,
    },
    /// A decimal number; the point and what follows may be missing where `integral`.
    Float {
        /// A minus sign may come first.
        signed: bool,
        /// `1` is accepted as well as `1.0`.
        integral: bool,
    },
    /// A UUID; hyphens may be missing where `compact`, digits must be lower case where `lower`.
    Uuid {
        /// Hyphens may be missing.
        compact: bool,
        /// Lower case only.
        lower: bool,
    },
    /// Letters, digits, hyphens and underscores.
    Slug,
    /// Letters.
    Alpha,
    /// `YYYY-MM-DD`
    Date,
    /// Anything, slashes included.
    Path {
        /// May be nothing.
        empty: bool,
        /// May begin with a slash.
        slash_first: bool,
    },
    /// One of these words.
    Any(Vec<String>),
    /// What a regular expression of the application's accepts.
    Regex(String),
    /// A language code and a slash, or, where `optional`, nothing.
    Locale {
        /// May be nothing.
        optional: bool,
        /// The codes it may be, lower case; any where there is none.
        languages: Vec<String>,
    },
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// These very characters.
    Literal(String),
    /// A parameter.
    Param(Converter),
    /// A regular expression in Python's syntax, without anchors.
    Regex(String),
}

/// What a path is tested against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The pieces, in order. The path begins with a slash.
    pub tokens: Vec<Token>,
    /// What a trailing slash means.
    pub slash: Slash,
    /// The path may go on behind the last piece (a regular expression without `$`).
    pub open_end: bool,
}

impl Pattern {
    /// Can the matcher test it? Look-around and back-references cannot be tested.
    pub fn is_matchable(&self) -> bool {
        compiled(self).is_none_or(|regex| regex.is_ok())
    }
}

/// A route as it is shown and matched.
pub(crate) struct Rendered {
    pub(crate) route: String,
    pub(crate) raw: String,
    pub(crate) prefix_known: bool,
    pub(crate) pattern: Pattern,
}

/// Puts the parts of a route's path together.
pub(crate) fn render(framework: Framework, parts: &[Part], slash: Slash) -> Rendered {
    let known_from = parts.iter().rposition(|part| *part == Part::Unknown).map_or(0, |at| at + 1);
    let mut builder = syntax::Builder::new(framework);
    let known = &parts[known_from..];
    for (index, part) in known.iter().enumerate() {
        match part {
            Part::Text(text) => builder.text(text),
            Part::Regex(source) => builder.regex(source, index + 1 == known.len()),
            Part::Locale { optional, languages } => builder.locale(*optional, languages),
            Part::Rest => builder.rest(),
            Part::Unknown => {}
        }
    }
    let (route, raw, tokens, open_end) = builder.finish();
    Rendered { route, raw, prefix_known: known_from == 0, pattern: Pattern { tokens, slash, open_end } }
}
