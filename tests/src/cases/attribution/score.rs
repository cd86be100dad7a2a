//! What the agent's store says against the ids in the calls themselves.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::Connection;

use crate::store::{lay_out_queries, open};

/// Requests of the scored phase have ids from here on (`drive.py`).
const FIRST: usize = 100_000;

/// How a link is known, in the order of the table.
pub(super) const HOW: [&str; 4] = ["context", "thread", "handover", "response"];

/// What a global queue's consumer does belongs to no request, nor does what is done as a client leaves.
const OF_NO_REQUEST: [&str; 2] = ["consumer", "left"];

/// What a loop of the application's own does in turns has a request, but nothing tells which: right is who does not link it to
/// another.
const UNTOLD: &str = "turns";

/// Calls and statements that each kind of work makes (`work.py`).
const COUNTS: &[(&str, usize)] = &[
    ("series", 4),
    ("gather", 4),
    ("group", 2),
    ("to_thread", 3),
    ("executor", 2),
    ("forget", 2),
    ("failing", 3),
    ("failing_def", 3),
    ("failing_green", 2),
    ("consumer", 1),
    ("left", 2),
    ("turns", 2),
    ("background", 2),
    ("background_def", 1),
    ("plain", 4),
    ("pool", 3),
    ("child", 2),
    ("to_sync", 5),
    ("to_async", 3),
    ("async_alone", 2),
];

/// One kind of work on one server.
#[derive(Debug)]
pub(super) struct Score {
    pub(super) kind: &'static str,
    /// Calls and statements that were made.
    wanted: usize,
    pub(super) right: usize,
    /// Linked to another request, or to one that is not recorded.
    pub(super) wrong: usize,
    /// Linked to none.
    pub(super) none: usize,
    pub(super) how: [usize; 4],
    examples: Vec<String>,
    /// Requests of which not as many calls were recorded as were made: their path, and which were.
    apart: Vec<String>,
}

impl Score {
    /// Calls and statements of all kinds that belong to a request.
    pub(super) fn to_be_linked(kinds: &[&'static str], requests: usize) -> usize {
        let is_linked = |kind: &str| kind != UNTOLD && !OF_NO_REQUEST.contains(&kind);
        let all = kinds.iter().enumerate().filter(|(_, kind)| is_linked(kind));
        all.map(|(at, kind)| wanted(kind, at, kinds.len(), requests)).sum()
    }

    /// Calls and statements that were recorded.
    pub(super) fn calls(&self) -> usize {
        self.right + self.wrong + self.none
    }

    /// Is every call linked as it should be?
    pub(super) fn is_right(&self) -> bool {
        let right = match self.kind {
            UNTOLD => self.right + self.none,
            kind if OF_NO_REQUEST.contains(&kind) => self.none,
            _ => self.right,
        };
        self.wrong == 0 && right == self.wanted && self.calls() == self.wanted && self.apart.is_empty()
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, wanted, right, wrong, none, how, examples, apart } = self;
        write!(f, "{kind}: {right} right, {wrong} wrong, {none} none of {wanted} {how:?} {examples:?}")?;
        apart.iter().try_for_each(|one| write!(f, "\n    {one}"))
    }
}

fn wanted(kind: &str, at: usize, kinds: usize, requests: usize) -> usize {
    ids(at, kinds, requests).count() * each(kind)
}

/// Calls and statements of one request.
fn each(kind: &str) -> usize {
    COUNTS.iter().find(|(name, _)| *name == kind).map_or(0, |(_, calls)| *calls)
}

/// Requests of the kind at place `at`: they ask for each in turn (`drive.py`).
fn ids(at: usize, kinds: usize, requests: usize) -> impl Iterator<Item = usize> {
    (FIRST..FIRST + requests).skip(at).step_by(kinds)
}

/// Which requests of `kind` do not have as many calls as each makes; `seen` are those that were recorded, by request.
fn apart(
    kind: &str,
    ids: impl Iterator<Item = usize>,
    seen: &mut HashMap<usize, Vec<String>>,
) -> Vec<String> {
    let each = each(kind);
    let mut apart = Vec::new();
    for id in ids {
        let mut which = seen.remove(&id).unwrap_or_default();
        if which.len() != each {
            which.sort_unstable();
            apart.push(format!("/{kind}/{id} makes {each}, recorded: {which:?}"));
        }
    }
    apart.extend(seen.iter().map(|(id, which)| format!("/{kind}/{id} was not asked for: {which:?}")));
    apart
}

/// Kind and id of a request, and which of its calls this is.
type Carried = (String, usize, String);

/// A call or statement: what it carries, the path of the request it is linked to, and how that is known. The path is
/// `None` where the link leads to no recorded request.
struct Linked {
    carries: Carried,
    link: Option<(Option<String>, String)>,
}

/// Kind and id in the name or address of a host that no connection could be made to (`work.py`).
fn carried_by_host(host: &str) -> Option<Carried> {
    if let Some(rest) = host.strip_prefix("-r-") {
        let mut parts = rest.split('-');
        let (kind, id) = (parts.next()?, parts.next()?.parse().ok()?);
        return (id >= FIRST).then(|| (kind.to_owned(), id, "name".to_owned()));
    }
    let address: std::net::SocketAddrV4 = host.parse().ok()?;
    let [127, block, high, low] = address.ip().octets() else { return None };
    let kind = ["failing", "failing_def", "failing_green"].get(usize::from(block).checked_sub(77)?)?;
    // The id's lower half: that of the scored phase begins at `FIRST`.
    let low = usize::from(high) * 256 + usize::from(low);
    let which = if address.port() == 1 { "refused" } else { "silent" };
    Some(((*kind).to_owned(), FIRST + (low + 0x10000 - FIRST % 0x10000) % 0x10000, which.to_owned()))
}

