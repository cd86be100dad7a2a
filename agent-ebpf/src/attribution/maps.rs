//! What is remembered of running Python code. Every table has a cap and drops what was used least recently; what finds
//! no room is counted.

use apm_agent_ebpf::{Python, counter};
use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap},
    macros::btf_map,
};

use crate::maps::{add_one, count};

/// An object in a process's memory. Processes share addresses, so it takes both.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Key {
    /// Its address.
    pub address: u64,
    /// The process.
    pub tgid: u64,
}

/// Which unit of execution, and whose copy it is.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Lineage {
    /// Generation of the unit: addresses are reused, generations are not.
    pub unit: u64,
    /// Generations it was copied from, nearest first.
    pub ancestors: [u64; 3],
}

impl Lineage {
    /// That of a unit made by this one.
    #[inline(always)]
    pub fn child(&self, unit: u64) -> Self {
        Self { unit, ancestors: [self.unit, self.ancestors[0], self.ancestors[1]] }
    }
}

/// A Python context or a greenlet: what one task, callback or green thread runs in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Unit {
    /// Which.
    pub lineage: Lineage,
    /// The request it was made for, or has read itself.
    pub request: u64,
    /// Units that serve the same connection; 0 if not known.
    pub group: u64,
    /// 1 when it accepts connections: what it makes serves one connection each.
    pub accepts: u64,
    /// 1 for a greenlet that executes one work item after the other.
    pub pool: u64,
    /// Number of the call stack that made it; 0 where that is not wanted.
    pub stack: u64,
}

/// A unit, or a thread, of which nothing is known. In the object's data, which the kernel copies from: a new value on the
/// stack would take a fifth of what all functions of a call chain share.
static NEW_UNIT: Unit = Unit {
    lineage: Lineage { unit: 0, ancestors: [0; 3] },
    request: 0,
    group: 0,
    accepts: 0,
    pool: 0,
    stack: 0,
};
static NEW_THREAD: Thread = Thread {
    state: 0,
    request: 0,
    context: 0,
    window_request: 0,
    window_group: 0,
    window_context: 0,
    window_stack: 0,
    accepting: 0,
    greenlet: 0,
    lineage: Lineage { unit: 0, ancestors: [0; 3] },
    flags: 0,
    last_epoll: 0,
    home_epoll: 0,
    reserved: 0,
};

/// Flags of [`Thread`].
pub mod thread_flags {
    /// `request` holds.
    pub const VALID: u32 = 1;
    /// It is the request of the thread that started this one: it holds until that request is answered.
    pub const INHERITED: u32 = 2;
    /// It came with a work item.
    pub const HANDED: u32 = 4;
    /// The thread runs an event loop that reads, or serves several requests in turns, outside any context.
    pub const LOOP: u32 = 8;
    /// The thread has begun to answer it.
    pub const ANSWERED: u32 = 16;
    /// Its frames were looked through for work that it took over unseen.
    pub const LOOKED: u32 = 32;
    /// It has closed the connection that it read the request from, perhaps without an answer.
    pub const LETS_GO: u32 = 64;
}

/// A thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    /// Address of its `PyThreadState` as last found.
    pub state: u64,
    /// The request it serves while it is in no context.
    pub request: u64,
    /// The context that was current, though not entered, when it read that request.
    pub context: u64,
    /// The request whose bytes uvloop is handing on, if it still is: see `transports`. 0 if they are no request's.
    pub window_request: u64,
    /// Group of the connection that they came by.
    pub window_group: u64,
    /// The context in which it does so.
    pub window_context: u64,
    /// Where the stack stood as they were read; 0 if they were handed on.
    pub window_stack: u64,
    /// Group of the connection that an event loop is announcing now.
    pub accepting: u64,
    /// The greenlet that runs.
    pub greenlet: u64,
    /// The thread as a unit of its own, for code in no context; made when first asked for.
    pub lineage: Lineage,
    /// [`thread_flags`]
    pub flags: u32,
    /// Descriptor of the epoll instance it waited on last, plus one.
    pub last_epoll: u32,
    /// The same when it read the request: back there, it is done with it.
    pub home_epoll: u32,
    /// Zero.
    pub reserved: u32,
}

/// A work item on its way from one thread to another.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Handover {
    /// The request of the code that put it there; 0 if none.
    pub request: u64,
    /// That code.
    pub from: Lineage,
    /// Number of its call stack, where it queues bytes of a call; else 0.
    pub stack: u64,
}

/// Processes whose layout is known, by tgid. Absent: nothing is attributed.
#[btf_map]
pub static PYTHONS: HashMap<u32, Python, 8192> = HashMap::new();

