//! Routes that the source does not tell: of another package's URL patterns, of an extension, under an unknown prefix.

use regex_lite::Regex;

use super::test;
use crate::{DiscoveredRoute, Framework};

/// Somewhere below a path there are routes that are not known.
#[derive(Debug)]
pub(super) struct Gap {
    /// The routes before this index are tried first; all of them where the order of registration decides nothing.
    at: usize,
    /// What the path begins with, up to the first parameter.
    lead: String,
    /// Characters of its plain text, slashes aside.
    plain: usize,
    /// What the path must match where it is not `lead` alone that decides.
    pattern: Option<Below>,
}

#[derive(Debug)]
enum Below {
    Tokens(crate::Pattern),
    Regex(Regex),
}

impl Gap {
    /// The gaps of one application, whose routes and gaps have these indices.
    pub(super) fn all(routes: &[DiscoveredRoute], indices: &[usize]) -> Vec<Self> {
        let mut gaps = Vec::new();
        let mut has_unknown_prefix = false;
        for &index in indices {
            let route = &routes[index];
            // The order of the frameworks with weights and tries is not that of registration.
            let at = match route.framework {
                Framework::FastApi | Framework::Starlette | Framework::Django | Framework::Tornado => index,
                Framework::Flask
                | Framework::Sanic
                | Framework::Litestar
                | Framework::Aiohttp
                | Framework::Falcon
                | Framework::Bottle => 0,
            };
            if route.gap {
                let lead = route.route.split('{').next().unwrap_or_default().to_owned();
                let is_plain = route.route.matches('{').count() < 2;
                let regex = crate::pattern::compiled(&route.pattern);
                let pattern = match regex {
                    Some(Ok(regex)) => Some(Below::Regex(regex)),
                    Some(Err(_)) => None,
                    None => (!is_plain).then(|| Below::Tokens(route.pattern.clone())),
                };
                gaps.push(Self { at, plain: plain(&route.route), lead, pattern });
            } else if !route.prefix_known && !has_unknown_prefix {
                // Anywhere.
                has_unknown_prefix = true;
                gaps.push(Self { at, lead: "/".to_owned(), plain: 0, pattern: None });
            }
        }
        gaps
    }

    /// May a request for `path`, which the route at `index` would serve, be for a route that is not known? A route that
    /// says more than the gap does is believed: else nobody would have written it behind the gap.
    pub(super) fn hides(&self, index: usize, route: &DiscoveredRoute, path: &str) -> bool {
        self.at <= index && self.holds(path) && !self.is_told_apart(&route.route)
    }

    fn holds(&self, path: &str) -> bool {
        path.starts_with(&self.lead)
            && match &self.pattern {
                None => true,
                Some(Below::Tokens(pattern)) => test::matches(pattern, path),
                Some(Below::Regex(regex)) => regex.is_match(path),
            }
    }

    fn is_told_apart(&self, template: &str) -> bool {
        !template.contains('{') || (template.starts_with(&self.lead) && plain(template) > self.plain)
    }
}

/// Characters of a template outside of its parameters, slashes aside.
fn plain(template: &str) -> usize {
    let mut inside = 0_u32;
    template
        .chars()
        .filter(|&c| {
            match c {
                '{' => inside += 1,
                '}' => inside = inside.saturating_sub(1),
                _ => return inside == 0 && c != '/',
            }
            false
        })
        .count()
}
