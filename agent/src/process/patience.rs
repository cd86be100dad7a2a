//! Files that do not come: on a file system whose server is gone (NFS, FUSE) who asks for one waits, perhaps for ever. What the
//! agent does for all processes must not wait for the files of one, so a thread of its own asks, and is left behind.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long is waited for an answer.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);
/// Questions that may be without an answer at a time, each of which keeps a thread.
const SILENT_MAX: usize = 64;
/// Bytes of such a thread's stack.
const STACK: usize = 256 << 10;

/// When a question was answered; empty until then.
pub(crate) type Answered = Arc<OnceLock<Instant>>;

/// Has a thread of its own do something, and waits for it a while. `None` where it takes longer; the first value tells when it is done
/// at last.
pub(crate) fn patiently<T: Send + 'static>(
    ask: impl FnOnce() -> T + Send + 'static,
) -> (Answered, Option<T>) {
    let answered = Answered::default();
    let (tell, told) = sync_channel(1);
    let done = Arc::clone(&answered);
    let asks = move || {
        let answer = ask();
        // Nobody else sets it.
        let _first = done.set(Instant::now());
        // Nobody may wait any more.
        let _late = tell.send(answer);
    };
    let started = thread::Builder::new().name("asks".to_owned()).stack_size(STACK).spawn(asks);
    if started.is_err() {
        // Without a thread there is no question to wait for.
        let _first = answered.set(Instant::now());
    }
    (answered, told.recv_timeout(PATIENCE).ok())
}

/// A device, as the kernel prints it for mappings (proc_pid_maps(5)).
pub(super) type Device = (i32, i32);

/// A file system that was asked.
#[derive(Debug)]
struct Asked {
    answered: Answered,
    /// The file that was asked for, as its process sees it.
    shown: PathBuf,
}

impl Asked {
    fn is_silent(&self) -> bool {
        self.answered.get().is_none()
    }

    fn is_fresh(&self) -> bool {
        self.answered.get().is_some_and(|at| at.elapsed() < FRESH)
    }
}

/// Which file systems answer.
#[derive(Debug, Default)]
pub(super) struct FileSystems(Mutex<HashMap<Device, Asked>>);

impl FileSystems {
    /// Does the file system answer that holds the file at `access`? It is asked for that file, unless it has just answered or has
    /// not answered yet.
    pub(super) fn answers(&self, device: Device, access: PathBuf, shown: &Path) -> bool {
        self.answers_to(device, shown, move || touch(&access))
    }

    pub(super) fn answers_to(
        &self,
        device: Device,
        shown: &Path,
        ask: impl FnOnce() + Send + 'static,
    ) -> bool {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut known = known();
            known.retain(|_, asked| asked.is_silent() || asked.is_fresh());
            if let Some(asked) = known.get(&device) {
                return !asked.is_silent();
            }
            if known.values().filter(|asked| asked.is_silent()).count() >= SILENT_MAX {
                return false;
            }
        }
        let (answered, answer) = patiently(ask);
        if answer.is_none() {
            tracing::warn!(
                "the file system of {} does not answer: processes with files there are not looked at until it does",
                shown.display()
            );
        }
        known().insert(device, Asked { answered, shown: shown.to_owned() });
        answer.is_some()
    }

    /// A file of each that does not answer.
    pub(super) fn silent(&self) -> Vec<PathBuf> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|asked| asked.is_silent()).map(|asked| asked.shown.clone()).collect()
    }
}

/// Asks for a file as one does who reads it. To open anything but a regular file could do something.
fn touch(access: &Path) {
    if std::fs::metadata(access).is_ok_and(|found| found.is_file()) {
        // An error is an answer.
        let _answer = File::open(access);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_file_system_that_does_not_answer_is_asked_once_and_told_until_it_does() {
        let systems = FileSystems::default();
        let shown = Path::new("/mnt/lib.so");
        let (release, held) = channel::<()>();
        let hangs = move || _ = held.recv();
        assert!(!systems.answers_to((0, 7), shown, hangs));
        assert_eq!(systems.silent(), [shown]);
        assert!(!systems.answers_to((0, 7), shown, || panic!("it is not asked again")));
        assert!(systems.answers_to((0, 8), shown, || {}), "others are");
        assert!(systems.answers_to((0, 8), shown, || panic!("it has just answered")));
        release.send(()).unwrap();
        while !systems.silent().is_empty() {
            thread::yield_now();
        }
        assert!(systems.answers_to((0, 7), shown, || {}));
    }

    #[test]
    fn no_more_threads_wait_than_may() {
        let systems = FileSystems::default();
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        {
            let mut known = systems.0.lock().unwrap();
            for minor in 0..SILENT_MAX as i32 {
                known.insert((1, minor), Asked { answered: Answered::default(), shown: PathBuf::new() });
            }
        }
        let hangs = move || _ = held.lock().map(|held| held.recv());
        assert!(!systems.answers_to((0, 7), Path::new("/"), hangs));
        assert_eq!(systems.silent().len(), SILENT_MAX);
        drop(release);
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(FileSystems::default().answers((0, 7), pipe, Path::new("/pipe")), "to open it would block");
    }
}
