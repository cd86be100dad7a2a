//! From a request to its route, as the framework would find it.

mod gap;
mod order;
mod test;

use std::borrow::Cow;
use std::collections::HashMap;

use gap::Gap;
use regex_lite::Regex;

use crate::pattern::{Converter, Slash, Token, compiled};
use crate::{DiscoveredRoute, Framework};

/// What a framework would do with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lookup<'r> {
    /// This route serves it.
    Route(&'r DiscoveredRoute),
    /// It is redirected to this route, spelled with or without a trailing slash.
    Redirect(&'r DiscoveredRoute),
    /// The path is this route's, the method is not: 405.
    MethodNotAllowed(&'r DiscoveredRoute),
    /// No route, or one that the source does not tell.
    None,
}

impl<'r> Lookup<'r> {
    /// The route whose path it is, whether it serves the request or not.
    pub fn route(self) -> Option<&'r DiscoveredRoute> {
        match self {
            Self::Route(route) | Self::Redirect(route) | Self::MethodNotAllowed(route) => Some(route),
            Self::None => None,
        }
    }
}

/// The routes of a service, prepared for look-ups. Pure: no clock, no file, no state that a look-up changes.
#[derive(Debug, Default)]
pub struct Matcher {
    routes: Vec<DiscoveredRoute>,
    apps: Vec<App>,
}

/// One application's routes, in the order in which they are tried.
#[derive(Debug)]
struct App {
    candidates: Vec<Candidate>,
    /// Positions in `candidates` by the first segment, where that is plain text.
    by_segment: HashMap<String, Vec<usize>>,
    /// Positions of the others.
    any_segment: Vec<usize>,
    /// Where there are routes that the source does not tell.
    gaps: Vec<Gap>,
}

#[derive(Debug)]
struct Candidate {
    /// Position in `Matcher::routes`.
    route: usize,
    /// Only for patterns with a regular expression of the application's.
    regex: Option<Regex>,
}

impl Matcher {
    /// Prepares the routes, in the order in which a scan gave them. Those with an unknown prefix, and those whose
    /// regular expression cannot be tested, never match; nor does a route where one that is not known may be meant.
    pub fn new(routes: Vec<DiscoveredRoute>) -> Self {
        let mut by_app: Vec<(u32, Vec<usize>)> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            match by_app.iter_mut().find(|(app, _)| *app == route.app) {
                Some((_, indices)) => indices.push(index),
                None => by_app.push((route.app, vec![index])),
            }
        }
        let apps = by_app.into_iter().map(|(_, indices)| App::new(&routes, indices)).collect();
        Self { routes, apps }
    }

    /// All routes, matched or not.
    pub fn routes(&self) -> &[DiscoveredRoute] {
        &self.routes
    }

    /// The route that serves a request: `method` upper case, `path` as sent, without query string.
    pub fn find(&self, method: &str, path: &str) -> Option<&DiscoveredRoute> {
        match self.lookup(method, path) {
            Lookup::Route(route) => Some(route),
            _ => None,
        }
    }

    /// What the framework would do with a request.
    pub fn lookup(&self, method: &str, path: &str) -> Lookup<'_> {
        let path = decoded(path);
        let mut fallback = Lookup::None;
        for app in &self.apps {
            match app.lookup(&self.routes, method, &path) {
                Lookup::Route(route) => return Lookup::Route(route),
                Lookup::None => {}
                found if fallback == Lookup::None => fallback = found,
                _ => {}
            }
        }
        fallback
    }
}

impl App {
    fn new(routes: &[DiscoveredRoute], mut indices: Vec<usize>) -> Self {
        let gaps = Gap::all(routes, &indices);
        indices.retain(|&index| routes[index].prefix_known && !routes[index].gap);
        order::sort(routes, &mut indices);
        let mut app =
            Self { candidates: Vec::new(), by_segment: HashMap::new(), any_segment: Vec::new(), gaps };
        for index in indices {
            let pattern = &routes[index].pattern;
            let regex = match compiled(pattern) {
                None => None,
                Some(Ok(regex)) => Some(regex),
                Some(Err(_)) => continue,
            };
            let position = app.candidates.len();
            app.candidates.push(Candidate { route: index, regex });
            match first_segment(&pattern.tokens) {
                Some(segment) => app.by_segment.entry(segment.to_owned()).or_default().push(position),
                None => app.any_segment.push(position),
            }
        }
        app
    }

