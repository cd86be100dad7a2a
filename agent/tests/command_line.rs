//! The binary as a user meets it: what it says when something is wrong, and its exit code.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod python;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use python::{Python, interpreters};

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apm-agent"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("APM_AGENT_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Exit code and what was said on stderr.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    told(&agent(arguments).output().unwrap())
}

/// Without privileges every run ends at the first check, so what comes after it can be tested by root alone.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// One line, `apm-agent: what. Try: remedy`.
fn assert_sentence(told: &str, what: &str, remedy: &str) {
    let line = told.strip_prefix("apm-agent: ").unwrap_or_else(|| panic!("{told}"));
    assert_eq!(line.trim_end().lines().count(), 1, "{told}");
    let (said, tried) = line.trim_end().split_once(". Try: ").unwrap_or_else(|| panic!("{told}"));
    assert!(said.contains(what) && tried.contains(remedy), "{told}");
}

#[test]
fn wrong_usage_exits_with_2() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "retension = 5").unwrap();
    let (code, text) = run(&["--config", file.path().to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert_sentence(&text, "there is no option `retension`", "`retention`");
    let (code, text) = run(&["--host", "0.0.0.0"]);
    assert_eq!(code, Some(2));
    assert_sentence(&text, "--host 0.0.0.0 would show", "APM_AGENT_TOKEN");
    assert_eq!(run(&["--frobnicate"]).0, Some(2));
}

#[test]
fn command_line_wins_over_environment_and_environment_over_file() {
    // 3, 5 and 7 MiB are refused with the number, which tells where it came from.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "ring-mb = 3").unwrap();
    let path = file.path().to_str().unwrap();
    assert_sentence(&run(&["--config", path]).1, "--ring-mb 3 is", "8");
    let with = |arguments: &[&str]| told(&agent(arguments).env("APM_AGENT_RING_MB", "5").output().unwrap()).1;
    assert_sentence(&with(&["--config", path]), "--ring-mb 5 is", "8");
    assert_sentence(&with(&["--config", path, "--ring-mb", "7"]), "--ring-mb 7 is", "8");
    assert_sentence(&with(&["check", "--config", path]), "--ring-mb 5 is", "8");
}

#[test]
fn help_shows_examples_and_no_secret_of_the_environment() {
    let output = agent(&["--help"]).env("APM_AGENT_TOKEN", "hunter2").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("sudo apm-agent --pid 4242") && !text.contains("hunter2"), "{text}");
}

#[test]
fn without_privileges_the_remedy_is_sudo() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = place.path().join("apm-agent");
    std::fs::copy(env!("CARGO_BIN_EXE_apm-agent"), &copy).unwrap();
    let mut command = Command::new(&copy);
    if nix::unistd::geteuid().is_root() {
        // Nobody, by convention.
        command.uid(65_534).gid(65_534);
    }
    let (code, text) = told(&command.output().unwrap());
    assert_eq!(code, Some(1));
    assert_sentence(&text, "needs root; missing: CAP_BPF", "sudo apm-agent");
}

#[test]
fn pids_that_cannot_be_watched_are_told_apart() {
    if !is_root() {
        return;
    }
    let (code, text) = run(&["--pid", "8388608"]);
    assert_eq!(code, Some(1));
    assert_sentence(&text, "there is no process 8388608", "apm-agent check");
    let own = std::process::id();
    let Some(interpreter) = interpreters("3.11").pop() else { return println!("skipped: no Python 3.11") };
    let python = Python::run(&interpreter, "", "1");
    let (code, text) = run(&["--pid", &own.to_string()]);
    assert_eq!(code, Some(1));
    assert_sentence(&text, &format!("process {own} runs "), "--pid ");
    assert!(text.contains(", not Python"), "{text}");
    drop(python);
}

#[test]
fn taken_port_and_unwritable_database_are_told() {
    if !is_root() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (code, text) = run(&["--port", &port]);
    assert_eq!(code, Some(1));
    assert_sentence(&text, &format!("port {port} is taken by process {}", std::process::id()), "--port ");
    let (code, text) = run(&["--port", "0", "--db", "/dev/null/apm.db"]);
    assert_eq!(code, Some(1));
    assert_sentence(&text, "cannot write the database /dev/null/apm.db", "--db");
}

#[test]
fn check_lists_python_processes_as_json_and_fails_for_what_is_missing() {
    if !is_root() {
        return;
    }
    let Some(interpreter) = interpreters("3.11").pop() else { return println!("skipped: no Python 3.11") };
    let python = Python::run(&interpreter, "import ssl", "ssl.OPENSSL_VERSION");
    let pid = python.pid().to_string();
    let place = tempfile::tempdir().unwrap();
    let database = place.path().join("apm.db");
    let check = |more: &[&str]| {
        let mut arguments =
            vec!["check", "--json", "--port", "0", "--pid", &pid, "--service", "shop", "--db"];
        arguments.push(database.to_str().unwrap());
        arguments.extend(more);
        let output = agent(&arguments).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), json)
    };
    let (code, json) = check(&[]);
    assert_eq!(code, Some(i32::from(json["ok"] != true)), "{json:#}");
    let [process] = json["processes"].as_array().unwrap().as_slice() else { panic!("{json:#}") };
    assert_eq!((process["pid"].as_u64(), &process["service"]), (Some(python.pid().into()), &"shop".into()));
    assert!(process["version"].as_str().unwrap().starts_with("3.11."), "{json:#}");
    assert_eq!(process["tls"][0]["name"], python.said());
    assert!(!database.exists(), "checking makes nothing");
    let (code, json) = check(&["--pid", "8388608"]);
    assert_eq!((code, json["ok"].as_bool()), (Some(1), Some(false)));
    let missing = json["checks"].as_array().unwrap().iter().find(|check| check["name"] == "--pid 8388608");
    assert_eq!(missing.unwrap()["status"], "missing");
}
