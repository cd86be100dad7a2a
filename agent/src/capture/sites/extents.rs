//! Where the pieces of a file's code begin and end: each function, and each rare part that a compiler moved out of one, has an
//! entry in the table by which the stack is unwound, in a stripped file, too.

use std::ops::Range;
use std::path::Path;

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection};
use object::{Object, ObjectSection, ObjectSegment};

use crate::process::{Elf64, Image};

/// Most pieces that are kept, of some 10,000 in an interpreter.
const PIECES_MAX: usize = 1 << 18;

/// Pieces of code by file offset, apart from one another, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extents(Vec<Range<u64>>);

impl Extents {
    /// Those of the ELF file at `access`; none where it cannot be told.
    pub(crate) fn read(access: &Path) -> Self {
        read(access).unwrap_or_default()
    }

    /// Those given, in any order; of two that overlap neither is known.
    pub(crate) fn new(mut pieces: Vec<Range<u64>>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        pieces.sort_unstable_by_key(|piece| (piece.start, piece.end));
        pieces.dedup();
        let apart = |i: usize| {
            (i == 0 || pieces[i - 1].end <= pieces[i].start)
                && (i + 1 == pieces.len() || pieces[i].end <= pieces[i + 1].start)
        };
        Self((0..pieces.len()).filter(|&i| apart(i)).map(|i| pieces[i].clone()).collect())
    }

    /// All of them.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    /// The piece that holds the byte at this file offset.
    pub(super) fn around(&self, offset: u64) -> Option<Range<u64>> {
        let after = self.0.partition_point(|piece| piece.start <= offset);
        self.0[..after].last().filter(|piece| piece.contains(&offset)).cloned()
    }

    /// Bytes of the function that begins at this file offset; 0 where none is known to.
    pub(crate) fn size(&self, offset: u64) -> u64 {
        self.around(offset).filter(|piece| piece.start == offset).map_or(0, |piece| piece.end - piece.start)
    }
}

/// Linux Standard Base Core, 10.6.1 (`.eh_frame`).
fn read(access: &Path) -> Option<Extents> {
    let bytes = Image::open(access).ok()?.bytes().ok()?;
    let elf = Elf64::parse(&bytes).ok()?;
    let section = elf.section_by_name(".eh_frame")?;
    let frames = EhFrame::new(section.data().ok()?, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(section.address());
    let segments: Vec<_> = elf.segments().map(|s| (s.address(), s.file_range())).collect();
    let offset = |address: u64| {
        segments.iter().find_map(|&(start, (offset, size))| {
            let inside = address.checked_sub(start)?;
            (inside < size).then_some(offset + inside)
        })
    };
    let mut pieces = Vec::new();
    let mut entries = frames.entries(&bases);
    while let Some(entry) = entries.next().ok()? {
        let CieOrFde::Fde(entry) = entry else { continue };
        let entry = entry.parse(EhFrame::cie_from_offset).ok()?;
        if pieces.len() >= PIECES_MAX {
            return None;
        }
        if let Some(start) = offset(entry.initial_address()) {
            pieces.push(start..start.saturating_add(entry.len()));
        }
    }
    Some(Extents::new(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_is_found_by_any_of_its_bytes() {
        let extents = Extents::new(vec![40..50, 10..20, 20..21, 0..0]);
        assert_eq!(extents.around(9), None);
        assert_eq!(extents.around(10), Some(10..20));
        assert_eq!(extents.around(19), Some(10..20));
        assert_eq!(extents.around(20), Some(20..21));
        assert_eq!(extents.around(21), None);
        assert_eq!((extents.size(40), extents.size(41), extents.size(60)), (10, 0, 0));
        assert_eq!(Extents::default().around(0), None);
    }

    #[test]
    fn of_pieces_that_overlap_none_is_known() {
        let extents = Extents::new(vec![0..10, 10..30, 20..40, 40..50]);
        assert_eq!(extents.around(5), Some(0..10));
        assert_eq!((extents.around(15), extents.around(35)), (None, None));
        assert_eq!(extents.around(45), Some(40..50));
    }

    #[test]
    fn file_without_the_table_has_no_pieces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in [b"".as_slice(), b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(Extents::read(file.path()).around(0), None);
        }
    }
}
