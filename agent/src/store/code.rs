//! The inventory of application code that was seen at work: rows are counted by their call site, batch by batch.

use std::collections::HashMap;
use std::sync::Arc;

use apm_core::record::Record;
use rusqlite::{Connection, params};
use rustc_hash::FxBuildHasher;

use super::id::micros;
use super::insert::Item;

/// Places kept; of more, those that were seen longest ago go.
const PLACES_MAX: i64 = 20_000;
/// How long a place is kept after it was last seen, seconds.
const KEPT: i64 = 31 * 86_400;

/// What was seen at a place.
#[derive(Default)]
struct Seen {
    /// Microseconds since 1970.
    first: i64,
    last: i64,
    queries: u64,
    calls: u64,
    exceptions: u64,
}

/// What a batch of rows adds to the inventory: by service and call site, told apart by where their texts lie. The same text
/// in two places makes two entries, which the store adds up.
#[derive(Default)]
pub(crate) struct Batch<'a>(HashMap<[*const u8; 2], (&'a str, &'a str, Seen), FxBuildHasher>);

impl<'a> Batch<'a> {
    /// Counts a row.
    pub(crate) fn add(&mut self, item: &'a Item) {
        let Item::Record(record) = item else { return };
        let (service, site, ts) = match record {
            Record::Query(query) => (&query.service, &query.call_site, query.ts),
            Record::Call(call) => (&call.service, &call.call_site, call.ts),
            Record::Event(event) => (&event.service, &event.error_site, event.ts),
            Record::Sample(_) => return,
        };
        let Some(site) = site else { return };
        let at = micros(ts);
        let empty = || Seen { first: at, last: at, ..Seen::default() };
        let places = [service, site].map(|text| Arc::as_ptr(text).cast::<u8>());
        let (_, _, seen) = self.0.entry(places).or_insert_with(|| (service, site, empty()));
        seen.first = seen.first.min(at);
        seen.last = seen.last.max(at);
        match record {
            Record::Query(_) => seen.queries += 1,
            Record::Call(_) => seen.calls += 1,
            Record::Event(_) | Record::Sample(_) => seen.exceptions += 1,
        }
    }

    /// Writes what was counted.
    pub(crate) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        for (service, site, seen) in self.0.into_values() {
            let Some((file, line, function)) = parts(site) else { continue };
            conn.prepare_cached(
                "INSERT INTO code (service, file, line, function, first, last, queries, calls, exceptions)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (service, file, line, function) DO UPDATE SET first = min(first, excluded.first),
                    last = max(last, excluded.last), queries = queries + excluded.queries,
                    calls = calls + excluded.calls, exceptions = exceptions + excluded.exceptions",
            )?
            .execute(params![
                service,
                file,
                line,
                function,
                seen.first,
                seen.last,
                seen.queries,
                seen.calls,
                seen.exceptions,
            ])?;
        }
        Ok(())
    }
}

/// File, line and function of a call site, `file:line function`; `None` where the line is not known.
fn parts(site: &str) -> Option<(&str, u32, &str)> {
    let (place, function) = site.rsplit_once(' ')?;
    let (file, line) = place.rsplit_once(':')?;
    Some((file, line.parse().ok()?, function))
}

/// Deletes places that were not seen for long, and those beyond the cap. `now` in Unix seconds.
pub(crate) fn prune(conn: &Connection, now: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM code WHERE last < max(?1, coalesce((SELECT last FROM code ORDER BY last DESC LIMIT 1 OFFSET ?2), 0))",
    )?
    .execute(params![(now - KEPT) * 1_000_000, PLACES_MAX - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_site_has_three_parts() {
        assert_eq!(parts("/my shop/views.py:7 Cart.total"), Some(("/my shop/views.py", 7, "Cart.total")));
        assert_eq!(parts("C:/a.py:12 <lambda>"), Some(("C:/a.py", 12, "<lambda>")));
        assert_eq!(parts("a.py:? f"), None);
        assert_eq!(parts("nothing"), None);
    }
}
