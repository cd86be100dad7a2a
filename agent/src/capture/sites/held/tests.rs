use std::io::Cursor;
use std::slice::from_ref;

use super::*;

const PUSH_RBX: &[u8] = &[0x53];
const POP_RBX: &[u8] = &[0x5b];
const RET: &[u8] = &[0xc3];
const MOV_RAX_RBX: &[u8] = &[0x48, 0x89, 0xd8];
const MOV_RBX_RAX: &[u8] = &[0x48, 0x89, 0xc3];
const TEST_RAX: &[u8] = &[0x48, 0x85, 0xc0];
const XOR_EBX: &[u8] = &[0x31, 0xdb];
const XOR_EAX: &[u8] = &[0x31, 0xc0];
const CALL: &[u8] = &[0xe8, 0, 1, 0, 0];
/// mov 8(%rdi),%rbx
const LOAD_RBX: &[u8] = &[0x48, 0x8b, 0x5f, 0x08];

fn je(distance: i8) -> [u8; 2] {
    [0x74, distance as u8]
}

fn jmp(distance: i8) -> [u8; 2] {
    [0xeb, distance as u8]
}

fn sites(parts: &[&[u8]]) -> Option<Vec<(u64, Register)>> {
    let size = parts.concat().len() as u64;
    sites_in(parts, from_ref(&(0..size)), &[])
}

/// The same of the first of several `pieces`, of which those that begin at `shared` return for others, too.
fn sites_in(parts: &[&[u8]], pieces: &[Range<u64>], shared: &[u64]) -> Option<Vec<(u64, Register)>> {
    let bytes = parts.concat();
    let mut code = Code::new(Cursor::new(bytes.clone()), 0..bytes.len() as u64);
    let extents = Extents::new(pieces.to_vec());
    let function = Function { start: 0, size: pieces[0].end, extents: &extents };
    let held = function.held(&mut code, &shared.iter().copied().collect())?;
    Some(held.iter().map(|held| (held.site, held.register)).collect())
}

#[test]
fn result_of_a_call_is_held_at_the_jump_behind_it() {
    // call; mov %rax,%rbx; test %rax,%rax; je out; (work); out: mov %rbx,%rax; pop %rbx; ret
    let parts = [PUSH_RBX, CALL, MOV_RBX_RAX, TEST_RAX, &je(4), LOAD_RBX, MOV_RAX_RBX, POP_RBX, RET];
    assert_eq!(sites(&parts), None, "what is loaded on one way is held nowhere");
    let parts = [PUSH_RBX, CALL, MOV_RBX_RAX, TEST_RAX, &je(0), MOV_RAX_RBX, POP_RBX, RET];
    assert_eq!(sites(&parts), Some(vec![(12, Register::RBX)]));
}

#[test]
fn each_way_to_the_result_has_its_site() {
    // `PyContext_CopyCurrent` in small: from a free list or made anew, the same work on either, 0 where there is no memory.
    let parts: [&[u8]; 15] = [
        PUSH_RBX,
        &[0x85, 0xd2],
        &[0x75, 18], // jne to the free list
        CALL,
        MOV_RBX_RAX,
        TEST_RAX,
        &je(16),     // to the failure
        MOV_RAX_RBX, // the work
        POP_RBX,
        RET,
        LOAD_RBX, // the free list
        CALL,
        &jmp(-16),
        XOR_EBX, // the failure
        &jmp(-20),
    ];
    assert_eq!(sites(&parts), Some(vec![(16, Register::RBX), (32, Register::RBX)]));
}

#[test]
fn nothing_is_held_without_an_emulated_instruction_behind_its_making() {
    assert_eq!(sites(&[CALL, RET]), None, "the result of a call, returned at once");
    assert_eq!(sites(&[LOAD_RBX, MOV_RAX_RBX, RET]), None);
    assert_eq!(sites(&[TEST_RAX, RET]), None, "what the caller left in rax");
    assert_eq!(sites(&[&je(0), XOR_EAX, RET]), None, "nothing but 0 is returned");
}

