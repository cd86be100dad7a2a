//! Chunks of which every byte is wanted, and that are larger than one event: they are sent in pieces.
//!
//! HTTP/2 mixes the frames of its streams, and a client of PostgreSQL or Redis writes a pipeline in one go: what is left out of such
//! a chunk may hold whole requests.

use apm_agent_ebpf::{
    CAPTURE_MAX, Conn, Data, IOV_MAX, IOV_STEP, PIECES_MAX, SKIM_TAIL, conn_flags, data_flags, opened_by,
};
use aya_ebpf::helpers::bpf_probe_read_user;

use crate::{
    emit,
    maps::{SCRATCH, Scratch},
    payload::{Iovec, Shape, clamp, copy, opaque},
    volatile::{get, set},
};

/// Most entries of an `iovec` array that are put together into a piece. All pieces together hold as many entries as the kernel
/// takes at once (`UIO_MAXIOV`): gRPC's library writes up to 260, asyncio all of them while the peer does not read.
const GATHERED_MAX: usize = 16;

/// Where a chunk that is sent in pieces stands. It lives in the scratch event, see [`crate::volatile`].
#[repr(C)]
pub struct Pieces {
    /// Bytes not sent yet.
    left: u64,
    /// Position of the next byte in its direction.
    pos: u64,
    /// Address of the current entry of the vector; 0 for a single buffer.
    entry: u64,
    /// Bytes of the buffer, or of the current entry, that are sent or part of the piece at hand.
    sent: u64,
    /// Size of the piece at hand.
    len: u64,
    /// Bytes that it takes of an entry.
    took: u64,
}

/// Bytes of replies that are wanted per byte of statements: a statement of a pipeline has at least 50, the replies to what
/// changes data or finds a row are shorter than ten times that.
const REPLY_PER_BYTE: u32 = 8;
/// The same of commands: one has at least 14, and most pipelines of them fetch values.
const REPLY_PER_BYTE_OF_COMMANDS: u32 = 64;
/// Most bytes of replies that are wanted whole.
const ALLOWANCE_MAX: u32 = 4 << 20;
/// Less than this is what single statements leave; theirs may have large results, of which the end tells enough.
const ALLOWANCE_MIN: u32 = 8192;

/// A client of a protocol that pipelines.
const PIPELINED: u16 = conn_flags::STATEMENTS | conn_flags::COMMANDS;

/// Most bytes of a message of which the rest may be left out (PostgreSQL's `MaxAllocSize`).
const MESSAGE_MAX: u64 = 1 << 30;

/// Is every byte wanted that moves in this direction of the connection?
#[inline(always)]
pub fn wanted(conn: &Conn, write: bool) -> bool {
    let replies = conn.allowance > ALLOWANCE_MIN;
    conn.flags & conn_flags::WHOLE != 0 || (conn.flags & PIPELINED != 0 && (write || replies))
}

/// Keeps the books of what is wanted of the replies to statements: in proportion to these, as a pipeline cannot be told from
/// one long statement here; what an earlier turn has left over counts half.
///
/// Returns how many bytes of a message that began in an earlier chunk come first; 0 for none.
#[inline(always)]
pub fn account(conn: &mut Conn, write: bool, run_starts: bool, total: u64) -> u64 {
    if conn.flags & PIPELINED == 0 {
        return 0;
    }
    let bytes = if total < u64::from(ALLOWANCE_MAX) { total as u32 } else { ALLOWANCE_MAX };
    if !write {
        conn.allowance = conn.allowance.saturating_sub(bytes);
        return 0;
    }
    let is_commands = conn.flags & conn_flags::COMMANDS != 0;
    let left = match run_starts {
        // A client of Redis has read all replies by then; what a large value has left over is not for the next one's.
        true if is_commands => 0,
        true => conn.allowance / 2,
        false => conn.allowance,
    };
    let sum = left + bytes * if is_commands { REPLY_PER_BYTE_OF_COMMANDS } else { REPLY_PER_BYTE };
    conn.allowance = if sum < ALLOWANCE_MAX { sum } else { ALLOWANCE_MAX };
    // A client that has read an answer begins with a message: what was taken for one in error ends there.
    let inside = if run_starts { 0 } else { u64::from(conn.message_left) };
    conn.message_left = inside.saturating_sub(total) as u32;
    inside
}

/// Is the chunk copied whole into one event?
#[inline(always)]
pub fn fits(shape: Shape, total: u64) -> bool {
    match shape {
        Shape::Buffer(_) => total <= CAPTURE_MAX as u64,
        Shape::Vector(_, count) => total <= IOV_STEP as u64 && count <= IOV_MAX as u64,
        Shape::Nowhere => true,
    }
}

