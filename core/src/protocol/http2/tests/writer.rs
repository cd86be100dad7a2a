//! Writes frames.

/// What one call moved.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) by_client: bool,
    /// Bytes that were lost before it.
    pub(super) lost: u64,
    pub(super) bytes: Vec<u8>,
}

/// A call of the client.
pub(super) fn client(parts: &[Vec<u8>]) -> Step {
    Step { by_client: true, lost: 0, bytes: parts.concat() }
}

/// A call of the server.
pub(super) fn server(parts: &[Vec<u8>]) -> Step {
    Step { by_client: false, ..client(parts) }
}

/// A call before which bytes were lost.
pub(super) fn after_gap(lost: u64, step: Step) -> Step {
    Step { lost, ..step }
}

pub(super) fn preface() -> Vec<u8> {
    super::super::PREFACE.to_vec()
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(super) fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

pub(super) fn settings_ack() -> Vec<u8> {
    frame(4, 1, 0, &[])
}

/// HEADERS with END_HEADERS.
pub(super) fn headers(stream: u32, ends: bool, block: &[u8]) -> Vec<u8> {
    frame(1, 4 | u8::from(ends), stream, block)
}

pub(super) fn data(stream: u32, ends: bool, len: usize) -> Vec<u8> {
    frame(0, u8::from(ends), stream, &vec![b'x'; len])
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, 8])
}

/// A literal without indexing and without Huffman code (RFC 7541 section 6.2.2).
pub(super) fn plain(name: &str, value: &str) -> Vec<u8> {
    literal(0x00, name, value)
}

/// A literal that goes into the table (RFC 7541 section 6.2.1).
pub(super) fn added(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let len = u8::try_from(text.len()).ok().filter(|&len| len < 0x7f).expect("a short text");
        [&[len], text.as_bytes()].concat()
    };
    [vec![first], text(name), text(value)].concat()
}

/// `GET path` to `example.org`, without any table but the static one.
pub(super) fn get(path: &str) -> Vec<u8> {
    [vec![0x82, 0x86], plain(":path", path), plain(":authority", "example.org")].concat()
}

/// `:status: 200`
pub(super) fn ok() -> Vec<u8> {
    vec![0x88]
}
