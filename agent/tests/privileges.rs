//! What the running agent may still do, whom its files belong to, and what a second one is told. Needs root.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "../../tests/src/port.rs"]
mod port;
mod python;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apm_agent::privileges::{FOR_UPROBES, KEPT};
use python::{Python, interpreters};

/// An agent that is killed when its test ends.
struct Agent {
    child: Child,
    port: u16,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn command(database: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apm-agent"));
    command.env_clear().arg("--db").arg(database).args(["--port", &port.to_string()]);
    command
}

impl Agent {
    fn start(database: &Path) -> Self {
        Self::start_with(database, |_| {})
    }

    fn start_with(database: &Path, change: impl Fn(&mut Command)) -> Self {
        let port = port::free_port().unwrap();
        let mut start = command(database, port);
        change(&mut start);
        let mut agent = Self { child: start.stderr(Stdio::null()).spawn().unwrap(), port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while agent.get("/healthz").is_none() {
            assert_eq!(agent.child.try_wait().unwrap(), None, "the agent ended");
            assert!(Instant::now() < deadline, "the agent does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        agent
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    }

    /// `/proc/PID/task/*/status` of each of its threads.
    fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect()
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn every_thread_keeps_what_is_needed_and_nothing_else() {
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let agent = Agent::start(&place.path().join("apm.db"));
    let allowed = KEPT.iter().fold(0, |mask, capability| mask | 1u64 << capability.index());
    let threads = agent.threads();
    assert!(threads.len() > 2, "capture and store have threads of their own");
    for status in &threads {
        let name = value(status, "Name");
        let set = |name: &str| u64::from_str_radix(value(status, name), 16).unwrap();
        // The thread that attaches uprobes keeps what the kernel demands for them.
        let besides = if name == "capture" { 1u64 << FOR_UPROBES.index() } else { 0 };
        for kind in ["CapEff", "CapPrm"] {
            assert_eq!(set(kind) & !(allowed | besides), 0, "{kind} of {name}");
        }
        assert_eq!((set("CapBnd") & !allowed, set("CapInh"), set("CapAmb")), (0, 0, 0), "{name}");
        assert_eq!(value(status, "NoNewPrivs"), "1");
        assert_ne!(set("CapEff"), 0, "it still has to look at processes");
    }
    assert!(threads.iter().any(|status| value(status, "Name") == "capture"));
}

#[test]
fn libraries_that_come_later_are_probed_without_privileges_of_root() {
    if !is_root() {
        return;
    }
    let Some(python) = interpreters("3.11").into_iter().next() else {
        println!("skipped: no Python 3.11");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let agent = Agent::start(&place.path().join("apm.db"));
    let python = Python::run(&python, "import ssl, os", "os.getpid()");
    let pid: u32 = python.said().trim().parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = agent.get("/api/status").unwrap_or_default();
        let body = status.split("\r\n\r\n").nth(1).unwrap_or("{}");
        let status: serde_json::Value = serde_json::from_str(body).unwrap();
        let probes = status["processes"].as_array().into_iter().flatten().find(|p| p["pid"] == pid);
        let tls = probes.and_then(|process| {
            let probes = process["probes"].as_array()?;
            probes.iter().find(|probe| probe["name"].as_str().is_some_and(|name| name.starts_with("OpenSSL")))
        });
        if let Some(tls) = tls {
            assert_eq!(tls["attached"], true, "{tls}");
            break;
        }
        assert!(Instant::now() < deadline, "OpenSSL of {pid} never seen: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn database_of_a_user_is_written_as_that_user() {
    const NOBODY: u32 = 65534;
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let database = place.path().join("apm.db");
    std::fs::write(&database, "").unwrap();
    for path in [place.path(), &database] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let agent = Agent::start(&database);
    for status in agent.threads() {
        assert_eq!(value(&status, "Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(value(&status, "Groups"), "65534");
    }
    let log = std::fs::metadata(place.path().join("apm.db-wal")).unwrap();
    assert_eq!(log.st_uid(), NOBODY);
}

#[test]
fn second_agent_says_so_and_stops() {
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let database = place.path().join("apm.db");
    let first = Agent::start(&database);
    let second = command(&database, port::free_port().unwrap()).output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{told}");
    let expected = format!("another apm-agent (pid {}) is running with the database", first.child.id());
    assert!(told.contains(&expected), "{told}");
    assert!(first.get("/healthz").is_some(), "the first goes on");
}

#[test]
fn service_manager_hears_of_readiness_and_life() {
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _agent = Agent::start_with(&place.path().join("apm.db"), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    let hear = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("it speaks within the time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let ready = hear();
    assert!(ready.starts_with("READY=1\nSTATUS=watching "), "{ready}");
    assert_eq!((hear().as_str(), hear().as_str()), ("WATCHDOG=1", "WATCHDOG=1"));
}
