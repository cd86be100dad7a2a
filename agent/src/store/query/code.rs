//! `/api/code`

use rusqlite::params;
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use crate::store::id::{micros, seconds};
use crate::store::{ReadError, Reader};

/// A line of the application that was seen at work.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CodePlace {
    /// Service that ran it.
    pub service: String,
    /// File, as Python names it.
    pub file: String,
    /// Line.
    pub line: u32,
    /// Function, qualified by its class from Python 3.11 on.
    pub function: String,
    /// When it was first seen, Unix seconds.
    pub first_seen: f64,
    /// When it was last seen, Unix seconds.
    pub last_seen: f64,
    /// How often, since it was first seen.
    pub count: u64,
    /// Queries it made.
    pub queries: u64,
    /// Outgoing calls it made.
    pub calls: u64,
    /// Requests that failed by an exception that left it first of all the application's code.
    pub exceptions: u64,
}

impl Reader {
    /// Code that was seen in the window, most often first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn code(&self, scope: &Scope, limit: usize) -> Result<Vec<CodePlace>, ReadError> {
        self.read(|snapshot| {
            let mut statement = snapshot.conn.prepare_cached(
                "SELECT service, file, line, function, first, last, queries, calls, exceptions FROM code
                 WHERE last >= ?1 AND (?2 IS NULL OR service = ?2)
                 ORDER BY queries + calls + exceptions DESC, service, file, line LIMIT ?3",
            )?;
            let from = micros(snapshot.now - f64::from(scope.seconds));
            let rows = statement.query_map(params![from, scope.service, limit], |row| {
                let (queries, calls, exceptions): (u64, u64, u64) = (row.get(6)?, row.get(7)?, row.get(8)?);
                Ok(CodePlace {
                    service: row.get(0)?,
                    file: row.get(1)?,
                    line: row.get(2)?,
                    function: row.get(3)?,
                    first_seen: seconds(row.get(4)?),
                    last_seen: seconds(row.get(5)?),
                    count: queries + calls + exceptions,
                    queries,
                    calls,
                    exceptions,
                })
            })?;
            rows.collect()
        })
    }
}
