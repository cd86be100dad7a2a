//! The life of processes: children of a watched process are watched from their first instruction.

use apm_agent_ebpf::{life, target_flags};
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{attribution, emit, exceptions, kernel::read, maps::*, stacks};

/// `sched_process_fork(parent, child)`; threads pass here as well.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    let id = bpf_get_current_pid_tgid();
    let parent = (id >> 32) as u32;
    let child: u64 = ctx.arg(1);
    let Some(tgid) = read::<u32>(child, OFF_TASK_TGID.load()) else { return 0 };
    if TARGETS.get_ptr(parent).is_none() {
        return 0;
    }
    if tgid == parent {
        attribution::starts_thread(id, read(child, OFF_TASK_PID.load()).unwrap_or(0));
        return 0;
    }
    attribution::forks(parent, tgid);
    exceptions::forks(parent, tgid);
    stacks::forks(parent, tgid);
    let _full = TARGETS.insert(tgid, target_flags::WATCHED, 0);
    emit::process(life::FORK, tgid, parent, true);
    0
}

/// `sched_process_exec(task, old_pid, bprm)`: of every process on the host, since any may become a Python.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let watched = TARGETS.get_ptr(tgid).is_some();
    if watched {
        // It stays watched, so that a new worker is seen from its first instruction; user space decides anew, and forgets
        // it where it is no Python any more.
        attribution::ends(tgid);
        exceptions::ends(tgid);
        stacks::ends(tgid);
    }
    emit::process(life::EXEC, tgid, 0, watched);
    0
}

/// `sched_process_exit(task)`: the end of a process is the exit of its first thread.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn sched_process_exit(_ctx: RawTracePointContext) -> i32 {
    let id = bpf_get_current_pid_tgid();
    let tgid = (id >> 32) as u32;
    // Of a process that ends, the first thread may go before the others.
    attribution::ends_thread(id as u32);
    if TARGETS.get_ptr(tgid).is_none() || id as u32 != tgid {
        return 0;
    }
    let _gone = TARGETS.remove(tgid);
    attribution::ends(tgid);
    exceptions::ends(tgid);
    stacks::ends(tgid);
    emit::process(life::EXIT, tgid, 0, true);
    0
}
