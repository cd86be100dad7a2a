use std::io::Cursor;

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
    let bytes = parts.concat();
    let size = bytes.len() as u64;
    let mut code = Code::new(Cursor::new(bytes), 0..size);
    Some(held(&mut code, 0, size)?.iter().map(|held| (held.site, held.register)).collect())
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

/// The interpreters of this machine: what is proven of them is printed, and must be emulated instructions of the function.
#[test]
fn sites_in_real_interpreters_are_emulated_instructions_of_the_function() {
    let home = std::env::var_os("HOME").map_or_else(|| "/".into(), std::path::PathBuf::from);
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let libraries = versions.flat_map(|version| std::fs::read_dir(version.path().join("lib")));
    let mut files: Vec<std::path::PathBuf> = libraries.flatten().flatten().map(|file| file.path()).collect();
    files.retain(|file| file.to_string_lossy().contains("/libpython3.") && file.is_file());
    files.push("/usr/bin/python3".into());
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let Some((start, size)) = copies_context(&bytes) else { continue };
        let mut code = Code::open(&file, start).unwrap();
        let held = held(&mut code, start, size);
        println!("{}: {held:x?}", file.display());
        for Held { site, .. } in held.unwrap_or_default() {
            assert!((start..start + size).contains(&site));
            assert!(super::super::is_emulated(&mut code, site));
        }
    }
}

/// File offset and size of `PyContext_CopyCurrent`.
fn copies_context(file: &[u8]) -> Option<(u64, u64)> {
    use object::{Object, ObjectSegment, ObjectSymbol};
    let elf = object::File::parse(file).ok()?;
    let symbol = elf.dynamic_symbols().find(|symbol| symbol.name() == Ok("PyContext_CopyCurrent"))?;
    let segment =
        elf.segments().find(|s| (s.address()..s.address() + s.size()).contains(&symbol.address()))?;
    Some((segment.file_range().0 + symbol.address() - segment.address(), symbol.size()))
}