/// Looks at the first bytes of a run for a protocol of which every byte is wanted. `first` gives the first eight; a wrong
/// guess copies more than is needed, and nothing else.
#[inline(always)]
pub fn look(conn: &mut Conn, write: bool, pos: u64, total: u64, first: impl FnOnce() -> u64) {
    let joined = conn.by == opened_by::DATA || conn.by == opened_by::TLS_DATA;
    let opens = write && pos <= 8 && total < 1024;
    let is_large = write && total > CAPTURE_MAX as u64;
    let may_be_message = is_large || (write && joined);
    let seeks_statements = (opens || may_be_message) && conn.flags & PIPELINED == 0;
    let seeks_frames = joined && conn.flags & conn_flags::WHOLE == 0;
    if !seeks_statements && !seeks_frames {
        return;
    }
    let first = first().swap_bytes();
    let is_statement = may_be_message && is_message(first, total);
    if seeks_statements && (is_statement || (opens && is_startup(first, total))) {
        conn.flags |= conn_flags::STATEMENTS;
    } else if seeks_statements && is_command(first) {
        conn.flags |= conn_flags::COMMANDS;
    }
    if seeks_frames && is_frame(first) {
        conn.flags |= conn_flags::WHOLE;
    }
}

/// The StartupMessage of a client of PostgreSQL ("Message Formats"), at the start of the connection or after a refused request
/// for encryption, which has 8 bytes.
#[inline(always)]
fn is_startup(first: u64, total: u64) -> bool {
    first >> 32 == total && (first >> 16) & 0xffff == 3
}

/// A message of such a client that may begin a pipeline, and that fits into the chunk.
#[inline(always)]
fn is_message(first: u64, total: u64) -> bool {
    let len = (first >> 24) & 0xffff_ffff;
    matches!((first >> 56) as u8, b'P' | b'B' | b'Q' | b'E') && len >= 4 && len < total
}

/// A command of Redis, an array of strings (redis.io, "Redis serialization protocol specification"): a count, the end of its line.
#[inline(always)]
fn is_command(first: u64) -> bool {
    let byte = |at: u32| (first >> (56 - at * 8)) as u8;
    byte(0) == b'*'
        && byte(1).is_ascii_digit()
        && (byte(2) == b'\r' || (byte(2).is_ascii_digit() && (byte(3) == b'\r' || byte(3).is_ascii_digit())))
}

/// Is all of a chunk of statements one message with a large value, or a part of one, and perhaps a few short ones behind it?
/// Then its start and its end tell all. `inside` is what [`account`] said.
#[inline(always)]
pub fn is_one_message(
    conn: &mut Conn,
    run_starts: bool,
    inside: u64,
    first: impl FnOnce() -> u64,
    total: u64,
) -> bool {
    if conn.flags & conn_flags::WHOLE != 0 {
        return false;
    }
    // A large value of a command leaves by itself, or behind the command's start.
    if conn.flags & conn_flags::COMMANDS != 0 {
        return first() as u8 != b'*';
    }
    if inside > 0 {
        return total < inside + SKIM_TAIL as u64;
    }
    let first = first().swap_bytes();
    let len = (first >> 24) & 0xffff_ffff;
    let kind = (first >> 56) as u8;
    // A text may hold many statements, and is read so far.
    let is_text = matches!(kind, b'P' | b'Q') && total > 64 * 1024;
    if !is_text && !matches!(kind, b'B' | b'd') {
        return false;
    }
    if run_starts && len >= total && len <= MESSAGE_MAX {
        // The socket took only a part of it.
        conn.message_left = (len + 1 - total) as u32;
        return true;
    }
    len < total && len + SKIM_TAIL as u64 > total
}

/// The head of an HTTP/2 frame (RFC 9113, 4.1): at most 16 KiB, of a known type, the reserved bit not set.
#[inline(always)]
fn is_frame(first: u64) -> bool {
    first >> 40 <= 16384 && (first >> 32) & 0xff <= 9 && first & 0x80_0000 == 0 && first != 0
}

/// Sends one piece of a single buffer; false when there is none left.
#[inline(always)]
fn of_buffer(s: &mut Scratch, base: u64, flags: u16) -> bool {
    let (left, sent) = (get!(s.pieces.left), get!(s.pieces.sent));
    if left == 0 {
        return false;
    }
    set!(s.pieces.len, if left < CAPTURE_MAX as u64 { left } else { CAPTURE_MAX as u64 });
    // A mask bounds what a clamp would split into two cases.
    let len = opaque(get!(s.pieces.len)) & CAPTURE_MAX as u64;
    let copied = copy(s, 0, base + sent, len);
    set!(s.pieces.sent, sent + len);
    set!(s.pieces.left, left - len);
    event(s, len, copied, flags);
    true
}

