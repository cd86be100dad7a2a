//! Reading an ELF file: the few questions we ask, over the `object` crate.

use object::read::elf::ElfSection64;
use object::{
    Object, ObjectSection, ObjectSegment, ObjectSymbol, RelocationFlags, SectionFlags, SegmentFlags, elf,
};

use super::image::Elf64;

const PAGE: u64 = 4096;

/// Sections larger than this are not searched for texts; nor are more bytes than this at a time, as sections may lie one over
/// the other, thousands deep.
const MAX_SEARCHED: u64 = 64 << 20;

/// Relocations that are kept; interpreters have some 30,000.
const MAX_RELOCATIONS: usize = 1 << 20;
/// Relocations that are looked at.
const MAX_RELOCATIONS_SEEN: usize = 4 * MAX_RELOCATIONS;
/// Sections that are looked at; libraries have some 40.
const MAX_SECTIONS: usize = 1024;

/// A symbol that is defined in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a [u8],
    /// Virtual address as linked.
    pub(crate) address: u64,
    /// Bytes it covers; 0 where the file does not say.
    pub(crate) size: u64,
}

pub(crate) struct Elf<'f, 'd>(&'f Elf64<'d>);

impl<'f, 'd> Elf<'f, 'd> {
    pub(crate) fn new(file: &'f Elf64<'d>) -> Self {
        Self(file)
    }

    /// Those of the names that the file defines for others.
    pub(crate) fn dynamic_symbols(&self, names: &[&[u8]]) -> Vec<Symbol<'d>> {
        pick(self.0.dynamic_symbols(), names)
    }

    /// Those of the names that the full symbol table defines.
    pub(super) fn local_symbols(&self, names: &[&[u8]]) -> Vec<Symbol<'d>> {
        pick(self.0.symbols(), names)
    }

    /// Does the file define a symbol for others whose name begins so?
    pub(super) fn defines(&self, start: &[u8]) -> bool {
        let begins = |name: &[u8]| name.starts_with(start);
        self.0.dynamic_symbols().any(|symbol| !symbol.is_undefined() && symbol.name_bytes().is_ok_and(begins))
    }

    pub(super) fn has_symbol_table(&self) -> bool {
        self.0.section_by_name(".symtab").is_some()
    }

    /// Address of a section.
    pub(super) fn section_address(&self, name: &str) -> Option<u64> {
        self.0.section_by_name(name).map(|section| section.address())
    }

    /// Bytes of a section; empty where it is absent, has no bytes in the file or is absurdly large.
    pub(super) fn section(&self, name: &str) -> &'d [u8] {
        self.0
            .section_by_name(name)
            .filter(|section| section.size() <= MAX_SEARCHED)
            .and_then(|section| section.data().ok())
            .unwrap_or_default()
    }

    /// What the loader puts at which address (`R_X86_64_RELATIVE`; System V ABI for AMD64, 4.4.1), each relative to where it loads
    /// the file, in the order of the addresses; empty where there are too many.
    pub(crate) fn relocated(&self) -> Vec<(u64, u64)> {
        let all = self.0.dynamic_relocations().into_iter().flatten();
        let relative = all.take(MAX_RELOCATIONS_SEEN).filter(|(_, relocation)| {
            relocation.flags() == RelocationFlags::Elf { r_type: elf::R_X86_64_RELATIVE }
        });
        let mut found: Vec<_> =
            relative.map(|(at, to)| (at, to.addend().cast_unsigned())).take(MAX_RELOCATIONS + 1).collect();
        if found.len() > MAX_RELOCATIONS {
            found.clear();
        }
        found.sort_unstable();
        found
    }

    /// Does an instruction lie at this virtual address?
    pub(crate) fn is_code(&self, address: u64) -> bool {
        self.0.segments().any(|segment| {
            let SegmentFlags::Elf { p_flags, .. } = segment.flags() else { return false };
            let inside = address.checked_sub(segment.address()).is_some_and(|inside| inside < segment.size());
            inside && p_flags.contains(elf::PF_X)
        })
    }

    /// Bytes at a virtual address, as the file initialises them.
    pub(crate) fn at(&self, address: u64, size: u64) -> Option<&'d [u8]> {
        let mut sections = self.0.sections().take(MAX_SECTIONS);
        sections.find_map(|section| section.data_range(address, size).ok().flatten())
    }

    /// Address and bytes of all that is loaded and is no code, as the file initialises it.
    pub(crate) fn data(&self) -> Vec<(u64, &'d [u8])> {
        let loaded = |section: &ElfSection64<'d, '_, _, _>| {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return false };
            sh_flags.contains(elf::SHF_ALLOC) && !sh_flags.contains(elf::SHF_EXECINSTR)
        };
        let mut room = MAX_SEARCHED;
        let mut has_room = |size: u64| {
            let left = room.checked_sub(size);
            room = left.unwrap_or(room);
            left.is_some()
        };
        let sections = self.0.sections().take(MAX_SECTIONS);
        let sections = sections.filter(|section| loaded(section) && has_room(section.size()));
        sections.filter_map(|section| Some((section.address(), section.data().ok()?))).collect()
    }

    /// Where in the file the byte at a virtual address lies.
    pub(crate) fn file_offset(&self, address: u64) -> Option<u64> {
        self.0.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let inside = address.checked_sub(segment.address())?;
            (inside < size).then_some(offset + inside)
        })
    }

    /// See [`super::ElfFacts::first_segment`].
    pub(super) fn first_segment(&self) -> (u64, u64) {
        self.0
            .segments()
            .map(|segment| (segment.file_range().0 & !(PAGE - 1), segment.address() & !(PAGE - 1)))
            .min_by_key(|(_, address)| *address)
            .unwrap_or_default()
    }
}

fn pick<'d, S: ObjectSymbol<'d>>(symbols: impl Iterator<Item = S>, names: &[&[u8]]) -> Vec<Symbol<'d>> {
    symbols
        .filter(|symbol| !symbol.is_undefined())
        .filter_map(|symbol| {
            let name = symbol.name_bytes().ok()?;
            names.contains(&name).then(|| Symbol { name, address: symbol.address(), size: symbol.size() })
        })
        .collect()
}

/// NUL-terminated text that starts at `start` in `bytes`, at most `max` bytes, printable ASCII only.
pub(super) fn text_at(bytes: &[u8], start: usize, max: usize) -> Option<String> {
    let rest = &bytes[start..bytes.len().min(start + max)];
    let end = rest.iter().position(|&byte| byte == 0)?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ').then(|| text.to_owned())
}
