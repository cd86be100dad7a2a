//! Raw rows to samples: what each row adds to which series. Used where rollups are made, and where a window's edges are
//! read; so both see the same.

use std::collections::hash_map::Entry;
use std::ops::Range;

use apm_core::aggregate::Sample;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params, params_from_iter};
use rustc_hash::FxHashMap;

use super::executions;
use super::id::{first_row, row_micros};
use super::insert::Table;
use super::series::{Key, Kind};

/// A sample, the series it belongs to and its time in microseconds.
pub(crate) struct Scanned {
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    pub(crate) at: i64,
    pub(crate) sample: Sample,
}

impl Table {
    /// The table whose rows feed series of `kind`.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Service | Kind::Route | Kind::Outcome | Kind::Exception | Kind::Repeat => Self::Event,
            Kind::Host => Self::Call,
            Kind::Statement | Kind::SqlState | Kind::Site => Self::Query,
            Kind::Edge | Kind::Chain => Self::Link,
        }
    }
}

/// Hands every sample of the rows `from <= id < to` of `table` to `each`.
pub(crate) fn scan(
    conn: &Connection,
    table: Table,
    from: i64,
    to: i64,
    mut each: impl FnMut(Scanned),
) -> rusqlite::Result<()> {
    match table {
        Table::Event => events(conn, from, to, &mut each),
        Table::Call => simple(
            conn,
            "SELECT id, series, failed, duration FROM call WHERE id >= ?1 AND id < ?2",
            from,
            to,
            &mut each,
        ),
        Table::Query => {
            // A row has the time of its first execution, and none later than the end of that one's second.
            let second = row_micros(from) / 1_000_000;
            let rows = [first_row(second * 1_000_000), to];
            let times = row_micros(from)..row_micros(to);
            queries(conn, "id >= ?1 AND id < ?2", &rows, &times, &mut each)
        }
        Table::Link => simple(
            conn,
            "SELECT id, series, failed, duration FROM link WHERE id >= ?1 AND id < ?2",
            from,
            to,
            &mut each,
        ),
    }
}

/// Hands every sample of one row to `each`.
pub(crate) fn scan_row(
    conn: &Connection,
    table: Table,
    row: i64,
    mut each: impl FnMut(Scanned),
) -> rusqlite::Result<()> {
    match table {
        Table::Query => queries(conn, "id = ?1", &[row], &(0..i64::MAX), &mut each),
        Table::Event | Table::Call | Table::Link => scan(conn, table, row, row + 1, each),
    }
}

/// What series are: each is looked up once in a scan. Joined to every row, they took a tenth of a rollup.
struct SeriesOf<'a> {
    look_up: CachedStatement<'a>,
    known: FxHashMap<i64, Option<(i64, Key)>>,
}

impl<'a> SeriesOf<'a> {
    fn new(conn: &'a Connection) -> rusqlite::Result<Self> {
        let look_up = conn.prepare_cached("SELECT kind, a, b, c FROM series WHERE id = ?1")?;
        Ok(Self { look_up, known: FxHashMap::default() })
    }

    /// Number of the kind, and the key. `None` where the store has no such series.
    fn get(&mut self, series: i64) -> rusqlite::Result<Option<(i64, Key)>> {
        Ok(match self.known.entry(series) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let read = |row: &Row<'_>| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?]));
                *unknown.insert(self.look_up.query_row([series], read).optional()?)
            }
        })
    }
}

