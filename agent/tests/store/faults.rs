//! Disks that fail, files that go: nothing stops, nothing is deleted, and what is lost is counted.

use std::fs;
use std::path::Path;
use std::process::Command;

use apm_agent::store::{Health, Options, Scope, Sort, State, Store, Writer};
use apm_core::loss::Loss;
use rusqlite::Connection;

use crate::support::{START, TestClock, TestStore, ev, event, options};

fn all() -> Scope {
    Scope { service: None, seconds: 3600 }
}

fn one() -> Vec<apm_core::record::Record> {
    vec![ev(event(START, "api", "/"))]
}

/// Flushes until the store is healthy again: writing is tried again after a pause.
fn recovered(writer: &Writer) -> Health {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        writer.flush().unwrap();
        let health = writer.health();
        if health.state == State::Ok && health.rows_waiting == 0 {
            return health;
        }
        assert!(std::time::Instant::now() < deadline, "{health:?}");
        std::thread::yield_now();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_locked_file_delays_rows_and_loses_none() {
    let store = TestStore::new();
    store.put(one());
    let other = Connection::open(&store.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.put(one());
    let health = store.writer.health();
    assert_eq!((health.state, health.rows_waiting), (State::Failing, 1));
    assert!(health.problem.unwrap().contains("locked"));
    other.execute_batch("ROLLBACK").unwrap();
    recovered(&store.writer);
    assert_eq!(store.reader.overview(&all()).unwrap().total_requests, 2);
    assert_eq!(store.writer.losses().get(Loss::StoreFailed), 0);
}

#[test]
fn writes_that_fail_keep_the_newest_rows_within_a_cap() {
    let store = TestStore::with(|options| options.memory_rows = 100);
    store.put(one());
    let other = Connection::open(&store.path).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'broken'); END",
        )
        .unwrap();
    for i in 0..300 {
        let mut event = event(START, "api", "/");
        event.path = format!("/{i}");
        store.writer.send(vec![ev(event)]);
    }
    store.writer.flush().unwrap();
    let health = store.writer.health();
    assert_eq!((health.state, health.rows_waiting), (State::Failing, 100), "{health:?}");
    other.execute_batch("DROP TRIGGER broken").unwrap();
    recovered(&store.writer);
    assert_eq!(store.writer.losses().get(Loss::StoreFailed), 200);
    assert_eq!(store.reader.overview(&all()).unwrap().total_requests, 101);
    let newest = store.reader.requests(&all(), None, None, Sort::Recent, 1).unwrap();
    assert_eq!(newest[0].path, "/299");
}

/// A file system of a megabyte, where this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a small disk needs root");
        return;
    };
    let path = disk.0.path().join("apm.db");
    let clock = TestClock::new();
    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    let ballast = disk.0.path().join("ballast");
    writer.send(one());
    writer.flush().unwrap();
    // Fills what is left of the disk.
    let _ = fs::write(&ballast, vec![1; 1 << 20]);
    let mut sent = 1;
    while writer.health().state == State::Ok {
        let mut event = event(START, "api", "/");
        event.path = format!("/{}", "x".repeat(2000));
        writer.send(vec![ev(event); 100]);
        writer.flush().unwrap();
        sent += 100;
        assert!(sent < 10_000, "the disk is never full");
    }
    let problem = writer.health().problem.unwrap();
    assert!(problem.contains("full") && problem.contains("--db"), "{problem}");
    fs::remove_file(&ballast).unwrap();
    recovered(&writer);
    assert_eq!(reader.overview(&all()).unwrap().total_requests, sent);
    assert_eq!(writer.losses().get(Loss::StoreFailed), 0);
    writer.shutdown();
}

