//! Raw rows to cells, and the deletion of what is too old.

use std::collections::BTreeMap;

use apm_core::aggregate::{Cell, Floors, LEVELS};
use rusqlite::{Connection, OptionalExtension, params};

use super::dictionary::Dictionary;
use super::id::{SLOT, first_row};
use super::insert::Table;
use super::scan::scan;
use super::series::{Key, Kind};

const TABLES: [Table; 4] = [Table::Event, Table::Call, Table::Query, Table::Link];

/// Cells to be merged into the store: by start of their second, kind and key.
pub(crate) type Pending = BTreeMap<(i64, Kind, Key), Cell>;

/// Seconds rolled up in one transaction at most; more (after a long failure) take several.
const STEP: i64 = 60;

/// A number of table `meta`; 0 where it is not set.
pub(crate) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<i64> {
    let value = conn
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0))
}

fn set_meta(conn: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![key, value])?;
    Ok(())
}

/// The second up to which raw rows are in the rollups.
pub(crate) fn rolled_until(conn: &Connection) -> rusqlite::Result<i64> {
    meta(conn, "rolled_until")
}

/// Where each kind of data begins.
pub(crate) fn floors(conn: &Connection) -> rusqlite::Result<Floors> {
    let mut floors = Floors { raw: meta(conn, "raw_from")?, ..Floors::default() };
    for (level, floor) in floors.levels.iter_mut().enumerate() {
        *floor = meta(conn, LEVEL_KEYS[level])?;
    }
    Ok(floors)
}

const LEVEL_KEYS: [&str; LEVELS.len()] =
    ["level_0_from", "level_1_from", "level_2_from", "level_3_from", "level_4_from"];

/// Adds a row that came after its second was rolled up.
pub(crate) fn late(conn: &Connection, table: Table, row: i64, pending: &mut Pending) -> rusqlite::Result<()> {
    collect(conn, table, row, row + 1, pending)
}

/// Rolls up whole seconds before `until`, [`STEP`] of them at most. True when there is more to do.
pub(crate) fn roll(conn: &Connection, names: &mut Dictionary, until: i64) -> rusqlite::Result<bool> {
    let mut from = rolled_until(conn)?;
    if from >= until {
        return Ok(false);
    }
    // Skip what holds nothing: the first start, or a long stop.
    let mut next = None;
    for table in ["event", "call", "query", "link"] {
        let sql = format!("SELECT min(id) FROM {table} WHERE id >= ?1");
        let id = conn
            .prepare_cached(&sql)?
            .query_row([first_row(from * 1_000_000)], |row| row.get::<_, Option<i64>>(0))?;
        next = [next, id].into_iter().flatten().min();
    }
    let first = next.map_or(until, |id| super::id::row_micros(id) / 1_000_000);
    from = from.max(first.min(until));
    let to = until.min(from + STEP);
    let mut pending = Pending::new();
    for table in TABLES {
        collect(conn, table, first_row(from * 1_000_000), first_row(to * 1_000_000), &mut pending)?;
    }
    merge(conn, names, pending)?;
    set_meta(conn, "rolled_until", to)?;
    Ok(to < until)
}

fn collect(
    conn: &Connection,
    table: Table,
    from: i64,
    to: i64,
    pending: &mut Pending,
) -> rusqlite::Result<()> {
    scan(conn, table, from, to, |scanned| {
        pending
            .entry((scanned.at / 1_000_000, scanned.kind, scanned.key))
            .or_default()
            .record(&scanned.sample);
    })
}

/// Merges cells of seconds into every level.
pub(crate) fn merge(conn: &Connection, names: &mut Dictionary, pending: Pending) -> rusqlite::Result<()> {
    let mut by_level: [BTreeMap<(i64, i64, i64), Cell>; LEVELS.len()] = Default::default();
    for ((second, kind, key), cell) in pending {
        let series = names.series(conn, kind, key)?;
        for (level, width) in LEVELS.iter().enumerate() {
            let bucket = second - second.rem_euclid(*width);
            by_level[level].entry((kind as i64, bucket, series)).or_default().merge(&cell);
        }
    }
    let mut read = conn.prepare_cached(
        "SELECT data FROM cell WHERE level = ?1 AND kind = ?2 AND bucket = ?3 AND series = ?4",
    )?;
    let mut write = conn.prepare_cached(
        "INSERT OR REPLACE INTO cell (level, kind, bucket, series, data) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (level, cells) in by_level.into_iter().enumerate() {
        for ((kind, bucket, series), mut cell) in cells {
            let mut rows = read.query(params![level, kind, bucket, series])?;
            if let Some(row) = rows.next()? {
                // A cell that cannot be read is as good as none.
                let mut merged = cell.clone();
                if merged.merge_encoded(row.get_ref(0)?.as_blob()?).is_some() {
                    cell = merged;
                }
            }
            drop(rows);
            write.execute(params![level, kind, bucket, series, cell.encode()])?;
        }
    }
    Ok(())
}

/// How long each kind of data is kept, seconds.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Raw rows.
    pub raw: i64,
    /// Cells per level of [`LEVELS`].
    pub levels: [i64; LEVELS.len()],
}

impl Default for Retention {
    fn default() -> Self {
        let (hour, day) = (3600, 86_400);
        Self { raw: hour, levels: [2 * hour, day, 30 * day, 31 * day, 31 * day] }
    }
}

/// Where each kind of data is to begin: seconds, multiples of the level's width.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keep {
    /// First second of raw rows.
    pub(crate) raw: i64,
    /// First bucket per level.
    pub(crate) levels: [i64; LEVELS.len()],
}

/// Deletes what is older than `keep` says, at most `limit` rows per table.
///
/// The floors move first: nobody reads what is about to go.
pub(crate) fn prune(conn: &Connection, keep: &Keep, limit: usize) -> rusqlite::Result<usize> {
    let mut deleted = 0;
    set_meta(conn, "raw_from", keep.raw)?;
    let row = first_row(keep.raw * 1_000_000);
    for (table, column) in
        [("exception", "event"), ("event", "id"), ("call", "id"), ("query", "id"), ("link", "id")]
    {
        let sql = format!(
            "DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} WHERE {column} < ?1 ORDER BY {column} LIMIT ?2)"
        );
        deleted += conn.prepare_cached(&sql)?.execute(params![row, limit])?;
    }
    deleted += conn
        .prepare_cached(
            "DELETE FROM ref WHERE (slot, key, target, row) IN (SELECT slot, key, target, row FROM ref WHERE slot < ?1 ORDER BY slot LIMIT ?2)",
        )?
        .execute(params![keep.raw / SLOT, limit * 3])?;
    for (level, from) in keep.levels.iter().enumerate() {
        set_meta(conn, LEVEL_KEYS[level], *from)?;
        for kind in 1..=Kind::LAST {
            deleted += conn
                .prepare_cached(
                    "DELETE FROM cell WHERE (level, kind, bucket, series) IN (SELECT level, kind, bucket, series FROM cell
                        WHERE level = ?1 AND kind = ?2 AND bucket < ?3 ORDER BY bucket LIMIT ?4)",
                )?
                .execute(params![level, kind, from, limit])?;
        }
    }
    Ok(deleted)
}
