//! Frame heads (RFC 9113 section 4.1) and what makes one believable.

/// Bytes of a frame head.
pub(super) const HEAD_LEN: usize = 9;
/// Largest payload before a peer allows more (RFC 9113 section 6.5.2, `SETTINGS_MAX_FRAME_SIZE`).
pub(super) const DEFAULT_MAX: u32 = 16_384;

/// `END_STREAM` of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// `ACK` of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// `END_HEADERS` of HEADERS, PUSH_PROMISE and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// `PADDED` of DATA, HEADERS and PUSH_PROMISE.
pub(super) const PADDED: u8 = 0x8;
/// `PRIORITY` of HEADERS.
pub(super) const PRIORITY: u8 = 0x20;

/// Frame types (RFC 9113 section 6; RFC 7838, RFC 8336 and RFC 9218 for the later ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    Goaway,
    WindowUpdate,
    Continuation,
    /// An extension that is registered: ALTSVC, ORIGIN, PRIORITY_UPDATE.
    Extension,
    /// Any other; to be ignored (RFC 9113 section 5.5).
    Unknown,
}

/// A frame head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) len: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Stream number; 0 for the connection itself.
    pub(super) stream: u32,
    /// The reserved bit before the stream number is set.
    reserved: bool,
}

impl Head {
    pub(super) fn parse(bytes: &[u8; HEAD_LEN]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let stream = u32::from_be_bytes(stream);
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::Goaway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            0xa | 0xc | 0x10 => Kind::Extension,
            _ => Kind::Unknown,
        };
        let len = u32::from_be_bytes([0, a, b, c]);
        Self { len, kind, flags, stream: stream & 0x7fff_ffff, reserved: stream >> 31 == 1 }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Does it keep the rules that make a frame an error when broken? `max` is the largest payload allowed.
    pub(super) fn is_valid(&self, max: u32) -> bool {
        let on_stream = self.stream != 0;
        self.len <= max
            && match self.kind {
                Kind::Data => on_stream && (!self.has(PADDED) || self.len >= 1),
                Kind::Headers => {
                    let least = u32::from(self.has(PADDED)) + if self.has(PRIORITY) { 5 } else { 0 };
                    on_stream && self.len >= least
                }
                Kind::Priority => on_stream && self.len == 5,
                Kind::RstStream => on_stream && self.len == 4,
                Kind::Settings => {
                    !on_stream && self.len.is_multiple_of(6) && (!self.has(ACK) || self.len == 0)
                }
                Kind::PushPromise => on_stream && self.len >= 4 + u32::from(self.has(PADDED)),
                Kind::Ping => !on_stream && self.len == 8,
                Kind::Goaway => !on_stream && self.len >= 8,
                Kind::WindowUpdate => self.len == 4,
                Kind::Continuation => on_stream,
                Kind::Extension | Kind::Unknown => true,
            }
    }

    /// Would a real peer send it so? Stricter than [`Self::is_valid`]: unused flags and the reserved bit are zero, and
    /// the type is a registered one.
    pub(super) fn is_plausible(&self) -> bool {
        let flags = match self.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::Settings | Kind::Ping => ACK,
            Kind::PushPromise => END_HEADERS | PADDED,
            Kind::Continuation => END_HEADERS,
            Kind::Priority | Kind::RstStream | Kind::Goaway | Kind::WindowUpdate | Kind::Extension => 0,
            Kind::Unknown => return false,
        };
        !self.reserved && self.flags & !flags == 0 && self.is_valid(DEFAULT_MAX)
    }
}

/// Frames that seem to follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Heads that were seen whole.
    pub(super) heads: usize,
    /// The last frame ends where the bytes end.
    pub(super) is_exact: bool,
}

impl Chain {
    /// Two heads, each where the one before says, or one frame that fills the bytes: by chance that happens less often
    /// than once in 2^40.
    pub(super) fn is_proof(self) -> bool {
        self.heads >= 2 || (self.heads == 1 && self.is_exact)
    }
}

/// Follows the frames from the start of the bytes; `None` where one of them is not believable.
pub(super) fn chain(bytes: &[u8]) -> Option<Chain> {
    let mut rest = bytes;
    let mut heads = 0;
    while let Some((head, after)) = rest.split_first_chunk::<HEAD_LEN>() {
        let head = Head::parse(head);
        if !head.is_plausible() {
            return None;
        }
        heads += 1;
        match after.get(head.len as usize..) {
            Some(next) => rest = next,
            None => return Some(Chain { heads, is_exact: false }),
        }
    }
    Some(Chain { heads, is_exact: rest.is_empty() })
}