#[test]
fn on_a_disk_that_cannot_be_written_figures_are_kept_in_memory() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a disk needs root");
        return;
    };
    let path = disk.0.path().join("apm.db");
    let clock = TestClock::new();
    let (writer, _) = Store::open(&path, options(&clock)).unwrap();
    writer.send(one());
    writer.shutdown();
    let before = fs::read(&path).unwrap();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(remounted.success());

    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    writer.send(vec![ev(event(START, "api", "/")); 3]);
    writer.flush().unwrap();
    let health = writer.health();
    assert_eq!(health.state, State::Memory);
    let told = health.problem.unwrap().to_lowercase();
    assert!(["apm.db", "read-only", "memory"].iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(reader.overview(&all()).unwrap().total_requests, 3);
    writer.shutdown();
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_removed_file_is_made_anew_and_said() {
    let store = TestStore::new();
    store.put(one());
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", store.path.display()));
    }
    store.clock.set(START + 2.0);
    store.put(one());
    assert_eq!(store.reader.overview(&all()).unwrap().total_requests, 1);
    let notices = store.writer.health().notices;
    assert!(notices.len() == 1 && notices[0].contains("removed"), "{notices:?}");
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apm.db");
    fs::write(&path, b"this was never a database, but it is long enough to look like one".repeat(100))
        .unwrap();
    let clock = TestClock::new();
    let (writer, reader) = Store::open(&path, options(&clock)).unwrap();
    writer.send(one());
    writer.flush().unwrap();
    assert_eq!(reader.overview(&all()).unwrap().total_requests, 1);
    let notices = writer.health().notices;
    assert!(notices.len() == 1 && notices[0].contains("damaged"), "{notices:?}");
    writer.shutdown();
    let aside: Vec<_> = names(dir.path()).into_iter().filter(|n| n.contains("corrupt")).collect();
    assert_eq!(aside.len(), 1);
    assert!(fs::read(dir.path().join(&aside[0])).unwrap().starts_with(b"this was never"));
}

#[test]
fn a_file_damaged_under_us_is_set_aside_and_rows_go_on() {
    let store = TestStore::new();
    for i in 0..200 {
        store.put(vec![ev(event(START, "api", &format!("/{i}")))]);
    }
    // Overwrite every page but the first, in the log and in the file.
    for suffix in ["", "-wal"] {
        let name = format!("{}{suffix}", store.path.display());
        let length = fs::metadata(&name).unwrap().len() as usize;
        if length > 4096 {
            let mut bytes = fs::read(&name).unwrap();
            bytes[4096..].fill(0x5a);
            // In place: the store has it open.
            use std::os::unix::fs::FileExt;
            fs::OpenOptions::new().write(true).open(&name).unwrap().write_all_at(&bytes, 0).unwrap();
        }
    }
    store.clock.set(START + 2.0);
    // Whoever meets the damage first, reader or writer, it is the writer that mends it.
    let _ = store.reader.overview(&all());
    store.put(one());
    let health = recovered(&store.writer);
    assert!(health.notices.len() == 1 && health.notices[0].contains("damaged"), "{health:?}");
    assert_eq!(store.reader.overview(&all()).unwrap().total_requests, 1);
    assert!(names(store.path.parent().unwrap()).iter().any(|name| name.contains("corrupt")));
}

#[test]
fn a_newer_store_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apm.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x); PRAGMA user_version = 4711").unwrap();
    let clock = TestClock::new();
    let (writer, _reader) = Store::open(&path, options(&clock)).unwrap();
    assert!(writer.health().notices[0].contains("newer version"));
    writer.shutdown();
    assert!(names(dir.path()).iter().any(|n| n.starts_with("apm.db.newer-")));
}

#[test]
fn where_no_file_can_be_the_store_refuses_unless_it_is_to_live_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let blocker = dir.path().join("file");
    fs::write(&blocker, "").unwrap();
    let path = blocker.join("apm.db");
    let clock = TestClock::new();
    let error = Store::open(&path, options(&clock)).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");

    let options = Options { memory_instead: Some("the disk is full".to_owned()), ..options(&clock) };
    let (writer, reader) = Store::open(&path, options).unwrap();
    writer.send(one());
    writer.flush().unwrap();
    let health = writer.health();
    assert_eq!(health.state, State::Memory);
    assert!(health.problem.unwrap().starts_with("the disk is full; "));
    assert_eq!(reader.overview(&all()).unwrap().total_requests, 1);
    writer.shutdown();
}

#[test]
fn a_symbolic_link_in_the_files_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("victim");
    fs::write(&target, "precious").unwrap();
    let path = dir.path().join("apm.db");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(Store::open(&path, options(&TestClock::new())).is_err());
    assert_eq!(fs::read(&target).unwrap(), b"precious");
}
