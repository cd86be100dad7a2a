//! Processes that never outlive their test.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guard::{self, Thing};

/// Asks `ready` until it answers, up to `limit`; the error names `what` was awaited.
pub(crate) fn until<T>(
    limit: Duration,
    what: &str,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", limit.as_secs_f32());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the first test that needs it starts, for all.
pub(crate) struct Shared<T> {
    started: OnceLock<T>,
    starting: Mutex<()>,
}

impl<T> Shared<T> {
    /// Nothing is started yet.
    pub(crate) const fn new() -> Self {
        Self { started: OnceLock::new(), starting: Mutex::new(()) }
    }

    /// It, after `start` if it is not there; an attempt that failed is made again by the next.
    pub(crate) fn get(&self, start: impl FnOnce() -> Result<T>) -> Result<&T> {
        let _one_at_a_time = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = self.started.get() {
            return Ok(started);
        }
        let started = start()?;
        Ok(self.started.get_or_init(|| started))
    }
}

/// A process in a group of its own, its output in a file; killed with its group when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_with(Stdio::null(), name, command, log)
    }

    /// The same with an input, for [`Self::tell`].
    pub(crate) fn start_asking(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_with(Stdio::piped(), name, command, log)
    }

    fn start_with(input: Stdio, name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(input).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        let started = Self { child, name: name.to_owned(), log: log.to_owned() };
        guard::begun(Thing::Group(started.pid()))?;
        Ok(started)
    }

    /// Gives it a line of input, the last.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let mut input = self.child.stdin.take().context("it has no input")?;
        writeln!(input, "{line}").with_context(|| self.output())
    }

    /// Waits until it has printed the line `word`.
    pub(crate) fn says(&mut self, word: &str, limit: Duration) -> Result<()> {
        let what = format!("{} to say {word}", self.name);
        until(limit, &what, || {
            self.check_alive()?;
            Ok(self.output().lines().any(|line| line == word).then_some(()))
        })
        .with_context(|| self.output())
    }

    /// Its process id, which is its group's too.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An error with its output when it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.output()),
        }
    }

    /// Sends `signal` to it alone.
    pub(crate) fn signal(&self, signal: i32) {
        kill(self.pid().cast_signed(), signal);
    }

    /// Sends `signal` and waits for its end.
    pub(crate) fn stop(&mut self, signal: i32, limit: Duration) -> Result<ExitStatus> {
        self.signal(signal);
        let what = format!("{} to end after signal {signal}", self.name);
        until(limit, &what, || Ok(self.child.try_wait()?)).with_context(|| self.output())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        until(limit, &what, || Ok(self.child.try_wait()?)).with_context(|| self.output())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group: servers with workers leave none behind. A group that is gone already is no error.
        kill(-self.pid().cast_signed(), libc::SIGKILL);
        guard::ended(Thing::Group(self.pid()));
        let _ = self.child.wait();
    }
}

/// kill(2)
fn kill(target: i32, signal: i32) {
    // SAFETY: kill takes no pointers; a target that is gone gives ESRCH, which is fine here.
    unsafe {
        libc::kill(target, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{BufRead, BufReader};

    use super::*;

    /// Set where this test runs as the run that is killed: the directory of its processes.
    const KILLED: &str = "APM_TESTS_KILLED";

    #[test]
    fn what_a_run_has_started_ends_when_it_is_killed() {
        if let Some(directory) = env::var_os(KILLED) {
            let log = Path::new(&directory).join("log");
            let server = Process::start("sleep", Command::new("sleep").arg("600"), &log).unwrap();
            println!("\nstarted {}", server.pid());
            thread::sleep(Duration::from_secs(600));
        }
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGKILL] {
            let scratch = tempfile::tempdir().unwrap();
            let mut run = Command::new(env::current_exe().unwrap());
            run.args(["--nocapture", "what_a_run_has_started_ends_when_it_is_killed"]);
            run.env(KILLED, scratch.path()).stdout(Stdio::piped());
            // Who runs this in the background (nohup, `&`) has them ignored, and would wait for a run that nothing ends.
            let heeds_signals = || {
                for ignored in [libc::SIGINT, libc::SIGHUP] {
                    // SAFETY: signal(2) takes no pointers here, and may be called between fork and exec (signal-safety(7)).
                    unsafe { libc::signal(ignored, libc::SIG_DFL) };
                }
                Ok(())
            };
            // SAFETY: as said there.
            unsafe { run.pre_exec(heeds_signals) };
            let mut run = run.spawn().unwrap();
            let lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(std::io::Result::ok);
            let started = lines.filter_map(|line| Some(line.strip_prefix("started ")?.to_owned())).next();
            // One that has ended has no command line, though nobody may have asked for its status yet.
            let server = PathBuf::from(format!("/proc/{}/cmdline", started.unwrap()));
            let await_alive = |alive: bool| {
                until(Duration::from_secs(10), &format!("alive: {alive}"), || {
                    let lives = !fs::read(&server).unwrap_or_default().is_empty();
                    Ok((lives == alive).then_some(()))
                })
            };
            await_alive(true).unwrap();
            kill(run.id().cast_signed(), signal);
            run.wait().unwrap();
            await_alive(false).unwrap();
        }
    }
}
