//! What a load balancer writes before the first byte of its client: the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, sections 2.1 and 2.2). It belongs to no protocol.

/// The longest line of version 1, with its end.
const LINE_MAX: usize = 107;
/// What version 2 begins with, of which no protocol's first line consists.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, and the length of what follows.
const FIXED_LEN: usize = 16;

/// What the first bytes that a server reads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// No header.
    Plain,
    /// Too few bytes to tell: at most one less than the longest line.
    More,
    /// A header of so many bytes, all of which need not be there.
    Header(u64),
}

/// Tells a header by the first bytes.
pub(super) fn start(bytes: &[u8]) -> Start {
    match (line(bytes), block(bytes)) {
        (Start::Plain, other) | (other, Start::Plain) => other,
        // No bytes at all.
        _ => Start::More,
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, and CRLF.
fn line(bytes: &[u8]) -> Start {
    let begins = |with: &[u8]| {
        let len = bytes.len().min(with.len());
        bytes[..len] == with[..len]
    };
    if ![&b"PROXY TCP4 "[..], b"PROXY TCP6 ", b"PROXY UNKNOWN"].into_iter().any(begins) {
        return Start::Plain;
    }
    match memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_MAX)]) {
        Some(end) if bytes[..end].ends_with(b"\r") => Start::Header(end as u64 + 1),
        None if bytes.len() < LINE_MAX => Start::More,
        _ => Start::Plain,
    }
}

/// Version 2: addresses, and what else the balancer tells, in binary.
fn block(bytes: &[u8]) -> Start {
    let len = bytes.len().min(SIGNATURE.len());
    if bytes[..len] != SIGNATURE[..len] {
        return Start::Plain;
    }
    match bytes.get(SIGNATURE.len()..FIXED_LEN) {
        None => Start::More,
        Some(&[version, _, high, low]) if version >> 4 == 2 => {
            Start::Header(FIXED_LEN as u64 + u64::from(u16::from_be_bytes([high, low])))
        }
        Some(_) => Start::Plain,
    }
}
