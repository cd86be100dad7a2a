//! Which request caused it, from the kernel to the store: every call and statement that the agent recorded is linked to the
//! request whose id it carries in its own bytes, or, where nobody could tell, to none.

mod compared;
mod score;
mod servers;
mod table;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::outgoing::peers::Peers;
use crate::agent::Agent;
use crate::places::Places;
use crate::port::free_port;
use crate::process::{Process, Shared, until};
use crate::runner::{Case, Verdict};
use score::Score;
use servers::{SERVERS, Server};

/// What a test does; gives the note that is printed.
type Test = Box<dyn Fn(&Places, &Peers) -> Result<String> + Send + Sync>;

/// Requests per server, in turn for each kind of work; `--long` sends ten times as many.
const REQUESTS: usize = 300;
/// Bytes of answers that are more than a connection to a slow client takes.
const PADDING: &str = "60000";
/// End of the names of servers on the last uvloop that writes later what it is given, and where that is in the environment.
const OLDER_UVLOOP: &str = "uvloop-0.22";
/// How long the server may take to start, and the clients to have their first answers.
const READY: Duration = Duration::from_secs(90);
/// How long the load may take.
const LOADED: Duration = Duration::from_secs(300);
/// What goes on after the last answer is awaited for this long.
const WAIT: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    let shared = Arc::new(Shared::new());
    let case = |name: &str, test: Test| {
        let shared = Arc::clone(&shared);
        Case::new(format!("attribution/{name}"), move |places| {
            test(places, shared.get(|| Peers::start(places))?).map(Verdict::Passed)
        })
    };
    let servers = SERVERS.iter();
    let mut cases: Vec<Case> = servers
        .map(|server| case(server.name, Box::new(|places, peers| judge(places, peers, server))))
        .collect();
    // The times of two clocks are compared.
    cases.push(case("compared-with-middleware", Box::new(compared::judge)).alone());
    cases
}

/// Where an app finds what it calls.
fn environment(command: &mut Command, peers: &Peers) {
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore").env_remove("PYTHONPATH");
    command.env("APM_HTTP", format!("http://127.0.0.1:{}", peers.http_ports[0]));
    command.env("APM_HTTPS", format!("https://127.0.0.1:{}", peers.http_ports[1]));
    command.env("APM_CERTIFICATE", &peers.certificate);
    command.env("APM_POSTGRES", peers.postgres.port.to_string());
}

/// Puts load on one server and scores what the agent made of it.
fn judge(places: &Places, peers: &Peers, server: &Server) -> Result<String> {
    let python = places.applications()?;
    let scratch = places.scratch()?;
    let port = free_port()?;
    let secure = server.arguments.contains("{certificate}");
    let arguments = server
        .arguments
        .replace("{port}", &port.to_string())
        .replace("{certificate}", &peers.certificate.display().to_string())
        .replace("{key}", &peers.key.display().to_string());
    let apps = places.apps().join("requests");
    let mut command = Command::new(&python);
    command.args(arguments.split_whitespace()).current_dir(&apps);
    environment(&mut command, peers);
    if server.name.ends_with(OLDER_UVLOOP) {
        command.env("PYTHONPATH", python.with_file_name("..").join(OLDER_UVLOOP));
    }
    let waits = server.name.ends_with("-backlog");
    if waits {
        command.env("APM_PADDING", PADDING);
    }
    let mut process = Process::start(server.name, &mut command, &scratch.path().join("server.log"))?;

    // Connections, tasks and threads of before: the agent comes when all are there.
    let requests = if places.long { 10 * REQUESTS } else { REQUESTS };
    let scheme = if secure { "https" } else { "http" };
    let mut load = Command::new(&python);
    let drive = if server.name.contains("-h2") { "drive_h2.py" } else { "drive.py" };
    load.arg(apps.join(drive)).arg(format!("{scheme}://127.0.0.1:{port}")).arg(&peers.certificate);
    load.arg(requests.to_string()).args(server.kinds).env("PYTHONDONTWRITEBYTECODE", "1");
    if server.name.contains("-upgraded") {
        load.env("UPGRADED", "1");
    }
    if waits {
        load.env("SLOW", "1");
    }
    if server.name.ends_with("-uwsgi") {
        load.env("UWSGI", "1");
    }
    if server.name.ends_with("-pipelined") {
        load.env("PIPELINED", "3");
    }
    let mut load = Process::start_asking("the load", &mut load, &scratch.path().join("load.log"))?;
    // Both that the server answers, and that it is this one.
    until(READY, "the load to be ready", || {
        process.check_alive()?;
        load.check_alive()?;
        Ok(load.output().lines().any(|line| line == "ready").then_some(()))
    })
    .with_context(|| format!("{}\n{}\n{}", load.output(), process.output(), peers.http.output()))?;
    let mut agent = Agent::watch(&places.agent, process.pid(), scratch.path())?;
    load.tell("go")?;
    let done = load.wait(if places.long { 10 * LOADED } else { LOADED });
    // A load fails for its server's sake: that comes first.
    process.check_alive()?;
    let done = done.with_context(|| process.output())?;
    let said = || format!("{}\n{}\n{}", load.output(), process.output(), peers.http.output());
    ensure!(done.success(), "the load ended with {done}: {}", said());

    let wanted = Score::to_be_linked(server.kinds, requests);
    let database = agent.store().join("apm.db");
    // Work in the background goes on for some milliseconds; what does not come is told by the scores. What belongs to no
    // request is stored at the end.
    let _told_below = until(WAIT, "all calls to be recorded", || {
        Ok((score::linked(&database).unwrap_or(0) >= wanted).then_some(()))
    });
    let losses = agent.losses()?;
    agent.stop()?;
    let scores = score::scores(&database, server.kinds, requests)?;
    if places.write_docs {
        table::write(&places.root.join("docs/attribution.md"), server.name, &scores)?;
    }
    let all = || scores.iter().map(|score| format!("{score}\n")).collect::<String>();
    ensure!(
        scores.iter().all(Score::is_right),
        "not all calls are linked as they should be:\n{}losses: {losses:?}\n{}",
        all(),
        agent.process.output()
    );
    let calls: usize = scores.iter().map(Score::calls).sum();
    // A connection that was in use when the agent came begins with a resynchronisation, and a call of the warm-up that was
    // under way then has an answer only.
    let of_before = ["resyncs", "responses_without_request"];
    let lost: Vec<_> = losses.iter().filter(|(name, _)| !of_before.contains(&name.as_str())).collect();
    ensure!(lost.is_empty(), "counted as lost: {lost:?}");
    Ok(format!("{calls} calls and statements of {requests} requests, none wrong"))
}
