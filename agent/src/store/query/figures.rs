//! The figures of a window: cells where whole buckets lie in it, raw rows for the rest.

use std::collections::HashMap;

use apm_core::aggregate::{Cell, LEVELS, Span, plan};
use rusqlite::{OptionalExtension, params};

use crate::store::id::{first_row, micros};
use crate::store::insert::Table;
use crate::store::reader::Snapshot;
use crate::store::rollup::{floors, rolled};
use crate::store::scan::scan;
use crate::store::series::{Key, Kind};

/// Series of a kind by number.
pub(crate) type Series = HashMap<i64, Key>;

/// Figures by series.
pub(crate) type Figures = HashMap<Key, Cell>;

impl Snapshot<'_> {
    /// The window's start, microseconds.
    pub(crate) fn start(&self, seconds: u32) -> i64 {
        micros(self.now - f64::from(seconds))
    }

    /// The spans that cover the last `seconds`.
    pub(crate) fn spans(&self, seconds: u32, coarsest: usize) -> rusqlite::Result<Vec<Span>> {
        Ok(plan(self.start(seconds), rolled(self.conn)?, &floors(self.conn)?, coarsest))
    }

    /// Figures of the last `seconds` of all series of `kind` that `wanted` lets through.
    pub(crate) fn figures(
        &self,
        kind: Kind,
        seconds: u32,
        wanted: impl Fn(&Key) -> bool,
    ) -> rusqlite::Result<Figures> {
        let mut figures = Figures::new();
        self.visit(kind, seconds, LEVELS.len() - 1, wanted, |_, key, part| {
            let cell = figures.entry(key).or_default();
            match part {
                Part::Cell(data) => {
                    let _ = cell.merge_encoded(data);
                }
                Part::Row(sample) => cell.record(sample),
            }
        })?;
        Ok(figures)
    }

    /// Hands the parts of the window to `each`, with the second they begin at. No bucket is wider than level `coarsest`.
    pub(crate) fn visit(
        &self,
        kind: Kind,
        seconds: u32,
        coarsest: usize,
        wanted: impl Fn(&Key) -> bool,
        mut each: impl FnMut(i64, Key, Part<'_>),
    ) -> rusqlite::Result<()> {
        let series = self.series(kind, &wanted)?;
        for span in self.spans(seconds, coarsest)? {
            match span {
                Span::Raw { from, to } => {
                    scan(self.conn, Table::of(kind), first_row(from), first_row(to), |scanned| {
                        if scanned.kind == kind && wanted(&scanned.key) {
                            each(scanned.at / 1_000_000, scanned.key, Part::Row(&scanned.sample));
                        }
                    })?;
                }
                Span::Buckets { level, from, to } => {
                    let mut cells = self.conn.prepare_cached(
                        "SELECT bucket, series, data FROM cell
                         WHERE level = ?1 AND kind = ?2 AND bucket >= ?3 AND bucket < ?4",
                    )?;
                    let mut rows = cells.query(params![level, kind as i64, from, to])?;
                    while let Some(row) = rows.next()? {
                        if let Some(key) = series.get(&row.get(1)?) {
                            each(row.get(0)?, *key, Part::Cell(row.get_ref(2)?.as_blob()?));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The series of a kind that `wanted` lets through.
    pub(crate) fn series(&self, kind: Kind, wanted: impl Fn(&Key) -> bool) -> rusqlite::Result<Series> {
        let mut statement = self.conn.prepare_cached("SELECT id, a, b, c FROM series WHERE kind = ?1")?;
        let mut rows = statement.query([kind as i64])?;
        let mut series = Series::new();
        while let Some(row) = rows.next()? {
            let key = [row.get(1)?, row.get(2)?, row.get(3)?];
            if wanted(&key) {
                series.insert(row.get(0)?, key);
            }
        }
        Ok(series)
    }

    /// The number of a text; `None` when it was never stored.
    pub(crate) fn id_of(&self, text: &str) -> rusqlite::Result<Option<i64>> {
        self.conn
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()
    }

    /// The text of a number.
    pub(crate) fn text(&self, id: i64) -> rusqlite::Result<String> {
        let text = self
            .conn
            .prepare_cached("SELECT text FROM name WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(text.unwrap_or_default())
    }

    /// Which service a question is about.
    pub(crate) fn service(&self, service: Option<&str>) -> rusqlite::Result<Service> {
        Ok(match service {
            None | Some("") => Service::Any,
            Some(service) => self.id_of(service)?.map_or(Service::Unknown, Service::One),
        })
    }
}

/// A part of a window: an encoded cell or one row.
pub(crate) enum Part<'a> {
    Cell(&'a [u8]),
    Row(&'a apm_core::aggregate::Sample),
}

/// Which service a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// All.
    Any,
    /// The one with this number.
    One(i64),
    /// One that was never seen.
    Unknown,
}

impl Service {
    /// Is the question about the service with this number?
    pub(crate) fn takes(self, id: i64) -> bool {
        match self {
            Self::Any => true,
            Self::One(wanted) => wanted == id,
            Self::Unknown => false,
        }
    }
}

/// `part / whole`, 0 when there is no whole.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
