//! Exceptions on their way: looked at as they leave a function, for processes whose failed requests show none otherwise.
//! Some frameworks turn an exception into a response, and write nothing while it is at hand.
//!
//! Every function that an exception leaves comes by here, so user space mutes those that tell nothing. The innermost sends
//! itself alone, the next all that is known of the exception, and those further out again themselves alone.

use apm_agent_ebpf::{
    ARGUMENTS_MAX, CHAIN_MAX, Left, Muted, Raised, Raising, counter, kind, left_flags, raised_flags, seen_at,
    unwinding,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP, btf_maps::LruHashMap, helpers::generated as raw, macros::btf_map,
};

use crate::{
    attribution::{self, half, user_word as word},
    emit,
    exceptions::{self, NO_ROOM, RAISING},
    maps,
    stacks::{self, Step},
};

/// `Py_TPFLAGS_TUPLE_SUBCLASS` (`Include/object.h`).
const IS_TUPLE: u64 = 1 << 26;

/// Functions of which nothing is sent before a time, ns of the monotonic clock.
#[btf_map]
pub static MUTED: LruHashMap<Muted, u64, 16384> = LruHashMap::new();

/// How far a thread has told of an exception.
#[repr(C)]
#[derive(Clone, Copy)]
struct Told {
    /// [`Raised::root`]
    root: u64,
    /// [`Raised::request`]
    request: u64,
    /// What is printed of it but its traceback: [`content`].
    content: u64,
    /// Its traceback, before it had the function that it was leaving.
    traceback: u64,
    /// The `PyFrameObject` of that function.
    frame: u64,
}

/// By thread (`bpf_get_current_pid_tgid`). What is told here holds for the function that is left next, and no further: another
/// exception may have the same address later.
#[btf_map]
static TOLD: LruHashMap<u64, Told, 8192> = LruHashMap::new();

/// What the thread sends next of an exception is all of it.
#[inline(always)]
pub fn tells_anew(id: u64) {
    let _absent = TOLD.remove(id);
}

/// An exception leaves the function of a `PyFrameObject`.
#[inline(always)]
pub fn leaves(id: u64, frame: u64) {
    let Some(raising) = RAISING.get_ptr((id >> 32) as u32) else { return };
    // SAFETY: a map value; user space replaces it only as a whole.
    let raising = unsafe { &*raising };
    if raising.unwinding == unwinding::NO {
        return;
    }
    let mut told = Told { root: 0, request: 0, content: 0, traceback: 0, frame: 0 };
    if let Some(last) = TOLD.get_ptr(id) {
        // SAFETY: a map value. One that is handed to another thread meanwhile tells of another exception, or of none.
        told = unsafe { *last };
        tells_anew(id);
    }
    let inner = if raising.inner == 0 { frame } else { word(frame + u64::from(raising.inner)) };
    let mut step = Step { next: inner, ..Step::default() };
    // SAFETY: part of a live map value, and a local.
    unsafe { stacks::next_frame(&raw const raising.frames, &raw mut step) };
    let name = word(step.code + u64::from(raising.name));
    let key = Muted { code: step.code, name, tgid: id >> 32 };
    if let Some(until) = MUTED.get_ptr(key) {
        // SAFETY: a live map value, read once.
        if emit::now() < unsafe { *until } {
            return;
        }
    }
    let Some((state, own, unit)) = attribution::running(id) else { return };
    let request = if own == 0 && raising.unwinding == unwinding::OF_STREAMS { unit } else { own };
    if state == 0 || request == 0 {
        return;
    }
    // An application may raise and handle thousands in a few milliseconds: what else happens needs the room more.
    if emit::is_half_full() {
        maps::count(counter::EXCEPTIONS_LOST);
        return;
    }
    let root = root(raising, state);
    let traceback = traceback(raising, state, root);
    if root == 0 {
        return;
    }
    if traceback == 0 {
        // Nothing that it has left is the application's: it tells of no failure yet.
        send_function(id, root, request, left_flags::FIRST, &step);
        return;
    }
    let content = content(raising, root);
    // The one entry that is new is the function that was left last (`PyTracebackObject.tb_next`, `tb_frame`). Of a traceback
    // that was put together otherwise, or of an exception that was changed on its way, all is sent anew.
    let follows = told.root == root
        && told.request == request
        && told.content == content
        && word(traceback + 16) == told.traceback
        && word(traceback + 24) == told.frame;
    let has_room = if follows {
        send_function(id, root, request, 0, &step)
    } else {
        let mut next = first(id, state, request, inner);
        let place = u64::from(seen_at::UNWINDING) << 32;
        for depth in 1..CHAIN_MAX {
            if next == 0 || next == NO_ROOM {
                break;
            }
            next = exceptions::send(id, next, request, root, place | u64::from(depth));
        }
        next != NO_ROOM
    };
    if has_room {
        // Where there is no room, all is sent again.
        let _full = TOLD.insert(id, Told { root, request, content, traceback, frame }, 0);
    }
}

