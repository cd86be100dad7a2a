//! The Python code that makes a call: the frames of the current thread, walked where it writes what begins an outgoing
//! exchange. A stack is sent once and named by its hash from then on.
//!
//! Runs in uprobes too, which can be preempted: events are put together in the ring itself.

use core::{ffi::c_void, mem::MaybeUninit};

use apm_agent_ebpf::{Begun, RaisedFrame, STACK_MAX, Stack, Stacks, counter, frame_shape, kind};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::{HashMap, LruHashMap},
    helpers::generated as raw,
    macros::btf_map,
};

use crate::{
    attribution::{self, Key, half, user_word as word},
    emit, maps,
};

/// `frame.owner` from which on a frame is the interpreter's own and runs no code: `FRAME_OWNED_BY_CSTACK` of 3.12 and
/// 3.13, `FRAME_OWNED_BY_INTERPRETER` of 3.14 (`Include/internal/pycore_frame.h`, `pycore_interpframe_structs.h`).
const NO_CODE: u64 = 3;

/// Stands for the frames that are not known; no address.
const CUT: u64 = u64::MAX;

/// Processes whose stacks are wanted, by tgid.
#[btf_map]
pub static STACKS: HashMap<u32, Stacks, 8192> = HashMap::new();

/// Stacks that user space has been told of, by number. It takes away what it could not read or has forgotten.
#[btf_map]
pub static STACKS_SENT: LruHashMap<u64, u64, 16384> = LruHashMap::new();

/// Code at which a walk may end, and the name it had, as addresses: what is further out changes nothing of what user space
/// makes of the stack. It marks here the application's code that it has met.
#[btf_map]
pub static STACK_ENDS: LruHashMap<Key, u64, 16384> = LruHashMap::new();

/// Children see what their parent sees.
#[inline(always)]
pub fn forks(parent: u32, child: u32) {
    if let Some(stacks) = STACKS.get_ptr(parent) {
        // SAFETY: a live map value.
        attribution::kept(STACKS.insert(child, unsafe { *stacks }, 0));
    }
}

/// The process is gone, or runs another program.
#[inline(always)]
pub fn ends(tgid: u32) {
    let _absent = STACKS.remove(tgid);
}

/// A step of a walk: a frame, and the one that called it.
#[repr(C)]
#[derive(Default)]
pub struct Step {
    /// Its code object; 0 where it runs none.
    pub code: u64,
    /// What tells its instruction: a pointer to it, or its offset.
    pub at: u64,
    /// Address of the frame that called it.
    pub next: u64,
}

/// Reads the frame at `step.next`. 1 where it cannot be read: its page may be on the move (page migration), which a probe
/// cannot wait for.
///
/// # Safety
/// Both must be null or live: a map value, and memory of the caller.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn next_frame(stacks: *const Stacks, step: *mut Step) -> u32 {
    if stacks.is_null() || step.is_null() {
        return 0;
    }
    // SAFETY: by the caller, not null.
    let (stacks, step) = unsafe { (&*stacks, &mut *step) };
    let address = step.next;
    if stacks.shape == frame_shape::OBJECT {
        // `f_back` and `f_code`
        let head: [u64; 2] = read(address + 24);
        step.next = head[0];
        step.code = head[1];
        step.at = u64::from(half(address + u64::from(stacks.lasti)));
        return unreadable(step.code);
    }
    let words: [u64; 10] = read(address);
    step.at = words[7];
    if stacks.shape == frame_shape::FUNCTION_FIRST {
        step.code = words[4];
        step.next = words[6];
        return unreadable(step.code);
    }
    let owner = match stacks.shape {
        frame_shape::CODE_FIRST => words[8] >> 48 & 0xff,
        _ => words[9] >> 16 & 0xff,
    };
    // From 3.14 on the lowest bits of such references are flags.
    step.code = if owner < NO_CODE { words[0] & !3 } else { 0 };
    step.next = words[1];
    if owner < NO_CODE { unreadable(step.code) } else { 0 }
}

/// A frame that runs code has some: none was read.
#[inline(always)]
fn unreadable(code: u64) -> u32 {
    u32::from(code == 0)
}

/// Reads words of the current process; zeros where they cannot be read.
#[inline(always)]
fn read<const N: usize>(address: u64) -> [u64; N] {
    let mut words = MaybeUninit::<[u64; N]>::uninit();
    // SAFETY: the helper writes all of it, zeros where it cannot read.
    unsafe {
        raw::bpf_probe_read_user(words.as_mut_ptr().cast(), 8 * N as u32, address as *const c_void);
        words.assume_init()
    }
}

#[inline(always)]
fn innermost(stacks: &Stacks, state: u64) -> u64 {
    let first = word(state + u64::from(stacks.frame));
    if stacks.inner == 0 || first == 0 { first } else { word(first + u64::from(stacks.inner) - 1) }
}

