//! Agents that come and go while a server is under load: nobody notices, and nothing is missed once one is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::matrix::finish;
use crate::agent::Agent;
use crate::load::{Fate, Load, Sent, Until, now};
use crate::places::Places;
use crate::runner::{Case, Verdict};
use crate::score;
use crate::server::{Server, kind};

/// After this long an agent sees every request.
const ATTACH_SECONDS: f64 = 2.0;

const SERVERS: &[&str] = &["uvicorn-uvloop-httptools", "gunicorn-gthread", "http.server"];

pub(super) fn cases() -> Vec<Case> {
    let each = |what: &str, test: fn(&Places, &str) -> Result<Verdict>| {
        let named = |(nth, name): (usize, &'static str)| {
            let case = Case::new(format!("{what}/{name}"), move |places| test(places, name)).alone();
            if nth < 2 { case } else { case.rare() }
        };
        SERVERS.iter().copied().enumerate().map(named).collect::<Vec<_>>()
    };
    let restarts = each("restart-under-load", restart_under_load);
    each("attach-under-load", attach_under_load).into_iter().chain(restarts).collect()
}

/// Puts load on a server while `meanwhile` runs; gives back what was sent, after checking that none failed.
fn under_load<T>(
    server: &Server,
    name: &str,
    meanwhile: impl FnOnce() -> Result<T>,
) -> Result<(Vec<Sent>, T)> {
    let stop = AtomicBool::new(false);
    let pause = Duration::from_millis(4);
    let until = Until::Stopped(&stop);
    let load = Load {
        address: server.address.clone(),
        clients: 6,
        traits: kind(name).traits,
        seed: 11,
        until,
        pause,
    };
    thread::scope(|scope| {
        let clients = scope.spawn(|| load.run());
        let done = meanwhile();
        stop.store(true, Ordering::Relaxed);
        let sent = clients.join().expect("the load does not panic");
        for one in &sent {
            if let Fate::Failed(why) = &one.fate {
                anyhow::bail!("{} {} failed: {why}", one.method, one.path);
            }
        }
        Ok((sent, done?))
    })
}

/// From two seconds after its start the agent sees every request of a busy server.
fn attach_under_load(places: &Places, name: &str) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let server = Server::start(kind(name), &places.any_python()?, &places.apps(), scratch.path())?;
    let pid = server.process.pid();
    let (sent, (mut agent, started)) = under_load(&server, name, || {
        thread::sleep(Duration::from_millis(500)); // a load that is under way, not one that begins
        let started = now();
        let agent = Agent::watch(&places.agent, pid, scratch.path())?;
        // Three seconds of load to be judged.
        thread::sleep(Duration::from_secs_f64((started + ATTACH_SECONDS + 3.0 - now()).max(0.0)));
        Ok((agent, started))
    })?;
    let log = finish(server, &sent)?;
    score::app_against_load(&sent, &log)?;
    agent.stop()?;
    let events = agent.events()?;
    // Requests from before the agent are allowed to be there (those in flight when it came), never invented ones.
    let seen = |path: &str| events.iter().any(|event| event.path == path);
    let must = sent.iter().filter(|one| one.at >= started + ATTACH_SECONDS);
    let may = sent.iter().filter(|one| one.at < started + ATTACH_SECONDS && seen(&one.path));
    let judged: Vec<Sent> = must.chain(may).cloned().collect();
    ensure!(judged.len() > 500, "only {} requests came after the attach", judged.len());
    let report = score::agent_against_app(&judged, &log, &events)?;
    Ok(Verdict::Passed(format!("{} sent, {report}", sent.len())))
}

/// Stopped, killed and started again: no request fails, and no probe stays behind.
fn restart_under_load(places: &Places, name: &str) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let server = Server::start(kind(name), &places.any_python()?, &places.apps(), scratch.path())?;
    let pid = server.process.pid();
    let before = loaded_programs()?;
    let (sent, ()) = under_load(&server, name, || {
        let watch = || Agent::watch(&places.agent, pid, scratch.path());
        watch()?.stop()?;
        // The kernel takes the probes out before the process is gone: seconds, on a busy machine.
        watch()?.process.stop(libc::SIGKILL, Duration::from_secs(30))?;
        watch()?.stop()
    })?;
    let log = finish(server, &sent)?;
    score::app_against_load(&sent, &log)?;
    // The kernel frees programs a moment after their last owner has gone.
    crate::process::until(Duration::from_secs(30), "the agent's probes to leave the kernel", || {
        Ok((loaded_programs()? <= before).then_some(()))
    })?;
    Ok(Verdict::Passed(format!("{} sent, none failed, no probe left", sent.len())))
}

/// Number of eBPF programs in the kernel, counted by walking their ids (bpf(2), BPF_PROG_GET_NEXT_ID).
fn loaded_programs() -> Result<usize> {
    const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
    /// The part of `union bpf_attr` that this command uses: start_id, next_id, open_flags.
    #[repr(C)]
    struct NextId([u32; 3]);
    let mut count = 0;
    let mut attr = NextId([0; 3]);
    loop {
        // SAFETY: attr is a live struct of the size that is passed with it; the kernel writes only inside it.
        let done =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_GET_NEXT_ID, &raw mut attr, size_of::<NextId>()) };
        if done < 0 {
            let error = std::io::Error::last_os_error();
            ensure!(error.raw_os_error() == Some(libc::ENOENT), "cannot list eBPF programs: {error}");
            return Ok(count);
        }
        count += 1;
        attr.0[0] = attr.0[1];
    }
}
