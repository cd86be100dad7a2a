//! From an instruction to its line, by the line table of its code object.
//!
//! CPython has had three formats, all told in its `Objects/` folder: `lnotab_notes.txt` up to 3.9, `lnotab_notes.txt` of
//! 3.10 (PEP 626), and `Objects/locations.md` (up to 3.13; then `InternalDocs/code_objects.md`) from 3.11 on (PEP 657).

/// The line of the instruction at `lasti`, a byte offset into the code; `None` where the table has none for it.
///
/// `minor` is the version's second number, `table` is `co_lnotab` up to 3.9 and `co_linetable` from 3.10 on, `first` is
/// `co_firstlineno`. A damaged table gives a wrong line or none, never a panic.
pub fn line_of(minor: u8, table: &[u8], first: u32, lasti: u32) -> Option<u32> {
    let line = match minor {
        ..=9 => by_increments(table, first, lasti),
        10 => by_ranges(table, first, lasti)?,
        _ => by_locations(table, first, lasti / 2)?,
    };
    u32::try_from(line).ok()
}

/// Pairs of an increment of the offset and a signed one of the line.
fn by_increments(table: &[u8], first: u32, lasti: u32) -> i64 {
    let (mut line, mut at) = (i64::from(first), 0u32);
    for pair in table.chunks_exact(2) {
        at += u32::from(pair[0]);
        if at > lasti {
            break;
        }
        line += i64::from(pair[1].cast_signed());
    }
    line
}

/// Pairs of a length and a signed increment of the line, which holds for that length; -128: no line there.
fn by_ranges(table: &[u8], first: u32, lasti: u32) -> Option<i64> {
    const NO_LINE: i8 = -128;
    let (mut line, mut at) = (i64::from(first), 0u32);
    for pair in table.chunks_exact(2) {
        let delta = pair[1].cast_signed();
        if delta != NO_LINE {
            line += i64::from(delta);
        }
        at += u32::from(pair[0]);
        if lasti < at {
            return (delta != NO_LINE).then_some(line);
        }
    }
    None
}

/// Entries of which each covers one to eight code units of two bytes.
fn by_locations(table: &[u8], first: u32, unit: u32) -> Option<i64> {
    let mut bytes = table.iter().copied();
    let (mut line, mut at) = (i64::from(first), 0u32);
    while let Some(head) = bytes.next() {
        let form = (head >> 3) & 15;
        let mut here = true;
        match form {
            // Columns in one byte, same line.
            0..=9 => skip(&mut bytes, 1),
            // Columns in two bytes, up to two lines further.
            10..=12 => {
                line += i64::from(form - 10);
                skip(&mut bytes, 2);
            }
            // No columns.
            13 => line += signed(&mut bytes)?,
            // Line, last line and columns in full.
            14 => {
                line += signed(&mut bytes)?;
                for _ in 0..3 {
                    unsigned(&mut bytes)?;
                }
            }
            // No location.
            _ => here = false,
        }
        at += u32::from(head & 7) + 1;
        if unit < at {
            return here.then_some(line);
        }
    }
    None
}

fn skip(bytes: &mut impl Iterator<Item = u8>, n: usize) {
    for _ in 0..n {
        bytes.next();
    }
}

/// Six bits a byte, lower ones first; bit 6 says that more follow.
fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let (mut value, mut shift) = (0u32, 0);
    loop {
        let byte = bytes.next()?;
        value |= u32::from(byte & 63).checked_shl(shift)?;
        if byte & 64 == 0 {
            return Some(value);
        }
        shift += 6;
    }
}

/// The lowest bit is the sign.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = unsigned(bytes)?;
    let size = i64::from(value >> 1);
    Some(if value & 1 == 0 { size } else { -size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn increments_of_the_notes_example() {
        // Objects/lnotab_notes.txt of 3.9: offsets 0, 6, 50, 350, 361 are lines 1, 2, 7, 207, 208.
        let table = [6, 1, 44, 5, 255, 0, 45, 127, 0, 73, 11, 1];
        let lines = [0, 5, 6, 49, 50, 349, 350, 360, 361].map(|at| line_of(9, &table, 1, at));
        assert_eq!(lines, [1, 1, 2, 2, 7, 7, 207, 207, 208].map(Some));
    }

    #[test]
    fn ranges_may_have_no_line() {
        let table = [4, 1, 2, 0x80, 6, 0xff];
        assert_eq!(line_of(10, &table, 10, 0), Some(11));
        assert_eq!(line_of(10, &table, 10, 4), None);
        assert_eq!(line_of(10, &table, 10, 6), Some(10));
        assert_eq!(line_of(10, &table, 10, 12), None);
    }

    #[test]
    fn locations_of_every_form() {
        // Short (1 unit), one line on (2 units), no columns and two back (1), full and 40 on (1), none (1).
        let table =
            [0x80, 0, 0x80 | 11 << 3 | 1, 0, 0, 0x80 | 13 << 3, 5, 0x80 | 14 << 3, 0x50, 1, 1, 2, 3, 0xf8];
        let lines = [0, 2, 4, 6, 8, 10, 12].map(|at| line_of(12, &table, 7, at));
        assert_eq!(lines, [Some(7), Some(8), Some(8), Some(6), Some(46), None, None]);
    }

    proptest! {
        #[test]
        fn any_table_is_survived(minor in 8u8..15, table: Vec<u8>, first: u32, lasti: u32) {
            let _line_or_none = line_of(minor, &table, first, lasti);
        }
    }
}
