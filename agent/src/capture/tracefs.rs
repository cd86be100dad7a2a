//! Attaching to a tracepoint needs its number, and that stands in tracefs, which need not be mounted.

use std::io;
use std::path::Path;
use std::ptr;

const MOUNT_POINT: &std::ffi::CStr = c"/sys/kernel/tracing";
const DEBUGFS_MOUNT_POINT: &str = "/sys/kernel/debug/tracing/events";

/// Runs `work` where tracefs can be read. Where the host has not mounted it, that is a thread with a mount namespace of
/// its own, which ends with it: the host's mounts stay as they are.
pub(super) fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if is_mounted() {
        return work();
    }
    let run = || {
        if let Err(error) = mount_privately() {
            tracing::debug!("cannot mount tracefs: {error}");
        }
        work()
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Has the host mounted tracefs where it is looked for?
fn is_mounted() -> bool {
    Path::new("/sys/kernel/tracing/events").exists() || Path::new(DEBUGFS_MOUNT_POINT).exists()
}

fn mount_privately() -> io::Result<()> {
    let check = |code: i32| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: changes this thread alone, which ends with the work.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: constant strings; no data. First nothing of this namespace may reach the host's.
    check(unsafe {
        libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null())
    })?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: as above.
    check(unsafe {
        libc::mount(c"tracefs".as_ptr(), MOUNT_POINT.as_ptr(), c"tracefs".as_ptr(), flags, ptr::null())
    })
}
