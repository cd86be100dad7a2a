use std::fs::File;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind};

use super::*;
use crate::process::{ElfFacts, OpenSslBuild};

/// OpenSSL libraries of this machine: the system's, and what packages bring along.
fn libraries() -> Vec<PathBuf> {
    let places = [
        "/usr/lib*/libssl.so.*".to_owned(),
        "/usr/lib/*/libssl.so.*".to_owned(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/*/lib/python*/site-packages/*.libs/libssl*.so*")
            .to_owned(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debian-unstable/usr/lib/*/libssl.so.*").to_owned(),
    ];
    places.iter().flat_map(|place| glob::glob(place).unwrap()).map(Result::unwrap).collect()
}

fn build(library: &Path) -> Option<OpenSslBuild> {
    let name = library.file_name().unwrap().to_str().unwrap();
    ElfFacts::read(library, name).unwrap().openssl
}

/// What must hold of any site: it is where an instruction begins, and if not the first one, one that the kernel emulates.
fn check(code: &mut Code<File>, start: u64, size: u64, keeps: Keeps) -> u64 {
    let site = sites::site(code, start, size, keeps);
    let mut at = start;
    while at < site {
        at = code.instruction(at).unwrap().0.next_ip();
    }
    assert_eq!(at, site, "of the function at {start:#x}");
    assert!(site == start || sites::is_emulated(code, site), "{site:#x}");
    site
}

#[test]
fn sites_in_real_libraries_are_instructions() {
    let libraries = libraries();
    if libraries.is_empty() {
        println!("skipped: no OpenSSL library is on this machine");
        return;
    }
    let (mut looked_at, mut skipped) = (0, 0);
    for library in &libraries {
        let library = library.as_path();
        let Some(build) = build(library) else { continue };
        let Some(at) = build.functions.first() else { continue };
        let mut code = match Code::open(library, at.file_offset) {
            Ok(code) => code,
            Err(error) => {
                println!("skipped: {}: {error}", library.display());
                skipped += 1;
                continue;
            }
        };
        // That of 1.1 to 3.1, or of later ones.
        let bios = bios(&build, &mut code);
        assert!(matches!(bios, Some(16 | 80)), "{}: {bios:?}", library.display());
        looked_at += 1;
        let points = points(&build.functions, Some(&mut code), bios);
        assert!(!points.is_empty(), "{}: nothing is probed", library.display());
        for point in points {
            let is_return = point.program.ends_with("_return");
            let keeps = if is_return { Keeps::ReturnAddress } else { Keeps::Arguments };
            let site = check(&mut code, point.offset, point.size, keeps);
            let emulated = sites::is_emulated(&mut code, site);
            println!("{} {} {site:#x} emulated: {emulated}", library.display(), point.program);
        }
    }
    assert!(looked_at + skipped > 0, "none is taken for OpenSSL's of {libraries:?}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn sites_in_every_function_of_the_c_library_are_instructions() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|p| p.contains("libc.so"));
    let path = Path::new(path.expect("the test is linked to a C library"));
    let cache = ReadCache::new(File::open(path).unwrap());
    let elf: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&cache).unwrap();
    let offset = |address: u64| {
        elf.segments().find_map(|segment| {
            let inside = address.checked_sub(segment.address())?;
            (inside < segment.file_range().1).then_some(segment.file_range().0 + inside)
        })
    };
    let functions: Vec<(u64, u64)> = elf
        .dynamic_symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .filter_map(|symbol| Some((offset(symbol.address())?, symbol.size())))
        .collect();
    let mut code = Code::open(path, functions[0].0).unwrap();
    let moved = functions
        .iter()
        .flat_map(|function| [(function, Keeps::Arguments), (function, Keeps::ReturnAddress)])
        .filter(|((start, size), keeps)| check(&mut code, *start, *size, *keeps) != *start)
        .count();
    assert!(moved > 0, "of {} functions none has a better place than its first instruction", functions.len());
}

fn function(name: &str, file_offset: u64, size: u64) -> SslFunction {
    SslFunction { name: name.to_owned(), address: file_offset, file_offset, size }
}

/// Offsets that are probed, with the program.
fn probed(functions: &[SslFunction], bytes: &[u8]) -> Vec<(&'static str, u64)> {
    let mut code = Code::new(std::io::Cursor::new(bytes), 0..bytes.len() as u64);
    points(functions, Some(&mut code), Some(16)).iter().map(|point| (point.program, point.offset)).collect()
}

#[test]
fn inner_function_is_probed_for_all_that_lead_to_it() {
    let mut bytes = vec![0xcc; 0x80];
    // SSL_read_ex: sub $8,%rsp; call 0x60; xor %edx,%edx; test %eax,%eax; cmovs %edx,%eax; add $8,%rsp; ret
    bytes[..25].copy_from_slice(&[
        0x48, 0x83, 0xec, 0x08, 0xe8, 0x57, 0, 0, 0, 0x31, 0xd2, 0x85, 0xc0, 0x0f, 0x48, 0xc2, 0x48, 0x83,
        0xc4, 0x08, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc,
    ]);
    // SSL_read: sub $0x18,%rsp; test %edx,%edx; js; mov %rsp,%rcx; call 0x60; add $0x18,%rsp; ret
    bytes[0x20..0x35].copy_from_slice(&[
        0x48, 0x83, 0xec, 0x18, 0x85, 0xd2, 0x78, 0x0d, 0x48, 0x89, 0xe1, 0xe8, 0x30, 0, 0, 0, 0x48, 0x83,
        0xc4, 0x18, 0xc3,
    ]);
    // The inner function: push %rbx; pop %rbx; ret
    bytes[0x60..0x63].copy_from_slice(&[0x53, 0x5b, 0xc3]);
    let both = [function("SSL_read", 0x20, 21), function("SSL_read_ex", 0, 21)];
    assert_eq!(probed(&both, &bytes), [("ssl_call_ex", 0x60), ("ssl_read_return", 0x60)]);
    // Alone it is probed as it is: nothing tells where its inner function puts the number of bytes.
    assert_eq!(probed(&both[..1], &bytes), [("ssl_call", 0x20), ("ssl_read_return", 0x20)]);
    // An inner function that is no cheaper is left alone.
    bytes[0x60..0x63].copy_from_slice(&[0x31, 0xc0, 0xc3]);
    let own = [("ssl_call_ex", 0), ("ssl_read_return", 0), ("ssl_call", 0x20), ("ssl_read_return", 0x20)];
    assert_eq!(probed(&both, &bytes), own);
}

#[test]
fn without_code_each_function_is_probed_by_itself() {
    let functions = ["SSL_write_ex2", "SSL_write_ex", "SSL_write", "SSL_free"]
        .map(|name| function(name, name.len() as u64, 9));
    let points = points(&functions, None::<&mut Code<File>>, None);
    let probed: Vec<_> = points.iter().map(|point| (point.program, point.offset)).collect();
    let expected = [
        ("ssl_call_ex2", 13),
        ("ssl_write_return", 13),
        ("ssl_call_ex", 12),
        ("ssl_write_return", 12),
        ("ssl_call", 9),
        ("ssl_write_return", 9),
        ("ssl_ends", 8),
    ];
    assert_eq!(probed, expected);
}

/// The library with its symbols renamed, so that it looks like an extension module that has OpenSSL linked in.
fn nameless(library: &Path) -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(library).unwrap();
    let names = {
        let elf = object::File::parse(bytes.as_slice()).unwrap();
        elf.section_by_name(".dynstr").unwrap().file_range().unwrap()
    };
    let [start, len] = [names.0, names.1].map(|at| usize::try_from(at).unwrap());
    let names = &mut bytes[start..start + len];
    for (from, to) in [("SSL_get_rbio", "PyInit_OpSSL"), ("SSL_read", "SSL_reap"), ("SSL_write", "SSL_wrote")]
    {
        let places: Vec<usize> = memchr::memmem::find_iter(names, from).collect();
        for at in places {
            names[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn what_symbols_tell_is_found_without_them() {
    let mut looked_at = 0;
    for library in &libraries() {
        let Some(named) = build(library) else { continue };
        let file = nameless(library);
        let found = ElfFacts::read(file.path(), "_ssl.so").unwrap().openssl;
        let found = found.and_then(|found| found.methods).expect("it has methods");
        let mut code = Code::open(library, found.read).unwrap();
        let extents = sites::Extents::read(library);
        let found_states = states(&found, &mut code, &extents);
        if extents.pieces().next().is_none() {
            assert_eq!(found_states, None, "without a table of its code");
            continue;
        }
        let states = found_states.unwrap_or_else(|| panic!("{} has states", library.display()));
        let place = |name: &str| named.functions.iter().find(|f| f.name == name).unwrap().file_offset;
        assert_eq!(
            (states.accepts, states.connects, Some(states.bios)),
            (place("SSL_set_accept_state"), place("SSL_set_connect_state"), bios(&named, &mut code)),
            "{}",
            library.display()
        );
        let all = [found.read, found.write, found.free];
        assert!(all.iter().all(|at| extents.size(*at) > 0), "{}: {found:x?}", library.display());
        looked_at += 1;
    }
    match looked_at {
        0 => println!("skipped: no OpenSSL library is on this machine"),
        libraries => println!("{libraries} libraries"),
    }
}
