//! Files of earlier versions are brought up to date, and nothing in them is lost.

use apm_agent::store::{Reader, Sort, Store};
use apm_core::aggregate::LEVELS;
use apm_core::executions::unpack;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::support::{START, TestClock, all, ev, event, options, qu, query, rows};

/// Takes away what version 6 added.
const WITHOUT_VERSION_6: &str =
    "DROP INDEX traceback_by_hour; ALTER TABLE traceback RENAME COLUMN hour TO day;";

/// Takes away what version 7 changed: each execution of a statement is a row again.
fn without_version_7(conn: &Connection) {
    let first = include_str!("../../migrations/0001_initial.sql");
    let table = &first[first.find("CREATE TABLE query (").unwrap()..];
    conn.execute_batch(&table[..table.find(';').unwrap()]).unwrap();
    let mut packed = conn.prepare("SELECT id, request_id, data FROM executions").unwrap();
    let mut insert = conn
        .prepare(
            "INSERT INTO query (id, request_id, series, failed, duration, pid, row_count, error_code, severity, error,
                database, user, server, tx_state, link, call_site, tls)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )
        .unwrap();
    let mut rows = packed.query([]).unwrap();
    let mut n = 0;
    while let Some(row) = rows.next().unwrap() {
        let request: Value = row.get(1).unwrap();
        for e in unpack(row.get_ref(2).unwrap().as_blob().unwrap()) {
            n += 1;
            let name = |name: u64| (name > 0).then_some(name);
            insert
                .execute(params![
                    e.ended * 1024 + n % 1024,
                    request,
                    e.series,
                    e.failed,
                    e.duration,
                    e.pid,
                    e.rows,
                    name(e.error_code),
                    name(e.severity),
                    name(e.error),
                    name(e.database),
                    name(e.user),
                    name(e.server),
                    name(e.transaction),
                    name(e.link),
                    name(e.call_site),
                    e.tls,
                ])
                .unwrap();
        }
    }
    conn.execute_batch("DROP TABLE executions").unwrap();
}

/// What is told of queries is the same after the update: of requests with many and with ids of each form, and of no request.
#[test]
fn executions_of_version_six_keep_their_requests() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apm.db");
    let clock = TestClock::new();
    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    let ids = ["123e4567-e89b-12d3-a456-426614174000", "4bf92f3577b34da6", "by hand"];
    for (n, id) in ids.iter().enumerate() {
        let mut request = event(START + 1.0, "api", "/a");
        request.request_id = Some((*id).into());
        writer.send(vec![ev(request)]);
        for i in 0..300 * (n + 1) {
            let mut query = query(START + i as f64 / 1e3, "api", ["SELECT 1", "SELECT 2"][i % 2]);
            query.source_request_id = (i % 3 > 0).then(|| (*id).into());
            query.link = query.source_request_id.is_some().then_some("context");
            query.rows = (i % 5 > 0).then_some(i as u64);
            query.error_code = (i % 7 == 0).then(|| "23505".into());
            query.severity = (i % 7 == 0).then(|| "ERROR".into());
            query.error = (i % 11 == 0).then(|| "closed".into());
            query.call_site = (i % 2 == 0).then(|| "/app.py:1 f".into());
            query.database = Some("shop".into());
            query.user = (i % 4 > 0).then(|| "apm".into());
            query.server = Some("127.0.0.1:5432".into());
            query.transaction = Some(["idle", "in transaction"][i / 100 % 2]);
            query.tls = i % 2 == 0;
            query.pid = 7 + i as u32 % 2;
            writer.send(vec![qu(query)]);
        }
    }
    clock.set(START + 5.0);
    writer.flush().unwrap();
    let told = |reader: &Reader| {
        let requests = ids.map(|id| reader.request(id).unwrap().unwrap());
        (requests, reader.queries(&all(60), 9).unwrap())
    };
    let before = told(&reader);
    writer.shutdown();
    let old = Connection::open(&path).unwrap();
    without_version_7(&old);
    old.execute_batch("PRAGMA user_version = 6").unwrap();
    drop(old);

    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    assert_eq!(writer.health().notices, Vec::<String>::new());
    for (request, count) in before.0.iter().zip([200, 400, 600]) {
        assert_eq!(request.request.queries.len(), count);
    }
    assert_eq!(told(&reader), before);
    writer.shutdown();
    let conn = Connection::open(&path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let refs = number("SELECT count(*) FROM ref WHERE target = 3");
    assert_eq!(refs, number("SELECT count(*) FROM executions WHERE request_id IS NOT NULL"));
    assert!(number("SELECT count(*) FROM executions") < 20, "many share a row");
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apm.db");
    let clock = TestClock::new();
    let (writer, _) = Store::open(&path, options(&clock)).unwrap();
    writer.send(rows(START, 100, 3));
    writer.shutdown();
    // What later versions added is taken away again: the file is as the first version left it.
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "DROP TABLE code; DROP TABLE scan; ALTER TABLE discovered DROP COLUMN conditional;
         ALTER TABLE exception DROP COLUMN link; ALTER TABLE exception_group DROP COLUMN link;
         DELETE FROM meta WHERE key = 'coarse_until'; PRAGMA user_version = 1",
    )
    .unwrap();
    old.execute_batch(WITHOUT_VERSION_6).unwrap();
    without_version_7(&old);
    let first = Connection::open_in_memory().unwrap();
    first.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
    assert_eq!(schema(&old), schema(&first));
    drop(old);

    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    assert_eq!(writer.health().notices, Vec::<String>::new());
    assert_eq!(reader.overview(&all(60)).unwrap().total_requests, 100);
    let mut query = query(START, "api", "SELECT 1");
    query.call_site = Some("/app.py:1 f".into());
    writer.send(vec![qu(query)]);
    writer.flush().unwrap();
    assert_eq!(reader.code(&all(60), 9).unwrap().len(), 1);
    writer.shutdown();
}

