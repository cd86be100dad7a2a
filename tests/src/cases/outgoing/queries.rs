//! SQL by every driver: the agent's list equals the app's log one to one, and its counts by normalised statement equal
//! PostgreSQL's own (`pg_stat_statements`).

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::app::{self, Line, Run};
use super::figures::{STATEMENTS, agree, sums};
use super::peers::Peers;
use super::tally::Tally;
use crate::agent::Agent;
use crate::places::Places;
use crate::store::lay_out_queries;

/// Drivers, by their names in `drivers.py`.
pub(super) const DRIVERS: &[&str] = &[
    "psycopg2",
    "psycopg2-binary",
    "psycopg3",
    "psycopg3-wheel",
    DIRECT,
    "psycopg3-binary",
    "psycopg3-pipeline",
    "psycopg3-async",
    "asyncpg",
    "asyncpg-uvloop",
    "pg8000",
    "sqlalchemy",
    "sqlalchemy-asyncpg",
    "django",
];

/// The one that begins with TLS, without asking the server for it.
const DIRECT: &str = "psycopg3-direct-wheel";

/// A statement in the app's log.
#[derive(Debug, Deserialize)]
struct Sent {
    id: String,
    rows: Option<u64>,
    sqlstate: Option<String>,
    /// A round of a cursor that has more rows: PostgreSQL counts the last alone.
    #[serde(default)]
    continues: bool,
    #[serde(flatten)]
    line: Line,
}

impl Sent {
    /// Is it a statement that carries no id, and is named by its first word?
    fn is_control(&self) -> bool {
        CONTROL.contains(&self.id.as_str())
    }
}

/// Statements that carry no id, by their first word.
const CONTROL: &[&str] = &["BEGIN", "COMMIT", "FETCH", "CLOSE"];

/// A statement in the agent's database.
#[derive(Debug)]
struct Query {
    sql: String,
    operation: String,
    rows: Option<u64>,
    sqlstate: Option<String>,
    error: Option<String>,
    ms: f64,
    tls: bool,
    server: Option<String>,
    call_site: Option<String>,
    about: About,
}

/// What is told of a statement besides.
#[derive(Debug)]
struct About {
    severity: Option<String>,
    database: Option<String>,
    user: Option<String>,
    /// State of the transaction after it.
    transaction: Option<String>,
    table: Option<String>,
}

impl About {
    /// What of it is wrong, if anything is, for a statement of PostgreSQL.
    fn fault(&self, sent: &Sent, query: &Query, driver: &str) -> Option<String> {
        // Who logged in is not known of connections older than the agent.
        let of_before = sent.line.phase.ends_with("/before");
        let is = |told: &Option<String>, real: &str| match told {
            None => of_before,
            Some(told) => told == real,
        };
        let writes = matches!(query.operation.as_str(), "INSERT" | "UPDATE");
        let in_transaction = match self.transaction.as_deref() {
            // Within a pipeline the state is told after its end alone.
            None => driver.contains("pipeline"),
            Some(state) => state == "in transaction",
        };
        let right = is(&self.database, "shop")
            && is(&self.user, "apm")
            && self.severity.as_deref() == sent.sqlstate.is_some().then_some("ERROR")
            && (!writes || self.table.as_deref() == Some("items"))
            && (!sent.id.starts_with("t_") || in_transaction);
        (!right).then(|| format!("{self:?} of {}, {}", query.sql, sent.line.phase))
    }
}

