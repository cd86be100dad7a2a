//! Streams recorded from real clients and servers, with the exchanges that they hold: see `tests/captures/README.md`.
//!
//! `UPDATE_EXPECT=1 cargo test` writes the expectations anew; read the difference before it is committed.

use std::path::PathBuf;

use super::patterns::{Call, Trial, followed, play_whole};
use crate::exchange::{Outcome, Role};
use crate::loss::Losses;
use crate::protocol::Protocol;

/// Of a call, the first and last bytes at each of which it is cut.
const CUT_FIRST: usize = 300;
const CUT_LAST: usize = 60;

fn path(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/captures").join(name).with_extension(extension)
}

/// The chunks of a capture, each a call; the format is described in `tests/captures/record.py`.
pub(in crate::protocol) fn read_capture(name: &str) -> Vec<Call> {
    let text = std::fs::read_to_string(path(name, "capture")).expect("a capture");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line.split_at(2) {
            ("> ", bytes) => (true, unescape(bytes)),
            ("< ", bytes) => (false, unescape(bytes)),
            other => panic!("not a chunk: {other:?}"),
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    fn unit(text: &str) -> (u8, &str) {
        match text.strip_prefix('\\') {
            None => (text.as_bytes()[0], &text[1..]),
            Some(rest) if rest.starts_with('\\') => (b'\\', &rest[1..]),
            Some(rest) => (u8::from_str_radix(&rest[1..3], 16).expect("a byte"), &rest[3..]),
        }
    }
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let count = if let Some(run) = rest.strip_prefix("\\{") {
            let (count, after) = run.split_once('}').expect("a count");
            rest = after;
            count.parse().expect("a count")
        } else {
            1
        };
        let (byte, after) = unit(rest);
        bytes.resize(bytes.len() + count, byte);
        rest = after;
    }
    bytes
}

/// Replays a capture in both roles: whole, ended after any byte, and with any one or two of its calls lost.
pub(in crate::protocol) fn capture(protocol: &Protocol, name: &str) {
    let calls = read_capture(name);
    let expected = path(name, "expected");
    let mut found = String::new();
    for role in [Role::Server, Role::Client] {
        let whole = play_whole(protocol, role, &calls);
        assert_eq!(whole.losses, Losses::default());
        let lines: Vec<String> = whole.exchanges.iter().map(super::line).collect();
        found = lines.join("\n") + "\n";
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&expected, &found).expect("the expectation is written");
        }
        assert_eq!(found, std::fs::read_to_string(&expected).expect("an expectation"), "{name} as {role:?}");
        assert!(whole.exchanges.iter().all(|exchange| exchange.outcome == Outcome::Complete));
        cut_anywhere(protocol, role, &calls, &lines);
    }
    assert!(!found.contains("secret"), "a secret survived:\n{found}");
    Trial { protocol, calls: &calls, damaged: followed(&calls), told_again: 0 }.run_pairs();
}

fn cut_anywhere(protocol: &Protocol, role: Role, calls: &[Call], whole: &[String]) {
    for count in 0..calls.len() {
        let (by_client, bytes) = &calls[count];
        for cut in (0..bytes.len()).filter(|&cut| cut < CUT_FIRST || bytes.len() - cut < CUT_LAST) {
            let mut cut_short = calls[..count].to_vec();
            cut_short.push((*by_client, bytes[..cut].to_vec()));
            let got = play_whole(protocol, role, &cut_short);
            for exchange in got.exchanges.iter().filter(|exchange| exchange.outcome == Outcome::Complete) {
                let line = super::line(exchange);
                assert!(whole.contains(&line), "{line} as {role:?} when call {count} ends after {cut} bytes");
            }
            assert_eq!(got.losses, Losses::default(), "as {role:?} when call {count} ends after {cut} bytes");
        }
    }
}