#[test]
fn register_that_a_call_may_change_is_not_followed() {
    // mov %rax,%rcx; call; mov %rcx,%rax
    assert_eq!(sites(&[CALL, &je(0), &[0x48, 0x89, 0xc1], CALL, &[0x48, 0x89, 0xc8], RET]), None);
    // the same in rbx
    let parts = [CALL, &je(0), MOV_RBX_RAX, CALL, MOV_RAX_RBX, RET];
    assert_eq!(sites(&parts), Some(vec![(10, Register::RBX)]), "the call itself is a site");
}

#[test]
fn no_site_is_needed_where_a_test_has_found_0() {
    // call; mov %rax,%rbx; test %rax,%rax; je out; call; out: mov %rbx,%rax; ret
    let parts = [CALL, MOV_RBX_RAX, TEST_RAX, &je(5), CALL, MOV_RAX_RBX, RET];
    assert_eq!(sites(&parts), Some(vec![(13, Register::RBX)]), "the second call, but not the jump past it");
    // The other way round: jne work; jmp out; work: call; out: ..
    let parts = [CALL, MOV_RBX_RAX, TEST_RAX, &[0x75, 2], &jmp(5), CALL, MOV_RAX_RBX, RET];
    assert_eq!(sites(&parts), Some(vec![(15, Register::RBX)]));
    // What is tested must be the value, or its copy, and all of it.
    let compared = [CALL, &[0x48, 0x39, 0xc3], TEST_RAX, &je(5), CALL, MOV_RAX_RBX, RET];
    assert_eq!(sites(&compared), None, "cmp %rax,%rbx");
    let half = [CALL, MOV_RBX_RAX, &[0x85, 0xc0], &je(5), CALL, MOV_RAX_RBX, RET];
    assert_eq!(sites(&half), Some(vec![(10, Register::RBX)]), "test %eax,%eax: the jump itself");
    let signed = [CALL, MOV_RBX_RAX, TEST_RAX, &[0x7e, 5], CALL, MOV_RAX_RBX, RET];
    assert_eq!(sites(&signed), Some(vec![(11, Register::RBX)]), "jle, likewise");
}

#[test]
fn site_where_ways_part_stands_for_those_behind_it() {
    // As in 3.8: mov 8(%rdi),%rbx; jne aside; L: mov %rbx,%rax; ret   aside: call; jmp L
    let parts = [PUSH_RBX, LOAD_RBX, &[0x75, 4], MOV_RAX_RBX, RET, CALL, &jmp(-11)];
    assert_eq!(sites(&parts), Some(vec![(5, Register::RBX)]));
}

#[test]
fn rare_part_that_lies_elsewhere_is_followed() {
    // call; mov %rax,%rbx; test %rax,%rax; je rare; call; mov %rbx,%rax; ret   rare: xor %eax,%eax; ret
    let parts = [CALL, MOV_RBX_RAX, TEST_RAX, &je(10), CALL, MOV_RAX_RBX, RET, &[0x90], XOR_EAX, RET];
    assert_eq!(sites_in(&parts, &[0..22, 23..26], &[]), Some(vec![(13, Register::RBX)]));
    assert_eq!(sites_in(&parts, from_ref(&(0..22)), &[]), None, "nothing is known of what lies there");
    // rare: call; ret
    let parts = [CALL, MOV_RBX_RAX, TEST_RAX, &je(10), CALL, MOV_RAX_RBX, RET, &[0x90], CALL, RET];
    assert_eq!(sites_in(&parts, &[0..22, 23..29], &[]), None, "the rare part returns something");
}

/// What the first of several `pieces` hands on.
fn hands_on(parts: &[&[u8]], pieces: &[Range<u64>]) -> Vec<u64> {
    let bytes = parts.concat();
    let mut code = Code::new(Cursor::new(bytes.clone()), 0..bytes.len() as u64);
    let extents = Extents::new(pieces.to_vec());
    let function = Function { start: 0, size: pieces[0].end, extents: &extents };
    function.hands_on(&mut code).into_iter().collect()
}

#[test]
fn function_that_ends_in_another_hands_on_what_that_returns() {
    // jmp other   other: call; mov %rax,%rbx; je out; out: mov %rbx,%rax; ret
    let parts = [&jmp(0)[..], CALL, MOV_RBX_RAX, &je(0), MOV_RAX_RBX, RET];
    let pieces = [0..2, 2..16];
    assert_eq!(hands_on(&parts, &pieces), [2]);
    assert_eq!(hands_on(&parts, &pieces[..1]), NONE, "where it ends is not known");
    assert_eq!(sites_in(&parts, &pieces, &[]), None, "what the other returns may be anything");
    assert_eq!(sites_in(&parts, &pieces, &[2]), Some(vec![]), "the other has sites of its own");
}

