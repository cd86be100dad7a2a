//! Header blocks (RFC 7541 sections 3 and 6).

use std::fmt;

use super::huffman;
use super::integer::{self, Stop};
use super::table::{Entry, Slot, Table};

/// A header field, as far as it is known and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::http2) struct Field<'a> {
    /// `None` where it stands in a part of the table that is not known.
    pub(in crate::protocol::http2) name: Option<&'a [u8]>,
    /// `None` where it is not kept, or not known.
    pub(in crate::protocol::http2) value: Option<&'a [u8]>,
}

/// What is kept of a field: nothing, or the part of its value that may be.
pub(in crate::protocol::http2) type Keep = for<'v> fn(name: &[u8], value: &'v [u8]) -> Option<&'v [u8]>;

/// How a block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::http2) enum Ended {
    Whole,
    /// Its last field goes on beyond the bytes.
    Short,
    /// It is not valid; the table is not known from here.
    Invalid,
}

/// Follows one direction's encoder.
pub(in crate::protocol::http2) struct Decoder {
    table: Table,
    keep: Keep,
    /// Name and value of the field at hand, undone from their Huffman code: kept for its memory alone.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// What was decoded is never shown.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A string literal that has been read.
struct Literal<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

impl Decoder {
    pub(in crate::protocol::http2) fn new(from_start: bool, keep: Keep) -> Self {
        Self { table: Table::new(from_start), keep, name: Vec::new(), value: Vec::new() }
    }

    /// Blocks were lost, or parts of one: what was in the table is not known any more.
    pub(in crate::protocol::http2) fn forget(&mut self) {
        self.table.forget();
    }

    /// Decodes a block, or the first part of one, and hands out its fields.
    pub(in crate::protocol::http2) fn decode(
        &mut self,
        block: &[u8],
        sink: &mut dyn FnMut(Field<'_>),
    ) -> Ended {
        let mut rest = block;
        while !rest.is_empty() {
            match self.field(rest, sink) {
                Ok(after) => rest = after,
                Err(Stop::Short) => return Ended::Short,
                Err(Stop::Invalid) => {
                    self.table.forget();
                    return Ended::Invalid;
                }
            }
        }
        Ended::Whole
    }

    fn field<'b>(&mut self, bytes: &'b [u8], sink: &mut dyn FnMut(Field<'_>)) -> Result<&'b [u8], Stop> {
        let first = bytes[0];
        if first & 0x80 != 0 {
            let (index, rest) = integer::read(bytes, 7)?;
            match self.table.get(index) {
                Slot::Static(name, value) => {
                    sink(Field { name: Some(name), value: (self.keep)(name, value) });
                }
                Slot::Dynamic(entry) => {
                    sink(Field { name: entry.name.as_deref(), value: entry.value.as_deref() });
                }
                Slot::Unknown => sink(Field { name: None, value: None }),
                Slot::Invalid => return Err(Stop::Invalid),
            }
            return Ok(rest);
        }
        if first & 0xe0 == 0x20 {
            let (size, rest) = integer::read(bytes, 5)?;
            self.table.resize(size);
            return Ok(rest);
        }
        let is_added = first & 0x40 != 0;
        let (index, rest) = integer::read(bytes, if is_added { 6 } else { 4 })?;
        self.literal(index, is_added, rest, sink)
    }

    fn literal<'b>(
        &mut self,
        index: usize,
        is_added: bool,
        bytes: &'b [u8],
        sink: &mut dyn FnMut(Field<'_>),
    ) -> Result<&'b [u8], Stop> {
        let (name, rest) = if index == 0 {
            let (literal, rest) = string(bytes)?;
            (Some(literal), rest)
        } else {
            (None, bytes)
        };
        let (value, rest) = string(rest)?;
        // Nothing is taken over before the whole field is there.
        self.name.clear();
        let is_name_known = match (&name, self.table.get(index)) {
            (Some(name), _) => {
                undo(name, &mut self.name)?;
                true
            }
            (None, Slot::Static(name, _)) => {
                self.name.extend_from_slice(name);
                true
            }
            (None, Slot::Dynamic(Entry { name: Some(name), .. })) => {
                self.name.extend_from_slice(name);
                true
            }
            (None, Slot::Dynamic(_) | Slot::Unknown) => false,
            (None, Slot::Invalid) => return Err(Stop::Invalid),
        };
        let name = is_name_known.then_some(&*self.name);
        // Of a field that is not kept only the length counts, for the table: its value is not even decoded to memory.
        let is_kept = name.is_some_and(|name| (self.keep)(name, b"").is_some());
        self.value.clear();
        let value_len = match (is_kept, value.is_huffman) {
            (true, _) => undo(&value, &mut self.value)?,
            (false, true) => huffman::decode(value.bytes, |_| {}).ok_or(Stop::Invalid)?,
            (false, false) => value.bytes.len(),
        };
        let kept = name.filter(|_| is_kept).and_then(|name| (self.keep)(name, &self.value));
        sink(Field { name, value: kept });
        if is_added {
            self.table.insert(Entry::new(name, self.name.len(), kept, value_len));
        }
        self.value.fill(0);
        Ok(rest)
    }
}

/// Reads a string literal (RFC 7541 section 5.2) without undoing its code.
fn string(bytes: &[u8]) -> Result<(Literal<'_>, &[u8]), Stop> {
    let is_huffman = bytes.first().ok_or(Stop::Short)? & 0x80 != 0;
    let (len, rest) = integer::read(bytes, 7)?;
    let (bytes, rest) = rest.split_at_checked(len).ok_or(Stop::Short)?;
    Ok((Literal { bytes, is_huffman }, rest))
}

/// Writes a literal's text; its length.
fn undo(literal: &Literal<'_>, into: &mut Vec<u8>) -> Result<usize, Stop> {
    if literal.is_huffman {
        return huffman::decode(literal.bytes, |byte| into.push(byte)).ok_or(Stop::Invalid);
    }
    into.extend_from_slice(literal.bytes);
    Ok(literal.bytes.len())
}
