//! Every call carries the line of the application that makes it, on every Python, in threads and in tasks. The app notes
//! the lines itself.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::agent::Agent;
use crate::places::Places;
use crate::process::{Process, until};
use crate::runner::{Case, Verdict};
use crate::store;

const WAIT: Duration = Duration::from_secs(30);

/// A call in the app's log.
#[derive(Debug, Deserialize)]
struct Noted {
    path: String,
    /// `file:line function`; `None` where no line of the app makes the call.
    site: Option<String>,
}

pub(super) fn cases() -> Vec<Case> {
    let of = |(nth, looped): (usize, &'static str)| {
        Case::on_pythons(&format!("call-sites/{looped}"), nth, move |places, version| {
            judge(places, looped, version)
        })
    };
    ["asyncio", "uvloop"].into_iter().enumerate().flat_map(of).collect()
}

/// Answers every request on every connection with `ok`.
pub(super) fn peer() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // They end with the process, as what they serve does.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(port)
}

/// A request ends with its head, or with the `x` of its body.
fn answer(mut stream: TcpStream) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..size]);
        let whole = match seen.starts_with(b"POST") {
            true => seen.ends_with(&[b'x'; 700]),
            false => seen.ends_with(b"\r\n\r\n"),
        };
        if whole {
            seen.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

fn judge(places: &Places, looped: &str, version: &str) -> Result<Verdict> {
    let Some(python) = places.python(version) else {
        return Ok(Verdict::Skipped(format!("no Python {version}")));
    };
    let scratch = places.scratch()?;
    let log = scratch.path().join("log.jsonl");
    let mut command = Command::new(python);
    command.arg(places.apps().join("call_sites/app.py")).arg(looped).arg(&log).arg(peer()?.to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore").env_remove("PYTHONPATH");
    let mut app = Process::start("the app", &mut command, &scratch.path().join("app.log"))?;
    until(WAIT, "the app to be ready", || {
        app.check_alive()?;
        Ok(app.output().contains("ready").then_some(()))
    })?;
    let mut agent = Agent::watch(&places.agent, app.pid(), scratch.path())?;
    agent.attached_to_first("call sites")?;
    app.signal(libc::SIGUSR1);
    let status = app.wait(WAIT)?;
    ensure!(status.success(), "the app ended with {status}:\n{}", app.output());
    let losses = agent.losses()?;
    inventory(&agent, &fs::read_to_string(&log)?)?;
    agent.stop()?;
    let mut ours = recorded(&agent.store().join("apm.db"))?;
    let (mut right, mut without) = (0, 0);
    let mut wrong = Vec::new();
    for line in fs::read_to_string(&log)?.lines() {
        let noted: Noted = serde_json::from_str(line)?;
        let site = ours.remove(&noted.path).with_context(|| format!("{} was not seen", noted.path))?;
        if site != noted.site {
            wrong.push(format!("{}: {site:?} instead of {:?}", noted.path, noted.site));
        } else if site.is_some() {
            right += 1;
        } else {
            without += 1;
        }
    }
    ensure!(
        wrong.is_empty(),
        "{right} right, {} wrong:\n{}\nlosses {losses:?}",
        wrong.len(),
        wrong.join("\n")
    );
    ensure!(right > 100 && without > 0, "only {right} calls with a site and {without} without one");
    ensure!(losses.is_empty(), "{losses:?}");
    Ok(Verdict::Passed(format!("{right} calls with their line, {without} that have none")))
}

/// `/api/code` lists the lines that the app noted, each as often as it made a call.
fn inventory(agent: &Agent, log: &str) -> Result<()> {
    let mut noted = BTreeMap::<String, u64>::new();
    for line in log.lines() {
        let noted_call: Noted = serde_json::from_str(line)?;
        *noted.entry(noted_call.site.unwrap_or_default()).or_default() += 1;
    }
    noted.remove("");
    let mut listed = BTreeMap::new();
    until(WAIT, "/api/code to list the lines", || {
        let answer = agent.get("/api/code?w=900&limit=500")?;
        let places = answer["code"].as_array().context("/api/code lists nothing")?;
        let text = |place: &Value, key: &str| place[key].as_str().unwrap_or_default().to_owned();
        let place = |p: &Value| {
            let site = format!("{}:{} {}", text(p, "file"), p["line"], text(p, "function"));
            let in_order = p["first_seen"].as_f64() <= p["last_seen"].as_f64();
            (site, if in_order && p["count"] == p["calls"] { p["count"].as_u64().unwrap_or(0) } else { 0 })
        };
        listed = places.iter().map(place).collect();
        Ok((listed == noted).then_some(()))
    })
    .with_context(|| format!("{listed:#?} instead of {noted:#?}"))
}

/// Call sites by path.
fn recorded(database: &std::path::Path) -> Result<HashMap<String, Option<String>>> {
    let database = store::open(database)?;
    let mut statement = database.prepare(
        "SELECT call.path, site.text FROM call LEFT JOIN name AS site ON site.id = call.call_site",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
