//! Texts and series to numbers, on the writer's side.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

use super::series::{Key, Kind};

/// Texts kept in memory; beyond this the memory is emptied and fills again from the file.
const CACHED: usize = 20_000;

/// Texts in the store. What would exceed it is stored as [`OTHER`].
const MAX_NAMES: i64 = 200_000;

/// Texts in the store up to which one that a client may choose freely is taken: what the application itself names keeps room.
const MAX_FROM_CLIENTS: i64 = MAX_NAMES / 2;

/// Longest text that a client may choose freely, bytes.
const MAX_FROM_CLIENT: usize = 512;

/// Hosts that are told apart between two routes. Clients choose the name that they ask for.
const MAX_ASKED: usize = 16;

/// Statements in the store. What would exceed it is counted as [`OTHER`].
const MAX_STATEMENTS: i64 = 50_000;

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

impl Statement<'static> {
    /// What stands for statements beyond the caps.
    const OTHER: Self =
        Self { system: OTHER, fingerprint: 0, text: OTHER, operation: OTHER, table: None, is_control: false };
}

/// The numbers of texts, series and statements. After a transaction was rolled back, [`Self::forget`] it all: numbers
/// given out in it are not in the file.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    /// Days since 1970: what is used is marked with the day, so that the rest can be deleted one day.
    today: i64,
    names: HashMap<Box<str>, i64>,
    series: FxHashMap<(Kind, Key), i64>,
    statements: HashMap<(i64, u64), i64>,
    /// Hosts by which a route asks for another.
    asked: HashMap<(i64, i64), Vec<i64>>,
    name_count: Option<i64>,
    statement_count: Option<i64>,
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
        self.name_up_to(conn, cut(text, MAX_TEXT), MAX_NAMES)
    }

    /// The number of a text that a client may choose freely, as its `User-Agent`.
    pub(crate) fn client_text(
        &mut self,
        conn: &Connection,
        text: Option<&str>,
    ) -> rusqlite::Result<Option<i64>> {
        text.map(|text| self.name_up_to(conn, cut(text, MAX_FROM_CLIENT), MAX_FROM_CLIENTS)).transpose()
    }

    fn name_up_to(&mut self, conn: &Connection, text: &str, most: i64) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(text) {
            return Ok(*id);
        }
        let id = conn
            .prepare_cached("UPDATE name SET used = ?2 WHERE text = ?1 RETURNING id")?
            .query_row(params![text, self.today], |row| row.get(0))
            .optional()?;
        let id = match id {
            Some(id) => id,
            None => {
                let count = counted(conn, self.name_count, "name")?;
                self.name_count = Some(count);
                if count >= most && text != OTHER {
                    return self.name(conn, OTHER);
                }
                self.name_count = Some(count + 1);
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
                self.series_counts.insert(kind, known);
                if known >= MAX_SERIES {
                    let other = self.overflow(conn, kind, key)?;
                    if other != key {
                        return self.series(conn, kind, other);
                    }
                }
                self.series_counts.insert(kind, known + 1);
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
            // Without the host; where that finds no room either, a route that stands for all others.
            Kind::Chain if c != 0 => [a, b, 0],
            Kind::Chain => [a, self.route(conn, OTHER, OTHER, OTHER)?, 0],
            Kind::Statement => [a, self.statement(conn, &Statement::OTHER)?, 0],
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

    /// The series of a route that asks for another, by a host if that is known.
    pub(crate) fn chain(
        &mut self,
        conn: &Connection,
        caller: i64,
        callee: i64,
        host: Option<&str>,
    ) -> rusqlite::Result<i64> {
        let mut host = self.client_text(conn, host)?.unwrap_or(0);
        if self.asked.len() >= CACHED {
            self.asked.clear();
        }
        let asked = self.asked.entry((caller, callee)).or_default();
        if !asked.contains(&host) {
            if asked.len() < MAX_ASKED {
                asked.push(host);
            } else {
                host = 0;
            }
        }
        self.series(conn, Kind::Chain, [caller, callee, host])
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
        // The texts of one that is known are used, too.
        let operation = self.name(conn, statement.operation)?;
        let table = self.optional(conn, statement.table)?;
        let fingerprint = statement.fingerprint.cast_signed();
        let id = conn
            .prepare_cached(
                "UPDATE statement SET used = ?3 WHERE system = ?1 AND fingerprint = ?2 RETURNING id",
            )?
            .query_row(params![system, fingerprint, self.today], |row| row.get(0))
            .optional()?;
        let id = match id {
            Some(id) => id,
            None => {
                let count = counted(conn, self.statement_count, "statement")?;
                self.statement_count = Some(count);
                if count >= MAX_STATEMENTS && statement.text != OTHER {
                    return self.statement(conn, &Statement::OTHER);
                }
                self.statement_count = Some(count + 1);
                conn.prepare_cached(
                    "INSERT INTO statement (system, fingerprint, text, operation, target, control, used)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .insert(params![
                    system,
                    fingerprint,
                    statement.text,
                    operation,
                    table,
                    statement.is_control,
                    self.today
                ])?
            }
        };
        if self.statements.len() >= CACHED {
            self.statements.clear();
        }
        self.statements.insert(key, id);
        Ok(id)
    }
}

