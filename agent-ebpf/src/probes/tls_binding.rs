//! Which socket a TLS stream runs over, by evidence alone.
//!
//! With a blocking socket, system calls on it happen within the calls on the stream: nesting is proof. With memory BIOs
//! (asyncio, uvloop, anyio) the ciphertext passes through them, and a system call moves it before or after: the first 32 bytes
//! of a flight, met in both places of one process within a second, are proof, since ciphertext does not repeat (the first
//! flights carry 28 random bytes, RFC 8446, 4.1.2). The last socket that a thread used would be a guess.
//!
//! What lies in a memory BIO is read as a call on the stream returns, until its socket is known. Where it is not known how the
//! library keeps its BIOs, `BIO_write(3)` is probed for each of its calls.

use apm_agent_ebpf::{Conn, conn_flags};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_probe_read_user, generated as raw},
    macros::uprobe,
    programs::ProbeContext,
};

use super::{tls, watched};
use crate::{
    attribution::user_word as word,
    emit,
    maps::{CONNS, Flight, Sighting, StreamKey, TLS_BIOS, TLS_FLIGHTS, TLS_STREAMS},
    payload::Shape,
};

/// A flight met in the second place later than this is not believed, ns.
const BELIEVED_FOR: u64 = 1_000_000_000;
/// Lowest bit of an offset, or of a value of `TLS_BIOS`: the BIO that the stream writes to. `SSL` structures are aligned.
const WRITES: u64 = 1;

#[inline(always)]
fn flight(id: u64, write: bool, address: u64) -> Option<Flight> {
    // SAFETY: the helper checks the address.
    let prefix = unsafe { bpf_probe_read_user(address as *const [u64; 4]) }.ok()?;
    Some(Flight { tgid_write: (id >> 32) | u64::from(write) << 32, prefix })
}

/// Where `flight` was met first, if that was just now; it is forgotten, a flight is met twice.
#[inline(always)]
fn met(flight: &Flight) -> Option<Sighting> {
    let sighting = TLS_FLIGHTS.get_ptr(flight)?;
    // SAFETY: a live map value.
    let sighting = unsafe { *sighting };
    let _gone = TLS_FLIGHTS.remove(flight);
    (emit::now() - sighting.time < BELIEVED_FOR).then_some(sighting)
}

/// `conn` has met a flight, where `key` finds its entry.
#[inline(always)]
fn note(flight: &Flight, conn: &Conn, key: u64) {
    // Full is impossible: the least recently used makes room.
    let _noted = TLS_FLIGHTS.insert(flight, Sighting { conn: conn.id, key, time: emit::now() }, 0);
}

/// Both ends of a proof need no other.
#[inline(always)]
fn bound(conn: &mut Conn, other: Option<*mut Conn>, number: u64) {
    conn.flags |= conn_flags::BOUND;
    if let Some(other) = other {
        // SAFETY: a live map value, whose fields are words.
        unsafe {
            // Another may have taken its place.
            if (*other).id == number {
                (*other).flags |= conn_flags::BOUND;
            }
        }
    }
}

/// A system call moved ciphertext over a socket that is not bound yet; `key` is the address of its `struct sock`.
#[inline(always)]
pub fn ciphertext(conn: &mut Conn, key: u64, id: u64, write: bool, shape: Shape) {
    if let Some(call) = tls::call(id) {
        // SAFETY: a live map value, used by this thread alone.
        unsafe { (*call).socket = conn.id };
        return;
    }
    let Shape::Buffer(address) = shape else { return };
    let Some(flight) = flight(id, write, address) else { return };
    if !write {
        note(&flight, conn, key);
    } else if let Some(first) = met(&flight)
        && emit::bound(first.conn, conn.id, id)
    {
        let stream = TLS_STREAMS.get_ptr_mut(StreamKey { tgid: id >> 32, ssl: first.key });
        bound(conn, stream, first.conn);
    }
}

/// Ciphertext lies in a BIO of a stream that is not bound yet, or has just been read from it.
#[inline(always)]
fn passes(stream: &mut Conn, ssl: u64, id: u64, write: bool, flight: &Flight) {
    if write {
        // It leaves the process later, by a system call.
        note(flight, stream, ssl);
    } else if let Some(first) = met(flight)
        && emit::bound(stream.id, first.conn, id)
    {
        bound(stream, CONNS.get_ptr_mut(first.key), first.conn);
    }
}

/// How a stream keeps its BIOs, as the probe's cookie tells: offset of the one that it reads from; the one that it writes to
/// follows. 0 where that is not known.
#[inline(always)]
pub fn bios(ctx: &impl EbpfContext) -> u64 {
    // SAFETY: the context of this program.
    unsafe { raw::bpf_get_attach_cookie(ctx.as_ptr()) }
}

