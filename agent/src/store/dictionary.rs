//! Texts and series to numbers, on the writer's side.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::series::{Key, Kind};

/// Texts kept in memory; beyond this the memory is emptied and fills again from the file.
const CACHED: usize = 20_000;

/// Texts in the store. What would exceed it is stored as [`OTHER`].
const MAX_NAMES: i64 = 200_000;

/// Series of one kind in the store. What would exceed it is counted in the series of [`OTHER`].
const MAX_SERIES: i64 = 20_000;

/// What stands for texts beyond the caps.
pub(crate) const OTHER: &str = "{other}";

/// Longest text of `name`, bytes.
const MAX_TEXT: usize = 4096;

/// A statement as the dictionary needs it.
pub(crate) struct Statement<'a> {
    pub(crate) system: &'a str,
    pub(crate) fingerprint: u64,
    pub(crate) text: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) table: Option<&'a str>,
    pub(crate) is_control: bool,
}

/// The numbers of texts, series and statements. After a transaction was rolled back, [`Self::forget`] it all: numbers
/// given out in it are not in the file.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    /// Days since 1970: what is used is marked with the day, so that the rest can be deleted one day.
    today: i64,
    names: HashMap<Box<str>, i64>,
    series: HashMap<(Kind, Key), i64>,
    statements: HashMap<(i64, u64), i64>,
    name_count: Option<i64>,
    series_counts: HashMap<Kind, i64>,
}

impl Dictionary {
    /// Empties the memory.
    pub(crate) fn forget(&mut self) {
        *self = Self { today: self.today, ..Self::default() };
    }

    /// Tells the day; with a new one the memory is emptied, so that each use is marked anew.
    pub(crate) fn set_day(&mut self, day: i64) {
        if self.today != day {
            self.today = day;
            self.forget();
        }
    }

    /// The number of a text, which is stored if it is new.
    pub(crate) fn name(&mut self, conn: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(text) {
            return Ok(*id);
        }
        let text = cut(text, MAX_TEXT);
        let id = conn
            .prepare_cached("UPDATE name SET used = ?2 WHERE text = ?1 RETURNING id")?
            .query_row(params![text, self.today], |row| row.get(0))
            .optional()?;
        let id = match id {
            Some(id) => id,
            None => {
                let count = match self.name_count {
                    Some(count) => count,
                    None => conn.query_row("SELECT count(*) FROM name", [], |row| row.get(0))?,
                };
                self.name_count = Some(count + 1);
                if count >= MAX_NAMES && text != OTHER {
                    return self.name(conn, OTHER);
                }
                conn.prepare_cached("INSERT INTO name (text, used) VALUES (?1, ?2)")?
                    .insert(params![text, self.today])?
            }
        };
        if self.names.len() >= CACHED {
            self.names.clear();
        }
        self.names.insert(text.into(), id);
        Ok(id)
    }

    /// The number of a text that may be missing.
    pub(crate) fn optional(
        &mut self,
        conn: &Connection,
        text: Option<&str>,
    ) -> rusqlite::Result<Option<i64>> {
        text.map(|text| self.name(conn, text)).transpose()
    }

    /// The number of a series, which is stored if it is new.
    pub(crate) fn series(&mut self, conn: &Connection, kind: Kind, key: Key) -> rusqlite::Result<i64> {
        if let Some(id) = self.series.get(&(kind, key)) {
            return Ok(*id);
        }
        let [a, b, c] = key;
        let id = conn
            .prepare_cached(
                "UPDATE series SET used = ?5 WHERE kind = ?1 AND a = ?2 AND b = ?3 AND c = ?4 RETURNING id",
            )?
            .query_row(params![kind as i64, a, b, c, self.today], |row| row.get(0))
            .optional()?;
        let id = match id {
            Some(id) => id,
            None => {
                let known = match self.series_counts.get(&kind) {
                    Some(count) => *count,
                    None => {
                        conn.query_row("SELECT count(*) FROM series WHERE kind = ?1", [kind as i64], |row| {
                            row.get(0)
                        })?
                    }
                };
                self.series_counts.insert(kind, known + 1);
                if known >= MAX_SERIES {
                    let other = self.overflow(conn, kind, key)?;
                    if other != key {
                        return self.series(conn, kind, other);
                    }
                }
                conn.prepare_cached("INSERT INTO series (kind, a, b, c, used) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .insert(params![kind as i64, a, b, c, self.today])?
            }
        };
        if self.series.len() >= CACHED {
            self.series.clear();
        }
        self.series.insert((kind, key), id);
        Ok(id)
    }

    /// The series that takes what finds no room in its kind.
    fn overflow(&mut self, conn: &Connection, kind: Kind, [a, b, c]: Key) -> rusqlite::Result<Key> {
        let other = self.name(conn, OTHER)?;
        Ok(match kind {
            Kind::Service => [other, 0, 0],
            Kind::Route => [a, other, other],
            Kind::Host | Kind::Edge => [a, other, 0],
            Kind::Chain => [a, a, 0],
            Kind::Statement => [
                a,
                self.statement(
                    conn,
                    &Statement {
                        system: OTHER,
                        fingerprint: 0,
                        text: OTHER,
                        operation: OTHER,
                        table: None,
                        is_control: false,
                    },
                )?,
                0,
            ],
            Kind::Exception | Kind::SqlState | Kind::Site => [a, other, 0],
            Kind::Repeat => [a, 0, 0],
            Kind::Outcome => [a, b, if c == 0 { 0 } else { other }],
        })
    }

    /// The series of a route.
    pub(crate) fn route(
        &mut self,
        conn: &Connection,
        service: &str,
        method: &str,
        route: &str,
    ) -> rusqlite::Result<i64> {
        let key = [self.name(conn, service)?, self.name(conn, method)?, self.name(conn, route)?];
        self.series(conn, Kind::Route, key)
    }

    /// The number of a statement, which is stored if it is new.
    pub(crate) fn statement(
        &mut self,
        conn: &Connection,
        statement: &Statement<'_>,
    ) -> rusqlite::Result<i64> {
        let system = self.name(conn, statement.system)?;
        let key = (system, statement.fingerprint);
        if let Some(id) = self.statements.get(&key) {
            return Ok(*id);
        }
        let operation = self.name(conn, statement.operation)?;
        let table = self.optional(conn, statement.table)?;
        let id = conn
            .prepare_cached(
                "INSERT INTO statement (system, fingerprint, text, operation, target, control, used)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (system, fingerprint) DO UPDATE SET used = excluded.used RETURNING id",
            )?
            .query_row(
                params![
                    system,
                    statement.fingerprint.cast_signed(),
                    statement.text,
                    operation,
                    table,
                    statement.is_control,
                    self.today
                ],
                |row| row.get(0),
            )?;
        if self.statements.len() >= CACHED {
            self.statements.clear();
        }
        self.statements.insert(key, id);
        Ok(id)
    }
}

/// `text` cut to at most `max` bytes, at a character boundary.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
