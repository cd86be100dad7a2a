//! Which socket a TLS stream runs over, by evidence alone.
//!
//! With a blocking socket, system calls on it happen within the calls on the stream: nesting is proof. With memory BIOs
//! (asyncio, uvloop, anyio) the ciphertext passes `BIO_write(3)` on its way out and on its way in, and a system call
//! moves it before or after: the first 32 bytes of a flight, met in both places of one process within a second, are
//! proof, since ciphertext does not repeat (the first flights carry 28 random bytes, RFC 8446, 4.1.2). The last socket
//! that a thread used would be a guess.

use apm_agent_ebpf::{Conn, conn_flags};
use aya_ebpf::{helpers::bpf_probe_read_user, macros::uprobe, programs::ProbeContext};

use super::{tls, watched};
use crate::{
    emit,
    maps::{Flight, Sighting, StreamKey, TLS_BIOS, TLS_CALLS, TLS_FLIGHTS, TLS_STREAMS},
    payload::Shape,
};

/// A flight met in the second place later than this is not believed, ns.
const BELIEVED_FOR: u64 = 1_000_000_000;
/// Lowest bit of a value of `TLS_BIOS`: the BIO that the stream writes to. `SSL` structures are aligned.
const WRITES: u64 = 1;

#[inline(always)]
fn flight(id: u64, write: bool, address: u64) -> Option<Flight> {
    // SAFETY: the helper checks the address.
    let prefix = unsafe { bpf_probe_read_user(address as *const [u64; 4]) }.ok()?;
    Some(Flight { tgid_write: (id >> 32) | u64::from(write) << 32, prefix })
}

/// The connection that met `flight` first, if that was just now; it is forgotten, a flight is met twice.
#[inline(always)]
fn met(flight: &Flight) -> Option<u64> {
    let sighting = TLS_FLIGHTS.get_ptr(flight)?;
    // SAFETY: a live map value.
    let sighting = unsafe { *sighting };
    let _gone = TLS_FLIGHTS.remove(flight);
    (emit::now() - sighting.time < BELIEVED_FOR).then_some(sighting.conn)
}

#[inline(always)]
fn note(flight: &Flight, conn: u64) {
    // Full is impossible: the least recently used makes room.
    let _noted = TLS_FLIGHTS.insert(flight, Sighting { conn, time: emit::now() }, 0);
}

/// A system call moved ciphertext over a socket that is not bound yet.
#[inline(always)]
pub fn ciphertext(conn: &mut Conn, id: u64, write: bool, shape: Shape) {
    if let Some(call) = TLS_CALLS.get_ptr_mut(id) {
        // SAFETY: a live map value, used by this thread alone.
        unsafe { (*call).socket = conn.id };
        return;
    }
    let Shape::Buffer(address) = shape else { return };
    let Some(flight) = flight(id, write, address) else { return };
    if write {
        if let Some(stream) = met(&flight)
            && emit::bound(stream, conn.id, id)
        {
            conn.flags |= conn_flags::BOUND;
        }
    } else {
        note(&flight, conn.id);
    }
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
    let call = TLS_CALLS.get_ptr(id)?;
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
    let flight = flight(id, write, data)?;
    if write {
        // Leaves the process later, by a system call; the stream is marked as bound when its read side is met.
        note(&flight, stream.id);
    } else if let Some(socket) = met(&flight)
        && emit::bound(stream.id, socket, id)
    {
        stream.flags |= conn_flags::BOUND;
    }
    Some(())
}