    fn lookup<'r>(&self, routes: &'r [DiscoveredRoute], method: &str, path: &str) -> Lookup<'r> {
        let mut not_allowed = Lookup::None;
        let mut last = 0;
        for (index, route, is_as_spelled) in self.matching(routes, path) {
            // These do not look at the method before they have a pattern; its methods stand side by side.
            let is_by_path =
                matches!(route.framework, Framework::Django | Framework::Tornado | Framework::Falcon);
            let is_settled = is_by_path
                && matches!(not_allowed, Lookup::MethodNotAllowed(found)
                    if !found.conditional && (found.raw != route.raw || index != last + 1));
            if is_settled || self.may_be_another(index, route, path) {
                return not_allowed;
            }
            last = index;
            if allows(route, method) {
                return if is_as_spelled { Lookup::Route(route) } else { Lookup::Redirect(route) };
            }
            if !is_as_spelled {
                continue;
            }
            // Another method on a WebSocket's path: for Starlette there is nothing, for the others it is a wrong method.
            let is_nothing =
                route.websocket && matches!(route.framework, Framework::FastApi | Framework::Starlette);
            if not_allowed == Lookup::None && !is_nothing {
                not_allowed = Lookup::MethodNotAllowed(route);
            }
        }
        if not_allowed != Lookup::None || path == "/" {
            return not_allowed;
        }
        self.lookup_other_spelling(routes, method, path)
    }

    /// The same with a slash at the end, or without it, for the routes that it means something to.
    fn lookup_other_spelling<'r>(
        &self,
        routes: &'r [DiscoveredRoute],
        method: &str,
        path: &str,
    ) -> Lookup<'r> {
        let other = match path.strip_suffix('/') {
            Some(without) => Cow::Borrowed(without),
            None => Cow::Owned(format!("{path}/")),
        };
        let adds_slash = !path.ends_with('/');
        let mut not_allowed = Lookup::None;
        for (index, route, _) in self.matching(routes, &other) {
            if self.may_be_another(index, route, &other) {
                return not_allowed;
            }
            match route.pattern.slash {
                Slash::Redirect if !route.websocket => return Lookup::Redirect(route),
                // What follows a slash may be nothing, but the slash must be there.
                Slash::Ignored if adds_slash && ends_in_path(&route.pattern.tokens) => {}
                Slash::Ignored if allows(route, method) => return Lookup::Route(route),
                Slash::Ignored if not_allowed == Lookup::None => {
                    not_allowed = Lookup::MethodNotAllowed(route);
                }
                _ => {}
            }
        }
        not_allowed
    }

    /// Routes whose path this is, in order, with whether it is spelled as they are: a rule that redirects to its slash takes
    /// its turn (Werkzeug's `StateMachineMatcher`).
    fn matching<'s, 'r: 's>(
        &'s self,
        routes: &'r [DiscoveredRoute],
        path: &'s str,
    ) -> impl Iterator<Item = (usize, &'r DiscoveredRoute, bool)> + 's {
        let with_slash = (!path.ends_with('/')).then(|| format!("{path}/"));
        let segment = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or("");
        let exact = self.by_segment.get(segment).map_or(&[][..], Vec::as_slice);
        Merged(exact, &self.any_segment).filter_map(move |position| {
            let candidate = &self.candidates[position];
            let route = &routes[candidate.route];
            let is_match = |path: &str| match &candidate.regex {
                Some(regex) => regex.is_match(path),
                None => test::matches(&route.pattern, path),
            };
            let redirects = || {
                let with_slash =
                    with_slash.as_deref().filter(|_| route.pattern.slash == Slash::RedirectToSlash);
                with_slash.is_some_and(is_match)
            };
            let is_as_spelled = is_match(path);
            (is_as_spelled || redirects()).then_some((candidate.route, route, is_as_spelled))
        })
    }

    /// May a route that the source does not tell come before the one that was found?
    fn may_be_another(&self, index: usize, route: &DiscoveredRoute, path: &str) -> bool {
        self.gaps.iter().any(|gap| gap.hides(index, route, path))
    }
}

/// Two ascending lists as one.
struct Merged<'s>(&'s [usize], &'s [usize]);

impl Iterator for Merged<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let take_first = match (self.0.first(), self.1.first()) {
            (Some(a), Some(b)) => a < b,
            (Some(_), None) => true,
            _ => false,
        };
        let list = if take_first { &mut self.0 } else { &mut self.1 };
        let (first, rest) = list.split_first()?;
        *list = rest;
        Some(*first)
    }
}

/// The first segment of a pattern, where it is plain text to its end.
fn first_segment(tokens: &[Token]) -> Option<&str> {
    let Some(Token::Literal(text)) = tokens.first() else { return None };
    let text = text.strip_prefix('/')?;
    match text.split_once('/') {
        Some((segment, _)) => Some(segment),
        // "/users" as a whole; "/v{version}" is no plain segment.
        None if tokens.len() == 1 => Some(text),
        None => None,
    }
}

fn ends_in_path(tokens: &[Token]) -> bool {
    matches!(tokens.last(), Some(Token::Param(Converter::Path { .. })))
}

fn allows(route: &DiscoveredRoute, method: &str) -> bool {
    if route.method == "*" || route.method == method {
        return true;
    }
    match (method, route.framework) {
        // GET brings HEAD with it, but not in FastAPI's own routes, Litestar and Tornado.
        (
            "HEAD",
            Framework::Starlette
            | Framework::Flask
            | Framework::Django
            | Framework::Aiohttp
            | Framework::Bottle,
        ) => route.method == "GET",
        ("OPTIONS", Framework::Flask | Framework::Django) => true,
        _ => false,
    }
}

/// The path with its percent-encoding undone, as servers hand it to the frameworks.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    Cow::Owned(
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}
