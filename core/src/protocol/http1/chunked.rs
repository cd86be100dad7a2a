//! The chunked transfer coding (RFC 9112 section 7.1): where a body ends, without keeping any of it.

use memchr::memchr;
use memchr::memmem;

/// What became of some bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of them belong to the body, and more is to come.
    More,
    /// The body ended after so many of them.
    End(u64),
    /// The framing broke: where the body ends is not known.
    Lost,
}

/// A chunked body as it passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the digits of a chunk's size.
    Size { value: u64, digits: u8 },
    /// After the digits, up to the line's end.
    Extension { size: u64 },
    /// In a chunk's data, so many bytes to go.
    Data { left: u64 },
    /// At the line end after a chunk's data.
    DataEnd,
    /// In the trailer section; `empty` while its current line is.
    Trailer { empty: bool },
}

impl Chunked {
    /// At the start of a body.
    pub(super) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Follows `bytes`. A bare LF ends a line as CRLF does (RFC 9112 section 2.2).
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            *self = match *self {
                Self::Size { value, digits } => {
                    at += 1;
                    match (byte as char).to_digit(16) {
                        Some(_) if value >> 60 != 0 => return Progress::Lost,
                        Some(digit) => Self::Size {
                            value: value << 4 | u64::from(digit),
                            digits: digits.saturating_add(1),
                        },
                        None if digits == 0 => return Progress::Lost,
                        None if byte == b'\n' => Self::after_size(value),
                        None if matches!(byte, b'\r' | b';' | b' ' | b'\t') => {
                            Self::Extension { size: value }
                        }
                        None => return Progress::Lost,
                    }
                }
                Self::Extension { size } => match memchr(b'\n', &bytes[at..]) {
                    Some(end) => {
                        at += end + 1;
                        Self::after_size(size)
                    }
                    None => return Progress::More,
                },
                Self::Data { left } => {
                    let taken = left.min((bytes.len() - at) as u64);
                    at += taken as usize;
                    Self::after_data(left - taken)
                }
                Self::DataEnd => {
                    at += 1;
                    match byte {
                        b'\r' => Self::DataEnd,
                        b'\n' => Self::START,
                        _ => return Progress::Lost,
                    }
                }
                Self::Trailer { empty } => match memchr(b'\n', &bytes[at..]) {
                    Some(end) => {
                        let blank = empty && bytes[at..at + end].iter().all(|&b| b == b'\r');
                        at += end + 1;
                        if blank {
                            return Progress::End(at as u64);
                        }
                        Self::Trailer { empty: true }
                    }
                    None => {
                        *self = Self::Trailer { empty: empty && bytes[at..].iter().all(|&b| b == b'\r') };
                        return Progress::More;
                    }
                },
            };
        }
        Progress::More
    }

    /// Follows `len` bytes that nobody saw: harmless inside a chunk's data, else the framing is lost.
    pub(super) fn gap(&mut self, len: u64) -> Progress {
        match *self {
            Self::Data { left } if len <= left => {
                *self = Self::after_data(left - len);
                Progress::More
            }
            _ => Progress::Lost,
        }
    }

    fn after_size(size: u64) -> Self {
        if size == 0 { Self::Trailer { empty: true } } else { Self::Data { left: size } }
    }

    fn after_data(left: u64) -> Self {
        if left == 0 { Self::DataEnd } else { Self::Data { left } }
    }
}

/// Bytes kept to recognise the end of a chunked body whose framing was lost.
const TAIL_CAP: usize = 512;

/// Looks for the end of a chunked body whose framing was lost: a last chunk with its trailers at the end of what one
/// call moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terminator {
    tail: Vec<u8>,
}

impl Terminator {
    /// Follows all bytes of a call; true when the body ends with them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let kept = TAIL_CAP.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_CAP)..]);
        ends_body(&self.tail)
    }

    /// Forgets what it saw: it does not touch what follows.
    pub(super) fn gap(&mut self) {
        self.tail.clear();
    }
}

/// Is there `CRLF 0 CRLF *(field CRLF) CRLF` at the end?
fn ends_body(tail: &[u8]) -> bool {
    if !tail.ends_with(b"\r\n\r\n") {
        return false;
    }
    let Some(at) = memmem::rfind(tail, b"\r\n0\r\n") else { return false };
    let trailers = &tail[at + 5..tail.len() - 2];
    // What is left is empty or whole lines, each of which must look like a field.
    trailers.strip_suffix(b"\r\n").is_none_or(|lines| {
        lines.split(|&b| b == b'\n').all(|line| {
            memchr(b':', line)
                .is_some_and(|colon| colon > 0 && line[..colon].iter().all(u8::is_ascii_graphic))
        })
    })
}