/// Sends one piece of a vector, put together from its entries; false when there is none left.
#[inline(always)]
fn of_vector(s: &mut Scratch, flags: u16) -> bool {
    set!(s.pieces.len, 0);
    for _ in 0..GATHERED_MAX {
        if gather() == 0 {
            break;
        }
    }
    let len = opaque(get!(s.pieces.len)) & CAPTURE_MAX as u64;
    if len == 0 {
        return false;
    }
    event(s, len, true, flags);
    true
}

/// Puts an entry's bytes, as far as they find room, behind those that the piece has already; 0 where the piece ends. Global to
/// the verifier, which walks it once and not for each entry.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gather() -> u64 {
    let Some(s) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own value; what changes of it here, the caller reads as volatile.
    u64::from(gather_into(unsafe { &mut *s }))
}

#[inline(always)]
fn gather_into(s: &mut Scratch) -> bool {
    let (left, entry) = (get!(s.pieces.left), get!(s.pieces.entry));
    if left == 0 || entry == 0 {
        return false;
    }
    // SAFETY: the helper checks the address.
    let Ok(Iovec { base, len: whole }) = (unsafe { bpf_probe_read_user(entry as *const Iovec) }) else {
        set!(s.pieces.entry, 0);
        return false;
    };
    let sent = get!(s.pieces.sent);
    let at = opaque(get!(s.pieces.len)) & CAPTURE_MAX as u64;
    // Each of these ways ends in the same state, as the value lies in the map. A short write moved only part of its last entry.
    set!(s.pieces.took, whole - sent);
    if left < get!(s.pieces.took) {
        set!(s.pieces.took, left);
    }
    if CAPTURE_MAX as u64 - at < get!(s.pieces.took) {
        set!(s.pieces.took, CAPTURE_MAX as u64 - at);
    }
    if get!(s.pieces.took) > IOV_STEP as u64 {
        set!(s.pieces.took, IOV_STEP as u64);
    }
    let took = opaque(get!(s.pieces.took)) & IOV_STEP as u64;
    if !copy(s, at, base + sent, took) {
        set!(s.pieces.entry, 0);
        return false;
    }
    set!(s.pieces.sent, sent + took);
    if sent + took == whole {
        set!(s.pieces.sent, 0);
        set!(s.pieces.entry, entry + size_of::<Iovec>() as u64);
    }
    set!(s.pieces.len, at + took);
    set!(s.pieces.left, left - took);
    at + took < CAPTURE_MAX as u64
}

/// Writes the event of a piece of `len` bytes, which lie in the scratch event if they could be copied.
#[inline(always)]
fn event(s: &mut Scratch, len: u64, copied: bool, flags: u16) {
    set!(s.pieces.len, if copied { len } else { 0 });
    let head = opaque(get!(s.pieces.len)) & CAPTURE_MAX as u64;
    let pos = get!(s.pieces.pos);
    s.data.pos = pos;
    s.data.len = len as u32;
    s.data.head = head as u32;
    s.data.flags = if copied { flags } else { flags | data_flags::FAULT };
    set!(s.pieces.pos, pos + len);
    // SAFETY: the length is bounded by the scratch event's size.
    unsafe { emit::output(core::ptr::from_mut(s).cast(), size_of::<Data>() as u64 + head, false) };
}

/// Sends a chunk in pieces; of what is too much for [`PIECES_MAX`] of them, or for the ring at this moment, the end. The
/// event's other fields are filled in.
#[inline(always)]
pub fn send(s: &mut Scratch, write: bool, shape: Shape, total: u64) {
    let (base, entry) = match shape {
        Shape::Buffer(base) => (base, 0),
        Shape::Vector(iov, _) => (0, iov),
        Shape::Nowhere => return,
    };
    let flags = u16::from(write) * data_flags::WRITE;
    let pos = s.data.pos;
    set!(s.pieces.left, total);
    set!(s.pieces.pos, pos);
    set!(s.pieces.entry, entry);
    set!(s.pieces.sent, 0);
    s.data.tail = 0;
    for i in 0..PIECES_MAX {
        // Other connections' events need the room more; but without its start nothing of the chunk can be told.
        if i > 0 && emit::is_half_full() {
            break;
        }
        let is_sent = if entry == 0 { of_buffer(s, base, flags) } else { of_vector(s, flags) };
        if !is_sent {
            break;
        }
    }
    let left = get!(s.pieces.left);
    if left > 0 {
        let mut tail = if base == 0 { 0 } else { clamp(left, SKIM_TAIL as u64) };
        if tail > 0 && !copy(s, 0, base + total - tail, tail) {
            tail = 0;
        }
        s.data.pos = get!(s.pieces.pos);
        s.data.len = left as u32;
        s.data.head = 0;
        s.data.tail = tail as u16;
        s.data.flags = flags;
        // SAFETY: the length is bounded by the scratch event's size.
        unsafe { emit::output(core::ptr::from_mut(s).cast(), size_of::<Data>() as u64 + tail, false) };
    }
}
