//! Which program goes where.

use std::collections::HashMap;
use std::error::Error;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use aya::Ebpf;
use aya::programs::Program;

use super::CaptureError;

/// Programs that are loaded at a time.
const LOADERS_MAX: usize = 4;
/// Programs that are taken off at a time.
const UNLOADERS: usize = 32;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `category:name` of a tracepoint.
    Tracepoint(&'static str, &'static str),
    /// Name of a raw tracepoint.
    Raw(&'static str),
}

/// A program and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Where it goes.
    pub place: Place,
    /// What it is for, in words for the user.
    pub purpose: &'static str,
}

/// A probe that was attached.
#[derive(Clone, Debug)]
pub struct ProbeResult {
    /// Which.
    pub probe: Probe,
    /// Instructions that the verifier walked, where the kernel tells.
    pub verified_instructions: Option<u32>,
}

const SPLICE: Place = Place::Tracepoint("syscalls", "sys_exit_splice");

const fn syscall(program: &'static str, purpose: &'static str) -> Probe {
    Probe { program, place: Place::Tracepoint("syscalls", program), purpose }
}

const fn raw(program: &'static str, purpose: &'static str) -> Probe {
    Probe { program, place: Place::Raw(program), purpose }
}

/// Every probe of the object.
///
/// Processes come first: a fork between two attachments must not go unseen.
pub(super) const PROBES: &[Probe] = &[
    raw("sched_process_fork", "workers"),
    raw("sched_process_exec", "new processes"),
    raw("sched_process_exit", "ended processes"),
    raw("inet_sock_set_state", "ends of TCP connections"),
    syscall("sys_exit_accept", "accepted connections"),
    syscall("sys_exit_accept4", "accepted connections"),
    syscall("sys_exit_connect", "outgoing connections"),
    syscall("sys_enter_close", "ends of Unix socket connections"),
    syscall("sys_enter_epoll_wait", "turns of event loops"),
    syscall("sys_enter_epoll_pwait", "turns of event loops"),
    syscall("sys_exit_mmap", "loaded libraries"),
    syscall("sys_exit_read", "received bytes"),
    syscall("sys_exit_readv", "received bytes"),
    syscall("sys_exit_recvfrom", "received bytes"),
    syscall("sys_exit_recvmsg", "received bytes"),
    syscall("sys_exit_write", "sent bytes"),
    syscall("sys_exit_writev", "sent bytes"),
    syscall("sys_exit_sendto", "sent bytes"),
    syscall("sys_exit_sendmsg", "sent bytes"),
    syscall("sys_exit_sendfile64", "sent files"),
    Probe { program: "splice_writes", place: SPLICE, purpose: "sent pipes" },
    Probe { program: "splice_reads", place: SPLICE, purpose: "received pipes" },
];

/// An error with its causes, each once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut words = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
        next = cause.source();
    }
    // A verifier's log tells its reason at its end, before some lines of figures; what comes before would bury it.
    let text = words.join(": ");
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [first, .., a, b, c, d, e, f] => [*first, "..", a, b, c, d, e, f].join(" "),
        all => all.join(" "),
    }
}

/// Loads a program; returns the instructions that the verifier walked, where the kernel tells.
pub(super) fn load(program: &mut Program) -> Result<Option<u32>, String> {
    let info = match program {
        Program::TracePoint(program) => program.load().and_then(|()| program.info()),
        Program::RawTracePoint(program) => program.load().and_then(|()| program.info()),
        Program::UProbe(program) => program.load().and_then(|()| program.info()),
        _ => return Err("the program is of a kind that is not expected".to_owned()),
    };
    info.map(|info| info.verified_instruction_count()).map_err(|e| chain(&e))
}

/// What loading each program gave, by its name: see [`load`].
type Loaded = HashMap<String, Result<Option<u32>, String>>;

/// Loads every program, those for libraries too: the verifier takes up to some hundred milliseconds for one, which the ring
/// must not wait for later. It works on several at a time (`bpf_check` locks for the unprivileged only).
fn load_all(ebpf: &mut Ebpf) -> Loaded {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(LOADERS_MAX);
    let loaded = Mutex::new(Loaded::new());
    with_each(ebpf, threads, |name, program| {
        let result = load(program);
        loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), result);
    });
    loaded.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Takes every program off, wherever it is attached.
///
/// Before one is gone the kernel waits several times for all CPUs to pass a quiet state, tens of milliseconds each. Some of these
/// waits are under a lock; the others are shared by those who wait at the same time.
pub(super) fn unload_all(ebpf: &mut Ebpf) {
    with_each(ebpf, UNLOADERS, |_, program| {
        // One that is not loaded is as good as off.
        let _not_loaded = match program {
            Program::TracePoint(program) => program.unload(),
            Program::RawTracePoint(program) => program.unload(),
            Program::UProbe(program) => program.unload(),
            _ => Ok(()),
        };
    });
}

/// Does the same to every program, several at a time.
fn with_each(ebpf: &mut Ebpf, threads: usize, each: impl Fn(&str, &mut Program) + Sync) {
    let programs = Mutex::new(ebpf.programs_mut());
    let work = || {
        loop {
            let next = programs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((name, program)) = next else { break };
            each(name, program);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

fn attach(ebpf: &mut Ebpf, probe: &Probe, loaded: &mut Loaded) -> Result<Option<u32>, String> {
    let lacks = || "the object lacks this program".to_owned();
    let program = ebpf.program_mut(probe.program).ok_or_else(lacks)?;
    let verified = loaded.remove(probe.program).ok_or_else(lacks)??;
    match (program, probe.place) {
        (Program::TracePoint(program), Place::Tracepoint(category, name)) => {
            program.attach(category, name).map_err(|e| chain(&e))?;
        }
        (Program::RawTracePoint(program), Place::Raw(name)) => {
            program.attach(name).map_err(|e| chain(&e))?;
        }
        _ => return Err("the program is of another kind than its place".to_owned()),
    }
    Ok(verified)
}

/// Attaches every probe, or none.
pub(super) fn all(ebpf: &mut Ebpf) -> Result<Vec<ProbeResult>, CaptureError> {
    // What a program for libraries cannot be loaded for is said when one is to be attached.
    let mut loaded = load_all(ebpf);
    PROBES
        .iter()
        .map(|probe| match attach(ebpf, probe, &mut loaded) {
            Ok(verified_instructions) => Ok(ProbeResult { probe: *probe, verified_instructions }),
            Err(reason) => Err(CaptureError::Probe { probe: probe.program, reason }),
        })
        .collect()
}

/// Attaches every probe by itself and says how each fared.
pub(super) fn each(ebpf: &mut Ebpf) -> Vec<super::Support> {
    let mut loaded = load_all(ebpf);
    PROBES.iter().map(|probe| (*probe, attach(ebpf, probe, &mut loaded).map(|_| ()))).collect()
}
