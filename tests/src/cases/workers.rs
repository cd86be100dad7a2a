//! Process trees: workers that are there, that come later, and that are replaced.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::matrix::one_to_one;
use crate::agent::Agent;
use crate::load::{Load, Sent, Until};
use crate::places::Places;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::{Server, kind};

const WAIT: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("workers/uvicorn-workers", uvicorn_workers),
        Case::new("workers/uvicorn-reload", uvicorn_reload),
        Case::new("workers/gunicorn-restart", gunicorn_restart),
        Case::new("workers/gunicorn-killed-worker", gunicorn_killed_worker),
    ]
}

fn load(server: &Server, seed: u64) -> Vec<Sent> {
    let traits = kind("uvicorn-asyncio-h11").traits;
    let (address, until) = (server.address.clone(), Until::Requests(600));
    Load { address, clients: 6, traits, seed, until, pause: Duration::ZERO }.run()
}

/// All workers of `uvicorn --workers` are watched through their parent.
fn uvicorn_workers(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let arguments = "-m uvicorn asgi_app:app --port {port} --workers 3 --no-access-log --log-level warning";
    let python = places.any_python()?;
    let server = Server::start_with("uvicorn --workers", arguments, &python, &places.apps(), scratch.path())?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch.path())?;
    let sent = load(&server, 21);
    one_to_one(&mut agent, server, &sent).map(Verdict::Passed)
}

/// The process that `uvicorn --reload` starts after a change is watched from its first request.
fn uvicorn_reload(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let apps = scratch.path().join("apps");
    copy(&places.apps(), &apps)?;
    let arguments = "-m uvicorn asgi_app:app --port {port} --reload --no-access-log --log-level warning";
    let server =
        Server::start_with("uvicorn --reload", arguments, &places.any_python()?, &apps, scratch.path())?;
    let pid = server.process.pid();
    let mut agent = Agent::watch(&places.agent, pid, scratch.path())?;
    let mut sent = load(&server, 22);
    let before = descendants(pid)?;
    let app = apps.join("asgi_app.py");
    let source = fs::read_to_string(&app)?;
    fs::write(&app, format!("{source}\n# changed\n"))?;
    until(WAIT, "uvicorn to start another process", || {
        Ok(descendants(pid)?.iter().any(|child| !before.contains(child)).then_some(()))
    })?;
    serving(&server)?;
    sent.extend(load(&server, 23));
    one_to_one(&mut agent, server, &sent).map(Verdict::Passed)
}

/// SIGHUP makes gunicorn replace its workers: the new ones are watched.
fn gunicorn_restart(places: &Places) -> Result<Verdict> {
    gunicorn(places, |server| {
        server.process.signal(libc::SIGHUP);
        Ok(())
    })
}

/// A worker that dies is replaced, and its successor is watched.
fn gunicorn_killed_worker(places: &Places) -> Result<Verdict> {
    gunicorn(places, |server| {
        for worker in descendants(server.process.pid())? {
            // SAFETY: kill takes no pointers.
            unsafe { libc::kill(worker.cast_signed(), libc::SIGTERM) };
        }
        Ok(())
    })
}

fn gunicorn(places: &Places, replace: impl FnOnce(&Server) -> Result<()>) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let python = places.any_python()?;
    let server = Server::start(kind("gunicorn-uvicorn"), &python, &places.apps(), scratch.path())?;
    let pid = server.process.pid();
    let workers = || descendants(pid);
    until(WAIT, "gunicorn's workers", || Ok((workers()?.len() == 2).then_some(())))?;
    let mut agent = Agent::watch(&places.agent, pid, scratch.path())?;
    let mut sent = load(&server, 24);
    let before = workers()?;
    replace(&server)?;
    until(WAIT, "gunicorn to replace its workers", || {
        let now = workers()?;
        Ok((now.len() == 2 && now.iter().all(|worker| !before.contains(worker))).then_some(()))
    })?;
    serving(&server)?;
    sent.extend(load(&server, 25));
    one_to_one(&mut agent, server, &sent).map(Verdict::Passed)
}

/// Waits until the server takes connections again, without asking it for anything.
fn serving(server: &Server) -> Result<()> {
    until(WAIT, "the server to listen again", || Ok(server.address.accepts().then_some(())))
}

/// Children of `pid` and theirs.
fn descendants(pid: u32) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        // A process that ended in between has no children any more.
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        for child in children.split_whitespace() {
            let child = child.parse().context("a number in /proc")?;
            all.push(child);
            open.push(child);
        }
    }
    Ok(all)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
