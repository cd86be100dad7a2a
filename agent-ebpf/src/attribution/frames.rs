//! Work that a thread took over unseen: it was waiting in `SimpleQueue.get` already when the probes came, and its return
//! from there was not seen.
//!
//! `_WorkItem.run(self)` of `concurrent.futures.thread` is a Python function: the work item is the first local of one of
//! the frames that the thread runs. An object of that class that was put into a queue is the work item that runs there.

use apm_agent_ebpf::{Python, python_flags};

use super::{
    maps::{HANDOVERS, Key},
    now::word,
};

/// Frames that are looked through.
const FRAMES_MAX: usize = 96;
/// Tags of a stack reference (3.14's `Py_TAG_BITS`); no object lies at such an address.
const TAGS: u64 = 3;

/// `PyObject.ob_type`, `PyTypeObject.tp_name`
pub const TYPE: u64 = 8;
const NAME: u64 = 24;
/// The first bytes of the name `_WorkItem`.
const WORK_ITEM: u64 = u64::from_le_bytes(*b"_WorkIte");

/// The first eight bytes of the name of an object's type, lower ones first.
#[inline(always)]
pub fn type_name(object: u64) -> u64 {
    word(word(word(object + TYPE) + NAME))
}

/// Is the object a work item of `concurrent.futures.thread`? Other things that pass through queues, such as pooled
/// connections, are used by those who did not put them there.
#[inline(always)]
pub fn is_work_item(object: u64) -> bool {
    type_name(object) == WORK_ITEM
}

/// `PyVarObject.ob_size`
const SIZE: u64 = 16;
/// The first item of a tuple; 3.14 keeps its hash before it.
const ITEMS: u64 = 24;
const ITEMS_BEHIND_HASH: u64 = 32;

/// The short name of a type with its zero, as [`type_name`] gives it, and the bytes of it.
const fn short(name: &[u8]) -> (u64, u64) {
    (super::word(name), if name.len() < 7 { (1 << (8 * (name.len() + 1))) - 1 } else { u64::MAX })
}

#[inline(always)]
fn is(object: u64, (name, bytes): (u64, u64)) -> bool {
    type_name(object) & bytes == name
}

/// Is the object a work item of `concurrent.futures.thread`, or of `multiprocessing.pool.ThreadPool`? The latter's are tuples
/// (Lib/multiprocessing/pool.py, the same from 3.8 to 3.15): a list or generator of tasks and whom to tell their number, then the
/// tasks one by one, `(job, i, function, arguments, named)`, then their results, `(job, i, (success, value))`.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn is_work_of(flags: u32, object: u64) -> bool {
    let name = type_name(object);
    if name == WORK_ITEM {
        return true;
    }
    let (tuple, bytes) = const { short(b"tuple") };
    if name & bytes != tuple {
        return false;
    }
    let items = if flags & python_flags::THREAD_CONTEXTS != 0 { ITEMS_BEHIND_HASH } else { ITEMS };
    let item = |n: u64| word(object + items + 8 * n);
    match word(object + SIZE) {
        2 => {
            (is(item(0), const { short(b"list") }) || is(item(0), const { short(b"generato") }))
                && (is(item(1), const { short(b"NoneType") }) || is(item(1), const { short(b"method") }))
        }
        3 => is(item(0), const { short(b"int") }) && is(item(2), const { short(b"tuple") }),
        5 => {
            is(item(0), const { short(b"int") })
                && is(item(3), const { short(b"tuple") })
                && is(item(4), const { short(b"dict") })
        }
        _ => false,
    }
}

/// The same, by the process's layout.
#[inline(always)]
pub fn is_work(python: &Python, object: u64) -> bool {
    // SAFETY: takes numbers.
    unsafe { is_work_of(python.flags, object) }
}

/// Address of the work item that a thread runs; 0 if it runs none that is known.
///
/// # Safety
/// `python` must be null or a live map value.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn work_item(python: *const Python, state: u64, tgid: u64) -> u64 {
    if python.is_null() {
        return 0;
    }
    // SAFETY: by the caller, not null.
    let python = unsafe { &*python };
    let mut frame = word(state + u64::from(python.frame));
    if python.flags & python_flags::FRAME_WITHIN != 0 {
        frame = word(frame + u64::from(python.frame_within));
    }
    for _ in 0..FRAMES_MAX {
        if frame == 0 {
            break;
        }
        let first = word(frame + u64::from(python.frame_locals)) & !TAGS;
        if HANDOVERS.get_ptr(Key { address: first, tgid }).is_some() && is_work_item(first) {
            return first;
        }
        frame = word(frame + u64::from(python.frame_previous));
    }
    0
}
