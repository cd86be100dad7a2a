//! An agent that is not root: its file has capabilities, which the kernel grants to whoever runs it (capabilities(7)).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::Agent;
use crate::places::Places;
use crate::process::until;
use crate::runner::Verdict;
use crate::server::{Server, kind};

/// As the README names them.
const CAPABILITIES: &str = "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search";
/// Their numbers (`include/uapi/linux/capability.h`).
const NUMBERS: [u32; 4] = [39, 38, 19, 2];
/// `nobody`
const USER: u32 = 65_534;
const REQUESTS: usize = 20;
const WAIT: Duration = Duration::from_secs(20);

/// The sockets of a process of root's are seen; what the kernel keeps for root is said to be missing.
pub(super) fn by_file_capabilities(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
    let store = scratch.path().join("store");
    fs::create_dir(&store)?;
    std::os::unix::fs::chown(&store, Some(USER), Some(USER))?;
    let starter = prepare(&places.agent, scratch.path())?;
    let app = Server::start(kind("http.server"), &places.any_python()?, &places.apps(), scratch.path())?;
    let pid = app.process.pid();
    let mut agent = Agent::watch(&starter, pid, scratch.path())?;
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.pid()))?;
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let held = u64::from_str_radix(of("CapEff:").context("no CapEff")?, 16)?;
    ensure!(held == NUMBERS.iter().map(|n| 1u64 << n).sum::<u64>(), "it has the capabilities {held:x}");
    ensure!(
        of("Uid:").is_some_and(|ids| ids.split_whitespace().all(|id| id == USER.to_string())),
        "{status}"
    );

    let url = format!("http://127.0.0.1:{}/unprivileged", app.address.port());
    for _ in 0..REQUESTS {
        // Whether there is such a page is not what is asked.
        let _answer = ureq::get(&url).call();
    }
    until(WAIT, "the requests to be shown", || {
        let shown = agent.get("/api/overview?w=60")?["total_requests"].as_u64();
        Ok((shown == Some(REQUESTS as u64)).then_some(()))
    })?;
    let status = agent.get("/api/status")?;
    let probes = status["processes"][0]["probes"].as_array().context("no probes")?;
    let find =
        |part: &str| probes.iter().find(|probe| probe["name"].as_str().is_some_and(|n| n.contains(part)));
    ensure!(find("sockets").is_some_and(|probe| probe["attached"] == true), "{probes:?}");
    let refused = find("OpenSSL").context("TLS is not spoken of")?;
    ensure!(refused["attached"] == false && refused["reason"] != Value::Null, "{refused}");
    agent.stop()?;
    let check = Command::new(&starter).arg("check").output()?;
    let said = String::from_utf8_lossy(&check.stdout);
    ensure!(said.contains("CAP_SYS_ADMIN") && said.contains("to look inside TLS"), "check says:\n{said}");
    Ok(Verdict::Passed(format!(
        "{REQUESTS} requests seen by user {USER} with {CAPABILITIES}; TLS said to need more"
    )))
}

/// A copy of the agent that has the capabilities, and a program that starts it as another user. On a machine where nobody has
/// mounted tracefs it is mounted for that program alone: only root may.
fn prepare(agent: &Path, scratch: &Path) -> Result<std::path::PathBuf> {
    let (copy, starter) = (scratch.join("apm-agent"), scratch.join("start"));
    fs::copy(agent, &copy)?;
    let done = Command::new("setcap").arg(format!("{CAPABILITIES}+ep")).arg(&copy).status();
    ensure!(done.context("cannot start setcap")?.success(), "setcap failed");
    fs::write(
        &starter,
        format!(
            "#!/bin/sh\nexec unshare --mount sh -c 'test -d /sys/kernel/tracing/events || mount -t tracefs tracefs \
             /sys/kernel/tracing; exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"' sh {} \"$@\"\n",
            copy.display()
        ),
    )?;
    fs::set_permissions(&starter, fs::Permissions::from_mode(0o755))?;
    Ok(starter)
}
