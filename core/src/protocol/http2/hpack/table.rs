//! The static and the dynamic table (RFC 7541 section 2.3 and appendix A).

use std::collections::VecDeque;
use std::fmt;

/// Table size before the encoder changes it (RFC 9113 section 6.5.2, `SETTINGS_HEADER_TABLE_SIZE`).
const DEFAULT_SIZE: usize = 4_096;
/// Size up to which a table is followed. Browsers and servers announce 64 KiB at most; of a larger one the older
/// entries are unknown.
const SIZE_CAP: usize = 64 * 1024;
/// What an entry counts on top of its name and value.
const OVERHEAD: usize = 32;

/// Appendix A; index 1 is the first.
#[rustfmt::skip]
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// An entry, as far as it is known and kept.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None` where the name referred to an entry that is not known.
    pub(super) name: Option<Box<[u8]>>,
    /// `None` where it is not kept.
    pub(super) value: Option<Box<[u8]>>,
    /// Bytes of name and value as the encoder counts them, and the overhead.
    size: usize,
}

/// Values can be anything that a header carries: they are never shown.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} bytes)", self.size)
    }
}

impl Entry {
    pub(super) fn new(name: Option<&[u8]>, name_len: usize, value: Option<&[u8]>, value_len: usize) -> Self {
        Self {
            name: name.map(Into::into),
            value: value.map(Into::into),
            size: name_len + value_len + OVERHEAD,
        }
    }
}

/// What an index stands for.
#[derive(Debug)]
pub(super) enum Slot<'t> {
    Static(&'static [u8], &'static [u8]),
    Dynamic(&'t Entry),
    /// An entry from before the table was known.
    Unknown,
    /// No such entry.
    Invalid,
}

/// The encoder's dynamic table, as its blocks tell it.
#[derive(Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// These are all the entries that the encoder has. Where this does not hold they are its newest ones.
    is_whole: bool,
}

impl Table {
    pub(super) fn new(from_start: bool) -> Self {
        Self { entries: VecDeque::new(), size: 0, max: DEFAULT_SIZE, is_whole: from_start }
    }

    /// Nothing is known of the entries any more: an unknown number may have been added.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.is_whole = false;
    }

    pub(super) fn get(&self, index: usize) -> Slot<'_> {
        let Some(number) = index.checked_sub(1) else { return Slot::Invalid };
        if let Some((name, value)) = STATIC.get(number) {
            return Slot::Static(name, value);
        }
        match self.entries.get(number - STATIC.len()) {
            Some(entry) => Slot::Dynamic(entry),
            None if self.is_whole => Slot::Invalid,
            None => Slot::Unknown,
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.size += entry.size;
        self.entries.push_front(entry);
        self.evict();
    }

    /// The encoder set the table's size. It alone decides: what a peer announces in SETTINGS takes effect by this
    /// instruction, at the head of a block (RFC 7541 sections 4.2 and 6.3), so there is no acknowledgement to await.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        // Whatever there was, it is gone: from here on the table is known.
        self.is_whole |= max == 0;
        self.evict();
    }

    fn evict(&mut self) {
        // Of a table that is not known whole the sum says nothing; only the cap holds.
        let max = if self.is_whole || self.max < DEFAULT_SIZE { self.max } else { SIZE_CAP };
        while self.size > max.min(SIZE_CAP) {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size;
            self.is_whole &= self.size + oldest.size > self.max;
        }
    }
}
