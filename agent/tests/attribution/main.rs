//! Which request caused it: real servers on real Pythons under concurrent load, each outgoing call scored by the id of the
//! request that it carries in its bytes. Needs root and the Pythons; says what it skips.
//!
//! `APM_TEST_VENV` names a virtual environment with the servers; without it those of the standard library run alone.
//! `APM_TEST_CASE` picks cases whose name contains it.

#![expect(clippy::print_stdout, reason = "the table is what the run is for")]

mod backend;
mod cases;
mod load;
#[path = "../../../tests/src/port.rs"]
mod port;
mod score;
mod watch;

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use cases::Case;
use score::Score;
use watch::Watch;

/// Requests of each kind.
const REQUESTS: usize = 150;
/// Those before the agent comes.
const WARM_UP: usize = 60;

#[test]
fn every_call_belongs_to_the_request_whose_id_it_carries() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return;
    }
    let backend = backend::start();
    let only = std::env::var("APM_TEST_CASE").unwrap_or_default();
    let cases: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(&only)).collect();
    assert!(!cases.is_empty(), "no case is called {only}");
    println!("| case | kind | calls | right | wrong | none | how |\n|---|---|---|---|---|---|---|");
    let mut failures = Vec::new();
    for case in &cases {
        let scores = run(case, backend);
        for (kind, score) in scores {
            println!("| {} | {kind} | {score} |", case.name);
            let is_right = match case.unknown {
                None => score.is_right(kind),
                Some(_) => score.is_right_by_thread(kind),
            };
            if !is_right {
                failures.push(format!("{} {kind}: {score}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

fn run(case: &Case, backend: u16) -> Vec<(&'static str, Score)> {
    let mut watch = Watch::start();
    let port = port::free_port().expect("a free port");
    let child = Command::new(&case.python)
        .args(case.arguments.iter().map(|argument| argument.replace("{port}", &port.to_string())))
        .current_dir(cases::apps())
        .env("APM_BACKEND", backend.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::null())
        .stderr(if std::env::var_os("APM_TEST_VERBOSE").is_some() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .map(Server)
        .expect("python starts");
    if !case.late {
        watch.add(child.0.id());
    }
    watch.until("the server to listen", |_| load::accepts(port));
    if case.late {
        // Threads of pools wait for work, and connections are open, when the agent comes.
        for kind in case.kinds {
            load::run(port, kind, 0, WARM_UP, case.concurrency);
        }
        watch.add_tree(child.0.id());
    }
    watch.settle();
    let scores = case
        .kinds
        .iter()
        .enumerate()
        .map(|(i, &kind)| {
            let first = (i + 1) * 100_000;
            let done = AtomicBool::new(false);
            let log = std::thread::scope(|scope| {
                scope.spawn(|| {
                    load::run(port, kind, first, REQUESTS, case.concurrency);
                    done.store(true, Ordering::Release);
                });
                watch.collect(|| done.load(Ordering::Acquire))
            });
            (kind, Score::of(&log, first))
        })
        .collect();
    if std::env::var_os("APM_TEST_VERBOSE").is_some() {
        watch.report();
    }
    watch.stop(case.unknown);
    scores
}

/// A server; ends with the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _status = self.0.wait();
    }
}
