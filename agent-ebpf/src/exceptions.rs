//! The exception that a thread is handling, with its traceback: looked at when a response with a status from 500 on, or
//! something for standard error, is written. Both are written while the exception is at hand, so nothing has to be probed
//! for it and a process that raises nothing pays nothing.
//!
//! Runs in uprobes too, which can be preempted: events are put together in the ring itself.

use core::ffi::c_void;

use apm_agent_ebpf::{
    ARGUMENTS_MAX, CHAIN_MAX, FRAMES_MAX, LOCAL_TEXT_MAX, LOCALS_MAX, Raised, RaisedFrame, RaisedValue,
    Raising, TEXT_MAX, counter, kind, raised_flags, relation,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::{HashMap, LruHashMap},
    helpers::{bpf_probe_read_user, generated as raw},
    macros::btf_map,
};

use crate::{
    attribution::{self, Key, half, user_word as word},
    emit, maps,
    payload::opaque,
    unwinding,
};

/// Coroutines between the code that writes and the one that handles the exception.
const HANDLERS_MAX: usize = 32;
/// `PyBaseExceptionObject.args`, `PyVarObject.ob_size`, `PyObject.ob_type`, `PyTypeObject.tp_flags`, in every version.
pub const ARGS: u64 = 24;
const SIZE: u64 = 16;
const TYPE: u64 = 8;
const TYPE_FLAGS: u64 = 168;
/// `Py_TPFLAGS_UNICODE_SUBCLASS` and `Py_TPFLAGS_BASE_EXC_SUBCLASS` (`Include/object.h`).
const IS_STR: u64 = 1 << 28;
const IS_EXCEPTION: u64 = 1 << 30;

/// Processes whose exceptions are looked at, by tgid.
#[btf_map]
pub static RAISING: HashMap<u32, Raising, 8192> = HashMap::new();

/// What was sent of an exception last.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sent {
    traceback: u64,
    request: u64,
}

/// Exceptions sent lately: one that is printed line by line is sent once.
#[btf_map]
static SENT: LruHashMap<Key, Sent, 8192> = LruHashMap::new();

/// `PyTracebackObject` after its head, in every version.
#[repr(C)]
#[derive(Clone, Copy)]
struct Traceback {
    next: u64,
    frame: u64,
    lasti: i32,
    line: i32,
}

/// Children see what their parent sees.
#[inline(always)]
pub fn forks(parent: u32, child: u32) {
    if let Some(raising) = RAISING.get_ptr(parent) {
        // SAFETY: a live map value.
        attribution::kept(RAISING.insert(child, unsafe { *raising }, 0));
    }
}

/// The process is gone, or runs another program.
#[inline(always)]
pub fn ends(tgid: u32) {
    let _absent = RAISING.remove(tgid);
}

/// Does a response begin here that tells of a failure of the server (`HTTP/1.1 500`; RFC 9112, 4)?
#[inline(always)]
pub fn is_failure(address: u64) -> bool {
    // SAFETY: the helper checks the address.
    match unsafe { bpf_probe_read_user(address as *const [u8; 10]) } {
        Ok(start) => {
            start[0] == b'H' && start[1] == b'T' && start[5] == b'1' && start[8] == b' ' && start[9] == b'5'
        }
        Err(_) => false,
    }
}

/// Sends the exception that the thread is handling, if it is handling one. `request` is 0 where only the running code
/// tells: by its request, or where it has none, as of a stream, by the number of the context that runs.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn look_at_exception(id: u64, request: u64, seen_at: u64) -> u32 {
    let tgid = (id >> 32) as u32;
    let Some(raising) = RAISING.get_ptr(tgid) else { return 0 };
    // SAFETY: a map value; user space replaces it only as a whole, when the process has changed.
    let raising = unsafe { &*raising };
    let Some((state, own, unit)) = attribution::running(id) else { return 0 };
    let own = if own == 0 { unit } else { own };
    let request = if request == 0 { own } else { request };
    if state == 0 || request == 0 {
        return 0;
    }
    let exception = handled(raising, state);
    if exception == 0 {
        return 0;
    }
    let traceback = word(exception + u64::from(raising.traceback));
    let key = Key { address: exception, tgid: u64::from(tgid) };
    if let Some(sent) = SENT.get_ptr(key) {
        // SAFETY: a live map value, read once.
        let sent = unsafe { *sent };
        if sent.traceback == traceback && sent.request == request {
            return 0;
        }
    }
    unwinding::tells_anew(id);
    // Where there is no room, it is sent again.
    let _full = SENT.insert(key, Sent { traceback, request }, 0);
    let mut next = exception;
    for depth in 0..CHAIN_MAX {
        next = send(id, next, request, exception, seen_at << 32 | u64::from(depth));
        if next == 0 || next == NO_ROOM {
            break;
        }
    }
    0
}

