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

/// An ELF file of two pages on the disk whose table of symbols takes a gigabyte.
fn of_holes() -> tempfile::NamedTempFile {
    const TABLES: u64 = 0x1000;
    const SYMBOLS: u64 = 24 * 50_000_000;
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // System V ABI, "ELF Header" and "Section Header": a program for x86-64, three sections from TABLES on, the last of names.
    head.extend(words(&[2 | 62 << 16 | 1 << 32, 0, 0, TABLES, 64 << 32, 64 << 16 | 3 << 32 | 2 << 48]));
    let symbols = words(&[11 << 32, 2, 0, 2 * TABLES, SYMBOLS, 2 | 1 << 32, 8, 24]);
    let names = words(&[3 << 32, 0, 0, 2 * TABLES, SYMBOLS, 0, 1, 0]);
    head.resize(TABLES as usize + 64, 0);
    head.extend([symbols, names].concat());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, head).unwrap();
    file.as_file().set_len(2 * TABLES + SYMBOLS).unwrap();
    file
}

#[test]
fn tables_that_are_too_large_are_not_read() {
    let file = of_holes();
    let read = ElfFacts::read(file.path(), "libssl.so.3");
    assert!(
        matches!(&read, Err(ElfError::Format(_, why)) if why.to_string().contains("symbol table")),
        "{read:?}"
    );
    assert!(!ElfCache::default().holds_python(file.path()));
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
