//! Routes from source: those of a watched app are found by themselves, matched, and found again when a file changes; the
//! user can name a tree on the command line and through the API.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::places::Places;
use crate::port::free_port;
use crate::process::{Process, until};
use crate::runner::{Case, Verdict};

/// The source is looked at every ten seconds.
const WAIT: Duration = Duration::from_secs(40);

const APP: &str = "import sys
from flask import Flask
from parts import bp
app = Flask(__name__, static_folder=None)
app.register_blueprint(bp, url_prefix='/api')

@app.get('/users/<int:user_id>')
def user(user_id):
    return str(user_id)

if __name__ == '__main__':
    app.run(port=int(sys.argv[1]))
";
const PARTS: &str = "from flask import Blueprint
bp = Blueprint('parts', __name__)

@bp.get('/parts/<name>')
def part(name):
    return name
";
const MORE: &str = "
@bp.get('/more/<path:rest>')
def more(rest):
    return rest
";
/// A neighbour that is not started, and a tree that only the user can name.
const OTHER: &str = "from flask import Flask
other = Flask(__name__, static_folder=None)

@other.get('/other/<x>')
def other_view(x):
    return x
";

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("routes/from-source", from_source)]
}

fn from_source(places: &Places) -> Result<Verdict> {
    let python = places.any_python()?;
    let scratch = places.scratch()?;
    let source = scratch.path().join("source");
    let named = scratch.path().join("named");
    let elsewhere = scratch.path().join("elsewhere");
    for directory in [&source, &named, &elsewhere, &source.join("later")] {
        fs::create_dir(directory)?;
    }
    fs::write(source.join("web.py"), APP)?;
    fs::write(source.join("parts.py"), PARTS)?;
    fs::write(source.join("other.py"), OTHER)?;
    fs::write(source.join("later/app.py"), OTHER.replace("/other", "/later"))?;
    fs::write(named.join("app.py"), OTHER.replace("/other", "/named"))?;
    fs::write(elsewhere.join("app.py"), OTHER.replace("/other", "/elsewhere"))?;
    symlink(&elsewhere, source.join("link"))?;

    let port = free_port()?;
    let mut command = Command::new(python);
    command.args(["-B", "web.py", &port.to_string()]).current_dir(&source);
    let mut app = Process::start("a Flask app", &mut command, &scratch.path().join("app.log"))?;
    until(WAIT, "the app to listen", || {
        app.check_alive()?;
        Ok(ask(port, "GET", "/users/1", None).ok())
    })?;
    let pid = app.pid().to_string();
    let named_path = named.to_string_lossy().into_owned();
    let arguments = ["--pid", &pid, "--service", "shop", "--scan", &named_path, "--scan-service", "named"];
    let mut agent = Agent::start(&places.agent, &arguments.map(str::to_owned), scratch.path())?;
    agent.attached(app.pid())?;

    let users = "GET /users/{user_id} web.py:8 user";
    let part = "GET /api/parts/{name} parts.py:5 part";
    let more = "GET /api/more/{rest} parts.py:9 more";
    found(&agent, "shop", &[part, users])?;
    found(&agent, "named", &["GET /named/{x} app.py:5 other_view"])?;
    for path in ["/users/1", "/users/22", "/users/x", "/api/parts/bolt", "/api/parts/nut", "/other/1"] {
        ask(port, "GET", path, None)?;
    }
    // What the app has no route for is told by its looks; a neighbour's routes are not the app's.
    counted(
        &agent,
        &[("/users/{user_id}", 2), ("/users/x", 1), ("/api/parts/{name}", 2), ("/other/{id}", 1)],
    )?;

    fs::write(source.join("parts.py"), [PARTS, MORE].concat())?;
    found(&agent, "shop", &[part, more, users])?;
    ask(port, "GET", "/api/more/a/b", None)?;
    counted(&agent, &[("/api/more/{rest}", 1)])?;
    fs::write(source.join("parts.py"), PARTS)?;
    found(&agent, "shop", &[part, users])?;

    let own = agent.page().trim_end_matches('/').rsplit(':').next().and_then(|p| p.parse().ok());
    let own: u16 = own.context("the page has a port")?;
    refusals(own, &source, &elsewhere)?;
    let later = source.join("later");
    let (status, answer) = ask(own, "POST", "/api/scan", Some(&json!({"service": "shop", "path": later})))?;
    ensure!(status == 200 && answer["routes"] == 1, "{status} {answer}");
    ensure!(answer["by_framework"] == json!({"flask": 1}) && answer["counters"]["files"] == 1, "{answer}");
    found(&agent, "shop", &["GET /later/{x} app.py:5 other_view"])?;
    until(WAIT, "requests to be matched to what the user named", || {
        ask(port, "GET", "/later/on", None)?;
        let routes = agent.get("/api/routes?w=900")?;
        Ok(routes["routes"]
            .as_array()
            .is_some_and(|all| all.iter().any(|r| r["route"] == "/later/{x}"))
            .then_some(()))
    })?;
    agent.stop()?;
    Ok(Verdict::Passed("found, matched, found again after two changes, and where the user says".into()))
}

