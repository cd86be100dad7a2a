use super::*;
use std::path::PathBuf;

/// The C library of this machine: an ELF file that every test machine has mapped.
fn libc() -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libc.so"));
    path.expect("the test is linked to a C library").into()
}

#[test]
fn library_without_python_or_tls_has_neither() {
    let facts = ElfFacts::read(&libc(), "libc.so.6").unwrap();
    assert_eq!(
        (facts.python, facts.openssl, facts.crypto_version, facts.other_tls),
        (None, None, None, None)
    );
    assert!(facts.build_id.is_none_or(|id| id.len() >= 32));
}

#[test]
fn file_that_is_no_elf_is_a_format_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in [b"".as_slice(), b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
        std::fs::write(&file, content).unwrap();
        assert!(matches!(ElfFacts::read(file.path(), "x"), Err(ElfError::Format(..))));
    }
    assert!(matches!(ElfFacts::read(Path::new("/nowhere"), "x"), Err(ElfError::Read(..))));
}

#[test]
fn truncated_elf_gives_an_error_or_fewer_facts_but_no_panic() {
    let whole = std::fs::read(libc()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    for part in 0..32 {
        std::fs::write(&file, &whole[..whole.len() * part / 32]).unwrap();
        let _ = ElfFacts::read(file.path(), "libpython3.11.so.1.0");
    }
}

#[test]
fn cache_knows_a_file_by_what_it_is_and_notices_a_change() {
    let cache = ElfCache::default();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "text").unwrap();
    let (text_key, facts) = cache.facts(file.path(), "x").unwrap();
    assert!(facts.is_none());
    std::fs::copy(libc(), file.path()).unwrap();
    let (key, facts) = cache.facts(file.path(), "x").unwrap();
    assert!(key != text_key && facts.is_some());
    let (_, again) = cache.facts(file.path(), "x").unwrap();
    assert!(std::ptr::eq(facts.unwrap().as_ref(), again.unwrap().as_ref()), "read once");
    assert!(cache.facts(Path::new("/dev/null"), "null").is_err());
}
