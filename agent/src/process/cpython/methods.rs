//! Finding the C function behind a Python method, in builds without symbols: every method stands in a table of
//! `PyMethodDef` (name, function, flags, documentation) that lies in the process's memory with its pointers filled in.

use memchr::memmem;

use super::layout::{METHOD_DEF, TYPE_METHODS};
use super::maps::MappedCode;
use super::memory::Memory;

/// Longest method name that is looked at.
const NAME_MAX: usize = 32;
/// Entries of a table that are looked at, in each direction.
const TABLE_MAX: u64 = 64;
/// Parts of a file larger than this are not searched.
const SEARCHED_MAX: u64 = 64 << 20;

/// A method and the address of its C function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: String,
    pub(super) function: u64,
}

fn entry(memory: &Memory, at: u64) -> Option<Method> {
    let name = memory.word(at).filter(|&name| name != 0)?;
    let function = memory.word(at + 8).filter(|&function| function != 0)?;
    let name = memory.text::<NAME_MAX>(name)?;
    let plausible = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plausible.then_some(Method { name, function })
}

/// Methods of a static type.
pub(super) fn of_type(memory: &Memory, ty: u64) -> Vec<Method> {
    let Some(table) = memory.word(ty + TYPE_METHODS).filter(|&table| table != 0) else { return Vec::new() };
    (0..TABLE_MAX).map_while(|i| entry(memory, table + i * METHOD_DEF)).collect()
}

/// The table that holds all of `names`, somewhere in the file; the first of them is searched for and should be rare.
pub(super) fn of_table(memory: &Memory, file: &MappedCode, names: &[&str]) -> Option<Vec<Method>> {
    let wanted = [names[0].as_bytes(), b"\0"].concat();
    let parts: Vec<(u64, Vec<u8>)> = file
        .pieces
        .iter()
        .filter(|piece| !piece.executable && piece.end - piece.start <= SEARCHED_MAX)
        .map(|piece| (piece.start, memory.range(piece.start, piece.end)))
        .collect();
    for (start, bytes) in &parts {
        for at in memmem::find_iter(bytes, &wanted) {
            let name = (start + at as u64).to_le_bytes();
            for (start, bytes) in &parts {
                for at in memmem::find_iter(bytes, &name).filter(|at| at % 8 == 0) {
                    let table = around(memory, start + at as u64);
                    if names.iter().all(|name| table.iter().any(|method| method.name == *name)) {
                        return Some(table);
                    }
                }
            }
        }
    }
    None
}

/// The table around one of its entries.
fn around(memory: &Memory, at: u64) -> Vec<Method> {
    let before = (1..TABLE_MAX).map_while(|i| entry(memory, at - i * METHOD_DEF));
    let after = (0..TABLE_MAX).map_while(|i| entry(memory, at + i * METHOD_DEF));
    before.chain(after).collect()
}