/// Kind and id in `/ok/KIND/ID/N`, or in a statement's `r_KIND_ID_N`; those of the scored phase only.
fn carried(text: &str) -> Option<Carried> {
    let rest = match text.strip_prefix("/ok/") {
        Some(rest) => rest.replace('/', "_"),
        None => {
            let at = text.find(" r_")?;
            text[at + 3..].to_owned()
        }
    };
    let word = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?;
    let (rest, n) = word.rsplit_once('_')?;
    let (kind, id) = rest.rsplit_once('_')?;
    let id = id.parse().ok().filter(|id| *id >= FIRST)?;
    Some((kind.to_owned(), id, n.to_owned()))
}

/// All marked calls and statements that the store holds.
fn all(connection: &Connection) -> Result<Vec<Linked>> {
    const CALLS: &str = "
        SELECT iif(call.path = '', host.text, call.path), call.request_id IS NOT NULL, link.text,
               (SELECT coalesce(event.path, route.text) FROM event JOIN series ON series.id = event.series
                JOIN name AS route ON route.id = series.c WHERE event.id = found.id)
        FROM call JOIN series AS of_host ON of_host.id = call.series JOIN name AS host ON host.id = of_host.b
        LEFT JOIN name AS link ON link.id = call.link
        LEFT JOIN requests AS found ON found.request_id = call.request_id";
    const QUERIES: &str = "
        SELECT statement.text, query.request_id IS NOT NULL, link.text,
               (SELECT coalesce(event.path, route.text) FROM event JOIN series ON series.id = event.series
                JOIN name AS route ON route.id = series.c WHERE event.id = found.id)
        FROM query JOIN series ON series.id = query.series JOIN statement ON statement.id = series.b
        LEFT JOIN name AS link ON link.id = query.link
        LEFT JOIN requests AS found ON found.request_id = query.request_id";
    connection.execute_batch(
        "DROP TABLE IF EXISTS temp.requests;
         CREATE TEMP TABLE requests AS SELECT request_id, id FROM event WHERE request_id IS NOT NULL;
         CREATE INDEX temp.by_request ON requests (request_id);",
    )?;
    lay_out_queries(connection)?;
    let mut found = Vec::new();
    for sql in [CALLS, QUERIES] {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            let Some(carries) = carried(&text).or_else(|| carried_by_host(&text)) else { continue };
            let how: Option<String> = row.get(2)?;
            let link = if row.get(1)? {
                Some((row.get(3)?, how.context("a link without how it is known")?))
            } else {
                None
            };
            found.push(Linked { carries, link });
        }
    }
    Ok(found)
}

/// How many marked calls and statements the store has linked to requests so far.
pub(super) fn linked(database: &Path) -> Result<usize> {
    Ok(all(&open(database)?)?.iter().filter(|linked| linked.link.is_some()).count())
}

/// Scores each kind of work; the agent has ended.
pub(super) fn scores(database: &Path, kinds: &[&'static str], requests: usize) -> Result<Vec<Score>> {
    let mut by_kind: HashMap<String, Vec<Linked>> = HashMap::new();
    for linked in all(&open(database)?)? {
        by_kind.entry(linked.carries.0.clone()).or_default().push(linked);
    }
    let score = |(at, &kind): (usize, &&'static str)| {
        let wanted = wanted(kind, at, kinds.len(), requests);
        let mut score = Score {
            kind,
            wanted,
            right: 0,
            wrong: 0,
            none: 0,
            how: [0; 4],
            examples: Vec::new(),
            apart: Vec::new(),
        };
        let mut seen: HashMap<usize, Vec<String>> = HashMap::new();
        for Linked { carries, link } in by_kind.remove(kind).unwrap_or_default() {
            let request = format!("/{}/{}", carries.0, carries.1);
            seen.entry(carries.1).or_default().push(carries.2);
            let Some((path, how)) = link else {
                score.none += 1;
                continue;
            };
            if path.as_deref() == Some(request.as_str()) {
                score.right += 1;
                if let Some(at) = HOW.iter().position(|name| *name == how) {
                    score.how[at] += 1;
                }
            } else {
                score.wrong += 1;
                if score.examples.len() < 3 {
                    score.examples.push(format!("{request} is linked to {path:?} by {how}"));
                }
            }
        }
        score.apart = apart(kind, ids(at, kinds.len(), requests), &mut seen);
        score
    };
    Ok(kinds.iter().enumerate().map(score).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_by_its_request() {
        let id = FIRST + 1;
        let each = |which: &[&str]| which.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let mut seen = HashMap::from([(id, each(&["2", "1"])), (id + 2, each(&["1"])), (7, each(&["1"]))]);
        let apart = apart("group", ids(1, 2, 6), &mut seen);
        assert_eq!(
            apart,
            [
                "/group/100003 makes 2, recorded: [\"1\"]",
                "/group/100005 makes 2, recorded: []",
                "/group/7 was not asked for: [\"1\"]"
            ]
        );
        assert_eq!([wanted("group", 1, 2, 6), wanted("series", 0, 4, 5)], [6, 8]);
    }
}
