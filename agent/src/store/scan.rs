//! Raw rows to samples: what each row adds to which series. Used where rollups are made, and where a window's edges are
//! read; so both see the same.

use apm_core::aggregate::Sample;
use rusqlite::{Connection, params};

use super::id::row_micros;
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
            "SELECT r.id, s.kind, s.a, s.b, s.c, r.failed, r.duration, 0, NULL, r.series, NULL FROM call r
             JOIN series s ON s.id = r.series WHERE r.id >= ?1 AND r.id < ?2",
            from,
            to,
            &mut each,
        ),
        Table::Query => simple(
            conn,
            "SELECT r.id, s.kind, s.a, s.b, s.c, r.failed, r.duration, coalesce(r.row_count, 0),
                coalesce(r.error_code, r.error, 0), r.series, r.call_site
             FROM query r JOIN series s ON s.id = r.series WHERE r.id >= ?1 AND r.id < ?2",
            from,
            to,
            &mut each,
        ),
        Table::Link => simple(
            conn,
            "SELECT r.id, s.kind, s.a, s.b, s.c, r.failed, r.duration, 0, NULL, r.series, NULL FROM link r
             JOIN series s ON s.id = r.series WHERE r.id >= ?1 AND r.id < ?2",
            from,
            to,
            &mut each,
        ),
    }
}

fn events(conn: &Connection, from: i64, to: i64, each: &mut impl FnMut(Scanned)) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT e.id, e.series, s.a, s.b, s.c, e.failed, e.status, e.duration, e.error, e.db_queries, e.db_time,
            e.calls, e.call_time, e.db_slow IS NOT NULL, e.n_plus_one
         FROM event e JOIN series s ON s.id = e.series WHERE e.id >= ?1 AND e.id < ?2",
    )?;
    let mut rows = statement.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let series: i64 = row.get(1)?;
        let service: i64 = row.get(2)?;
        let failed: bool = row.get(5)?;
        let sample = Sample {
            duration: row.get::<_, i64>(7)?.cast_unsigned(),
            failed,
            rows: 0,
            db_queries: unsigned(row.get(9)?),
            db_time: unsigned(row.get(10)?),
            calls: unsigned(row.get(11)?),
            call_time: unsigned(row.get(12)?),
            worst_db_row: row.get::<_, bool>(13)?.then_some(id),
        };
        let at = row_micros(id);
        each(Scanned { kind: Kind::Service, key: [service, 0, 0], at, sample });
        each(Scanned { kind: Kind::Route, key: [service, row.get(3)?, row.get(4)?], at, sample });
        if let Some(fingerprint) = row.get(14)? {
            // The time that counts is the time in the database; the sample is always worth showing.
            let duration = sample.db_time.unwrap_or(0);
            let sample =
                Sample { duration, db_time: Some(duration), worst_db_row: Some(id), ..Sample::default() };
            each(Scanned { kind: Kind::Repeat, key: [series, fingerprint, 0], at, sample });
        }
        if failed {
            let key = [series, row.get(6)?, row.get::<_, Option<i64>>(8)?.unwrap_or(0)];
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

/// Rows as (id, kind, a, b, c, failed, duration, rows, error or NULL, series, call site or NULL).
fn simple(
    conn: &Connection,
    sql: &str,
    from: i64,
    to: i64,
    each: &mut impl FnMut(Scanned),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let at = row_micros(row.get(0)?);
        let kind = match row.get::<_, i64>(1)? {
            k if k == Kind::Host as i64 => Kind::Host,
            k if k == Kind::Edge as i64 => Kind::Edge,
            k if k == Kind::Chain as i64 => Kind::Chain,
            _ => Kind::Statement,
        };
        let failed = row.get(5)?;
        let sample = Sample {
            duration: row.get::<_, i64>(6)?.cast_unsigned(),
            failed,
            rows: row.get::<_, i64>(7)?.cast_unsigned(),
            ..Sample::default()
        };
        each(Scanned { kind, key: [row.get(2)?, row.get(3)?, row.get(4)?], at, sample });
        if failed && let Some(code) = row.get::<_, Option<i64>>(8)? {
            each(Scanned { kind: Kind::SqlState, key: [row.get(9)?, code, 0], at, sample });
        }
        if let Some(site) = row.get::<_, Option<i64>>(10)? {
            each(Scanned { kind: Kind::Site, key: [row.get(9)?, site, 0], at, sample });
        }
    }
    Ok(())
}

fn unsigned(value: Option<i64>) -> Option<u64> {
    value.map(|value| value.max(0).cast_unsigned())
}
