//! Raw rows to cells, and the deletion of what is too old.

use std::collections::BTreeMap;

use apm_core::aggregate::{Cell, Floors, LEVELS, Rolled};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::dictionary::Dictionary;
use super::id::{SLOT, first_row};
use super::insert::Table;
use super::scan::{Scanned, scan, scan_row};
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

pub(crate) fn set_meta(conn: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![key, value])?;
    Ok(())
}

/// How far raw rows are in the rollups.
pub(crate) fn rolled(conn: &Connection) -> rusqlite::Result<Rolled> {
    Ok(Rolled { fine: meta(conn, "rolled_until")?, coarse: meta(conn, "coarse_until")? })
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
    scan_row(conn, table, row, into(pending))
}

/// Rolls up whole seconds before `until`, [`STEP`] of them at most. True when there is more to do.
///
/// Cells of seconds are written at once. Those of all other levels take them up every ten seconds, the width of the
/// second level: each would otherwise be read, added to and written again every second.
pub(crate) fn roll(conn: &Connection, names: &mut Dictionary, until: i64) -> rusqlite::Result<bool> {
    let Rolled { fine: mut from, coarse } = rolled(conn)?;
    if from >= until {
        return Ok(false);
    }
    // Skip what holds nothing: the first start, or a long stop.
    let mut next = None;
    for table in ["event", "call", "executions", "link"] {
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
    merge(conn, names, pending, coarse)?;
    set_meta(conn, "rolled_until", to)?;
    let tens = to - to.rem_euclid(LEVELS[1]);
    if tens > coarse {
        coarsen(conn, coarse, tens)?;
        set_meta(conn, "coarse_until", tens)?;
    }
    Ok(to < until)
}

/// Adds the cells of the seconds `from..to` to those of all other levels.
fn coarsen(conn: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    let mut seconds = conn.prepare_cached(
        "SELECT bucket, series, data FROM cell WHERE level = 0 AND kind = ?1 AND bucket >= ?2 AND bucket < ?3",
    )?;
    let mut cells = Cells::new(conn)?;
    for kind in 1..=Kind::LAST {
        let mut tens = BTreeMap::<(i64, i64), Cell>::new();
        let mut rows = seconds.query(params![kind, from, to])?;
        while let Some(row) = rows.next()? {
            let bucket: i64 = row.get(0)?;
            let cell = tens.entry((bucket - bucket.rem_euclid(LEVELS[1]), row.get(1)?)).or_default();
            add(cell, row.get_ref(2)?.as_blob()?);
        }
        let mut finer = tens;
        for (level, width) in LEVELS.iter().enumerate().skip(1) {
            let mut wider = BTreeMap::<(i64, i64), Cell>::new();
            for ((bucket, series), cell) in &finer {
                wider.entry((bucket - bucket.rem_euclid(*width), *series)).or_default().merge(cell);
            }
            for ((bucket, series), cell) in &wider {
                cells.write([level as i64, kind, *bucket, *series], cell)?;
            }
            finer = wider;
        }
    }
    Ok(())
}

fn collect(
    conn: &Connection,
    table: Table,
    from: i64,
    to: i64,
    pending: &mut Pending,
) -> rusqlite::Result<()> {
    scan(conn, table, from, to, into(pending))
}

fn into(pending: &mut Pending) -> impl FnMut(Scanned) {
    |scanned| {
        let of = (scanned.at / 1_000_000, scanned.kind, scanned.key);
        pending.entry(of).or_default().record(&scanned.sample);
    }
}

/// Merges cells of seconds into the finest level, and those before second `coarse`, which the others hold already, into
/// every level.
pub(crate) fn merge(
    conn: &Connection,
    names: &mut Dictionary,
    pending: Pending,
    coarse: i64,
) -> rusqlite::Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    let mut cells = Cells::new(conn)?;
    for ((second, kind, key), cell) in pending {
        let series = names.series(conn, kind, key)?;
        let levels = if second < coarse { LEVELS.len() } else { 1 };
        for (level, width) in LEVELS.iter().enumerate().take(levels) {
            cells.write([level as i64, kind as i64, second - second.rem_euclid(*width), series], &cell)?;
        }
    }
    Ok(())
}

/// Writes cells.
struct Cells<'a> {
    insert: CachedStatement<'a>,
    select: CachedStatement<'a>,
    update: CachedStatement<'a>,
}

impl<'a> Cells<'a> {
    fn new(conn: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: conn.prepare_cached(
                "INSERT OR IGNORE INTO cell (level, kind, bucket, series, data) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            select: conn.prepare_cached(
                "SELECT data FROM cell WHERE level = ?1 AND kind = ?2 AND bucket = ?3 AND series = ?4",
            )?,
            update: conn.prepare_cached(
                "UPDATE cell SET data = ?5 WHERE level = ?1 AND kind = ?2 AND bucket = ?3 AND series = ?4",
            )?,
        })
    }

    /// Writes a cell (level, kind, bucket, series), or adds it to the one that is there.
    fn write(&mut self, at: [i64; 4], cell: &Cell) -> rusqlite::Result<()> {
        let [level, kind, bucket, series] = at;
        if self.insert.execute((level, kind, bucket, series, cell.encode()))? == 1 {
            return Ok(());
        }
        let mut merged = cell.clone();
        self.select.query_row(at, |row| {
            add(&mut merged, row.get_ref(0)?.as_blob()?);
            Ok(())
        })?;
        self.update.execute((level, kind, bucket, series, merged.encode()))?;
        Ok(())
    }
}

/// Adds an encoded cell. One that cannot be read is as good as none.
fn add(cell: &mut Cell, data: &[u8]) {
    let mut merged = cell.clone();
    if merged.merge_encoded(data).is_some() {
        *cell = merged;
    }
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
        [("exception", "event"), ("event", "id"), ("call", "id"), ("executions", "id"), ("link", "id")]
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