/// `tp_flags` of an object's class.
#[inline(always)]
pub fn type_flags(object: u64) -> u64 {
    word(word(object + TYPE) + TYPE_FLAGS)
}

/// Is there an exception at this address?
#[inline(always)]
pub fn is_exception(object: u64) -> bool {
    object != 0 && type_flags(object) & IS_EXCEPTION != 0
}

/// The exception on top of the stack of those being handled: `sys.exc_info()[1]`.
#[inline(always)]
fn handled(raising: &Raising, state: u64) -> u64 {
    let mut item = word(state + u64::from(raising.exc_info));
    for _ in 0..HANDLERS_MAX {
        if item == 0 {
            break;
        }
        let exception = word(item + u64::from(raising.value));
        // `None` stands for no exception as well.
        if is_exception(exception) {
            return exception;
        }
        item = word(item + u64::from(raising.previous));
    }
    0
}

/// What [`send`] returns where it found no room in the ring.
pub const NO_ROOM: u64 = u64::MAX;

/// Sends one exception. `tagged` is its address, in its lowest two bits its [`relation`]; so is what is returned: the next
/// of the chain, 0 or [`NO_ROOM`]. `place` holds `seen_at` and, in its lower half, the depth.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn send(id: u64, tagged: u64, request: u64, root: u64, place: u64) -> u64 {
    let Some(raising) = RAISING.get_ptr((id >> 32) as u32) else { return 0 };
    // SAFETY: as above.
    let raising = unsafe { &*raising };
    // SAFETY: the map, and a size that is a constant.
    let event =
        unsafe { raw::bpf_ringbuf_reserve(emit::ring(), size_of::<Raised>() as u64, 0) }.cast::<Raised>();
    if event.is_null() {
        maps::count(counter::EXCEPTIONS_LOST);
        return NO_ROOM;
    }
    let exception = tagged & !3;
    let depth = place as u32;
    let next = if depth + 1 < CHAIN_MAX { next_of(raising, exception) } else { 0 };
    // SAFETY: reserved above, not null.
    let e = unsafe { &mut *event };
    e.kind = kind::RAISED;
    e.tid = id as u32;
    e.tgid = (id >> 32) as u32;
    e.seen_at = (place >> 32) as u32;
    e.time = emit::now();
    e.request = request;
    e.root = root;
    e.ty = word(exception + TYPE);
    e.depth = depth;
    e.relation = (tagged & 3) as u32;
    e.flags = if next == 0 { raised_flags::LAST } else { 0 };
    arguments(raising, word(exception + ARGS), e);
    value(raising, word(exception + u64::from(raising.filename)), &mut e.values[ARGUMENTS_MAX]);
    let (holder, code) = frames(raising, word(exception + u64::from(raising.traceback)), 0, e);
    e.locals_count = 0;
    if depth == 0 {
        locals(raising, holder, code, e);
    }
    // SAFETY: reserved above, submitted once.
    unsafe { raw::bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
    maps::count(counter::EVENTS);
    next
}

/// The exception that `traceback.format_exception` prints before this one.
#[inline(always)]
pub fn next_of(raising: &Raising, exception: u64) -> u64 {
    let traceback = exception + u64::from(raising.traceback);
    let cause = word(traceback + 16);
    if cause != 0 {
        return cause & !3 | u64::from(relation::CAUSE);
    }
    let context = word(traceback + 8);
    if context == 0 || half(traceback + 24) & 0xff != 0 {
        return 0;
    }
    context & !3 | u64::from(relation::CONTEXT)
}

