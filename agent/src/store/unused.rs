//! What no figure and no row names any more: tracebacks go with the last request that shows them, texts, statements and
//! series some days after their last use.

use rusqlite::{Connection, params};

use super::rollup::{Retention, meta, set_meta};

/// Days that a text, statement or series stays longer than any row or bucket that may name it.
const SPARE_DAYS: i64 = 2;

/// Rows of a table that go at a time.
const BATCH: usize = 2_000;

/// Tracebacks that go at a time: one may have 64 kB.
const TRACEBACKS: usize = 500;

/// Processes that were not seen for so long are nobody's, seconds.
const PROCESSES: i64 = 86_400;

/// When texts, statements and series were last looked through, in days since 1970.
const LOOKED: &str = "unused_until";

/// Deletes a part of what is not used any more. `now` and `raw`, from which on single requests are kept, in Unix seconds.
/// True when something that the dictionary may have in memory has gone.
pub(crate) fn prune(conn: &Connection, now: i64, raw: i64, retention: &Retention) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "DELETE FROM traceback WHERE id IN (SELECT id FROM traceback WHERE hour < ?1 ORDER BY hour LIMIT ?2)",
    )?
    .execute(params![raw.div_euclid(3600), TRACEBACKS])?;
    let today = now / 86_400;
    if meta(conn, LOOKED)? >= today {
        return Ok(false);
    }
    let longest = retention.levels.iter().fold(retention.raw, |longest, level| longest.max(*level));
    let before = today - longest.div_euclid(86_400) - SPARE_DAYS;
    let delete = |sql: &str, from: i64| conn.prepare_cached(sql)?.execute(params![from, BATCH]);
    // What names others goes before them.
    let naming = [
        delete(
            "DELETE FROM process WHERE (service, host, pid) IN
                (SELECT service, host, pid FROM process WHERE seen < ?1 LIMIT ?2)",
            (now - PROCESSES) * 1_000_000,
        )?,
        delete(
            "DELETE FROM exception_group WHERE fingerprint IN
                (SELECT fingerprint FROM exception_group WHERE seen < ?1 LIMIT ?2)",
            before * 86_400 * 1_000_000,
        )?,
        delete("DELETE FROM series WHERE id IN (SELECT id FROM series WHERE used < ?1 LIMIT ?2)", before)?,
        delete(
            "DELETE FROM statement WHERE id IN (SELECT id FROM statement WHERE used < ?1 LIMIT ?2)",
            before,
        )?,
    ];
    if naming.contains(&BATCH) {
        return Ok(true);
    }
    // What was found in the source of services that nothing has been heard of since.
    let unheard =
        "IN (SELECT scan.service FROM scan JOIN name ON name.id = scan.service WHERE name.used < ?1)";
    conn.prepare_cached(&format!("DELETE FROM discovered WHERE service {unheard}"))?.execute([before])?;
    conn.prepare_cached(&format!("DELETE FROM scan WHERE service {unheard}"))?.execute([before])?;
    let names = delete(
        "DELETE FROM name WHERE id IN (SELECT id FROM name WHERE used < ?1
            AND id NOT IN (SELECT service FROM discovered UNION SELECT service FROM scan) LIMIT ?2)",
        before,
    )?;
    if names < BATCH {
        set_meta(conn, LOOKED, today)?;
    }
    Ok(names > 0 || naming.iter().any(|deleted| *deleted > 0))
}
