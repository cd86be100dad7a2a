//! The routes seen so far, per service, as a tree of path segments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::segment::placeholder;

/// The route of every path beyond the caps.
pub const OTHER: &str = "{other}";

/// The method of every request beyond the cap, as OpenTelemetry's semantic conventions have it.
pub const OTHER_METHOD: &str = "_OTHER";

/// Methods that always have their own name: those of RFC 9110 section 9, PATCH (RFC 5789), and WebDAV's (RFC 4918 section 9).
const KNOWN_METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
];

/// Others that are told apart.
const METHODS: usize = 64;

/// What stands for a word in a place where too many words were seen.
const NAME: &str = "{name}";

/// What stands for everything below the deepest segment that is told apart.
const REST: &str = "{rest}";

/// How much the table may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Services; the paths of any further one are all [`OTHER`].
    pub services: usize,
    /// Routes per service.
    pub routes: usize,
    /// Nodes of the tree per service: routes, and the segments on the way to them.
    pub nodes: usize,
    /// Words in one place of the path before the place counts as a parameter.
    pub words: usize,
    /// Times a word was seen that make it an established one, which stays when its place becomes a parameter.
    pub established: u32,
    /// Segments told apart; deeper ones are `{rest}`.
    pub depth: usize,
    /// Routes per service of paths that were never found, besides the others.
    pub missing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: 256,
            routes: 1000,
            nodes: 10_000,
            words: 40,
            established: 8,
            depth: 12,
            missing: 100,
        }
    }
}

/// Turns paths into routes, learning from those it has seen.
#[derive(Debug, Default)]
pub struct RouteTable {
    limits: Limits,
    services: HashMap<Arc<str>, Service>,
    other: Option<Arc<str>>,
    methods: HashSet<Box<str>>,
}

#[derive(Debug, Default)]
struct Service {
    found: Tree,
    /// Of paths that were answered 404 alone: those that scanners try have no part in what the others look like.
    missing: Tree,
}

#[derive(Debug, Default)]
struct Tree {
    root: Node,
    routes: usize,
    nodes: usize,
}

#[derive(Debug, Default)]
struct Node {
    seen: u32,
    /// Words and placeholders. Placeholders do not count as words.
    children: HashMap<Box<str>, Node>,
    words: usize,
    /// Too many words were seen here: no new one is learned.
    is_parameter: bool,
    route: Option<Arc<str>>,
}

impl Node {
    /// Routes and nodes below and at this node.
    fn size(&self) -> (usize, usize) {
        self.children
            .values()
            .map(Self::size)
            .fold((usize::from(self.route.is_some()), 1), |(routes, nodes), (r, n)| (routes + r, nodes + n))
    }
}

impl RouteTable {
    /// An empty table with limits of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The route of a request of `service` for `path` (without query string, as sent), which was `found` unless it was
    /// answered 404.
    ///
    /// The answer for a path may become coarser as more paths are seen, never finer. All methods share the shape of a
    /// path. A path that is no absolute path (`*`, the authority of CONNECT) is its
    /// own route while there is room.
    pub fn route(&mut self, service: &str, path: &str, found: bool) -> Arc<str> {
        let other = Arc::clone(self.other.get_or_insert_with(|| OTHER.into()));
        if !self.services.contains_key(service) {
            if self.services.len() >= self.limits.services {
                return other;
            }
            self.services.insert(service.into(), Service::default());
        }
        let Some(known) = self.services.get_mut(service) else { return other };
        known.route(path, found, &self.limits).unwrap_or(other)
    }

    /// The method that a request is counted under: its own, unless clients made up too many.
    pub fn method<'a>(&mut self, method: &'a str) -> &'a str {
        if KNOWN_METHODS.contains(&method) || self.methods.contains(method) {
            return method;
        }
        if self.methods.len() >= METHODS {
            return OTHER_METHOD;
        }
        self.methods.insert(method.into());
        method
    }

    /// Routes told apart for `service`, [`OTHER`] not counted.
    pub fn count(&self, service: &str) -> usize {
        self.services.get(service).map_or(0, |s| s.found.routes + s.missing.routes)
    }
}

impl Service {
    fn route(&mut self, path: &str, found: bool, limits: &Limits) -> Option<Arc<str>> {
        if found {
            return self.found.route(path, limits);
        }
        // What does not exist below a route that does is that route's.
        self.found.known(path, limits).or_else(|| {
            let limits = Limits { routes: limits.missing, nodes: limits.missing * 10, ..*limits };
            self.missing.route(path, &limits)
        })
    }
}

