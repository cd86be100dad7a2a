//! What the API says of outgoing traffic, against the app's own log.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::app;
use crate::agent::Agent;
use crate::process::until;

/// How long after the app's end its last figures may come.
const LIMIT: Duration = Duration::from_secs(10);

/// Sums of a host or a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) errors: u64,
    /// Rows; not told of hosts.
    pub(super) rows: u64,
}

/// A list of the API.
pub(super) struct List {
    /// `/api/NAME`, and its list in the answer.
    pub(super) path: &'static str,
    pub(super) list: &'static str,
    /// What names an entry.
    pub(super) field: &'static str,
}

pub(super) const HOSTS: List = List { path: "/api/outgoing", list: "hosts", field: "host" };
pub(super) const STATEMENTS: List = List { path: "/api/queries", list: "queries", field: "sql" };

/// Waits until a list has these sums, each by what `key` makes of the name of its entry; entries of which it makes nothing
/// are not looked at. The error names what differs.
pub(super) fn agree(
    agent: &Agent,
    list: &List,
    key: impl Fn(&str) -> Option<String>,
    expected: &HashMap<String, Sums>,
) -> Result<()> {
    let List { path, list, field } = list;
    let last = Cell::new(String::new());
    let done = until(LIMIT, &format!("{path} to equal the app's log"), || {
        let answer = agent.get(&format!("{path}?w=3600&limit=10000"))?;
        let mut shown: HashMap<String, Sums> = HashMap::new();
        for entry in answer[list].as_array().with_context(|| format!("{path} has no {list}"))? {
            let text =
                entry[field].as_str().with_context(|| format!("an entry of {path} without {field}"))?;
            let Some(key) = key(text) else { continue };
            let number = |name: &str| entry[name].as_u64().unwrap_or_default();
            let sums = shown.entry(key).or_default();
            sums.calls += number("calls");
            sums.errors += number("errors");
            sums.rows += number("rows");
        }
        if shown == *expected {
            return Ok(Some(()));
        }
        let wrong = expected.iter().find(|(key, sums)| shown.get(*key) != Some(*sums));
        let surplus = shown.iter().find(|(key, _)| !expected.contains_key(*key));
        let found = wrong.and_then(|(key, _)| shown.get(key));
        last.set(format!("expected {wrong:?}, it says {found:?}; not expected {surplus:?}"));
        Ok(None)
    });
    done.with_context(|| last.take())
}

/// Sums of a log by what `of` makes of each line: its key, whether it failed, and its rows.
pub(super) fn sums<T: for<'de> serde::Deserialize<'de>>(
    log: &str,
    of: impl Fn(&T) -> Option<(String, bool, u64)>,
) -> Result<HashMap<String, Sums>> {
    let mut sums: HashMap<String, Sums> = HashMap::new();
    for line in app::lines::<T>(log)? {
        if let Some((key, failed, rows)) = of(&line) {
            let sum = sums.entry(key).or_default();
            sum.calls += 1;
            sum.errors += u64::from(failed);
            sum.rows += rows;
        }
    }
    Ok(sums)
}
