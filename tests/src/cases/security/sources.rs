//! The agent may read every file, and a process names the files of its code: it is shown what it may read itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::load::Address;
use crate::places::Places;
use crate::port::free_port;
use crate::process::until;
use crate::runner::Verdict;
use crate::server::Server;

/// `nobody`
const USER: u32 = 65_534;
const WAIT: Duration = Duration::from_secs(20);

pub(super) fn of_others(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let root = scratch.path();
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    let file = |name: &str, mode: u32| -> Result<_> {
        let path = root.join(name);
        fs::write(&path, format!("# first\nline_of_{}\n", name.replace(['/', '.'], "_")))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(path)
    };
    fs::create_dir(root.join("private"))?;
    let files = [
        file("open.py", 0o644)?,
        file("closed.py", 0o600)?,
        file("private/inside.py", 0o644)?,
        root.join("link.py"),
    ];
    fs::set_permissions(root.join("private"), Permissions::from_mode(0o700))?;
    symlink("closed.py", root.join("link.py"))?;

    let named: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let arguments = format!("borrowed/app.py {{port}} {USER} {}", named.join(" "));
    let address = Address::Tcp((std::net::Ipv4Addr::LOCALHOST, free_port()?).into());
    let python = places.any_python()?;
    let app = Server::start_at(address, "http.server", &arguments, &python, &places.apps(), root)?;
    let mut agent = Agent::watch(&places.agent, app.process.pid(), root)?;
    let shown = named.iter().enumerate().map(|(n, file)| traceback(&agent, &app, n, file));
    let tracebacks: Vec<String> = shown.collect::<Result<_>>()?;
    agent.stop()?;

    let line =
        |path: &Path| fs::read_to_string(path).map(|text| text.lines().nth(1).unwrap_or_default().to_owned());
    for (path, text) in files.iter().zip(&tracebacks) {
        ensure!(text.contains(&format!("\"{}\", line 2", path.display())), "{}: {text}", path.display());
        let (shown, wanted) = (text.contains(&line(path)?), path.ends_with("open.py"));
        ensure!(shown == wanted, "{}: the line is shown: {shown}\n{text}", path.display());
    }
    Ok(Verdict::Passed("of four files the line of the one that the process may read".to_owned()))
}

/// What is shown of the request that fails in `file`, the `n`th.
fn traceback(agent: &Agent, app: &Server, n: usize, file: &str) -> Result<String> {
    let url = format!("http://127.0.0.1:{}/{n}", app.address.port());
    let answer = ureq::get(&url).call();
    ensure!(matches!(answer, Err(ureq::Error::StatusCode(500))), "{answer:?}");
    until(WAIT, "the traceback to be shown", || {
        let groups = agent.get("/api/error_groups?w=60")?;
        let groups = groups["groups"].as_array().context("no groups")?;
        let mut shown = groups.iter().filter_map(|group| group["sample_traceback"].as_str());
        Ok(shown.find(|text| text.contains(file)).map(str::to_owned))
    })
}
