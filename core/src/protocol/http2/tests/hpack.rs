//! The examples of RFC 7541 appendix C, and what is beyond them: damage, secrets, unknown tables.

use super::super::hpack::{Decoder, Ended, huffman_decode};

type Pair = (String, String);

fn keep_all<'v>(_: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    Some(value)
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "?".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Decodes a block given in hexadecimal digits.
fn decode(decoder: &mut Decoder, hex: &str) -> (Vec<Pair>, Ended) {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let block: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits"))
        .collect();
    let mut fields = Vec::new();
    let ended = decoder.decode(&block, &mut |field| fields.push((text(field.name), text(field.value))));
    (fields, ended)
}

fn check(decoder: &mut Decoder, hex: &str, expected: &[(&str, &str)]) {
    let (fields, ended) = decode(decoder, hex);
    let expected: Vec<Pair> = expected.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    assert_eq!((fields, ended), (expected, Ended::Whole), "{hex}");
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn c2_header_field_representations() {
    let fresh = || Decoder::new(true, keep_all);
    check(
        &mut fresh(),
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        &[("custom-key", "custom-header")],
    );
    check(&mut fresh(), "040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")]);
    check(&mut fresh(), "1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")]);
    check(&mut fresh(), "82", &[(":method", "GET")]);
}

#[test]
fn c3_requests_without_huffman_coding() {
    let mut decoder = Decoder::new(true, keep_all);
    check(&mut decoder, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST);
    check(&mut decoder, "8286 84be 5808 6e6f 2d63 6163 6865", SECOND);
    check(&mut decoder, "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD);
}

#[test]
fn c4_requests_with_huffman_coding() {
    let mut decoder = Decoder::new(true, keep_all);
    check(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST);
    check(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf", SECOND);
    check(&mut decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD);
}

#[test]
fn c6_responses_with_huffman_coding_and_eviction() {
    let mut decoder = Decoder::new(true, keep_all);
    // SETTINGS_HEADER_TABLE_SIZE of 256, as the encoder tells it.
    check(&mut decoder, "3fe1 01", &[]);
    check(
        &mut decoder,
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
         63c7 8f0b 97c8 e9ae 82ae 43d3",
        &[
            (":status", "302"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ],
    );
    check(
        &mut decoder,
        "4883 640e ffc1 c0bf",
        &[
            (":status", "307"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ],
    );
    check(
        &mut decoder,
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
         b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        &[
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ("location", "https://www.example.com"),
            ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ],
    );
}

#[test]
fn damage_is_invalid_and_never_a_panic() {
    for hex in ["80", "be", "ff ff ff ff ff ff", "7f ff ff ff ff 0f", "00 81 ff ff", "41 84 ff ff ff ff"] {
        let (_, ended) = decode(&mut Decoder::new(true, keep_all), hex);
        assert_ne!(ended, Ended::Whole, "{hex}");
    }
    // Padding: at most seven bits, all ones; EOS within is an error (RFC 7541 section 5.2).
    assert_eq!(huffman_decode(&[0x1f], |_| {}), Some(1));
    assert_eq!(huffman_decode(&[0x18], |_| {}), None);
    assert_eq!(huffman_decode(&[0x1f, 0xff], |_| {}), None);
    assert_eq!(huffman_decode(&[0xff, 0xff, 0xff, 0xff], |_| {}), None);
    assert_eq!(huffman_decode(&[], |_| {}), Some(0));
}

#[test]
fn of_an_unknown_table_only_what_was_added_since_is_told() {
    let mut decoder = Decoder::new(false, keep_all);
    // A static entry, a reference into the unknown, a literal that is added, and a reference to it.
    check(
        &mut decoder,
        "82 be 41 01 61 be bf",
        &[(":method", "GET"), ("?", "?"), (":authority", "a"), (":authority", "a"), ("?", "?")],
    );
    // A name from the unknown with a value of its own stays unknown, in the table too; nobody can say that the value may be kept.
    check(&mut decoder, "7f 00 01 62 be bf", &[("?", "?"), ("?", "?"), (":authority", "a")]);
    // An empty table is a known one again.
    check(&mut decoder, "20 3f e1 1f 41 01 63 be", &[(":authority", "c"), (":authority", "c")]);
    assert_eq!(decode(&mut decoder, "bf").1, Ended::Invalid);
}

#[test]
fn values_that_are_not_kept_never_reach_memory_or_debug_output() {
    use super::super::head::keep;
    let mut decoder = Decoder::new(true, keep);
    // authorization: secret, indexed; :path: /a?token=secret, indexed; then both by index.
    let (fields, ended) =
        decode(&mut decoder, "5706 7365 6372 6574 440f 2f61 3f74 6f6b 656e 3d73 6563 7265 74 bf be");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        fields,
        [pair("authorization", "?"), pair(":path", "/a"), pair("authorization", "?"), pair(":path", "/a")]
    );
    assert_eq!(ended, Ended::Whole);
    let shown = format!("{decoder:?}");
    assert_eq!(shown.matches("Entry(").count(), 2);
    // Neither as text nor as the numbers of its bytes.
    assert!(!shown.contains("token") && !shown.contains("47, 97"), "{shown}");
}
