//! The public HPACK stories (http2jp/hpack-test-case): header lists with their encodings by fourteen encoders. They
//! come with a development dependency and are found where cargo unpacked it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::super::hpack::{Decoder, Ended};

fn keep_all<'v>(_: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    Some(value)
}

/// Directory of the fixtures.
fn fixtures() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "httlib-hpack").expect("a dependency");
    let manifest = package["manifest_path"].as_str().expect("a path");
    Path::new(manifest).with_file_name("fixtures")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn replay(story: &Value, name: &str) -> usize {
    let mut decoder = Decoder::new(true, keep_all);
    let cases = story["cases"].as_array().expect("cases");
    for case in cases {
        let mut found = Vec::new();
        let block = bytes(case["wire"].as_str().expect("a block"));
        let ended = decoder.decode(&block, &mut |field| {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.expect("known")).into_owned();
            found.push((text(field.name), text(field.value)));
        });
        let expected: Vec<(String, String)> = case["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .flat_map(|header| header.as_object().expect("a header"))
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect();
        assert_eq!((found, ended), (expected, Ended::Whole), "{name}, case {}", case["seqno"]);
    }
    cases.len()
}

#[test]
fn every_public_story_is_decoded() {
    let (mut stories, mut cases) = (0, 0);
    for encoder in std::fs::read_dir(fixtures()).expect("fixtures") {
        let folder = encoder.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&folder).expect("stories") {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read_to_string(&path).expect("a story");
                let story = serde_json::from_str(&text).expect("JSON");
                cases += replay(&story, &path.display().to_string());
                stories += 1;
            }
        }
    }
    // 446 stories with 47,142 blocks when this was written.
    assert!(stories > 400 && cases > 3_000, "{stories} stories, {cases} cases");
}
