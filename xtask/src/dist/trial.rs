//! Installs the package where nothing else is, runs the unit's command line there, and looks for a request.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::unit;
use crate::shell;
use crate::steps::{Outcome, Tally};
use crate::vm::{Root, emulator};

const LIMIT: Duration = Duration::from_secs(30);
const DATABASE: &str = "var/lib/apm-agent/apm.db";
const CONFIG: &str = "etc/apm-agent/config.toml";

/// Installs, runs, removes and purges `package`.
pub(super) fn task(package: &Path) -> Result<Outcome> {
    if !shell::is_root() {
        return Ok(Outcome::Skipped("not tried out: installing it needs root".to_owned()));
    }
    let scratch = tempfile::tempdir()?;
    let root = prepare(scratch.path())?;
    dpkg(&root, &["--install", &package.to_string_lossy()])?;
    ensure!(is_stripped(&root.join("usr/bin/apm-agent"))?, "the installed program has debug information");
    println!("{}", unit::check(&root, scratch.path())?);
    watch(&root)?;
    dpkg(&root, &["--remove", "apm-agent"])?;
    ensure!(!root.join("usr/bin/apm-agent").exists(), "removal leaves the program");
    ensure!(root.join(DATABASE).exists(), "removal takes the database along");
    ensure!(root.join(CONFIG).exists(), "removal takes the configuration along");
    dpkg(&root, &["--purge", "apm-agent"])?;
    ensure!(!root.join("var/lib/apm-agent").exists(), "purging leaves the database");
    ensure!(!root.join(CONFIG).exists(), "purging leaves the configuration");
    println!("installed in an empty root, saw a request, removed with its data left, purged without");
    Ok(Outcome::Ran(Tally::PASS))
}

/// A root with a shell for the package's scripts and the C library that the package depends on.
fn prepare(root: &Path) -> Result<PathBuf> {
    let tools = emulator()?;
    let inside = Root(root.to_path_buf());
    for directory in ["bin", "etc", "proc", "sys", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    fs::copy(tools.busybox(), root.join("bin/busybox"))?;
    for name in ["sh", "rm"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    inside.libraries(&crate::places::target().join("release/apm-agent"))?;
    Ok(root.to_path_buf())
}

/// Without debug information, which is most of what cargo builds? The names of an ELF file's sections stand in it as text.
fn is_stripped(program: &Path) -> Result<bool> {
    const SECTION: &[u8] = b".debug_line\0";
    Ok(!fs::read(program)?.windows(SECTION.len()).any(|bytes| bytes == SECTION))
}

/// The libraries of the host stand for the packages that it depends on.
fn dpkg(root: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("dpkg");
    command.arg(format!("--root={}", root.display())).arg("--force-depends");
    shell::quiet(command.args(arguments)).context("dpkg failed")
}

/// Ends its process when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts what the unit starts, and a server; asks the server and then the agent.
fn watch(root: &Path) -> Result<()> {
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/apm-agent.service"))?;
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("no ExecStart=")?;
    let (agent_port, port) = (free_port()?, free_port()?);
    let mut server = Command::new("/usr/bin/python3");
    server
        .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1"])
        .current_dir(root.join("etc"));
    let server = Running(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    // The root is a mount, as that of a machine is; in a namespace of its own: nothing of it is left when the agent has ended.
    let script = format!(
        "mount --bind {0} {0} && mount --rbind /proc {0}/proc && mount --rbind /sys {0}/sys && exec chroot {0} {line}",
        root.display()
    );
    let mut agent = Command::new("unshare");
    agent.args(["--mount", "sh", "-c", &script]).stderr(Stdio::null());
    agent.env("STATE_DIRECTORY", "/var/lib/apm-agent").env("APM_AGENT_PORT", agent_port.to_string());
    agent.env("APM_AGENT_PID", server.0.id().to_string()).env("RUST_BACKTRACE", "0");
    let mut agent = Running(agent.spawn()?);
    let attached = || get(agent_port, "/api/status").is_ok_and(|text| text.contains("\"attached\":true"));
    until("the agent to attach", || Ok(attached()), &mut agent)?;
    until("the server to answer", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()), &mut agent)?;
    get(port, "/apm-agent/")?;
    let seen = || {
        get(agent_port, "/api/requests?window=60").is_ok_and(|text| text.contains("\"path\":\"/apm-agent/\""))
    };
    until("the request to be shown", || Ok(seen()), &mut agent)?;
    let pid = i32::try_from(agent.0.id())?;
    // SAFETY: no pointers; our own child, not yet waited for.
    ensure!(unsafe { libc::kill(pid, libc::SIGTERM) } == 0, "the agent is gone");
    let status = agent.0.wait()?;
    ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}

fn get(port: u16, path: &str) -> Result<String> {
    Ok(ureq::get(format!("http://127.0.0.1:{port}{path}")).call()?.body_mut().read_to_string()?)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn until(what: &str, ready: impl Fn() -> Result<bool>, agent: &mut Running) -> Result<()> {
    let started = Instant::now();
    while !ready()? {
        if let Some(status) = agent.0.try_wait()? {
            bail!("the agent ended with {status}");
        }
        ensure!(started.elapsed() < LIMIT, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