/// Rows of a table, which are counted once.
fn counted(conn: &Connection, known: Option<i64>, table: &str) -> rusqlite::Result<i64> {
    known.map_or_else(|| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)), Ok)
}

/// `text` cut to at most `max` bytes, at a character boundary.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        conn
    }

    #[test]
    fn texts_of_clients_leave_room_for_those_of_the_application() {
        let conn = store();
        let mut names = Dictionary::default();
        let known = names.client_text(&conn, Some("curl/8")).unwrap();
        conn.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO name (text, used) SELECT 'n' || i, 0 FROM n",
            [MAX_FROM_CLIENTS],
        )
        .unwrap();
        names.forget();
        let other = names.name(&conn, OTHER).unwrap();
        assert_eq!(names.client_text(&conn, Some("made up")).unwrap(), Some(other));
        assert_eq!(names.client_text(&conn, Some("curl/8")).unwrap(), known);
        assert!(![other, 0].contains(&names.name(&conn, "/route").unwrap()));
    }

    #[test]
    fn hosts_that_clients_make_up_do_not_multiply_the_chains() {
        let conn = store();
        let mut names = Dictionary::default();
        let series: std::collections::HashSet<i64> =
            (0..100).map(|n| names.chain(&conn, 1, 2, Some(&format!("h{n}"))).unwrap()).collect();
        assert_eq!(series.len(), MAX_ASKED + 1);
        assert!(series.contains(&names.chain(&conn, 1, 2, None).unwrap()), "the rest is by no host");
        assert!(!series.contains(&names.chain(&conn, 1, 3, Some("h1")).unwrap()));
    }

    #[test]
    fn what_finds_no_room_is_counted_as_other() {
        let conn = store();
        let mut names = Dictionary::default();
        conn.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO series (kind, a, b, c, used) SELECT ?2, -1, i, 0, 0 FROM n",
            [MAX_SERIES, Kind::Chain as i64],
        )
        .unwrap();
        let chain = names.chain(&conn, 1, 2, Some("h")).unwrap();
        assert_eq!(chain, names.chain(&conn, 1, 2, None).unwrap());
        assert_ne!(chain, names.chain(&conn, 3, 2, None).unwrap());
        conn.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO statement (system, fingerprint, text, operation, control, used) SELECT -1, i, '', 0, 0, 0 FROM n",
            [MAX_STATEMENTS],
        )
        .unwrap();
        let of = |fingerprint| Statement { fingerprint, text: "SELECT 1", ..Statement::OTHER };
        let other = names.statement(&conn, &of(7)).unwrap();
        assert_eq!(other, names.statement(&conn, &of(8)).unwrap());
        let text: String =
            conn.query_row("SELECT text FROM statement WHERE id = ?1", [other], |row| row.get(0)).unwrap();
        assert_eq!(text, OTHER);
    }
}