/// Until version 4 every level held a second as soon as it was rolled up. After the update it is counted once, before and after
/// its ten seconds are over.
#[test]
fn seconds_that_version_three_rolled_up_count_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apm.db");
    let clock = TestClock::new();
    let (writer, _) = Store::open(&path, options(&clock)).unwrap();
    // All within one second: what each level holds is then the same.
    writer.send(rows(START.floor(), 12, 3));
    clock.set(START + 4.0);
    writer.flush().unwrap();
    writer.shutdown();
    let old = Connection::open(&path).unwrap();
    let meta = |key: &str| {
        old.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, i64>(0)).unwrap()
    };
    let second = START as i64;
    assert!(
        meta("coarse_until") <= second && second < meta("rolled_until"),
        "the wider cells hold it already"
    );
    for (level, width) in LEVELS.iter().enumerate().skip(1) {
        old.execute(
            "INSERT INTO cell SELECT ?1, kind, bucket - bucket % ?2, series, data FROM cell WHERE level = 0",
            [level as i64, *width],
        )
        .unwrap();
    }
    old.execute_batch("DELETE FROM meta WHERE key = 'coarse_until'; PRAGMA user_version = 4").unwrap();
    old.execute_batch(WITHOUT_VERSION_6).unwrap();
    without_version_7(&old);
    drop(old);

    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    for (after, more) in [(4.0, 0), (5.0, 1), (9.0, 2), (30.0, 3), (90.0, 4)] {
        clock.set(START + after);
        if more > 0 {
            writer.send(rows(START + after, 1, 1));
        }
        writer.flush().unwrap();
        for seconds in [100, 3600, 200_000] {
            let total = reader.overview(&all(seconds)).unwrap().total_requests;
            assert_eq!(total, 12 + more, "{seconds} s, {after} s later");
            let slow = reader.requests(&all(seconds), None, None, Sort::Slow, 100).unwrap();
            assert_eq!(slow.len() as u64, 12 + more, "{seconds} s, {after} s later");
        }
    }
    writer.shutdown();
}

/// Tables and indices with their columns, without the comments.
fn schema(conn: &Connection) -> Vec<String> {
    let mut statement = conn
        .prepare(
            "SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || c.pk FROM sqlite_schema m, pragma_table_info(m.name) c
             ORDER BY m.name, c.cid",
        )
        .unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
