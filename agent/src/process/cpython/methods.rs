//! Finding the C function behind a Python method, in builds without symbols: every method stands in a table of
//! `PyMethodDef` (name, function, flags, documentation), whose pointers the loader fills in as the file says.
//!
//! They are read from the file, not from the process, which may write into its memory what it likes: a probe at a place that a
//! process chose would break everyone who runs the same file.

use memchr::memmem;

use super::layout::{METHOD_DEF, TYPE_METHODS};
use crate::process::elf::Elf;

/// Longest method name that is looked at.
const NAME_MAX: u64 = 32;
/// Entries of a table that are looked at, in each direction.
const TABLE_MAX: u64 = 64;
/// Places of a name, and of pointers to each, that are looked at: a file may be made to have any number.
const PLACES_MAX: usize = 64;

/// A method and the address of its C function, as linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: String,
    pub(super) function: u64,
}

/// Data of a file.
pub(super) struct Data<'f, 'd> {
    elf: Elf<'f, 'd>,
    relocated: Vec<(u64, u64)>,
}

impl<'f, 'd> Data<'f, 'd> {
    pub(super) fn of(elf: Elf<'f, 'd>) -> Self {
        let relocated = elf.relocated();
        Self { elf, relocated }
    }

    /// The address that a pointer holds once the file is loaded at address 0. Where no relocation tells it stands in its place, as in
    /// programs that are not moved, and with packed relocations (`SHT_RELR`).
    pub(super) fn pointer(&self, at: u64) -> Option<u64> {
        let known = self.relocated.binary_search_by_key(&at, |&(at, _)| at).ok();
        let known = known.map(|i| self.relocated[i].1);
        let written = || Some(u64::from_le_bytes(self.elf.at(at, 8)?.try_into().ok()?));
        known.or_else(written).filter(|&to| to != 0)
    }

    /// Where in the file the instruction at an address lies.
    pub(super) fn code(&self, address: u64) -> Option<u64> {
        self.elf.file_offset(address).filter(|_| self.elf.is_code(address))
    }

    fn text(&self, address: u64) -> Option<&'d str> {
        // The end of a section may be nearer.
        let bytes = (1..=NAME_MAX).rev().find_map(|size| self.elf.at(address, size))?;
        let end = memchr::memchr(0, bytes)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }

    fn entry(&self, at: u64) -> Option<Method> {
        let name = self.text(self.pointer(at)?)?;
        let function = self.pointer(at.checked_add(8)?)?;
        let plausible = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        plausible.then(|| Method { name: name.to_owned(), function })
    }

    /// Methods of a static type.
    pub(super) fn of_type(&self, ty: u64) -> Vec<Method> {
        let Some(table) = self.pointer(ty.wrapping_add(TYPE_METHODS)) else { return Vec::new() };
        (0..TABLE_MAX).map_while(|i| self.entry(table.wrapping_add(i * METHOD_DEF))).collect()
    }

    /// The table that holds all of `names`; the first of them is searched for and should be rare.
    pub(super) fn of_table(&self, names: &[&str]) -> Option<Vec<Method>> {
        let wanted = [names.first()?.as_bytes(), b"\0"].concat();
        let parts = self.elf.data();
        let texts = parts.iter().flat_map(|(start, bytes)| {
            memmem::find_iter(bytes, &wanted).map(move |at| start.wrapping_add(at as u64))
        });
        for name in texts.take(PLACES_MAX) {
            let relocated = self.relocated.iter().filter(|(_, to)| *to == name).map(|(at, _)| *at);
            let bytes = name.to_le_bytes();
            let written = parts.iter().flat_map(|(start, part)| {
                memmem::find_iter(part, &bytes).map(move |at| start.wrapping_add(at as u64))
            });
            let places = relocated.chain(written.filter(|at| at.is_multiple_of(8)));
            for at in places.take(PLACES_MAX) {
                let table = self.around(at);
                if names.iter().all(|name| table.iter().any(|method| method.name == *name)) {
                    return Some(table);
                }
            }
        }
        None
    }

    /// The table around one of its entries.
    fn around(&self, at: u64) -> Vec<Method> {
        let before = (1..TABLE_MAX).map_while(|i| self.entry(at.checked_sub(i * METHOD_DEF)?));
        let after = (0..TABLE_MAX).map_while(|i| self.entry(at.checked_add(i * METHOD_DEF)?));
        before.chain(after).collect()
    }
}
