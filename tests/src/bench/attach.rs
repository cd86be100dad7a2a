//! How long the agent takes to attach to a server of some workers and to let go of it, and what its requests feel of that.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::medians::median;
use super::report::machine;
use super::{usage, write};
use crate::agent::Agent;
use crate::cases::outgoing::listening;
use crate::places::Places;
use crate::port::free_port;
use crate::process::until;

/// Workers of the server.
const WORKERS: [usize; 4] = [1, 4, 16, 64];
/// A request is sent this long after the last was answered.
const PAUSE: Duration = Duration::from_millis(2);
/// How long requests are looked at without an agent.
const ALONE: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_secs(120);

/// One turn of one size; seconds, and MB.
struct Turn {
    answers: f64,
    attached: f64,
    stopped: f64,
    longest_alone: f64,
    longest: f64,
    memory_mb: f64,
}

/// Measures each size `rounds` times and writes the report as Markdown to `output`.
pub(crate) fn run(places: &Places, rounds: u32, output: &Path) -> Result<bool> {
    let python = places.any_python()?;
    let mut report = format!(
        "gunicorn with sync workers, one request after the other every {} ms; {rounds} rounds, medians, of the longest requests the \
         longest. Attached is when every process is, with all its probes; a request sent meanwhile is answered as ever, by code \
         that is being patched. {}.\n\n| workers | page answers, s | attached, s | let go, s | longest request without, ms | with, ms | agent's memory, MB \
         |\n|--:|--:|--:|--:|--:|--:|--:|\n",
        PAUSE.as_millis(),
        machine(&python)?
    );
    for workers in WORKERS {
        let turns = (0..rounds).map(|_| turn(places, &python, workers)).collect::<Result<Vec<_>>>()?;
        let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure));
        let most = |figure: fn(&Turn) -> f64| turns.iter().map(figure).fold(f64::NAN, f64::max) * 1e3;
        let line = format!(
            "| {workers} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.0} |",
            of(|turn| turn.answers),
            of(|turn| turn.attached),
            of(|turn| turn.stopped),
            most(|turn| turn.longest_alone),
            most(|turn| turn.longest),
            of(|turn| turn.memory_mb)
        );
        println!("{line}");
        writeln!(report, "{line}")?;
    }
    write(output, &report)
}

fn turn(places: &Places, python: &Path, workers: usize) -> Result<Turn> {
    let scratch = places.scratch()?;
    let truth = scratch.path().join("truth");
    std::fs::create_dir(&truth)?;
    let port = free_port()?;
    let mut command = Command::new(python);
    command.args(["-m", "gunicorn", "-b", &format!("127.0.0.1:{port}"), "-w", &workers.to_string()]);
    command.args(["--log-level", "warning", "wsgi_app:app"]).current_dir(places.apps());
    command.env("APM_TRUTH", &truth).env_remove("PYTHONPATH");
    let app = listening("gunicorn", &mut command, &scratch.path().join("app.log"), &[port])?;
    let (_, longest_alone) = requested(port, || {
        thread::sleep(ALONE);
        Ok(())
    })?;
    let ((answers, attached, mut agent), longest) = requested(port, || {
        let begun = Instant::now();
        let agent =
            Agent::start(&places.agent, &["--pid".to_owned(), app.pid().to_string()], scratch.path())?;
        let answers = begun.elapsed();
        until(WAIT, "every process to be attached", || {
            let status = agent.get("/api/status")?;
            let processes = status["processes"].as_array().context("/api/status lists no processes")?;
            let done = processes.iter().filter(|process| {
                process["state"] == "watched"
                    && process["probes"].as_array().is_some_and(|probes| {
                        probes.len() > 1 && probes.iter().all(|probe| probe["attached"] == true)
                    })
            });
            // The workers and the one that started them.
            Ok((done.count() > workers).then_some(()))
        })?;
        Ok((answers, begun.elapsed(), agent))
    })?;
    let memory_mb = usage::peak_memory_mb(agent.process.pid())?;
    let begun = Instant::now();
    agent.stop()?;
    Ok(Turn {
        answers: answers.as_secs_f64(),
        attached: attached.as_secs_f64(),
        stopped: begun.elapsed().as_secs_f64(),
        longest_alone: longest_alone.as_secs_f64(),
        longest: longest.as_secs_f64(),
        memory_mb,
    })
}

/// Sends one request after the other while `meanwhile` runs; gives how long the longest took.
fn requested<T>(port: u16, meanwhile: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                request(port)?;
                longest = longest.max(begun.elapsed());
                thread::sleep(PAUSE);
            }
            Ok::<_, anyhow::Error>(longest)
        });
        let done = meanwhile();
        stop.store(true, Ordering::Relaxed);
        let longest = requests.join().expect("requests are sent without a panic")?;
        Ok((done?, longest))
    })
}

fn request(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /items/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 "), "no answer: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