impl Tree {
    /// The route of a path, if it has one already.
    fn known(&self, path: &str, limits: &Limits) -> Option<Arc<str>> {
        let mut node = &self.root;
        for (depth, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
            if depth >= limits.depth {
                node = node.children.get(REST)?;
                break;
            }
            let key = placeholder(segment).unwrap_or(segment);
            node = node.children.get(key).or_else(|| node.children.get(NAME))?;
        }
        node.route.clone()
    }

    fn route(&mut self, path: &str, limits: &Limits) -> Option<Arc<str>> {
        let mut node = &mut self.root;
        let mut template = String::new();
        let rooted = path.strip_prefix('/');
        for (depth, segment) in rooted.unwrap_or(path).split('/').enumerate() {
            let (key, is_word) = if depth >= limits.depth {
                (REST, false)
            } else if let Some(placeholder) = placeholder(segment) {
                (placeholder, false)
            } else {
                (segment, true)
            };
            let key = if is_word && !node.children.contains_key(key) {
                if !node.is_parameter && node.words >= limits.words {
                    let (routes, nodes) = node.forget_rare_words(limits.established);
                    self.routes -= routes;
                    self.nodes -= nodes;
                }
                if node.is_parameter { NAME } else { key }
            } else {
                key
            };
            if rooted.is_some() || depth > 0 {
                template.push('/');
            }
            template.push_str(key);
            if !node.children.contains_key(key) {
                if self.nodes >= limits.nodes {
                    return None;
                }
                self.nodes += 1;
                node.words += usize::from(is_word && key != NAME);
                node.children.insert(key.into(), Node::default());
            }
            node = node.children.get_mut(key)?;
            node.seen = node.seen.saturating_add(1);
            if key == REST {
                break;
            }
        }
        if node.route.is_none() {
            if self.routes >= limits.routes {
                return None;
            }
            self.routes += 1;
            node.route = Some(template.into());
        }
        node.route.clone()
    }
}

