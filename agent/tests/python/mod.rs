//! Python processes for tests: ready before they are used, killed when they go out of scope.

#![allow(dead_code, reason = "each test crate uses a part")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Every interpreter of a series (`3.11`) on this machine: the system's and pyenv's; else that of the environment which
/// `APM_TEST_PYTHONS` holds for it.
pub(crate) fn interpreters(series: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(format!("/usr/bin/python{series}"))];
    let root = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".pyenv")));
    if let Some(entries) = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok()) {
        let series = format!("{series}.");
        found.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(&series))
                .map(|entry| entry.path().join("bin/python3")),
        );
    }
    found.retain(|path| path.exists());
    if found.is_empty()
        && let Some(environments) = std::env::var_os("APM_TEST_PYTHONS")
    {
        found.push(Path::new(&environments).join(series).join("bin/python"));
        found.retain(|path| path.exists());
    }
    found
}

/// A Python process of a test.
pub(crate) struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Python {
    /// Runs `code`, prints the value of `expression`, and stays. Returns once the value is here: see [`Python::said`].
    pub(crate) fn run(interpreter: &Path, code: &str, expression: &str) -> Self {
        let mut python = Self::start(interpreter, code, expression);
        python.said = python.hear();
        python
    }

    /// Like [`Python::run`], without waiting.
    pub(crate) fn start(interpreter: &Path, code: &str, expression: &str) -> Self {
        let code = format!("{code}\nprint({expression}, flush=True)\nimport sys\nsys.stdin.read()");
        Self::spawn(Command::new(interpreter).arg("-c").arg(code))
    }

    /// Runs a script in its directory.
    pub(crate) fn script(interpreter: &Path, script: &Path) -> Self {
        let directory = script.parent().expect("a script lies in a directory");
        Self::spawn(Command::new(interpreter).arg(script).current_dir(directory))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdin, stdout, said: String::new() }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said first.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// Waits for its next line.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its output can be read");
        assert!(!line.is_empty(), "Python ended without a word");
        line.trim_end().to_owned()
    }

    /// Writes to its input.
    pub(crate) fn tell(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).expect("it reads its input");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Children of it must end by themselves when it is gone.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Waits until `condition` holds; panics after half a minute.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