/// A call on a stream has returned, having moved something. If the stream is not bound yet, a system call on a socket within
/// the call is a proof; else what its BIO holds may become one.
///
/// # Safety
/// `stream` must be null or a live map value.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn binds(stream: *mut Conn, ssl: u64, id: u64, socket: u64, bio_at: u64) -> u32 {
    if stream.is_null() {
        return 0;
    }
    // SAFETY: by the caller, not null; OpenSSL forbids two calls on one stream at a time.
    let stream = unsafe { &mut *stream };
    if stream.flags & conn_flags::BOUND != 0 {
        return 0;
    }
    if socket != 0 {
        if emit::bound(stream.id, socket, id) {
            stream.flags |= conn_flags::BOUND;
        }
        return 0;
    }
    let write = bio_at & WRITES != 0;
    let at = bio_at & !WRITES;
    if at == 0 || stream.context >= LOOKS_MAX {
        return 0;
    }
    stream.context += 1;
    if let Some(flight) = held(id, write, word(ssl + at)) {
        passes(stream, ssl, id, write, &flight);
    }
    0
}

/// Calls on a stream after which its BIOs are no longer looked at: a stream within another one never meets a socket.
const LOOKS_MAX: u64 = 256;

/// The last argument of [`binds`].
#[inline(always)]
pub fn bio_at(bios: u64, write: bool) -> u64 {
    match (bios, write) {
        (0, _) => 0,
        (reads, false) => reads,
        (reads, true) => (reads + 8) | WRITES,
    }
}

/// Offset of `ptr` in `struct bio_st` (crypto/bio/bio_local.h) of OpenSSL since 3.0, of 1.1.1, and of 1.1.0.
const BIO_PTR: [u64; 3] = [64, 56, 48];

/// The flight at the start of what a memory BIO holds. Its `ptr` leads to a `BIO_BUF_MEM` (crypto/bio/bss_mem.c) whose first member
/// is a `BUF_MEM` (include/openssl/buffer.h): its data, the second member, begins with the oldest bytes that were not read as the
/// last ones were written, and is left alone as they are read.
#[inline(always)]
fn held(id: u64, write: bool, bio: u64) -> Option<Flight> {
    for ptr in BIO_PTR {
        let data = word(word(word(bio + ptr)) + 8);
        if let Some(flight) = flight(id, write, data)
            && begins_record(flight.prefix[0])
        {
            return Some(flight);
        }
    }
    None
}

/// Does a record begin with these bytes, lower ones first (RFC 8446, 5.1)?
#[inline(always)]
fn begins_record(first: u64) -> bool {
    matches!(first as u8, 20..=23) && (first >> 8) as u8 == 3 && (first >> 16) as u8 <= 4
}

/// Entry of `SSL_set_bio(ssl, read_bio, write_bio)`.
#[uprobe]
pub fn ssl_bios(ctx: ProbeContext) -> u32 {
    let (Some(id), Some(ssl), Some(reads), Some(writes)) =
        (watched(), ctx.arg::<u64>(0), ctx.arg::<u64>(1), ctx.arg::<u64>(2))
    else {
        return 0;
    };
    let tgid = id >> 32;
    let _room = TLS_BIOS.insert(StreamKey { tgid, ssl: reads }, ssl, 0);
    if writes != reads {
        let _room = TLS_BIOS.insert(StreamKey { tgid, ssl: writes }, ssl | WRITES, 0);
    }
    0
}

/// Entry of `BIO_write(bio, data, len)`.
#[uprobe]
pub fn bio_write(ctx: ProbeContext) -> u32 {
    let _ended_early = passed(&ctx);
    0
}

/// The stream whose call this thread is in, if what passes is a record of application data (RFC 8446, 5.1): its BIOs were
/// set before the agent came. Which of its BIOs it is does not matter: the same bytes on a socket are the proof.
#[inline(always)]
fn within(id: u64, data: u64) -> Option<u64> {
    let call = tls::call(id)?;
    // SAFETY: the helper checks the address.
    let header = unsafe { bpf_probe_read_user(data as *const [u8; 2]) }.ok()?;
    // SAFETY: a live map value, used by this thread alone.
    (header == [23, 3]).then(|| unsafe { (*call).ssl } | WRITES)
}

#[inline(always)]
fn passed(ctx: &ProbeContext) -> Option<()> {
    let id = watched()?;
    let (bio, data, len) = (ctx.arg::<u64>(0)?, ctx.arg::<u64>(1)?, ctx.arg::<i32>(2)?);
    // SAFETY: a live map value.
    let known = TLS_BIOS.get_ptr(StreamKey { tgid: id >> 32, ssl: bio }).map(|bio| unsafe { *bio });
    let owner = match known {
        Some(owner) => owner,
        None => within(id, data)?,
    };
    let key = StreamKey { tgid: id >> 32, ssl: owner & !WRITES };
    let stream = match known {
        Some(_) => TLS_STREAMS.get_ptr_mut(key)?,
        // Its first call since the agent came has not returned yet.
        None => tls::stream(&key, id)?,
    };
    // SAFETY: a live map value; OpenSSL forbids two calls on one stream at a time.
    let stream = unsafe { &mut *stream };
    if stream.flags & conn_flags::BOUND != 0 || len < 32 {
        return None;
    }
    let write = owner & WRITES != 0;
    passes(stream, key.ssl, id, write, &flight(id, write, data)?);
    Some(())
}
