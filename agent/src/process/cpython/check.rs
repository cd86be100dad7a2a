//! Checking a layout against a process before anything relies on it.

use apm_agent_ebpf::{Python, python_flags};

use super::layout::{Layout, OBJECT_TYPE, THREAD_NEXT, TSS_FIRST_BLOCK, TSS_FIRST_BLOCK_KEYS, debug_offsets};
use super::maps::mapped_code;
use super::memory::Memory;
use crate::process::elf::is_python_name;
use crate::process::{Implementation, PythonProcess};

/// Thread states that are checked.
const THREADS_MAX: usize = 1024;
/// Walks that may each fail in another way: threads come and go while they are walked.
const WALKS_MAX: usize = 64;

/// Why a process's calls are not attributed to requests by context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The interpreter has not started yet: ask again.
    #[error("the interpreter is still starting")]
    NotReady,
    /// It has ended or runs another program.
    #[error("the process has ended or runs another program")]
    Gone,
    /// Its layout is not known.
    #[error(
        "{0} is not known to the agent (it knows CPython 3.8 to 3.15): calls are attributed by thread only"
    )]
    Unknown(String),
    /// Its layout is not what its version promises.
    #[error(
        "the interpreter's memory is not laid out as that of {0}: {1}; calls are not attributed to requests"
    )]
    Misfit(String, String),
    /// Its memory cannot be read.
    #[error("its memory cannot be read: {0}")]
    Unreadable(String),
}

/// What the probes must know of the process, checked: the thread states are walked, each has to belong to a thread, and
/// each context has to be one.
///
/// # Errors
/// Why it cannot be told. For [`Refusal::Unknown`], [`by_thread`] is what is left.
pub fn inspect(process: &PythonProcess) -> Result<Python, Refusal> {
    let name = match process.version {
        Some(version) => format!("{} {version}", process.implementation),
        None => format!("{} of unknown version", process.implementation),
    };
    let layout = process.version.and_then(Layout::of);
    let (Implementation::CPython, Some(layout)) = (process.implementation, layout) else {
        return Err(Refusal::Unknown(name));
    };
    let runtime = process.runtime.as_ref().ok_or(Refusal::NotReady)?;
    let build = runtime.file.facts.python.as_ref();
    let context_type = build.and_then(|build| build.context_type);
    let (Some(runtime_address), Some(context_type)) = (runtime.runtime_address, context_type) else {
        return Err(Refusal::Misfit(name, "it does not export _PyRuntime and PyContext_Type".to_owned()));
    };
    let memory = match Memory::open(process.id.pid) {
        Ok(memory) => memory,
        Err(_) if !is_mapped(process) => return Err(Refusal::Gone),
        Err(error) => return Err(Refusal::Unreadable(error.to_string())),
    };
    let context_type = context_type.wrapping_add(runtime.file.load_bias);
    let bytes_type = build.and_then(|build| build.bytes_type);
    let bytes_type = bytes_type.map_or(0, |address| address.wrapping_add(runtime.file.load_bias));
    let walk = || check(&memory, *layout, runtime_address, context_type);
    match settled(walk) {
        Ok(python) => {
            let makers = if process.sends_in_tasks { python_flags::MAKERS } else { 0 };
            let name = process.exe.file_name().and_then(|name| name.to_str());
            let program = if name.is_some_and(is_python_name) { python_flags::PROGRAM } else { 0 };
            Ok(Python { bytes_type, flags: python.flags | makers | program, ..python })
        }
        Err(_) if !is_mapped(process) => Err(Refusal::Gone),
        Err(Some(reason)) => Err(Refusal::Misfit(name, reason)),
        Err(None) => Err(Refusal::NotReady),
    }
}

/// What a walk finds, once it does not fail or fails twice in the same way: one that meets a thread on its way out may
/// find anything, but not the same again.
fn settled<T>(mut walk: impl FnMut() -> Result<T, Option<String>>) -> Result<T, Option<String>> {
    let mut before = None;
    for _ in 0..WALKS_MAX {
        match walk() {
            Err(Some(misfit)) if before.as_ref() != Some(&misfit) => before = Some(misfit),
            done => return done,
        }
    }
    Err(before)
}

/// Does the process still run the interpreter that was found in it?
pub fn is_mapped(process: &PythonProcess) -> bool {
    let Some(runtime) = &process.runtime else { return false };
    let (offset, linked) = runtime.file.facts.first_segment;
    let start = runtime.file.load_bias.wrapping_add(linked);
    mapped_code(process.id.pid)
        .iter()
        .filter(|code| code.path == runtime.file.path)
        .flat_map(|code| &code.pieces)
        .any(|piece| (piece.start, piece.offset) == (start, offset))
}