#[inline(always)]
pub fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

/// Number of the stack of the current thread, whose `PyThreadState` is at `state`, of which user space is told; 0 where it
/// is not wanted or empty. It runs in a context that the stack of number `made_by` has made, if that is not 0.
///
/// The functions are called from here, not one by the other: the frames of a call chain share 512 bytes.
#[inline(always)]
pub fn call_stack(id: u64, state: u64, made_by: u64) -> u64 {
    let number = stack_number(id, state);
    if number != 0 && STACKS_SENT.get_ptr(number).is_none() {
        send_stack(id, state, number);
    }
    if made_by == 0 { number } else { begun(id, number, made_by) }
}

/// Number of two stacks together.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn begun(id: u64, runs: u64, made_by: u64) -> u64 {
    let number = mix(mix(id >> 32, runs), made_by) | 1;
    if STACKS_SENT.get_ptr(number).is_none() {
        let mut event = Begun { kind: kind::BEGUN, tgid: (id >> 32) as u32, number, runs, made_by };
        if emit::whole(&mut event, false) {
            // Where there is no room, it is sent again.
            let _full = STACKS_SENT.insert(number, 1, 0);
        }
    }
    number
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stack_number(id: u64, state: u64) -> u64 {
    let Some(stacks) = STACKS.get_ptr((id >> 32) as u32) else { return 0 };
    // SAFETY: a map value; user space replaces it only as a whole, when the process has changed.
    let stacks = unsafe { &*stacks };
    if state == 0 {
        return 0;
    }
    let mut step = Step { next: innermost(stacks, state), ..Step::default() };
    let mut hash = id >> 32;
    for _ in 0..STACK_MAX {
        if step.next == 0 {
            break;
        }
        // SAFETY: a live map value and a local.
        if unsafe { next_frame(stacks, &raw mut step) } != 0 {
            // Another number than that of the frames so far: those are not the stack.
            hash = mix(hash, CUT);
            break;
        }
        if step.code != 0 {
            // The name too: addresses of code objects are reused.
            let name = word(step.code + u64::from(stacks.name));
            hash = mix(mix(mix(hash, step.code), step.at), name);
            let end = STACK_ENDS.get_ptr(Key { address: step.code, tgid: id >> 32 });
            // SAFETY: a live map value.
            if end.is_some_and(|known| unsafe { *known } == name) {
                break;
            }
        }
    }
    // No frames are counted: the verifier would walk the rest for every count.
    if hash == id >> 32 {
        return 0;
    }
    // 0 stands for none.
    hash | 1
}

/// What is sent of a frame.
#[inline(always)]
pub fn entry(stacks: &Stacks, frame: &Step) -> RaisedFrame {
    let offset = match stacks.shape {
        frame_shape::OBJECT => frame.at << (stacks.lasti_shift & 1),
        _ => frame.at.wrapping_sub(frame.code + u64::from(stacks.instructions)),
    };
    RaisedFrame {
        code: frame.code,
        name: word(frame.code + u64::from(stacks.name)),
        lasti: offset as i32,
        line: 0,
        first_line: half(frame.code + u64::from(stacks.first_line)),
        reserved: 0,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_stack(id: u64, state: u64, number: u64) -> u32 {
    let Some(stacks) = STACKS.get_ptr((id >> 32) as u32) else { return 0 };
    // SAFETY: as above.
    let stacks = unsafe { &*stacks };
    // SAFETY: the map, and a size that is a constant.
    let event =
        unsafe { raw::bpf_ringbuf_reserve(emit::ring(), size_of::<Stack>() as u64, 0) }.cast::<Stack>();
    if event.is_null() {
        // It is sent with the next call; user space counts the calls whose stack it does not know.
        return 0;
    }
    // SAFETY: reserved above, not null.
    let e = unsafe { &mut *event };
    e.kind = kind::STACK;
    e.tgid = (id >> 32) as u32;
    e.number = number;
    e.cut = 0;
    e.frames = 0;
    let mut frame = Step { next: innermost(stacks, state), ..Step::default() };
    for i in 0..STACK_MAX {
        if frame.next == 0 {
            break;
        }
        // SAFETY: a live map value and a local.
        if unsafe { next_frame(stacks, &raw mut frame) } != 0 {
            e.cut = 1;
            break;
        }
        e.stack[i] = entry(stacks, &frame);
        e.frames = i as u32 + 1;
    }
    // SAFETY: reserved above, submitted once.
    unsafe { raw::bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
    maps::count(counter::EVENTS);
    // Where there is no room, it is sent again.
    let _full = STACKS_SENT.insert(number, 1, 0);
    0
}