impl Node {
    /// Makes this place a parameter. Words seen often stay: bots that try a hundred paths must not hide `/health`.
    /// Returns the routes and nodes that went.
    fn forget_rare_words(&mut self, established: u32) -> (usize, usize) {
        self.is_parameter = true;
        let mut gone = (0, 0);
        self.children.retain(|key, child| {
            let stays = child.seen >= established || key.starts_with('{');
            if !stays {
                let (routes, nodes) = child.size();
                gone = (gone.0 + routes, gone.1 + nodes);
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(table: &mut RouteTable, paths: &[&str]) -> Vec<String> {
        paths.iter().map(|p| table.route("s", p, true).to_string()).collect()
    }

    #[test]
    fn ids_become_placeholders_and_words_stay() {
        let mut table = RouteTable::default();
        assert_eq!(
            routes(&mut table, &["/", "/users/42", "/users/me/posts/7/", "*", "//a"]),
            ["/", "/users/{id}", "/users/me/posts/{id}/", "*", "//a"]
        );
    }

    #[test]
    fn a_place_with_many_words_becomes_a_parameter_for_the_rare_ones() {
        let mut table = RouteTable::default();
        for _ in 0..8 {
            table.route("s", "/users/me", true);
        }
        for i in 0..40 {
            table.route("s", &format!("/users/bob{}", char::from(b'A' + i)), true);
        }
        assert_eq!(
            routes(&mut table, &["/users/alice", "/users/me", "/users/bobA"]),
            ["/users/{name}", "/users/me", "/users/{name}"]
        );
        assert_eq!(table.count("s"), 2);
    }

    #[test]
    fn beyond_the_cap_routes_go_into_the_named_bucket_and_known_ones_stay() {
        let mut table = RouteTable::with_limits(Limits { routes: 2, ..Limits::default() });
        assert_eq!(routes(&mut table, &["/a", "/b", "/c", "/a"]), ["/a", "/b", OTHER, "/a"]);
    }

    #[test]
    fn paths_that_do_not_exist_leave_the_others_their_places_and_names() {
        let mut table = RouteTable::default();
        table.route("s", "/items/7", true);
        let mut random = 3;
        let missing: std::collections::BTreeSet<_> = (0..10_000)
            .map(|n| match n % 3 {
                0 => format!("/{}.php", word(&mut random)),
                1 => format!("/{}/{}", word(&mut random), word(&mut random)),
                _ => format!("/{n:x}x/{}/{}", word(&mut random), word(&mut random)),
            })
            .map(|path| table.route("s", &path, false))
            .collect();
        // Some were told apart until their place became a parameter.
        assert!(missing.len() < 2 * Limits::default().missing, "{}", missing.len());
        assert!(table.count("s") <= Limits::default().missing + 1, "{}", table.count("s"));
        assert_eq!(&*table.route("s", "/items/8", false), "/items/{id}");
        let real: Vec<_> = (0..30).map(|n| format!("/page{n}/list")).collect();
        for path in &real {
            assert_eq!(&*table.route("s", path, true), path);
            assert_eq!(&*table.route("s", path, false), path);
        }
    }

    #[test]
    fn methods_that_a_client_makes_up_do_not_multiply_the_routes() {
        let mut table = RouteTable::default();
        for n in 0..METHODS {
            table.method(&format!("M{n}"));
        }
        assert_eq!(
            ["GET", "PURGE", "M1", "PATCH"].map(|method| table.method(method)),
            ["GET", OTHER_METHOD, "M1", "PATCH"]
        );
    }

    #[test]
    fn deep_paths_end_in_rest() {
        let mut table = RouteTable::with_limits(Limits { depth: 2, ..Limits::default() });
        assert_eq!(routes(&mut table, &["/a/b/c/d", "/a/b/e"]), ["/a/b/{rest}", "/a/b/{rest}"]);
    }

    #[test]
    fn services_do_not_share_routes_and_are_capped() {
        let mut table = RouteTable::with_limits(Limits { services: 1, ..Limits::default() });
        assert_eq!(&*table.route("s", "/a", true), "/a");
        assert_eq!(&*table.route("t", "/a", true), OTHER);
    }

    proptest! {
        /// Whatever is asked, the caps hold, the counts are true, and the same question gets the same answer next.
        #[test]
        fn caps_hold(paths in prop::collection::vec("(/[a-d0-9]{0,3}){0,5}", 1..200)) {
            let limits = Limits { routes: 20, nodes: 50, words: 3, established: 2, depth: 3, services: 1, missing: 5 };
            let mut table = RouteTable::with_limits(limits);
            for path in &paths {
                let route = table.route("s", path, true);
                prop_assert_eq!(&route, &table.route("s", path, true));
                let service = &table.services["s"].found;
                let (routes, nodes) = service.root.size();
                prop_assert_eq!((service.routes, service.nodes), (routes, nodes - 1));
                prop_assert!(routes <= 20 && nodes <= 51);
            }
        }
    }

    /// A number that follows from the one before, well mixed (SplitMix64).
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 31)
    }

    fn word(state: &mut u64) -> String {
        let length = 3 + next(state) % 8;
        (0..length).map(|_| char::from(b'a' + u8::try_from(next(state) % 26).unwrap_or(0))).collect()
    }

    #[test]
    fn a_hundred_thousand_paths_of_six_shapes_are_a_few_routes() {
        let mut table = RouteTable::default();
        let mut random = 1;
        let mut last = std::collections::BTreeSet::new();
        for n in 0..100_000_u32 {
            let (a, b, r) = (word(&mut random), word(&mut random), next(&mut random));
            let path = match n % 6 {
                0 => format!("/users/{n}"),
                1 => format!("/files/{:08x}-0000-4000-8000-{n:012x}", r >> 32),
                2 => format!("/commits/{r:016x}{n:08x}"),
                3 => format!("/posts/{a}-{b}-{a}"),
                4 => format!("/people/{a}/photos/{b}"),
                _ => format!("/orders/2026-{:02}-{:02}/{r}", 1 + n % 12, 1 + n % 28),
            };
            let route = table.route("s", &path, true);
            assert_ne!(&*route, OTHER, "{path}");
            if n >= 50_000 {
                last.insert(route);
            }
        }
        let last: Vec<_> = last.iter().map(|route| &**route).collect();
        assert!(last.len() <= 12, "{last:?}");
        for expected in ["/users/{id}", "/posts/{name}", "/people/{name}/photos/{name}"] {
            assert!(last.contains(&expected), "{expected}: {last:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_random_paths_stay_below_the_caps() {
        let mut table = RouteTable::default();
        let mut random = 7;
        let mut all = std::collections::BTreeSet::new();
        for _ in 0..100_000 {
            let depth = 1 + next(&mut random) % 20;
            let path: String = (0..depth)
                .map(|_| match next(&mut random) % 4 {
                    0 => format!("/{}", next(&mut random)),
                    1 => format!("/{:x}", next(&mut random)),
                    2 => format!("/é{}", word(&mut random)),
                    _ => format!("/{}", word(&mut random)),
                })
                .collect();
            all.insert(table.route("s", &path, true));
        }
        let limits = Limits::default();
        let (routes, nodes) = table.services["s"].found.root.size();
        assert!(table.count("s") <= limits.routes && routes <= limits.routes && nodes <= limits.nodes + 1);
        assert!(all.iter().any(|route| &**route == OTHER), "the rest has a name");
    }
}
