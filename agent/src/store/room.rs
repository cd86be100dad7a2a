//! What the store keeps: as long as the retention says, and less where the file would outgrow its limit.

use apm_core::aggregate::LEVELS;
use rusqlite::Connection;

use super::Options;
use super::id::row_micros;
use super::rollup::{Keep, floors};
use super::series::Kind;

/// Raw rows that stay as long as buckets can go instead, seconds.
const RAW: i64 = 60;
/// Buckets of each level that always stay.
const BUCKETS: i64 = 60;
/// Part of a kind's time that is given up at once.
const PART: i64 = 50;

/// Bytes in use of the file. What was deleted is used again before the file grows.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok((pragma("page_count")?.saturating_sub(pragma("freelist_count")?)) * pragma("page_size")?)
}

/// What to keep at second `now`. A store beyond its size gives up a fiftieth of its raw time; where little of that is
/// left, of its finest buckets, since coarser ones hold the same figures.
pub(super) fn keep(conn: &Connection, now: i64, options: &Options, used: u64) -> rusqlite::Result<Keep> {
    let before = floors(conn)?;
    // What was given up does not come back; unless the clock was set back, before any of it.
    let not_before = |from: i64, floor: i64| if floor > now { from } else { from.max(floor) };
    // A little more than asked for: a window as long as the retention begins in a second that is there whole.
    let raw = not_before(now - options.retention.raw - 2, before.raw);
    let mut keep = Keep { raw, ..Keep::default() };
    for (level, width) in LEVELS.iter().enumerate() {
        let from = (now - options.retention.levels[level]).div_euclid(*width) * width;
        keep.levels[level] = not_before(from, before.levels[level]);
    }
    if used <= options.max_bytes {
        return Ok(keep);
    }
    let oldest = oldest_row(conn)?;
    // What was given up last may not be deleted yet, which may be room enough.
    let waits = |oldest: Option<i64>, floor: i64| floor <= now && oldest.is_some_and(|oldest| oldest < floor);
    if waits(oldest, before.raw) {
        return Ok(keep);
    }
    for (level, floor) in before.levels.iter().enumerate() {
        if waits(oldest_bucket(conn, level)?, *floor) {
            return Ok(keep);
        }
    }
    let raw = oldest.map_or(now, |oldest| oldest.max(keep.raw));
    if now - raw <= RAW {
        for (level, width) in LEVELS.iter().enumerate() {
            let oldest = oldest_bucket(conn, level)?.map_or(now, |oldest| oldest.max(keep.levels[level]));
            let span = now - oldest;
            if span > width * BUCKETS {
                keep.levels[level] = (oldest + span / PART).div_euclid(*width) * width + width;
                return Ok(keep);
            }
        }
    }
    keep.raw = raw + ((now - raw) / PART).max(1);
    Ok(keep)
}

/// Second of the oldest raw row.
fn oldest_row(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut oldest: Option<i64> = None;
    for table in ["event", "call", "executions"] {
        let id: Option<i64> =
            conn.query_row(&format!("SELECT min(id) FROM {table}"), [], |row| row.get(0))?;
        oldest = [oldest, id.map(|id| row_micros(id) / 1_000_000)].into_iter().flatten().min();
    }
    Ok(oldest)
}

/// Start of the oldest bucket of a level, seconds.
fn oldest_bucket(conn: &Connection, level: usize) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached("SELECT min(bucket) FROM cell WHERE level = ?1 AND kind = ?2")?;
    let mut oldest: Option<i64> = None;
    for kind in 1..=Kind::LAST {
        let first: Option<i64> = statement.query_row([level as i64, kind], |row| row.get(0))?;
        oldest = [oldest, first].into_iter().flatten().min();
    }
    Ok(oldest)
}