fn recorded(database: &rusqlite::Connection) -> Result<Vec<Query>> {
    const QUERY: &str = "
        SELECT statement.text, operation.text, query.row_count, code.text, error.text, query.duration, query.tls,
               server.text, site.text, severity.text, db.text, who.text, state.text, target.text
        FROM query
        JOIN series ON series.id = query.series
        JOIN statement ON statement.id = series.b
        JOIN name AS operation ON operation.id = statement.operation
        LEFT JOIN name AS code ON code.id = query.error_code
        LEFT JOIN name AS error ON error.id = query.error
        LEFT JOIN name AS server ON server.id = query.server
        LEFT JOIN name AS site ON site.id = query.call_site
        LEFT JOIN name AS severity ON severity.id = query.severity
        LEFT JOIN name AS db ON db.id = query.database
        LEFT JOIN name AS who ON who.id = query.user
        LEFT JOIN name AS state ON state.id = query.tx_state
        LEFT JOIN name AS target ON target.id = statement.target
        ORDER BY query.ended";
    lay_out_queries(database)?;
    let mut statement = database.prepare(QUERY)?;
    let rows = statement.query_map([], |row| {
        Ok(Query {
            sql: row.get(0)?,
            operation: row.get(1)?,
            rows: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            sqlstate: row.get(3)?,
            error: row.get(4)?,
            ms: row.get::<_, i64>(5)? as f64 / 1e6,
            tls: row.get(6)?,
            server: row.get(7)?,
            call_site: row.get(8)?,
            about: About {
                severity: row.get(9)?,
                database: row.get(10)?,
                user: row.get(11)?,
                transaction: row.get(12)?,
                table: row.get(13)?,
            },
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The id that a statement carries: q_, r_ (repeated), s_ (slow) or t_ (in a transaction), and the driver's name.
fn id<'a>(sql: &'a str, driver: &str) -> Option<&'a str> {
    let mut words = sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.find(|word| {
        let rest = ["q_", "r_", "s_", "t_"].iter().find_map(|kind| word.strip_prefix(kind));
        rest.is_some_and(|rest| rest.strip_prefix(driver).is_some_and(|rest| rest.starts_with('_')))
    })
}

/// The functions of the apps that send statements.
const FUNCTIONS: &[&str] = &["query", "transaction", "connect", "many", "pipeline", "exchanges"];

/// Those that send many statements at once, by their names in `batches.py`.
pub(super) const BATCHES: &[&str] = &["psycopg3-batches", "asyncpg-batches"];

/// Those that use what most statements do without (COPY, cursors, notifications), by their names in `shapes.py`.
pub(super) const SHAPES: &[&str] = &["psycopg2-shapes", "psycopg3-shapes", "asyncpg-shapes"];

/// Runs one driver and compares.
pub(super) fn judge(places: &Places, peers: &Peers, name: &str) -> Result<String> {
    let script = match name {
        _ if BATCHES.contains(&name) => "batches.py",
        _ if SHAPES.contains(&name) => "shapes.py",
        _ => "queries.py",
    };
    let postgres = &peers.postgres;
    let driver = name.replace('-', "_");
    let port = if name == DIRECT { peers.direct_tls()? } else { postgres.port };
    let rest =
        [postgres.directory.display().to_string(), port.to_string(), peers.certificate.display().to_string()];
    let reset = || postgres.sql("shop", "SELECT pg_stat_statements_reset()").map(drop);
    let run = app::run(places, peers, script, name, &rest, reset, settled(name))?;
    let theirs = counted(&postgres.sql("shop", "SELECT calls, query FROM pg_stat_statements")?, &driver)?;

    let mut tally = if script == "queries.py" { Tally::of_timed() } else { Tally::default() };
    let socket = postgres.directory.join(format!(".s.PGSQL.{}", postgres.port));
    let shapes = compare_all(&mut tally, &run, name, port, &socket)?;
    if shapes != theirs {
        tally.fault("counted otherwise by PostgreSQL", format_args!("{theirs:?}, the agent {shapes:?}"));
    }
    tally.result()
}

/// The figures of `/api/queries`, by the ids of the statements, equal the log.
pub(super) fn settled(name: &str) -> impl FnOnce(&Agent, &str) -> Result<()> {
    let driver = name.replace('-', "_");
    move |agent, log| {
        let expected = sums(log, |sent: &Sent| {
            let rows = if sent.sqlstate.is_none() { sent.rows.unwrap_or(0) } else { 0 };
            (!sent.is_control()).then(|| (sent.id.clone(), sent.sqlstate.is_some(), rows))
        })?;
        agree(agent, &STATEMENTS, |sql| id(sql, &driver).map(str::to_owned), &expected)
    }
}

/// Compares the agent's list with the app's log. Gives the agent's executions by shape, without those that failed, which
/// PostgreSQL does not count.
pub(super) fn compare_all(
    tally: &mut Tally,
    run: &Run,
    name: &str,
    port: u16,
    socket: &Path,
) -> Result<HashMap<String, u64>> {
    let driver = name.replace('-', "_");
    let socket = socket.to_str().context("a directory that is not UTF-8")?;
    let app_file = match name {
        _ if BATCHES.contains(&name) => "/batches.py",
        _ if SHAPES.contains(&name) => "/shapes.py",
        _ if super::mysql::DRIVERS.contains(&name) => "/mysql_drivers.py",
        _ => "/drivers.py",
    };
    let mut ours: HashMap<String, Vec<Query>> = HashMap::new();
    let mut shapes: HashMap<String, u64> = HashMap::new();
    for query in recorded(&run.database)? {
        if let Some(id) = id(&query.sql, &driver) {
            if query.sqlstate.is_none() {
                let shape = shape(&query.sql, id);
                // A literal of a megabyte, where the driver writes it into the text, is not copied to its end.
                let whole = if shape.ends_with("length(?") { shape + "::text)" } else { shape };
                *shapes.entry(whole).or_insert(0) += 1;
            }
            ours.entry(id.to_owned()).or_default().push(query);
        } else {
            let word = if query.operation == "START" { "BEGIN" } else { query.operation.as_str() };
            if CONTROL.contains(&word) {
                ours.entry(word.to_owned()).or_default().push(query);
            }
        }
    }
    let mut truth: HashMap<String, Vec<Sent>> = HashMap::new();
    for sent in app::lines::<Sent>(&run.log)? {
        truth.entry(sent.id.clone()).or_default().push(sent);
    }
    for (id, mut sent) in truth {
        let mut found = ours.remove(&id).unwrap_or_default();
        for one in &sent {
            tally.sent(&one.line.phase);
        }
        let control = CONTROL.contains(&id.as_str());
        if control {
            // Those of all workers: which is whose cannot be told.
            sent.sort_by_key(|sent| sent.rows);
            found.sort_by_key(|query| query.rows);
        }
        // SQLAlchemy on asyncpg begins a transaction of its own when it connects.
        let surplus = control && name == "sqlalchemy-asyncpg" && found.len() > sent.len();
        if found.len() != sent.len() && !surplus {
            let kind = if found.len() < sent.len() { "missed by the agent" } else { "seen more than once" };
            tally.fault(kind, format_args!("{id}: {} for {}", found.len(), sent.len()));
            continue;
        }
        for (one, query) in sent.iter().zip(&found) {
            compare(tally, one, query, control, (port, socket), app_file);
            let told = (DRIVERS.contains(&name) && !control).then(|| query.about.fault(one, query, &driver));
            if let Some(fault) = told.flatten() {
                tally.fault("told otherwise of itself", fault);
            }
            if let Some(count) = shapes.get_mut(&shape(&query.sql, &id)).filter(|_| one.continues) {
                *count -= 1;
            }
        }
    }
    if let Err(differs) = &run.figures {
        tally.fault("other figures", format_args!("{differs:#}"));
    }
    for (id, queries) in ours {
        tally.fault("invented by the agent", format_args!("{id}: {:?}", queries[0]));
    }
    // Connections joined in mid-life begin with a resynchronisation.
    // An app that sends all at once may have ended before the agent reads whose lines its last stacks name.
    let expected: &[&str] =
        if app_file == "/batches.py" { &["resyncs", "stacks_unread"] } else { &["resyncs"] };
    tally.lost(&run.losses, expected);
    Ok(shapes)
}

fn compare(
    tally: &mut Tally,
    sent: &Sent,
    query: &Query,
    control: bool,
    (port, socket): (u16, &str),
    app_file: &str,
) {
    let phase = sent.line.phase.as_str();
    let has_rows = (!control || sent.rows.is_some()) && sent.sqlstate.is_none();
    let rows_differ = has_rows && sent.rows != query.rows;
    if rows_differ || sent.sqlstate != query.sqlstate || query.error.is_some() {
        tally.fault("differ", format_args!("{query:?} for {sent:?}"));
        return;
    }
    let server = query.server.as_deref();
    let there = if phase.starts_with("unix") {
        server == Some(socket)
    } else {
        server == Some(format!("127.0.0.1:{port}").as_str())
    };
    // BEGIN and COMMIT of all phases look the same, and cannot be told apart.
    if !control && (!there || query.tls != phase.starts_with("tls")) {
        tally.fault("shown with another server", format_args!("{query:?} for {phase}"));
    }
    let site = query.call_site.as_deref();
    // A batch goes on when its socket has room again, and then no line of the app's runs.
    let goes_on = app_file == "/batches.py" && site.is_none();
    if !goes_on && !app::is_site(site, app_file, FUNCTIONS) {
        tally.lineless(site, &sent.id);
    }
    tally.matched(phase);
    if sent.line.timed {
        let what = format!("{} {:.2} ms, {}", sent.id, query.ms, sent.line.bounds());
        tally.timed(phase, sent.line.agrees(query.ms), what);
    }
}

/// A statement as both the agent and PostgreSQL show it: without its id (PostgreSQL takes statements that differ in aliases
/// for one), with one kind of placeholder, and the sign of a number as part of it. PostgreSQL up to 15 shows the values of
/// what is no query (COPY, NOTIFY) as they are.
fn shape(sql: &str, id: &str) -> String {
    let mut shape = String::new();
    let mut rest = sql.replace(id, "ID");
    while let Some(at) = rest.find('$') {
        shape.push_str(&rest[..at]);
        shape.push('?');
        rest = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    }
    let text = (shape + &rest).replace("-?", "?").replace("'hello'", "?");
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let mut out = String::new();
    for word in words {
        let bare = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        out.push_str(if is_number(bare) { "?" } else { bare });
        out.push_str(&word[bare.len()..]);
    }
    out
}

/// Executions by shape in what PostgreSQL counted; columns are parted by a tab, a statement may have several lines.
fn counted(table: &str, driver: &str) -> Result<HashMap<String, u64>> {
    let mut counts = HashMap::new();
    for line in table.lines() {
        let Some((calls, sql)) = line.split_once('\t') else { continue };
        let calls: u64 = calls.parse().with_context(|| line.to_owned())?;
        if let Some(id) = id(sql, driver) {
            *counts.entry(shape(sql, id)).or_insert(0) += calls;
        }
    }
    Ok(counts)
}
