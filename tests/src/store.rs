//! The agent's store as the tests read it: by SQL, with what it holds packed laid out.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use apm_core::executions::unpack;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params};

/// Opens the store's file to be read.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("cannot open {}", path.display()))?;
    store.busy_timeout(Duration::from_secs(5))?;
    Ok(store)
}

/// Makes a temporary table `query` of the executions of statements in the store, a row each in the order of their end. Texts
/// are numbers of table `name`, NULL where there is none.
pub(crate) fn lay_out_queries(store: &Connection) -> Result<()> {
    let all = store.unchecked_transaction()?;
    all.execute_batch(
        "DROP TABLE IF EXISTS temp.query;
         CREATE TEMP TABLE query (ended, request_id, series, duration, tls, row_count, call_site, link, tx_state, server,
            database, user, error_code, severity, error);",
    )?;
    {
        let mut packed = all.prepare("SELECT request_id, data FROM executions")?;
        let mut insert = all.prepare(
            "INSERT INTO query VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?;
        let mut rows = packed.query([])?;
        while let Some(row) = rows.next()? {
            let request: Value = row.get(0)?;
            for e in unpack(row.get_ref(1)?.as_blob()?) {
                let name = |number: u64| (number > 0).then_some(number);
                insert.execute(params![
                    e.ended,
                    request,
                    e.series,
                    e.duration,
                    e.tls,
                    e.rows,
                    name(e.call_site),
                    name(e.link),
                    name(e.transaction),
                    name(e.server),
                    name(e.database),
                    name(e.user),
                    name(e.error_code),
                    name(e.severity),
                    name(e.error),
                ])?;
            }
        }
    }
    all.commit()?;
    Ok(())
}