/// What is left for an interpreter whose layout is not known: requests by thread.
pub fn by_thread() -> Python {
    Python { flags: python_flags::THREADS_ONLY, ..Python::default() }
}

/// `None` as error: not ready.
fn check(
    memory: &Memory,
    mut layout: Layout,
    runtime: u64,
    context_type: u64,
) -> Result<Python, Option<String>> {
    let unreadable = |what: &'static str| move || Some(format!("{what} cannot be read"));
    if memory.word(runtime) == Some(u64::from_le_bytes(*debug_offsets::COOKIE)) {
        let told = |at| memory.word(runtime + at).and_then(|offset| u32::try_from(offset).ok());
        layout.interpreters_head = told(debug_offsets::INTERPRETERS_HEAD).unwrap_or(layout.interpreters_head);
        layout.threads_head = told(debug_offsets::THREADS_HEAD).unwrap_or(layout.threads_head);
    }
    let interpreter =
        memory.word(runtime + u64::from(layout.interpreters_head)).ok_or_else(unreadable("_PyRuntime"))?;
    if interpreter == 0 {
        return Err(None);
    }
    let mut state = memory
        .word(interpreter + u64::from(layout.threads_head))
        .ok_or_else(unreadable("the first interpreter"))?;
    let key = layout.tss.and_then(|tss| memory.half(runtime + u64::from(tss) + 4)).unwrap_or(u32::MAX);
    let slot = TSS_FIRST_BLOCK + key.min(TSS_FIRST_BLOCK_KEYS) * 16 + 8;
    let (mut threads, mut slots) = (0, 0);
    for _ in 0..THREADS_MAX {
        if state == 0 {
            break;
        }
        let thread =
            memory.word(state + u64::from(layout.thread_id)).ok_or_else(unreadable("a thread state"))?;
        let next = memory.word(state + THREAD_NEXT).ok_or_else(unreadable("a thread state"))?;
        if thread == 0 {
            // Made, but its thread has not begun.
            state = next;
            continue;
        }
        // The thread control block begins with its own address, in glibc (`tcbhead_t.tcb`) and in musl.
        if memory.word(thread) != Some(thread) {
            return Err(Some(format!("the thread state at {state:#x} belongs to no thread")));
        }
        let context =
            memory.word(state + u64::from(layout.context)).ok_or_else(unreadable("a thread state"))?;
        if context != 0 && memory.word(context + OBJECT_TYPE) != Some(context_type) {
            return Err(Some(format!("the thread state at {state:#x} has no context at {context:#x}")));
        }
        slots +=
            usize::from(key < TSS_FIRST_BLOCK_KEYS && memory.word(thread + u64::from(slot)) == Some(state));
        threads += 1;
        state = next;
    }
    if threads == 0 {
        return Err(None);
    }
    Ok(Python {
        runtime,
        context_type,
        bytes_type: 0,
        interpreters_head: layout.interpreters_head,
        threads_head: layout.threads_head,
        thread_id: layout.thread_id,
        context: layout.context,
        // Not where a single thread has it elsewhere: then it only looks as if.
        state_slot: if slots == threads { slot } else { 0 },
        flags: if layout.minor >= 14 { python_flags::THREAD_CONTEXTS } else { 0 }
            | if layout.frames.within.is_some() { python_flags::FRAME_WITHIN } else { 0 },
        frame: layout.frames.first,
        frame_within: layout.frames.within.unwrap_or(0),
        frame_previous: layout.frames.previous,
        frame_locals: layout.frames.locals,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walks(found: &[Result<u8, Option<&str>>]) -> Result<u8, Option<String>> {
        let mut rest = found.iter();
        settled(|| rest.next().expect("no more walks").map_err(|misfit| misfit.map(str::to_owned)))
    }

    #[test]
    fn a_walk_that_met_an_ending_thread_is_walked_again() {
        assert_eq!(walks(&[Err(Some("no thread")), Err(Some("unreadable")), Ok(7)]), Ok(7));
        assert_eq!(walks(&[Err(Some("no thread")), Err(None)]), Err(None));
    }

    #[test]
    fn what_is_found_twice_is_so() {
        assert_eq!(
            walks(&[Err(Some("no thread")), Err(Some("no thread"))]),
            Err(Some("no thread".to_owned()))
        );
    }
}