/// Tells whether what is printed of an exception has changed: its class, arguments, cause and context.
#[inline(always)]
fn content(raising: &Raising, root: u64) -> u64 {
    let traceback = root + u64::from(raising.traceback);
    let suppresses = half(traceback + 24) & 0xff;
    let mut content = u64::from(suppresses);
    for word in [word(root + 8), word(root + exceptions::ARGS), word(traceback + 8), word(traceback + 16)] {
        content = stacks::mix(content, word);
    }
    content
}

/// Sends that the exception leaves a function, and no more of it. False where it found no room.
#[inline(always)]
fn send_function(id: u64, root: u64, request: u64, flags: u32, step: &Step) -> bool {
    let Some(raising) = RAISING.get_ptr((id >> 32) as u32) else { return false };
    // SAFETY: as above.
    let raising = unsafe { &*raising };
    // SAFETY: the map, and a size that is a constant.
    let event = unsafe { raw::bpf_ringbuf_reserve(emit::ring(), size_of::<Left>() as u64, 0) }.cast::<Left>();
    if event.is_null() {
        maps::count(counter::EXCEPTIONS_LOST);
        return false;
    }
    // SAFETY: reserved above, not null.
    let e = unsafe { &mut *event };
    e.kind = kind::LEFT;
    e.tid = id as u32;
    e.tgid = (id >> 32) as u32;
    e.flags = flags;
    e.time = emit::now();
    e.request = request;
    e.root = root;
    e.frame = stacks::entry(&raising.frames, step);
    // SAFETY: reserved above, submitted once.
    unsafe { raw::bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
    maps::count(counter::EVENTS);
    true
}

/// Its traceback as it is, without the function that it leaves.
#[inline(always)]
fn traceback(raising: &Raising, state: u64, root: u64) -> u64 {
    if raising.three != 0 {
        return word(state + u64::from(raising.current) + 16);
    }
    word(root + u64::from(raising.traceback))
}

/// What stands for the exception: its object or, where there is none yet, its class.
#[inline(always)]
fn root(raising: &Raising, state: u64) -> u64 {
    let current = state + u64::from(raising.current);
    if raising.three == 0 {
        return word(current);
    }
    let value = word(current + 8);
    if exceptions::is_exception(value) { value } else { word(current) }
}

/// Sends the exception itself: the function that it leaves, then those that it has left. Returns the next of the chain as
/// [`exceptions::send`] does, or [`exceptions::NO_ROOM`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn first(id: u64, state: u64, request: u64, frame: u64) -> u64 {
    let Some(raising) = RAISING.get_ptr((id >> 32) as u32) else { return NO_ROOM };
    // SAFETY: as above.
    let raising = unsafe { &*raising };
    let root = root(raising, state);
    if root == 0 {
        return NO_ROOM;
    }
    // SAFETY: the map, and a size that is a constant.
    let event =
        unsafe { raw::bpf_ringbuf_reserve(emit::ring(), size_of::<Raised>() as u64, 0) }.cast::<Raised>();
    if event.is_null() {
        maps::count(counter::EXCEPTIONS_LOST);
        return NO_ROOM;
    }
    let is_object = exceptions::is_exception(root);
    let next = if is_object { exceptions::next_of(raising, root) } else { 0 };
    // SAFETY: reserved above, not null.
    let e = unsafe { &mut *event };
    e.kind = kind::RAISED;
    e.tid = id as u32;
    e.tgid = (id >> 32) as u32;
    e.seen_at = seen_at::UNWINDING;
    e.time = emit::now();
    e.request = request;
    e.root = root;
    e.ty = root;
    e.depth = 0;
    e.relation = 0;
    e.flags = if next == 0 { raised_flags::LAST } else { 0 };
    e.values[ARGUMENTS_MAX].ty = 0;
    if is_object {
        e.ty = word(root + 8);
        exceptions::arguments(raising, word(root + exceptions::ARGS), e);
        exceptions::value(raising, word(root + u64::from(raising.filename)), &mut e.values[ARGUMENTS_MAX]);
    } else {
        not_made_yet(raising, word(state + u64::from(raising.current) + 8), e);
    }
    let traceback = traceback(raising, state, root);
    let mut step = Step { next: frame, ..Step::default() };
    // SAFETY: part of a live map value, and a local.
    unsafe { stacks::next_frame(&raw const raising.frames, &raw mut step) };
    e.traceback[0] = stacks::entry(&raising.frames, &step);
    let (holder, code) = exceptions::frames(raising, traceback, 1, e);
    exceptions::locals(raising, holder, code, e);
    // SAFETY: reserved above, submitted once.
    unsafe { raw::bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
    maps::count(counter::EVENTS);
    next
}

/// Up to 3.11 an exception that C code raises is made an object only where it is caught; before that its value is its
/// arguments, or its one argument.
#[inline(always)]
fn not_made_yet(raising: &Raising, value: u64, e: &mut Raised) {
    if value != 0 && exceptions::type_flags(value) & IS_TUPLE != 0 {
        exceptions::arguments(raising, value, e);
        return;
    }
    e.arguments = u64::from(value != 0);
    exceptions::value(raising, value, &mut e.values[0]);
    for i in 1..ARGUMENTS_MAX {
        e.values[i].ty = 0;
    }
}
