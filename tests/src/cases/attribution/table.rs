//! The table of results in `docs/attribution.md`.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::score::{HOW, Score};
use super::servers::SERVERS;

const HEAD: &str = "\
# Which request caused it: what was measured

Written by `cargo xtask test --write-docs attribution/`; do not edit. CPython 3.11, 50 clients at a time, half of the load on
connections that were open before the agent came; each call and statement carries the id of the request that caused it,
and is compared with the request that the agent's store links it to. Calls alternate between plain connections and TLS,
and between requests, httpx and aiohttp; statements between psycopg and asyncpg. `consumer` is work that a request puts
into a global queue for others: nothing tells whose it is, and the agent says so. Servers named `pipelined` get three
requests at once on each connection, those named `h2` (with TLS) and `h2c` ten streams at a time on each of five, `upgraded`
ones on connections that begin as HTTP/1. `failing` and `failing_def` ask for a name that does not resolve, an address that
refuses and one that is silent; the id is in the name and the address. Servers named `0.22` run the last uvloop whose loop writes
later what it is given, the others 0.23; the clients of `backlog` read slowly. `left` is what a server of bare callbacks does as a
client leaves: it belongs to no request. `turns` is what a loop of the application's own does: nothing tells for whom.

What a request does, by name: `plain` calls and asks one after the other on its thread, `series` the same as a coroutine; `gather` and
`group` (a `TaskGroup`) at once, in tasks; `forget` and `background` after the response; `to_thread`, `executor` and `pool` on threads of
a pool, `child` on one that it starts; `to_sync`, `to_async` and `async_alone` by way of asgiref. `_def` marks handlers that are no
coroutines.

Not attributed: what a greenlet or task that answers several pipelined requests starts in others; PyPy and free-threaded
builds, beyond what their threads tell. Not told apart: what a protocol on uvloop starts as it may write again
(`resume_writing`), in the same turn of the loop, from what the request read last starts.

Tried by hand, with eight clients (330 to 1,600 requests each): all right with uWSGI (`--http-socket`, `--http`, behind nginx, and with
`--gevent`), gunicorn's ASGI, eventlet and Tornado workers, daphne, hypercorn with trio, Sanic, cheroot, Robyn and mod_wsgi within Apache. Granian
and mod_wsgi's daemons: no request. A thread that takes turns among requests, outside of any context, works for none of them once it is
seen to: `epoll-loop`, a server on `select.epoll` alone, and by hand twisted.web (600 calls, none linked) and bjoern (1,196 of 1,200 not
linked, 4 right), though bjoern's handlers do not wait for each other.

";

/// Puts the rows of one server in the place of those of an earlier run.
pub(super) fn write(path: &Path, server: &str, scores: &[Score]) -> Result<()> {
    // Cases run side by side.
    static WRITING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let name = |line: &str| line.split('|').nth(1).unwrap_or_default().trim().to_owned();
    let kept = before.lines().filter(|line| line.starts_with("| ") && name(line) != server);
    let mut rows: Vec<String> = kept.map(str::to_owned).collect();
    for score in scores {
        let Score { kind, right, wrong, none, how, .. } = score;
        let calls = score.calls();
        let mut row = format!("| {server} | {kind} | {calls} | {right} | {wrong} | {none} |");
        for count in how {
            write!(row, " {count} |")?;
        }
        rows.push(row);
    }
    // The rows of one server stay in their order; other lines, such as the table's head, have no place.
    let place = |row: &String| SERVERS.iter().position(|server| server.name == name(row));
    rows.retain(|row| place(row).is_some());
    rows.sort_by_key(place);
    let mut text = HEAD.to_owned();
    writeln!(text, "| server | work | calls | right | wrong | no request | {} |", HOW.join(" | "))?;
    writeln!(text, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for row in rows {
        writeln!(text, "{row}")?;
    }
    std::fs::write(path, text)?;
    Ok(())
}
