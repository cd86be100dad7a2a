//! Connections of a load balancer that tells its client's address first.

use rstest::rstest;

use super::*;

/// The header of version 2 for TCP over IPv4, with so many bytes behind the addresses.
fn block(more: u16) -> Vec<u8> {
    let mut block = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    block.extend((12 + more).to_be_bytes());
    block.extend([192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb]);
    block.resize(block.len() + usize::from(more), b'G');
    block
}

fn headers() -> Vec<Vec<u8>> {
    let longest = ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"; 2].join(" ");
    let lines = [
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_owned(),
        "PROXY UNKNOWN\r\n".to_owned(),
        format!("PROXY UNKNOWN {longest} 65535 65535\r\n"),
    ];
    let blocks = [b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), block(0), block(100)];
    lines.into_iter().map(String::into_bytes).chain(blocks).collect()
}

/// Feeds a server these pieces, then its answer; the paths that were asked for.
fn asked(role: Option<Role>, pieces: &[&[u8]]) -> Vec<String> {
    let mut rig = Rig::with(role, true);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        rig.chunk(Direction::Read, piece, 0, b"");
    }
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    rig.http().iter().map(|(http, _)| http.path.clone()).collect()
}

#[rstest]
fn a_header_is_passed_over_in_whatever_pieces_it_comes(
    #[values(None, Some(Role::Server))] role: Option<Role>,
) {
    for header in headers() {
        let whole = [&header[..], REQUEST].concat();
        for cut in 0..whole.len() {
            let (first, second) = whole.split_at(cut);
            assert_eq!(asked(role, &[first, second]), ["/a"], "{:?} cut at {cut}", header.escape_ascii());
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(asked(role, &bytes), ["/a"], "{:?} in single bytes", header.escape_ascii());
    }
}

#[test]
fn a_header_need_not_be_copied_whole() {
    let header = block(60_000);
    let mut rig = Rig::with(Some(Role::Server), true);
    let end = [&header[header.len() - 8..], REQUEST].concat();
    rig.chunk(Direction::Read, &header[..5000], (header.len() - 5008) as u64, &end);
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    assert_eq!(rig.http().len(), 1);
}

#[rstest]
#[case::twice(b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n")]
#[case::too_long(&[b'x'; 108])]
#[case::no_such_family(b"PROXY UDP4 192.0.2.1 192.0.2.2 56324 443\r\n")]
#[case::no_carriage_return(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n")]
#[case::no_such_version(b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0")]
fn what_is_no_header_is_not_passed_over(#[case] bytes: &[u8]) {
    let bytes = if bytes[0] == b'x' { [b"PROXY UNKNOWN ", bytes, b"\r\n"].concat() } else { bytes.to_vec() };
    assert_eq!(asked(Some(Role::Server), &[&[&bytes, REQUEST].concat()]), [""; 0]);
}

#[test]
fn what_a_client_reads_first_is_no_header() {
    let mut rig = Rig::with(Some(Role::Client), true);
    rig.chunk(Direction::Read, &[b"PROXY UNKNOWN\r\n", RESPONSE].concat(), 0, b"");
    assert_eq!(rig.table.protocols(), [("unknown", 1)].into());
}

/// What may be the start of a header is the start of a request as well.
#[test]
fn requests_that_begin_like_a_header_are_told() {
    for request in
        [&b"PROPFIND /a HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        for cut in 0..request.len() {
            let (first, second) = request.split_at(cut);
            assert_eq!(asked(Some(Role::Server), &[first, second]), ["/a"], "cut at {cut}");
        }
    }
}
