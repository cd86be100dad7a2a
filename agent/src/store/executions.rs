//! Executions of statements to rows and back: those of one request that ended within one second share a row.

use std::collections::HashMap;

use apm_core::executions::{Execution, MOST, pack, unpack};
use apm_core::record::Query;
use rusqlite::{Connection, Transaction, params};

use super::dictionary::{Dictionary, Statement};
use super::id::{self, RowIds, micros, nanos, row_micros};
use super::insert::{INSERT_REF, packed, query_failed, reference, row, target};
use super::series::Kind;

const INSERT: &str = "INSERT INTO executions (id, request_id, data) VALUES (?1, ?2, ?3)";

/// The executions of a batch. `'q` is that of its queries.
#[derive(Default)]
pub(crate) struct Batch<'q> {
    /// By second and request.
    rows: HashMap<(u64, Option<&'q str>), Vec<Execution>>,
    /// Most of a query's texts are those of the one before, and need not be looked up.
    last: Option<(&'q Query, Execution)>,
}

impl<'q> Batch<'q> {
    /// Adds a query.
    pub(crate) fn add(
        &mut self,
        conn: &Connection,
        names: &mut Dictionary,
        query: &'q Query,
    ) -> rusqlite::Result<()> {
        let series = match &self.last {
            Some((last, of_last)) if is_same_statement(last, query) => of_last.series,
            _ => series(conn, names, query)?,
        };
        let mut name = |text: fn(&Query) -> Option<&str>, known: fn(&Execution) -> u64| match &self.last {
            Some((last, of_last)) if text(last) == text(query) => Ok(known(of_last)),
            _ => names.optional(conn, text(query)).map(|name| name.map_or(0, i64::cast_unsigned)),
        };
        let execution = Execution {
            ended: micros(query.ts).cast_unsigned(),
            duration: nanos(query.duration_ms).cast_unsigned(),
            series,
            rows: query.rows,
            call_site: name(|q| q.call_site.as_deref(), |e| e.call_site)?,
            link: name(|q| q.link, |e| e.link)?,
            transaction: name(|q| q.transaction, |e| e.transaction)?,
            failed: query_failed(query),
            tls: query.tls,
            pid: query.pid,
            server: name(|q| q.server.as_deref(), |e| e.server)?,
            database: name(|q| q.database.as_deref(), |e| e.database)?,
            user: name(|q| q.user.as_deref(), |e| e.user)?,
            error_code: name(|q| q.error_code.as_deref(), |e| e.error_code)?,
            severity: name(|q| q.severity.as_deref(), |e| e.severity)?,
            error: name(|q| q.error.as_deref(), |e| e.error)?,
        };
        let of = (execution.ended / 1_000_000, query.source_request_id.as_deref());
        self.rows.entry(of).or_default().push(execution);
        self.last = Some((query, execution));
        Ok(())
    }

    /// What makes a row each, in the order of time, with the request that caused it.
    pub(crate) fn into_rows(self) -> Vec<(Option<&'q str>, Vec<Execution>)> {
        let mut rows: Vec<_> = self
            .rows
            .into_iter()
            .flat_map(|((_, request), executions)| {
                executions.chunks(MOST).map(|chunk| (request, chunk.to_vec())).collect::<Vec<_>>()
            })
            .collect();
        rows.sort_by_key(|(_, executions)| executions[0].ended);
        rows
    }
}

/// Inserts a row, and puts its executions in the order of their end.
pub(crate) fn insert(
    conn: &Connection,
    ids: &mut RowIds,
    request_id: Option<&str>,
    executions: &mut [Execution],
) -> rusqlite::Result<i64> {
    let data = pack(executions);
    let first = executions.first().map_or(0, |execution| execution.ended);
    let mut insert = conn.prepare_cached(INSERT)?;
    row(ids, first.cast_signed(), |id| insert.execute(params![id, packed(request_id), data]))
}

fn is_same_statement(a: &Query, b: &Query) -> bool {
    a.statement.fingerprint == b.statement.fingerprint && a.system == b.system && a.service == b.service
}

fn series(conn: &Connection, names: &mut Dictionary, query: &Query) -> rusqlite::Result<u64> {
    let statement = Statement {
        system: query.system,
        fingerprint: query.statement.fingerprint,
        text: &query.statement.text,
        operation: &query.statement.operation,
        table: query.statement.table.as_deref(),
        is_control: query.statement.is_transaction_control,
    };
    let key = [names.name(conn, &query.service)?, names.statement(conn, &statement)?, 0];
    names.series(conn, Kind::Statement, key).map(i64::cast_unsigned)
}

/// The executions of one second by request.
type Rows = HashMap<Option<String>, Vec<Execution>>;

/// Moves what versions up to 6 kept as a row for each execution.
pub(crate) fn migrate(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM ref WHERE target = ?1", [target::QUERY])?;
    let mut ids = RowIds::default();
    let mut refer = tx.prepare(INSERT_REF)?;
    let mut write = |rows: Rows| -> rusqlite::Result<()> {
        for (request, executions) in rows {
            for executions in executions.chunks(MOST) {
                let id = insert(tx, &mut ids, request.as_deref(), &mut executions.to_vec())?;
                if let Some(request) = &request {
                    refer.execute(reference(target::QUERY, id, request))?;
                }
            }
        }
        Ok(())
    };
    let mut old = tx.prepare(
        "SELECT id, duration, series, row_count, call_site, link, tx_state, failed, tls, pid, server, database, user,
            error_code, severity, error, request_id FROM query ORDER BY id",
    )?;
    let mut old = old.query([])?;
    let mut rows = Rows::new();
    let mut second = 0;
    while let Some(row) = old.next()? {
        let number = |at: usize| row.get::<_, Option<i64>>(at).map(|n| n.unwrap_or(0).cast_unsigned());
        let ended = row_micros(row.get(0)?);
        if second != ended / 1_000_000 {
            second = ended / 1_000_000;
            write(std::mem::take(&mut rows))?;
        }
        let execution = Execution {
            ended: ended.cast_unsigned(),
            duration: number(1)?,
            series: number(2)?,
            rows: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
            call_site: number(4)?,
            link: number(5)?,
            transaction: number(6)?,
            failed: row.get(7)?,
            tls: row.get(8)?,
            pid: row.get(9)?,
            server: number(10)?,
            database: number(11)?,
            user: number(12)?,
            error_code: number(13)?,
            severity: number(14)?,
            error: number(15)?,
        };
        rows.entry(id::unpack(row.get_ref(16)?)).or_default().push(execution);
    }
    write(rows)?;
    tx.execute_batch("DROP TABLE query")
}

/// Hands the executions in the rows that `sql` finds, whose first column is their `data`, to `each`.
pub(crate) fn read(
    conn: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    mut each: impl FnMut(Execution) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        for execution in unpack(row.get_ref(0)?.as_blob()?) {
            each(execution)?;
        }
    }
    Ok(())
}
