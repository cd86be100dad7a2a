//! State shared by the probes and with user space. Every map has a cap; what finds no room is counted.

use apm_agent_ebpf::{CAPTURE_MAX, Conn, Data, IOV_STEP, SKIM_TAIL, counter, kernel_offsets};
use aya_ebpf::{
    Global,
    btf_maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};

use crate::{payload::Walk, pieces::Pieces};

/// Events for user space. Its size is set at load time.
#[btf_map]
pub static EVENTS: RingBuf<[u8; 1], { 8 << 20 }> = RingBuf::new();

/// Watched processes by tgid: `target_flags`.
#[btf_map]
pub static TARGETS: HashMap<u32, u32, 8192> = HashMap::new();

/// Connections by the address of their `struct sock`. The least recently used goes when it is full; user space then
/// sees the connection anew, joined in mid-life.
#[btf_map]
pub static CONNS: LruHashMap<u64, Conn, 32768> = LruHashMap::new();

/// A TLS stream: its process and the address of its `SSL`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StreamKey {
    /// Process.
    pub tgid: u64,
    /// Address of the `SSL` structure.
    pub ssl: u64,
}

/// TLS streams. Their addresses are reused: `SSL_free` and the start of a new stream end an entry's life.
#[btf_map]
pub static TLS_STREAMS: LruHashMap<StreamKey, Conn, 16384> = LruHashMap::new();

/// The call on a TLS stream that a thread is in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsCall {
    /// Address of the `SSL` structure; 0 when it has returned.
    pub ssl: u64,
    /// Where the plaintext lies, or is to go.
    pub buffer: u64,
    /// Where the callee writes how many bytes it moved; 0 where it returns that.
    pub moved: u64,
    /// Number of the socket's connection that was used within the call; 0 = none yet.
    pub socket: u64,
}

/// Calls on TLS streams by thread: `(tgid << 32) | tid`. An entry stays, with no `ssl`: to enter and delete one takes several times
/// as long as to overwrite it.
#[btf_map]
pub static TLS_CALLS: LruHashMap<u64, TlsCall, 4096> = LruHashMap::new();

/// A BIO set by `SSL_set_bio`: its stream's `SSL`, by process and address of the BIO. The lowest bit of the value tells
/// the one that is written to from the one that is read from.
#[btf_map]
pub static TLS_BIOS: LruHashMap<StreamKey, u64, 8192> = LruHashMap::new();

/// The first bytes of a flight of ciphertext on its way between a memory BIO and a socket, in one process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flight {
    /// Process, and the direction in the upper half.
    pub tgid_write: u64,
    /// The bytes.
    pub prefix: [u64; 4],
}

/// Where a flight was seen first: the stream's connection (written) or the socket's (read), and when.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sighting {
    /// Number of the connection.
    pub conn: u64,
    /// Where its entry is found: address of the stream's `SSL`, or of the socket's `struct sock`.
    pub key: u64,
    /// When.
    pub time: u64,
}

/// Flights under way.
#[btf_map]
pub static TLS_FLIGHTS: LruHashMap<Flight, Sighting, 2048> = LruHashMap::new();

/// Counters: `counter`.
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { counter::COUNT as usize }> = PerCpuArray::new();

/// Room for a chunk's start and end, with the slack that lets the verifier bound each step of a walk on its own.
pub const PAYLOAD_MAX: usize = (CAPTURE_MAX + 1) + (IOV_STEP + 1) + SKIM_TAIL;

/// Where an event of the syscall tracepoints is put together. Syscall tracepoints run with preemption off, so one per
/// CPU is theirs alone; uprobes must not use it.
#[repr(C)]
pub struct Scratch {
    /// The event's fixed part.
    pub data: Data,
    /// Its payload.
    pub payload: [u8; PAYLOAD_MAX],
    /// Where a walk over a vector stands.
    pub walk: Walk,
    /// Where a chunk that is sent in pieces stands.
    pub pieces: Pieces,
}

/// One scratch event per CPU.
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Bytes copied per run of one direction, by what the connection is for the process: see `payload::budget`.
#[unsafe(no_mangle)]
pub static BUDGET_REQUEST: Global<u32> = Global::new(CAPTURE_MAX as u32);
/// Bytes copied per run of responses that the process writes.
#[unsafe(no_mangle)]
pub static BUDGET_RESPONSE: Global<u32> = Global::new(2048);
/// Bytes copied per run of replies that the process reads.
#[unsafe(no_mangle)]
pub static BUDGET_REPLY: Global<u32> = Global::new(8192);
/// A wake-up is sent once the ring holds this many bytes, a quarter of it; before that, user space comes by itself.
#[unsafe(no_mangle)]
pub static WAKE_AT: Global<u32> = Global::new(2 << 20);

macro_rules! declare {
    ($($name:ident = ($_ty:literal, $_path:literal);)*) => {
        $(
            #[doc = concat!("Offset of `", $_ty, ".", $_path, "` on the running kernel.")]
            #[unsafe(no_mangle)]
            pub static $name: Global<u32> = Global::new(0);
        )*
    };
}
kernel_offsets!(declare);

/// Adds one atomically and returns what was there before. Rust grants this target no atomic read-modify-write, the
/// kernel does (5.12, `BPF_ATOMIC | BPF_FETCH`).
///
/// # Safety
/// `value` must be a live map value, aligned to 8.
#[inline(always)]
pub unsafe fn add_one(value: *mut u64) -> u64 {
    let mut one = 1u64;
    // SAFETY: by the caller.
    unsafe {
        core::arch::asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) value, inout(reg) one);
    }
    one
}

/// Adds one to a counter. Atomically: a uprobe can be interrupted by other programs on its CPU.
#[inline(always)]
pub fn count(index: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: a live map value, aligned to 8.
        unsafe { add_one(value) };
    }
}

/// Notes how full the ring is.
#[inline(always)]
pub fn note_waiting(bytes: u64) {
    if let Some(last) = COUNTERS.get_ptr_mut(counter::RING_WAITING) {
        // SAFETY: a live map value, written as a whole.
        unsafe { *last = bytes }
    }
    if let Some(peak) = COUNTERS.get_ptr_mut(counter::RING_PEAK) {
        // SAFETY: as above.
        unsafe {
            if *peak < bytes {
                *peak = bytes;
            }
        }
    }
}