#[inline(always)]
pub fn arguments(raising: &Raising, tuple: u64, e: &mut Raised) {
    let count = if tuple == 0 { 0 } else { word(tuple + SIZE) };
    e.arguments = count;
    for i in 0..ARGUMENTS_MAX {
        let item = if (i as u64) < count { word(tuple + u64::from(raising.items) + i as u64 * 8) } else { 0 };
        value(raising, item, &mut e.values[i]);
    }
}

/// What is read of an object but its text.
struct Object {
    ty: u64,
    words: [u64; 2],
    state: u32,
}

/// Reads an object, and its text, where it is one, to `text`, which takes `most` bytes; returns how many it took.
#[inline(always)]
fn object(raising: &Raising, object: u64, text: *mut u8, most: u64) -> (Object, u32) {
    let read = Object {
        ty: if object == 0 { 0 } else { word(object + TYPE) },
        words: [word(object + SIZE), word(object + SIZE + 8)],
        state: half(object + SIZE + 16),
    };
    if read.ty == 0 || word(read.ty + TYPE_FLAGS) & IS_STR == 0 {
        return (read, 0);
    }
    // `struct { interned:2; kind:3; compact:1; ascii:1; }`
    let ascii = read.state >> 6 & 1 != 0;
    let data = object + u64::from(if ascii { raising.ascii } else { raising.compact });
    let wanted = read.words[0] * u64::from(read.state >> 2 & 7);
    let mut len = opaque(wanted);
    if len > most {
        len = most;
    }
    // SAFETY: the length is bounded by the array's; the helper checks the source.
    let failed = unsafe { raw::bpf_probe_read_user(text.cast(), len as u32, data as *const c_void) < 0 };
    (read, if failed { 0 } else { len as u32 })
}

/// Reads an object.
#[inline(always)]
pub fn value(raising: &Raising, address: u64, to: &mut RaisedValue) {
    let (read, copied) = object(raising, address, (&raw mut to.text).cast(), TEXT_MAX as u64);
    (to.ty, to.words, to.state, to.copied) = (read.ty, read.words, read.state, copied);
}

/// Reads the variables of the frame that `holder` holds and that runs `code`.
#[inline(always)]
pub fn locals(raising: &Raising, holder: u64, code: u64, e: &mut Raised) {
    e.locals_count = 0;
    if raising.locals == 0 || holder == 0 {
        return;
    }
    let count = half(code + u64::from(raising.locals_count));
    for i in 0..LOCALS_MAX {
        if i as u32 >= count {
            return;
        }
        let reference = word(holder + u64::from(raising.locals) + i as u64 * 8);
        // From 3.14 on the lowest bits are flags, and both of them mean an integer that is no object.
        let address = if reference & 3 == 3 { 0 } else { reference & !3 };
        let to = &mut e.locals[i];
        let (read, copied) = object(raising, address, (&raw mut to.text).cast(), LOCAL_TEXT_MAX as u64);
        (to.ty, to.words, to.state, to.copied) = (read.ty, read.words, read.state, copied);
        e.locals_count = i as u32 + 1;
    }
}

/// Reads a traceback that begins at `next`, to the places from `first` on. Returns what holds the innermost frame, and its
/// code object; zeros where they are not known.
#[inline(always)]
pub fn frames(raising: &Raising, mut next: u64, first: usize, e: &mut Raised) -> (u64, u64) {
    e.frames = first as u32;
    let mut last = (0, 0);
    for i in first..FRAMES_MAX {
        if next == 0 {
            return last;
        }
        // SAFETY: the helper checks the address.
        let Ok(entry) = (unsafe { bpf_probe_read_user((next + 16) as *const Traceback) }) else {
            return last;
        };
        let mut holder = entry.frame;
        if raising.inner != 0 {
            holder = word(holder + u64::from(raising.inner));
        }
        // From 3.14 on the lowest bits of such references are flags.
        let code = word(holder + u64::from(raising.code)) & !3;
        e.traceback[i] = RaisedFrame {
            code,
            name: word(code + u64::from(raising.name)),
            lasti: entry.lasti,
            line: entry.line,
            first_line: half(code + u64::from(raising.first_line)),
            reserved: 0,
        };
        e.frames = i as u32 + 1;
        next = entry.next;
        last = (holder, code);
    }
    if next != 0 {
        e.flags |= raised_flags::CUT;
        // The function that raised it is not among them.
        last = (0, 0);
    }
    last
}
