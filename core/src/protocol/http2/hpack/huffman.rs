//! The Huffman code of string literals (RFC 7541 section 5.2 and appendix B).

/// Bits of each symbol's code; the last is EOS. The code is canonical: codes of one length follow each other in the
/// order of their symbols, and each length goes on where the one before ended. So the lengths say everything.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// Longest code, in bits.
const LONGEST: usize = 30;

/// For each length: its first code, how many codes it has, and where its symbols begin in `symbols`.
struct Codes {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [u32; LONGEST + 1],
    symbols: [u16; 257],
}

static CODES: Codes = Codes::new();

impl Codes {
    const fn new() -> Self {
        let mut codes = Self {
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            start: [0; LONGEST + 1],
            symbols: [0; 257],
        };
        let (mut code, mut at, mut length) = (0_u32, 0_usize, 1_usize);
        while length <= LONGEST {
            code <<= 1;
            codes.first[length] = code;
            codes.start[length] = at as u32;
            let mut symbol = 0_usize;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    codes.symbols[at] = symbol as u16;
                    codes.count[length] += 1;
                    code += 1;
                    at += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        codes
    }
}

/// Decodes a literal and hands each byte to `each`; the number of bytes, or `None` where the code is not valid (EOS
/// within, or padding that is longer than seven bits or not all ones).
pub(in crate::protocol::http2) fn decode(input: &[u8], mut each: impl FnMut(u8)) -> Option<usize> {
    let mut bytes = input.iter();
    // The next bits, left-aligned, and how many of them there are.
    let (mut window, mut bits) = (0_u64, 0_usize);
    let mut len = 0;
    loop {
        while bits <= 56 {
            let Some(&byte) = bytes.next() else { break };
            window |= u64::from(byte) << (56 - bits);
            bits += 8;
        }
        let mut length = 5;
        let symbol = loop {
            if length > bits || length > LONGEST {
                // What is left is no code: padding, the first bits of EOS.
                let is_padding = bits < 8 && window == (!0_u64).checked_shl(64 - bits as u32).unwrap_or(0);
                return is_padding.then_some(len);
            }
            let code = (window >> (64 - length)) as u32;
            let offset = code.wrapping_sub(CODES.first[length]);
            if offset < CODES.count[length] {
                break CODES.symbols[(CODES.start[length] + offset) as usize];
            }
            length += 1;
        };
        each(u8::try_from(symbol).ok()?);
        len += 1;
        window <<= length;
        bits -= length;
    }
}