fn events(conn: &Connection, from: i64, to: i64, each: &mut impl FnMut(Scanned)) -> rusqlite::Result<()> {
    let mut routes = SeriesOf::new(conn)?;
    let mut statement = conn.prepare_cached(
        "SELECT id, series, failed, status, duration, error, db_queries, db_time, calls, call_time, db_slow IS NOT NULL,
            n_plus_one
         FROM event WHERE id >= ?1 AND id < ?2",
    )?;
    let mut rows = statement.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let series: i64 = row.get(1)?;
        let Some((_, route)) = routes.get(series)? else { continue };
        let failed: bool = row.get(2)?;
        let sample = Sample {
            duration: row.get::<_, i64>(4)?.cast_unsigned(),
            failed,
            rows: 0,
            db_queries: unsigned(row.get(6)?),
            db_time: unsigned(row.get(7)?),
            calls: unsigned(row.get(8)?),
            call_time: unsigned(row.get(9)?),
            worst_db_row: row.get::<_, bool>(10)?.then_some(id),
        };
        let at = row_micros(id);
        each(Scanned { kind: Kind::Service, key: [route[0], 0, 0], at, sample });
        each(Scanned { kind: Kind::Route, key: route, at, sample });
        if let Some(fingerprint) = row.get(11)? {
            // The time that counts is the time in the database; the sample is always worth showing.
            let duration = sample.db_time.unwrap_or(0);
            let sample =
                Sample { duration, db_time: Some(duration), worst_db_row: Some(id), ..Sample::default() };
            each(Scanned { kind: Kind::Repeat, key: [series, fingerprint, 0], at, sample });
        }
        if failed {
            let key = [series, row.get(3)?, row.get::<_, Option<i64>>(5)?.unwrap_or(0)];
            each(Scanned { kind: Kind::Outcome, key, at, sample });
        }
    }
    let mut statement = conn.prepare_cached(
        "SELECT event, series, fingerprint FROM exception
         WHERE event >= ?1 AND event < ?2 AND fingerprint IS NOT NULL",
    )?;
    let mut rows = statement.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let at = row_micros(row.get(0)?);
        let sample = Sample { duration: at.cast_unsigned(), ..Sample::default() };
        each(Scanned { kind: Kind::Exception, key: [row.get(1)?, row.get(2)?, 0], at, sample });
    }
    Ok(())
}

/// Rows as (id, series, failed, duration).
fn simple(
    conn: &Connection,
    sql: &str,
    from: i64,
    to: i64,
    each: &mut impl FnMut(Scanned),
) -> rusqlite::Result<()> {
    let mut series = SeriesOf::new(conn)?;
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let Some((kind, key)) = series.get(row.get(1)?)? else { continue };
        let kind = match kind {
            k if k == Kind::Host as i64 => Kind::Host,
            k if k == Kind::Edge as i64 => Kind::Edge,
            _ => Kind::Chain,
        };
        let duration = row.get::<_, i64>(3)?.cast_unsigned();
        let sample = Sample { duration, failed: row.get(2)?, ..Sample::default() };
        each(Scanned { kind, key, at: row_micros(row.get(0)?), sample });
    }
    Ok(())
}

/// Executions that ended within `times` (microseconds), of the rows that `which` finds.
fn queries(
    conn: &Connection,
    which: &str,
    rows: &[i64],
    times: &Range<i64>,
    each: &mut impl FnMut(Scanned),
) -> rusqlite::Result<()> {
    let mut statements = SeriesOf::new(conn)?;
    let sql = format!("SELECT data FROM executions WHERE {which}");
    executions::read(conn, &sql, params_from_iter(rows), |execution| {
        let at = execution.ended.cast_signed();
        if !times.contains(&at) {
            return Ok(());
        }
        let series = execution.series.cast_signed();
        let Some((_, of_series)) = statements.get(series)? else { return Ok(()) };
        let sample = Sample {
            duration: execution.duration,
            failed: execution.failed,
            rows: execution.rows.unwrap_or(0),
            ..Sample::default()
        };
        each(Scanned { kind: Kind::Statement, key: of_series, at, sample });
        if execution.failed {
            let code =
                [execution.error_code, execution.error].into_iter().find(|name| *name > 0).unwrap_or(0);
            each(Scanned { kind: Kind::SqlState, key: [series, code.cast_signed(), 0], at, sample });
        }
        if execution.call_site > 0 {
            let key = [series, execution.call_site.cast_signed(), 0];
            each(Scanned { kind: Kind::Site, key, at, sample });
        }
        Ok(())
    })
}

fn unsigned(value: Option<i64>) -> Option<u64> {
    value.map(|value| value.max(0).cast_unsigned())
}
