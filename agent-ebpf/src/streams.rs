//! HTTP/2 as the probes have to know it: does what is written begin a response that tells of a failure of the server?

use aya_ebpf::helpers::bpf_probe_read_user;

use crate::attribution::user_word as word;

/// Bytes of a frame's head (RFC 9113, 4.1).
const HEAD: u64 = 9;
/// Frames that are looked at: acknowledgements come before the response.
const FRAMES_MAX: usize = 8;
/// `HEADERS`, and its flags `PADDED` and `PRIORITY` (RFC 9113, 6.2).
const HEADERS: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Bytes of a header block that are looked through for its first field.
const UPDATES_MAX: usize = 6;

/// Do these `len` bytes hold the head of a response with a status from 500 on, or one whose status only the reader of all
/// heads can tell?
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stream_fails(base: u64, len: u64) -> u32 {
    let mut at = 0;
    for _ in 0..FRAMES_MAX {
        if at + HEAD >= len {
            return 0;
        }
        // SAFETY: the helper checks the address.
        let Ok(head) = (unsafe { bpf_probe_read_user((base + at) as *const [u8; HEAD as usize]) }) else {
            return 0;
        };
        let mut block = at + HEAD;
        at = block + (u64::from(head[0]) << 16 | u64::from(head[1]) << 8 | u64::from(head[2]));
        if head[3] == HEADERS {
            block += u64::from(head[4] & PADDED != 0) + 5 * u64::from(head[4] & PRIORITY != 0);
            if may_fail(word(base + block)) {
                return 1;
            }
        }
    }
    0
}

/// Does a header block that begins with these bytes, lower ones first, begin with such a status? RFC 7541, 6 and appendices
/// A and B. The field comes first, and nothing but changes of the table's size before it.
#[inline(always)]
fn may_fail(mut bytes: u64) -> bool {
    let mut in_update = false;
    for _ in 0..UPDATES_MAX {
        let byte = bytes as u8;
        if in_update {
            in_update = byte & 0x80 != 0;
        } else if byte & 0xe0 == 0x20 {
            in_update = byte & 0x1f == 0x1f;
        } else {
            break;
        }
        bytes >>= 8;
    }
    let (first, size, digit) = (bytes as u8, (bytes >> 8) as u8, (bytes >> 16) as u8);
    match first {
        // `:status: 500`
        0x8e => true,
        // A field that the reader of earlier heads knows.
        0xbe..=0xff => true,
        // `:status` with its value, Huffman-coded or not: does it begin with a 5?
        0x48 | 0x08 => {
            if size & 0x80 != 0 {
                digit & 0xfc == 0x6c
            } else {
                digit == b'5'
            }
        }
        _ => false,
    }
}