const NONE: [u64; 0] = [];
/// Where [`CALL`] leads from the start of a function.
const MADE: u64 = 261;

#[test]
fn result_that_is_left_alone_is_handed_on() {
    // call; mov %rax,%rbx; test %rbx,%rbx; js out; call; out: mov %rbx,%rax; ret
    let test_rbx = &[0x48, 0x85, 0xdb];
    let parts = [CALL, MOV_RBX_RAX, test_rbx, &[0x78, 5], CALL, MOV_RAX_RBX, RET];
    assert_eq!(hands_on(&parts, from_ref(&(0..22))), [MADE]);
    assert_eq!(sites_in(&parts, from_ref(&(0..22)), &[MADE]), Some(vec![]));
    assert_eq!(hands_on(&[CALL, RET], from_ref(&(0..6))), [MADE]);
    // Where it is written to, it may be mere memory: mov %rdx,0x18(%rax); mov %rdx,0x18(%rbx)
    assert_eq!(hands_on(&[CALL, &[0x48, 0x89, 0x50, 0x18], RET], from_ref(&(0..10))), NONE);
    let parts = [CALL, MOV_RBX_RAX, &[0x48, 0x89, 0x53, 0x18], MOV_RAX_RBX, RET];
    assert_eq!(hands_on(&parts, from_ref(&(0..16))), NONE);
    // Whoever it is given to may do that: mov %rbx,%rdi; call
    let parts = [CALL, MOV_RBX_RAX, &[0x48, 0x89, 0xdf], CALL, MOV_RAX_RBX, RET];
    assert_eq!(hands_on(&parts, from_ref(&(0..20))), NONE);
    // On another way it is made otherwise: call; je out; mov 8(%rdi),%rax; out: ret
    let parts = [CALL, &je(4), &[0x48, 0x8b, 0x47, 0x08], RET];
    assert_eq!(hands_on(&parts, from_ref(&(0..12))), NONE);
}

#[test]
fn half_a_register_is_no_copy() {
    // mov %ebx,%eax
    assert_eq!(sites(&[CALL, MOV_RBX_RAX, &je(0), &[0x89, 0xd8], RET]), None);
}

#[test]
fn site_that_is_passed_twice_is_none() {
    // call; L: mov %rax,%rbx; test; je L; mov %rbx,%rax; ret
    let parts = [CALL, MOV_RBX_RAX, TEST_RAX, &je(-8), MOV_RAX_RBX, RET];
    assert_eq!(sites(&parts), None);
}

#[test]
fn ways_that_cannot_be_told_prove_nothing() {
    assert_eq!(sites(&[CALL, &je(0), &[0xff, 0xe0]]), None, "jmp *%rax");
    assert_eq!(sites(&[CALL, &je(100), RET]), None, "a jump to elsewhere");
    assert_eq!(sites(&[CALL, &je(0), &[0x06], RET]), None, "no instruction");
    assert_eq!(sites(&[]), None);
    let parts = [CALL, &je(1), RET, CALL];
    assert_eq!(sites(&parts), Some(vec![(5, Register::RAX)]), "what stands last does not return");
}

