//! Staying out of the app's way: who waits when a processor is short, and memory that is given back.

/// How much the agent stands back behind others, by nice(2): about a third of an app's share of a processor that both
/// want, which is several times what it needs.
const NICE: libc::c_int = 5;

/// The agent's threads never take a processor from a thread that runs, and get a smaller share of it: the ring holds
/// what waits. For the calling thread and those it makes from now on.
pub fn stand_back() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: a valid parameter, and 0 for this thread. Neither call needs a privilege; where a sandbox forbids one, the
    // agent runs as others do.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
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