/// What may not be scanned, and why.
fn refusals(port: u16, source: &Path, elsewhere: &Path) -> Result<()> {
    let file = source.join("web.py");
    let link = source.join("link");
    let missing = source.join("missing");
    let request = |path: &Path| json!({"service": "shop", "path": path});
    for (body, expected, word) in [
        (request(&missing), 400, "exist"),
        (request(&file), 400, "directory"),
        (request(elsewhere), 403, "--scan"),
        (request(&link), 403, "--scan"),
        (request(Path::new("/")), 403, "--scan"),
        (json!({"service": "shop"}), 400, "path"),
        (json!({"service": "", "path": source}), 400, "service"),
        (json!([1]), 400, "body"),
    ] {
        let (status, answer) = ask(port, "POST", "/api/scan", Some(&body))?;
        let said = answer.to_string();
        ensure!(status == expected && said.contains(word), "{body}: {status} {said}");
    }
    Ok(())
}

/// Waits until exactly these routes are found for a service, by file and line.
fn found(agent: &Agent, service: &str, expected: &[&str]) -> Result<()> {
    let mut last = Vec::new();
    until(WAIT, "the routes to be found", || {
        let answer = agent.get(&format!("/api/discovered?service={service}"))?;
        let text = |route: &Value, key: &str| route[key].as_str().unwrap_or_default().to_owned();
        let line = |r: &Value| {
            let place = format!("{}:{}", text(r, "file"), r["line"]);
            format!("{} {} {place} {}", text(r, "method"), text(r, "route"), text(r, "function"))
        };
        last = answer["routes"].as_array().context("no routes")?.iter().map(line).collect();
        Ok((last == expected).then_some(()))
    })
    .with_context(|| format!("{service}: {last:#?} instead of {expected:#?}\n{}", agent.process.output()))
}

/// Waits until the requests of each route are counted.
fn counted(agent: &Agent, expected: &[(&str, u64)]) -> Result<()> {
    let mut last = Value::Null;
    until(WAIT, "the requests to be counted", || {
        last = agent.get("/api/routes?w=900&service=shop")?;
        let routes = last["routes"].as_array().context("no routes")?;
        let has = |(route, total): &(&str, u64)| {
            routes.iter().any(|r| r["route"] == *route && r["total"] == *total)
        };
        Ok(expected.iter().all(has).then_some(()))
    })
    .with_context(|| format!("{last:#} instead of {expected:?}"))
}

fn ask(port: u16, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(WAIT))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!("Host: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json");
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let text = answer.split_once("\r\n\r\n").map_or("", |(_, text)| text);
    Ok((status, serde_json::from_str(text).unwrap_or_default()))
}
