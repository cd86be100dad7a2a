//! `cargo xtask demo`: a sample app with traffic, and the agent watching it, until Ctrl-C.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::server::Server;

/// Paths asked for, with how often per second each client asks.
const TRAFFIC: &[(&str, &str, u64)] = &[
    ("GET", "/", 5),
    ("GET", "/users/{n}", 8),
    ("GET", "/users/{n}", 8),
    ("GET", "/products?page={n}", 4),
    ("GET", "/report", 1),
    ("POST", "/orders", 3),
];

/// Runs until the agent, which gets `args` too, ends. Gives back whether it ended well.
pub(crate) fn run(places: &Places, python: &Path, args: &[String]) -> Result<bool> {
    outlive_interrupts();
    let scratch = places.scratch()?;
    let server = Server::start_with(
        "the demo app",
        "shop.py {port}",
        python,
        &places.apps().join("demo"),
        scratch.path(),
    )?;
    let pid = server.process.pid();
    let port = server.address.port();
    println!("demo: a shop with some traffic runs at http://127.0.0.1:{port}/, pid {pid}; Ctrl-C ends all\n");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| traffic(port, &stop));
        let mut agent = as_root(&places.agent);
        agent.args(["--pid", &pid.to_string(), "--service", "demo-shop"]).args(args);
        let ended = agent.arg("--db").arg(scratch.path().join("demo.db")).status();
        stop.store(true, Ordering::Relaxed);
        let status = ended.with_context(|| format!("cannot start {}", places.agent.display()))?;
        Ok(status.success())
    })
}

/// Shoppers at the demo app on `port`, until `stop` is set.
pub(crate) fn traffic(port: u16, stop: &AtomicBool) {
    thread::scope(|scope| {
        for &(method, path, rate) in TRAFFIC {
            scope.spawn(move || shop(port, method, path, Duration::from_millis(1000 / rate), stop));
        }
    });
}

fn shop(port: u16, method: &str, path: &str, pause: Duration, stop: &AtomicBool) {
    let client: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let url = format!("http://127.0.0.1:{port}{}", path.replace("{n}", &(n % 200).to_string()));
        let answer = match method {
            "POST" => client.post(&url).send("{\"item\": 7}"),
            _ => client.get(&url).call(),
        };
        // The connection is used again only when its answer was read. The app may be gone already: the demo ends.
        let _ = answer.map(|mut answer| answer.body_mut().read_to_vec());
        thread::sleep(pause);
    }
}

/// Ctrl-C reaches the agent as well, and it is the agent's end that ends the demo. A handler, unlike "ignore", is not
/// inherited by the programs we start.
fn outlive_interrupts() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler does nothing, which is safe at any point of the program.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

fn as_root(program: &Path) -> Command {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    command
}
