//! Packets: three bytes of length, one of sequence, the payload; one of 2^24-1 bytes goes on in the next.

/// A payload of this length goes on in the next packet.
const FULL: u32 = 0xff_ffff;

/// A packet, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Packet {
    /// Sequence number; commands have 0.
    pub(super) sequence: u8,
    /// Bytes of payload.
    pub(super) len: u64,
    /// Bytes on the wire.
    pub(super) wire: u64,
    /// The first bytes of the payload.
    pub(super) head: Vec<u8>,
    /// Bytes of the payload were not captured: `head` ends where they begin.
    pub(super) cut: bool,
}

impl Packet {
    /// The first byte of its payload tells what it is.
    pub(super) fn kind(&self) -> Option<u8> {
        self.head.first().copied()
    }
}

/// One direction of a connection, cut into packets.
#[derive(Debug)]
pub(super) struct Packets {
    /// The packet that has just ended, or is under way.
    pub(super) packet: Packet,
    keep: usize,
    header: [u8; 4],
    header_len: usize,
    left: u32,
    /// The packet goes on after the current part.
    goes_on: bool,
    ended: bool,
}

impl Packets {
    /// Keeps the first `keep` bytes of each payload.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            packet: Packet::default(),
            keep,
            header: [0; 4],
            header_len: 0,
            left: 0,
            goes_on: false,
            ended: true,
        }
    }

    /// Between two packets.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.ended && self.header_len == 0
    }

    /// Forgets the packet it is in.
    pub(super) fn reset(&mut self) {
        self.forget();
        (self.header_len, self.left, self.goes_on, self.ended) = (0, 0, false, true);
    }

    /// Overwrites what it kept of the last packet.
    pub(super) fn forget(&mut self) {
        let mut head = std::mem::take(&mut self.packet.head);
        head.fill(0);
        head.clear();
        // A long statement's room is given back, a short one's is used again.
        if head.capacity() > 4096 {
            head = Vec::new();
        }
        self.packet = Packet { head, ..Packet::default() };
    }

    /// Reads on up to the end of a packet: the bytes taken, and whether it ended.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.left == 0 {
                if self.ended && self.header_len == 0 {
                    self.forget();
                    self.ended = false;
                }
                self.header[self.header_len] = bytes[at];
                self.header_len += 1;
                at += 1;
                if self.header_len == self.header.len() && self.begin_part() {
                    return (at, true);
                }
                continue;
            }
            let taken = (self.left as usize).min(bytes.len() - at);
            let room = if self.packet.cut { 0 } else { self.keep - self.packet.head.len().min(self.keep) };
            self.packet.head.extend_from_slice(&bytes[at..at + taken.min(room)]);
            at += taken;
            if self.pass(taken as u32) {
                return (at, true);
            }
        }
        (at, false)
    }

    /// `len` bytes that were not captured. `None` if that loses the place, else whether a packet ended.
    pub(super) fn gap(&mut self, len: u64) -> Option<bool> {
        let len = u32::try_from(len).ok().filter(|&len| len <= self.left && self.left > 0)?;
        self.packet.cut |= self.packet.head.len() < self.keep;
        Some(self.pass(len))
    }

    /// Are the next `len` bytes, whatever they are, part of the packet that is under way?
    pub(super) fn is_inside(&self, len: u64) -> bool {
        !self.ended && len <= u64::from(self.left)
    }

    fn begin_part(&mut self) -> bool {
        let [a, b, c, sequence] = self.header;
        self.header_len = 0;
        self.left = u32::from_le_bytes([a, b, c, 0]);
        if !self.goes_on {
            self.packet.sequence = sequence;
        }
        self.goes_on = self.left == FULL;
        self.packet.wire += 4;
        self.ended = self.left == 0;
        self.ended
    }

    fn pass(&mut self, len: u32) -> bool {
        self.left -= len;
        self.packet.len += u64::from(len);
        self.packet.wire += u64::from(len);
        self.ended = self.left == 0 && !self.goes_on;
        self.ended
    }
}

/// A length-encoded integer, and what follows it.
pub(super) fn integer(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        0..=0xfa => return Some((u64::from(first), rest)),
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(width)?;
    Some((number.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)), rest))
}

/// A string that ends with NUL, and what follows it.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
