//! Integers (RFC 7541 section 5.1).

/// Why a piece of a block could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It goes on beyond the bytes.
    Short,
    /// It is not valid.
    Invalid,
}

/// Reads an integer with a prefix of `bits` bits; its value and the bytes after it. Values over 2^28 are invalid: no
/// length, index or size of a block comes near.
pub(super) fn read(bytes: &[u8], bits: u32) -> Result<(usize, &[u8]), Stop> {
    let (&first, mut rest) = bytes.split_first().ok_or(Stop::Short)?;
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(first) & most;
    if value < most {
        return Ok((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (&byte, after) = rest.split_first().ok_or(Stop::Short)?;
        rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(Stop::Invalid)
}
