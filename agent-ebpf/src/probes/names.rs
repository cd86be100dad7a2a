//! Names that do not resolve, seen as getaddrinfo(3) of the C library returns: a call that never came to a connection.
//! That library's own queries are not looked at, nor resolvers that do without it.

use apm_agent_ebpf::{HOST_MAX, PORT_MAX, Unresolved, counter, kind};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::LruHashMap,
    helpers::generated as raw,
    macros::{btf_map, uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use super::watched;
use crate::{
    attribution::{self, half},
    emit, maps,
};

/// `AI_NUMERICHOST` of `netdb.h`: what is asked is whether the text is an address.
const NUMERIC: u32 = 4;

/// A name that is being resolved.
#[repr(C)]
#[derive(Clone, Copy)]
struct Lookup {
    host: u64,
    port: u64,
    /// Where the result goes.
    to: u64,
    started: u64,
}

/// By thread: `(tgid << 32) | tid`.
#[btf_map]
static LOOKUPS: LruHashMap<u64, Lookup, 4096> = LruHashMap::new();

/// Entry of `getaddrinfo(host, port, hints, to)`.
#[uprobe]
pub fn name_lookup(ctx: ProbeContext) -> u32 {
    let Some(id) = watched() else { return 0 };
    let argument = |n| ctx.arg::<u64>(n).unwrap_or(0);
    let (host, hints) = (argument(0), argument(2));
    if host == 0 || (hints != 0 && half(hints) & NUMERIC != 0) {
        return 0;
    }
    let lookup = Lookup { host, port: argument(1), to: argument(3), started: emit::now() };
    // Full is impossible: the least recently used makes room.
    let _noted = LOOKUPS.insert(id, lookup, 0);
    0
}

/// Return of `getaddrinfo`.
#[uretprobe]
pub fn name_lookup_return(ctx: RetProbeContext) -> u32 {
    let _ended_early = returned(ctx.ret::<u64>() as i32);
    0
}

#[inline(always)]
fn returned(error: i32) -> Option<()> {
    let id = watched()?;
    // SAFETY: a live map value, used by this thread alone.
    let lookup = unsafe { *LOOKUPS.get_ptr(id)? };
    let _gone = LOOKUPS.remove(id);
    let mut origin = attribution::NOWHERE;
    attribution::resolving(id, lookup.to, error != 0, &mut origin);
    if error == 0 {
        return None;
    }
    // SAFETY: the map, and a size that is a constant.
    let event = unsafe { raw::bpf_ringbuf_reserve(emit::ring(), size_of::<Unresolved>() as u64, 0) }
        .cast::<Unresolved>();
    if event.is_null() {
        maps::count(counter::RING_FULL);
        return None;
    }
    // SAFETY: reserved above, not null.
    let e = unsafe { &mut *event };
    (e.kind, e.tid, e.tgid, e.error) = (kind::UNRESOLVED, id as u32, (id >> 32) as u32, error);
    (e.started, e.time, e.origin) = (lookup.started, emit::now(), origin);
    // SAFETY: sizes of the fields; the helper checks the addresses and ends what it reads with a zero.
    unsafe {
        let host = raw::bpf_probe_read_user_str((&raw mut e.host).cast(), HOST_MAX as u32, lookup.host as _);
        let port = raw::bpf_probe_read_user_str((&raw mut e.port).cast(), PORT_MAX as u32, lookup.port as _);
        e.host_len = if host < 0 { 0 } else { host as u32 };
        e.port_len = if port < 0 { 0 } else { port as u32 };
        raw::bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP));
    }
    maps::count(counter::EVENTS);
    Some(())
}
