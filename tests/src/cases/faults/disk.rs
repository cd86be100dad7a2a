//! The store's file under a running agent: its disk fills, another program locks it, it is removed. Requests are answered all the
//! while, the status says what is wrong, and nothing is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::Value;

use super::{Pair, SHOWN};
use crate::guard::{self, Thing};
use crate::places::{Places, Scratch};
use crate::process::until;
use crate::runner::Verdict;

/// A disk of some megabytes, and the directory that it lies in, which cannot be removed before.
struct SmallDisk {
    path: PathBuf,
    _scratch: Rc<Scratch>,
}

impl SmallDisk {
    /// Mounted at `name` in `scratch`; the inner error says why it cannot be.
    fn mount(scratch: Rc<Scratch>, name: &str) -> Result<Result<Self, String>> {
        let path = scratch.path().join(name);
        fs::create_dir_all(&path)?;
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output()?;
        if !done.status.success() {
            return Ok(Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()));
        }
        let mounted = Self { path, _scratch: scratch };
        guard::begun(Thing::Mount(&mounted.path))?;
        Ok(Ok(mounted))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still holds a file on it ends soon.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
        guard::ended(Thing::Mount(&self.path));
    }
}

impl Pair {
    fn store(&self) -> Result<Value> {
        Ok(self.agent.get("/api/status")?["store"].clone())
    }

    /// Sends requests until the store is `state`; returns how many.
    fn until_store_is(&self, state: &str, sent: &mut u32) -> Result<Value> {
        until(3 * SHOWN, &format!("the store to be {state}"), || {
            *sent += 1;
            let path = format!("/{}/{sent}", "p".repeat(1500));
            ensure!(
                self.send(super::request(&path).as_bytes())?.starts_with(b"HTTP/1."),
                "{path} is not answered"
            );
            let store = self.store()?;
            Ok((store["state"] == state).then_some(store))
        })
    }
}

pub(super) fn disk(places: &Places) -> Result<Verdict> {
    let scratch = Rc::new(places.scratch()?);
    let _disk = match SmallDisk::mount(Rc::clone(&scratch), "store")? {
        Ok(disk) => disk,
        Err(why) => return Ok(Verdict::Skipped(format!("a disk of its own cannot be mounted: {why}"))),
    };
    let mut pair = Pair::start_in(scratch, places, "stdlib_app.py {port}", &[])?;
    let directory = pair.agent.store().to_owned();
    let mut sent = 0;
    pair.until_store_is("ok", &mut sent)?;

    let ballast = directory.join("ballast");
    // As much as fits: the write fails when the disk is full.
    let _full = fs::write(&ballast, vec![0; 8 << 20]);
    let failing = pair.until_store_is("failing", &mut sent)?;
    let problem = failing["problem"].as_str().context("no problem is named")?;
    ensure!(problem.contains("full") && problem.contains("--db"), "{problem}");
    fs::remove_file(&ballast)?;
    pair.until_store_is("ok", &mut sent)?;

    let other = Connection::open(directory.join("apm.db"))?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    let locked = pair.until_store_is("failing", &mut sent)?;
    let problem = locked["problem"].as_str().context("no problem is named")?;
    ensure!(problem.contains("locked"), "{problem}");
    other.execute_batch("ROLLBACK")?;
    drop(other);
    pair.until_store_is("ok", &mut sent)?;
    pair.no_losses()?;
    until(SHOWN, "every request to be counted", || {
        let total = pair.agent.get("/api/overview?w=600")?["total_requests"].clone();
        Ok((total == sent).then_some(()))
    })?;

    for suffix in ["", "-wal", "-shm"] {
        // SQLite may have put its side files away itself.
        let _gone = fs::remove_file(directory.join(format!("apm.db{suffix}")));
    }
    until(SHOWN, "the loss of the file to be said", || {
        let notices = pair.store()?["notices"].to_string();
        Ok(notices.contains("removed or replaced").then_some(()))
    })?;
    pair.shown("/after-all")?;
    pair.agent.stop()?;
    ensure!(pair.agent.events()?.iter().any(|event| event.path == "/after-all"), "not in the new file");
    Ok(Verdict::Passed(format!(
        "full, locked, removed: {sent} requests answered and counted, then a new file"
    )))
}

/// An agent that starts where nothing can be written watches all the same.
pub(super) fn unusable(places: &Places) -> Result<Verdict> {
    for (made, word) in [(remounted as fn(&Path) -> Result<()>, "read-only"), (filled, "space")] {
        let scratch = Rc::new(places.scratch()?);
        let disk = match SmallDisk::mount(Rc::clone(&scratch), "store")? {
            Ok(disk) => disk,
            Err(why) => return Ok(Verdict::Skipped(format!("a disk of its own cannot be mounted: {why}"))),
        };
        made(&disk.path)?;
        let mut pair = Pair::start_in(scratch, places, "stdlib_app.py {port}", &[])?;
        pair.shown("/kept-in-memory")?;
        let store = pair.store()?;
        let problem = store["problem"].as_str().context("no problem is named")?;
        ensure!(store["state"] == "memory", "{store}");
        ensure!(problem.to_lowercase().contains(word) && problem.contains("memory"), "{problem}");
        pair.no_losses()?;
        pair.agent.stop()?;
    }
    Ok(Verdict::Passed("read-only, full: said, and requests are seen".to_owned()))
}

fn remounted(disk: &Path) -> Result<()> {
    let done = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status()?;
    ensure!(done.success(), "not to be mounted read-only");
    Ok(())
}

fn filled(disk: &Path) -> Result<()> {
    let full = fs::write(disk.join("ballast"), vec![0; 8 << 20]);
    ensure!(full.is_err(), "the disk is not full");
    Ok(())
}