/// The interpreters of this machine: it is proven of each where a copied context is held.
#[test]
fn copied_context_is_held_in_real_interpreters() {
    let home = std::env::var_os("HOME").map_or_else(|| "/".into(), std::path::PathBuf::from);
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let libraries = versions.flat_map(|version| std::fs::read_dir(version.path().join("lib")));
    let mut files: Vec<std::path::PathBuf> = libraries.flatten().flatten().map(|file| file.path()).collect();
    files.retain(|file| file.to_string_lossy().contains("/libpython3.") && file.is_file());
    files.push("/usr/bin/python3".into());
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let functions = ["PyContext_CopyCurrent", "PyContext_Copy"].map(|name| place(&bytes, name));
        let [Some((start, size)), Some((other, _))] = functions else { continue };
        let extents = Extents::read(&file);
        assert_eq!(extents.size(start), size, "the table of the unwinder and the symbol agree");
        let mut code = Code::open(&file, start).unwrap();
        let function = |start| Function { start, size: extents.size(start), extents: &extents };
        let both = [start, other].map(|start| function(start).hands_on(&mut code));
        let shared: BTreeSet<u64> = &both[0] & &both[1];
        let holders = if shared.is_empty() { BTreeSet::from([start]) } else { shared };
        println!("{}: {start:#x} {holders:x?}", file.display());
        for &holder in &holders {
            let held = function(holder).held(&mut code, &BTreeSet::new());
            let held = held.unwrap_or_else(|| panic!("not proven for {holder:#x} of {}", file.display()));
            for Held { site, register } in held {
                println!("    {site:#x} {register:?}");
                assert!(super::super::is_emulated(&mut code, site));
            }
        }
        let held = function(start).held(&mut code, &holders).expect("it is proven of what it hands on");
        assert_eq!(held.is_empty(), !holders.contains(&start));
    }
}

/// The same of the item that `SimpleQueue.get` and `get_nowait` return: a probe of their return could end a program.
#[test]
fn taken_item_is_held_in_real_interpreters() {
    let home = std::env::var_os("HOME").map_or_else(|| "/".into(), std::path::PathBuf::from);
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let inside = |path: std::path::PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let libraries = versions.flat_map(|version| inside(version.path().join("lib")));
    let extensions = libraries.flat_map(|library| inside(library.path().join("lib-dynload")));
    let mut files: Vec<std::path::PathBuf> = extensions.map(|file| file.path()).collect();
    files.retain(|file| file.to_string_lossy().contains("/_queue.cpython-3"));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let names = ["_queue_SimpleQueue_get", "_queue_SimpleQueue_get_nowait"];
        let [Some((get, _)), Some((nowait, _))] = names.map(|name| place(&bytes, name)) else { continue };
        let extents = Extents::read(&file);
        let mut code = Code::open(&file, get).unwrap();
        let function = |start| Function { start, size: extents.size(start), extents: &extents };
        let both = [get, nowait].map(|start| function(start).hands_on(&mut code));
        let shared: BTreeSet<u64> = &both[0] & &both[1];
        let holders = if shared.is_empty() { BTreeSet::from([get, nowait]) } else { shared };
        for &holder in &holders {
            let function = function(holder);
            let held = function.held(&mut code, &BTreeSet::new());
            println!("{}: {holder:#x} {held:x?}", file.display());
            // From 3.13 on a thread that puts something may hand it over, which no emulated instruction follows.
            let is_handed = held.is_none() && file.to_string_lossy().contains("cpython-313");
            let returns = function.returns(&mut code);
            assert!(held.is_some() || is_handed && returns.is_some(), "not proven of {}", file.display());
        }
    }
}

#[test]
fn where_no_emulated_instruction_follows_the_result_is_held_at_the_return() {
    let returns = |parts: &[&[u8]], size: u64| {
        let bytes = parts.concat();
        let mut code = Code::new(Cursor::new(bytes.clone()), 0..bytes.len() as u64);
        let extents = Extents::new(vec![0..size, 64..80]);
        let held = Function { start: 0, size, extents: &extents }.returns(&mut code)?;
        Some(held.iter().map(|held| (held.site, held.register)).collect::<Vec<_>>())
    };
    let parts = [&je(5), LOAD_RBX, RET, LOAD_RBX, MOV_RAX_RBX, RET];
    assert_eq!(returns(&parts, 15), Some(vec![(6, Register::RAX), (14, Register::RAX)]));
    assert_eq!(returns(&[&jmp(62), RET], 3), None, "another function returns for it");
    assert_eq!(returns(&[&[0xff, 0xe0]], 2), None, "jmp *%rax");
}

/// File offset and size of a function.
fn place(file: &[u8], name: &str) -> Option<(u64, u64)> {
    use object::{Object, ObjectSegment, ObjectSymbol};
    let elf = object::File::parse(file).ok()?;
    let symbol = elf.dynamic_symbols().chain(elf.symbols()).find(|symbol| symbol.name() == Ok(name))?;
    let segment =
        elf.segments().find(|s| (s.address()..s.address() + s.size()).contains(&symbol.address()))?;
    Some((segment.file_range().0 + symbol.address() - segment.address(), symbol.size()))
}