/// Threads by tid.
#[btf_map]
pub static THREADS: LruHashMap<u32, Thread, 16384> = LruHashMap::new();

/// Contexts and greenlets.
#[btf_map]
pub static UNITS: LruHashMap<Key, Unit, 65536> = LruHashMap::new();

/// Groups: the request that their connection carries now.
#[btf_map]
pub static GROUPS: LruHashMap<u64, u64, 32768> = LruHashMap::new();

/// Work items by address.
#[btf_map]
pub static HANDOVERS: LruHashMap<Key, Handover, 16384> = LruHashMap::new();

/// Who queued the bytes that an event loop will write to a connection, by the connection's number.
#[btf_map]
pub static QUEUED: LruHashMap<u64, Handover, 16384> = LruHashMap::new();

/// The connection that a stream of libuv stands for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UvStream {
    /// Key of the connection in `CONNS`.
    pub key: u64,
    /// Its number.
    pub conn: u64,
}

/// Streams of libuv by the address of their handle: it takes a walk through the kernel to find the connection. It holds
/// until the process closes the descriptor.
#[btf_map]
pub static UV_STREAMS: LruHashMap<Key, UvStream, 16384> = LruHashMap::new();

/// Requests that have started threads and are not answered yet.
#[btf_map]
pub static HAS_THREADS: LruHashMap<u64, u64, 8192> = LruHashMap::new();

/// The last number given to a request or unit.
#[btf_map]
static NUMBERS: Array<u64, 1> = Array::new();

/// A number for a new request or unit, never 0 unless the map is missing.
#[inline(always)]
pub fn number() -> u64 {
    let Some(last) = NUMBERS.get_ptr_mut(0) else { return 0 };
    // SAFETY: a live map value, aligned to 8.
    let before = unsafe { add_one(last) };
    before + 1
}

/// Counts a value that found no room.
#[inline(always)]
pub fn kept(result: Result<(), i32>) {
    if result.is_err() {
        count(counter::ATTRIBUTION_TABLE_FULL);
    }
}

/// The record of a thread, made if there is none.
#[inline(always)]
pub fn thread(tid: u32) -> Option<*mut Thread> {
    if let Some(known) = THREADS.get_ptr_mut(tid) {
        return Some(known);
    }
    new_thread(tid)
}

/// A new record for a thread, in place of one that there may be.
#[inline(always)]
pub fn new_thread(tid: u32) -> Option<*mut Thread> {
    // Not by `set`: there hardly ever is one.
    kept(THREADS.insert(tid, &NEW_THREAD, 0));
    THREADS.get_ptr_mut(tid)
}

/// The record of a unit, made if there is none.
#[inline(always)]
pub fn unit(address: u64, tgid: u32) -> Option<*mut Unit> {
    let key = Key { address, tgid: u64::from(tgid) };
    if let Some(known) = UNITS.get_ptr_mut(key) {
        return Some(known);
    }
    let lineage = Lineage { unit: number(), ancestors: [0; 3] };
    new_unit(key, &lineage, 0, 0, 0)
}

/// A new record for a unit, in place of one that there may be. Word by word: the compiler would call its `memset`.
#[inline(always)]
pub fn new_unit(key: Key, lineage: &Lineage, request: u64, group: u64, stack: u64) -> Option<*mut Unit> {
    let known = UNITS.get_ptr_mut(key);
    let unit = match known {
        Some(unit) => unit,
        None => {
            kept(UNITS.insert(key, &NEW_UNIT, 0));
            UNITS.get_ptr_mut(key)?
        }
    };
    // SAFETY: a live map value, of a unit that no code has entered yet.
    unsafe {
        (*unit).lineage = *lineage;
        (*unit).request = request;
        (*unit).group = group;
        (*unit).stack = stack;
        (&raw mut (*unit).accepts).write_volatile(0);
        (&raw mut (*unit).pool).write_volatile(0);
    }
    Some(unit)
}

/// Sets a value, where there is one by overwriting it: keys are reused soon, and an insertion takes several times as long.
#[inline(always)]
pub fn set<K: Copy, V: Copy, const N: usize>(
    table: &LruHashMap<K, V, N>,
    key: K,
    value: &V,
) -> Option<*mut V> {
    if let Some(known) = table.get_ptr_mut(key) {
        // SAFETY: a live map value; what it told of is over, or is the business of the thread that runs here alone.
        unsafe { *known = *value };
        return Some(known);
    }
    kept(table.insert(key, value, 0));
    table.get_ptr_mut(key)
}
