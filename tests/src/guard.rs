//! What a run has begun ends with it, however the run ends: by Ctrl-C, a signal, a terminal that is closed, or SIGKILL.

use std::fmt;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// Reads what begins and what ends until its input, which is ours, does. What is left then goes in the order of the
/// names: processes before the mounts that they use, mounts before the directories that they lie in.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
awk '/^begun / { open[substr($0, 7)] } /^ended / { delete open[substr($0, 7)] } END { for (one in open) print one }' |
sort | while read -r kind one; do
    case $kind in
        group) kill -s KILL -- "-$one" ;;
        mount) umount --lazy "$one" ;;
        tree) for try in 1 2 3 4 5; do rm -rf --one-file-system "$one" && break; sleep 0.2; done ;;
    esac
done
"#;

/// Something that a run must not leave behind.
#[derive(Clone, Copy)]
pub(crate) enum Thing<'a> {
    /// A process group.
    Group(u32),
    Mount(&'a Path),
    /// A directory with all in it.
    Tree(&'a Path),
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(id) => write!(f, "group {id}"),
            Self::Mount(path) => write!(f, "mount {}", path.display()),
            Self::Tree(path) => write!(f, "tree {}", path.display()),
        }
    }
}

/// A program that outlives us by as long as it takes to end the rest.
struct Guard {
    told: Option<ChildStdin>,
    program: Child,
}

impl Guard {
    fn start() -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: Ctrl-C ends us, and not it.
        let mut program = command.process_group(0).spawn().context("cannot start sh")?;
        Ok(Self { told: program.stdin.take(), program })
    }

    fn tell(&mut self, what: &str, thing: Thing<'_>) -> Result<()> {
        let line = format!("{what} {thing}\n");
        let told = self.told.as_mut().context("the guard has no input")?;
        told.write_all(line.as_bytes()).context("the guard that ends what a killed run leaves has gone")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.told.take());
        let _ended = self.program.wait();
    }
}

/// Never dropped: its input closes with us.
static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

fn tell(what: &str, thing: Thing<'_>) -> Result<()> {
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_none() {
        *guard = Some(Guard::start()?);
    }
    guard.as_mut().context("no guard")?.tell(what, thing)
}

/// From here on `thing` ends with us.
pub(crate) fn begun(thing: Thing<'_>) -> Result<()> {
    tell("begun", thing)
}

/// It has ended. To be said while its number cannot be another's.
pub(crate) fn ended(thing: Thing<'_>) {
    // A guard that has gone ends nothing.
    let _gone = tell("ended", thing);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use super::*;
    use crate::process::until;

    fn sleeps() -> Child {
        Command::new("sleep").arg("600").process_group(0).spawn().unwrap()
    }

    #[test]
    fn what_is_open_when_its_input_ends_goes_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let [left, kept] = ["left behind", "kept"].map(|name| scratch.path().join(name));
        for directory in [&left, &kept] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("file"), "").unwrap();
        }
        let (mut open, mut done) = (sleeps(), sleeps());
        let mut guard = Guard::start().unwrap();
        for thing in
            [Thing::Tree(&left), Thing::Tree(&kept), Thing::Group(open.id()), Thing::Group(done.id())]
        {
            guard.tell("begun", thing).unwrap();
        }
        guard.tell("ended", Thing::Tree(&kept)).unwrap();
        guard.tell("ended", Thing::Group(done.id())).unwrap();
        drop(guard);
        let status = until(Duration::from_secs(10), "the end of the group", || Ok(open.try_wait()?));
        let alive = done.try_wait().unwrap().is_none();
        done.kill().unwrap();
        done.wait().unwrap();
        assert_eq!(status.unwrap().signal(), Some(libc::SIGKILL));
        assert!(alive && kept.exists() && !left.exists());
    }
}
