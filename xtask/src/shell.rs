//! Starting programs: every failure names the command and what to do is left to the caller's context.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::places::root());
    command
}

/// Runs `command` with its output on ours; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", text(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", text(command));
    }
    Ok(())
}

/// Runs `command` in silence; its output is shown when it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Runs `command` and gives back what it printed on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    outputs(command).map(|(out, _)| out)
}

/// Runs `command` and gives back what it printed on standard output and standard error.
pub(crate) fn outputs(command: &mut Command) -> Result<(String, String)> {
    let done =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", text(command)))?;
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if !done.status.success() {
        bail!("{} ended with {}\n{out}{err}", text(command), done.status);
    }
    Ok((out, err))
}

/// Runs `command` with its errors and its output on ours; gives back what it printed on standard output.
pub(crate) fn shown(command: &mut Command) -> Result<String> {
    let mut out = String::new();
    let passed = lines(command, |line| {
        println!("{line}");
        out.push_str(line);
        out.push('\n');
    })?;
    if !passed {
        bail!("{} failed", text(command));
    }
    Ok(out)
}

/// Runs `command`, hands each line of its standard output to `line`; tells whether it ended with 0.
pub(crate) fn lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", text(command)))?;
    let stdout = child.stdout.take().context("no standard output")?;
    for read in BufReader::new(stdout).split(b'\n') {
        line(&String::from_utf8_lossy(&read?));
    }
    Ok(child.wait()?.success())
}

/// The first of `names` that is an executable on `PATH`.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Do we run as root?
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// `program`, through sudo when we are not root. Of our environment sudo keeps the agent's own settings alone: a token does
/// not belong on a command line. All else: pass arguments.
pub(crate) fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if which("sudo").is_none() {
        bail!("this needs root and sudo is not installed; run it as root");
    }
    let mut command = Command::new("sudo");
    let settings: Vec<String> = env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("APM_AGENT_"))
        .collect();
    if !settings.is_empty() {
        command.arg(format!("--preserve-env={}", settings.join(",")));
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// The command as one would type it.
fn text(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
