//! What it costs an application to raise exceptions that it handles, where the agent looks at exceptions on their way.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::medians::median;
use super::report::machine;
use super::write;
use crate::agent::Agent;
use crate::places::Places;
use crate::port::free_port;
use crate::process::{Process, until};

/// Ways of `handled.py`, in words, and traceback entries per exception.
const WAYS: [(&str, &str, f64); 3] = [
    ("own", "raised and caught by one function of the application", 1.0),
    ("library", "raised and caught by one function of a library", 1.0),
    ("passing", "raised by the application, caught by a library that has called it", 2.0),
];
/// Exceptions per figure: so few that no function is muted, or so many that one of each hardly counts.
const FEW: u32 = 40;
const MANY: u32 = 20_000;
/// Times that many are raised before it is measured what the muted ones cost.
const WARM: usize = 3;
const WAIT: Duration = Duration::from_secs(20);

/// Nanoseconds per exception: not watched, watched, looked at on their way, and the same once muted.
type Round = [f64; 4];

/// Measures `rounds` times, each with an app and an agent of its own, and writes the report as Markdown to `output`.
pub(crate) fn run(places: &Places, rounds: u32, output: &Path) -> Result<bool> {
    let python = places.any_python()?;
    let mut all: [Vec<Round>; 3] = Default::default();
    for number in 1..=rounds {
        for (of_way, (way, ..)) in all.iter_mut().zip(WAYS) {
            let round = measure(places, &python, way)?;
            println!("{way}: round {number}/{rounds}: {round:.0?} ns");
            of_way.push(round);
        }
    }
    let mut report = format!(
        "Processor time per exception that the application handles, nanoseconds, medians of {rounds} rounds. Exceptions are looked at on their \
         way in services that show none otherwise: Django with DEBUG off, and any that failed so. {}.\n\n",
        machine(&python)?
    );
    report += "| exception | traceback entries | bare | watched | on their way | the same, muted | added per entry | muted |\n";
    report += "|---|--:|--:|--:|--:|--:|--:|--:|\n";
    for ((_, words, entries), rounds) in WAYS.iter().zip(&all) {
        let [bare, watched, first, muted] =
            [0, 1, 2, 3].map(|at| median(rounds.iter().map(|round| round[at])));
        let added = |ns: f64| (ns - watched) / entries;
        writeln!(
            report,
            "| {words} | {entries} | {bare:.0} | {watched:.0} | {first:.0} | {muted:.0} | {:.0} | {:.0} |",
            added(first),
            added(muted)
        )?;
    }
    write(output, &report)
}

fn measure(places: &Places, python: &Path, way: &str) -> Result<Round> {
    let scratch = places.scratch()?;
    let port = free_port()?;
    let mut command = Command::new(python);
    command.arg(places.apps().join("bench/handled.py")).arg(port.to_string()).env_remove("PYTHONPATH");
    let mut app = Process::start("handled", &mut command, &scratch.path().join("app.log"))?;
    until(WAIT, "the app to listen", || {
        app.check_alive()?;
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
    })?;
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build();
    let web = ureq::Agent::new_with_config(config);
    let raise = |times: u32| -> Result<f64> {
        let mut answer = web.get(format!("http://127.0.0.1:{port}/{way}/{times}")).call()?;
        let took: f64 = answer.body_mut().read_to_string()?.parse()?;
        Ok(took * 1e9 / f64::from(times))
    };
    let warm = || -> Result<f64> {
        for _ in 0..WARM {
            raise(MANY)?;
        }
        raise(MANY)
    };
    let bare = warm()?;
    let mut agent = Agent::watch(&places.agent, app.pid(), scratch.path())?;
    agent.attached_to_first("exceptions")?;
    let watched = warm()?;
    let failed = web.get(format!("http://127.0.0.1:{port}/fails")).call()?;
    ensure!(failed.status() == 500, "it did not fail");
    agent.attached_to_any("exceptions on their way")?;
    let first = raise(FEW)?;
    let muted = warm()?;
    agent.stop()?;
    Ok([bare, watched, first, muted])
}
