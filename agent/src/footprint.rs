//! What the agent takes of the machine. It stays out of the app's way: who waits when a processor is short, and memory that is given back.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How much the agent stands back behind others, by nice(2): about a third of an app's share of a processor that both
/// want, which is several times what it needs.
const NICE: libc::c_int = 5;

/// RLIMIT_NICE of a thread that may go back to nice 0: 20 less that (setrlimit(2)).
const LIMIT: libc::rlim_t = 20;

/// The agent's threads never take a processor from a thread that runs, and get a smaller share of it: the ring holds
/// what waits. For the calling thread and those it makes from now on.
pub fn stand_back() {
    let priority = libc::sched_param { sched_priority: 0 };
    let limit = libc::rlimit { rlim_cur: LIMIT, rlim_max: LIMIT };
    // SAFETY: valid parameters, and 0 for this thread. Where a sandbox forbids one, the agent runs as others do; the limit takes
    // root, or a unit that sets it: without it a thread that is behind stays behind others.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NICE, &raw const limit);
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// For the calling thread and those it makes from now on: it runs when nobody else wants the processor, or hardly.
pub fn stand_last() {
    // SAFETY: 0 for this thread; being nicer needs no privilege.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Whether a thread stands back. Where dozens of threads want the processor, a share of a third is none: what the ring cannot
/// hold is lost. While it fills up, the thread that reads it takes the share that any other has.
#[derive(Default)]
pub struct Standing {
    behind: bool,
}

impl Standing {
    /// The calling thread is behind with its work, or not.
    pub fn set(&mut self, behind: bool) {
        if self.behind != behind {
            self.behind = behind;
            // SAFETY: 0 for this thread. Where it is forbidden, nothing changes.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, if behind { 0 } else { NICE }) };
        }
    }
}

/// Takes as many file descriptors as the machine grants (setrlimit(2)), not just the 1,024 of programs that use select(2): each probed
/// function takes one, and each watched interpreter.
pub fn take_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("no more than {soft} files can be open: {error}");
    }
}

/// One heap for all threads: rows are made by one and freed by another, and with a heap for each thread what is freed
/// stays with the thread that made it. Before the first thread.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory that is free back to the kernel: after something large has been read and forgotten.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no precondition (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
