use std::io::Cursor;

use super::*;

const SUB_RSP: &[u8] = &[0x48, 0x83, 0xec, 0x18];
const ENDBR64: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
const PUSH_RBX: &[u8] = &[0x53];
const PUSH_R12: &[u8] = &[0x41, 0x54];
const TEST_EDX: &[u8] = &[0x85, 0xd2];
const XOR_EAX: &[u8] = &[0x31, 0xc0];
const RET: &[u8] = &[0xc3];

fn code(parts: &[&[u8]]) -> Code<Cursor<Vec<u8>>> {
    let bytes = parts.concat();
    let end = bytes.len() as u64;
    Code::new(Cursor::new(bytes), 0..end)
}

/// Sites at the entry and for the return of the function that begins at 0.
fn sites(parts: &[&[u8]]) -> (u64, u64) {
    let size = parts.concat().len() as u64;
    let mut code = code(parts);
    (site(&mut code, 0, size, Keeps::Arguments), site(&mut code, 0, size, Keeps::ReturnAddress))
}

#[test]
fn push_is_as_good_as_it_gets() {
    assert_eq!(sites(&[PUSH_RBX, RET]), (0, 0));
    assert_eq!(sites(&[PUSH_R12, RET]), (0, 0));
}

#[test]
fn branch_tracking_is_stepped_over() {
    assert_eq!(sites(&[ENDBR64, PUSH_RBX, &[0x5b], RET]), (4, 4));
}

#[test]
fn prologue_of_ssl_write_in_debian() {
    // sub $0x18,%rsp; mov %fs:0x28,%rax; mov %rax,0x8(%rsp); xor %eax,%eax; test %edx,%edx; js +0
    let canary: &[u8] = &[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0x48, 0x89, 0x44, 0x24, 0x08];
    let parts = [SUB_RSP, canary, XOR_EAX, TEST_EDX, &[0x78, 0x00], &[0x48, 0x83, 0xc4, 0x18], RET];
    assert_eq!(sites(&parts), (0x16, 0), "the stack pointer has moved by then");
}

#[test]
fn test_before_a_jump_leaves_all_as_it_was() {
    // test %rdi,%rdi; je +0
    assert_eq!(sites(&[&[0x48, 0x85, 0xff], &[0x74, 0x00], RET]), (3, 3));
    // je of 32 bits
    assert_eq!(sites(&[&[0x48, 0x85, 0xff], &[0x0f, 0x84, 0, 0, 0, 0], RET]), (3, 3));
}

#[test]
fn argument_that_is_written_before_bars_the_entry_but_not_the_return() {
    let writes: [&[u8]; 7] = [
        &[0x89, 0xc7],                   // mov %eax,%edi
        &[0x40, 0x88, 0xc6],             // mov %al,%sil
        &[0x31, 0xd2],                   // xor %edx,%edx
        &[0x48, 0x87, 0xcb],             // xchg %rcx,%rbx
        &[0x4d, 0x89, 0xc8],             // mov %r9,%r8
        &[0xa4],                         // movsb: both pointers
        &[0x48, 0xc7, 0x01, 0, 0, 0, 0], // movq $0,(%rcx): what an argument points to
    ];
    for written in writes {
        assert_eq!(sites(&[written, PUSH_RBX, &[0x5b], RET]).0, 0, "{written:x?}");
    }
    assert_eq!(sites(&[&[0x89, 0xc7], PUSH_RBX, &[0x5b], RET]).1, 2);
}

#[test]
fn reading_arguments_is_no_harm() {
    // mov %rdi,%rax; cmpl $0,(%rsi)
    let parts: [&[u8]; 4] = [&[0x48, 0x89, 0xf8], &[0x83, 0x3e, 0x00], &[0x74, 0x00], RET];
    assert_eq!(sites(&parts), (6, 6));
}

#[test]
fn whatever_branches_before_ends_the_search() {
    let branches: [&[u8]; 5] = [
        &[0xff, 0xd0],             // call *%rax
        &[0xff, 0xe0],             // jmp *%rax
        &[0xe2, 0x00],             // loop, which the kernel does not emulate
        &[0x0f, 0x05],             // syscall
        &[0x66, 0xe8, 0, 0, 0, 0], // a call with a prefix
    ];
    for branch in branches {
        assert_eq!(sites(&[TEST_EDX, branch, PUSH_RBX, RET]), (0, 0), "{branch:x?}");
    }
    assert_eq!(sites(&[RET, PUSH_RBX]), (0, 0));
}

#[test]
fn loop_back_to_before_the_site_bars_it() {
    // xor %eax,%eax; L: test %edx,%edx; js out; jmp L; out: ret
    let looping = [XOR_EAX, TEST_EDX, &[0x78, 0x02], &[0xeb, 0xfa], RET];
    assert_eq!(sites(&looping), (0, 0));
    let to_the_site = [XOR_EAX, TEST_EDX, &[0x78, 0x02], &[0xeb, 0xfc], RET];
    assert_eq!(sites(&to_the_site), (0, 0));
    let behind = [XOR_EAX, TEST_EDX, &[0x78, 0x02], &[0xeb, 0xfe], RET];
    assert_eq!(sites(&behind), (4, 4));
}

#[test]
fn jumps_from_parts_that_lie_elsewhere_count() {
    // test %edx,%edx; js cold; ret; | cold: jmp 0x2
    let bytes: [&[u8]; 4] = [TEST_EDX, &[0x78, 0x01], RET, &[0xeb, 0xfb]];
    let mut split = code(&bytes);
    assert_eq!(site(&mut split, 0, 5, Keeps::Arguments), 0);
    // What only lies behind the function is not of it.
    let bytes: [&[u8]; 4] = [TEST_EDX, &[0x78, 0x00], RET, &[0xeb, 0xfb]];
    let mut unrelated = code(&bytes);
    assert_eq!(site(&mut unrelated, 0, 5, Keeps::Arguments), 2);
}

#[test]
fn switch_may_lead_anywhere_but_another_library_may_not() {
    // jmp *(%rax,%rcx,8)
    assert_eq!(sites(&[TEST_EDX, &[0x78, 0x00], &[0xff, 0x24, 0xc8]]), (0, 0));
    // jmp *0(%rip)
    assert_eq!(sites(&[TEST_EDX, &[0x78, 0x00], &[0xff, 0x25, 0, 0, 0, 0]]), (2, 2));
}

#[test]
fn code_past_a_call_that_never_returns_is_not_looked_at() {
    // test %edx,%edx; js +0; call next; next: (garbage)
    let parts: [&[u8]; 4] = [TEST_EDX, &[0x78, 0x00], &[0xe8, 1, 0, 0, 0], &[0x06]];
    assert_eq!(site(&mut code(&parts), 0, 9, Keeps::Arguments), 2);
    assert_eq!(site(&mut code(&parts), 0, 0, Keeps::Arguments), 0, "its end is not known");
}

#[test]
fn garbage_and_cut_off_code_leave_the_probe_where_it_is() {
    assert_eq!(sites(&[]), (0, 0));
    assert_eq!(sites(&[&[0x06], PUSH_RBX]), (0, 0));
    assert_eq!(sites(&[&[0x48, 0x83]]), (0, 0));
    assert_eq!(sites(&[TEST_EDX, &[0x0f, 0x84, 0, 0]]), (0, 0));
    assert_eq!(sites(&[&[0x90; 1], RET]), (0, 0));
    assert_eq!(sites(&[&XOR_EAX.repeat(64), PUSH_RBX]), (0, 0), "too far");
}

#[test]
fn window_does_not_matter() {
    // Two functions further apart than is read at a time.
    let mut bytes = [TEST_EDX, &[0x78, 0x00], RET].concat();
    bytes.resize(9000, 0xcc);
    bytes.extend([TEST_EDX, &[0x78, 0x00], RET].concat());
    let end = bytes.len() as u64;
    let mut code = Code::new(Cursor::new(bytes), 0..end);
    for start in [0, 9000, 0] {
        assert_eq!(site(&mut code, start, 5, Keeps::Arguments), start + 2);
    }
    let mut outside = Code::new(Cursor::new([TEST_EDX, &[0x78, 0x00], RET].concat()), 0..2);
    assert_eq!(site(&mut outside, 0, 5, Keeps::Arguments), 0, "not of this segment");
}

/// `SSL_read_ex` of Debian, with the inner function at 0x20.
fn hands_on(before: &[u8], after: &[u8]) -> Option<u64> {
    let mut bytes = [SUB_RSP, before].concat();
    let call = bytes.len() as i32 + 5;
    bytes.push(0xe8);
    bytes.extend((0x20 - call).to_le_bytes());
    bytes.extend(after);
    bytes.resize(64, 0xcc);
    inner(&mut Code::new(Cursor::new(bytes), 0..64), 0)
}

const CLAMP: &[u8] = &[0x85, 0xc0, 0x0f, 0x48, 0xc2];
const LEAVE: &[u8] = &[0x48, 0x83, 0xc4, 0x18, 0xc3];

#[test]
fn inner_function_is_one_whose_result_is_handed_on() {
    assert_eq!(hands_on(&[], &[&[0x31, 0xd2], CLAMP, LEAVE].concat()), Some(0x20));
    // mov $0,%edx between the test and the move
    let moved: &[u8] = &[0x85, 0xc0, 0xba, 0, 0, 0, 0, 0x0f, 0x48, 0xc2];
    assert_eq!(hands_on(&[], &[moved, LEAVE].concat()), Some(0x20));
    assert_eq!(hands_on(&[], LEAVE), Some(0x20), "the result as it is");
}

#[test]
fn inner_function_is_not_believed_without_proof() {
    let clamped = [&[0x31, 0xd2], CLAMP, LEAVE].concat();
    assert_eq!(hands_on(&[0x31, 0xc9], &clamped), None, "another argument");
    assert_eq!(hands_on(&[0x78, 0x00], &clamped), None, "not called in any case");
    assert_eq!(hands_on(&[], &[CLAMP, LEAVE].concat()), None, "edx may be anything");
    let late: &[u8] = &[0x85, 0xc0, 0x31, 0xd2, 0x0f, 0x48, 0xc2];
    assert_eq!(hands_on(&[], &[late, LEAVE].concat()), None, "xor changes what the test found");
    let positive: &[u8] = &[0x31, 0xd2, 0x85, 0xc0, 0x0f, 0x4f, 0xc2];
    assert_eq!(hands_on(&[], &[positive, LEAVE].concat()), None, "cmovg: a success becomes 0");
    assert_eq!(hands_on(&[], &[XOR_EAX, LEAVE].concat()), None);
    assert_eq!(hands_on(&[], &[&[0x75, 0x00], LEAVE].concat()), None, "what follows depends");
    assert_eq!(hands_on(&[], &[&[0xe8, 0, 0, 0, 0], LEAVE].concat()), None, "another call");
    assert_eq!(hands_on(&[], &[&[0x48, 0x89, 0x11], LEAVE].concat()), None, "writes memory");
    assert_eq!(hands_on(&[], &[]), None);
}

#[test]
fn function_leads_to_another_where_only_errors_do_not() {
    // test %edx,%edx; js error; lea 8(%rsp),%rcx; movslq %edx,%rdx; call 0x40
    let call = |site: i32| [&[0xe8], (0x40 - site - 5).to_le_bytes().as_slice()].concat();
    let arguments: &[u8] = &[0x48, 0x8d, 0x4c, 0x24, 0x08, 0x48, 0x63, 0xd2];
    let leads = |parts: &[&[u8]], callees: &[u64]| leads_to(&mut code(parts), 0, callees);
    let read: [&[u8]; 5] = [SUB_RSP, TEST_EDX, &[0x78, 0x20], arguments, &call(16)];
    assert!(leads(&read, &[0x10, 0x40]));
    assert!(!leads(&read, &[0x10]));
    let other: [&[u8]; 5] = [SUB_RSP, TEST_EDX, &[0x7e, 0x20], arguments, &call(16)];
    assert!(!leads(&other, &[0x40]), "jle: a call with 0 goes another way");
    let stale: [&[u8]; 5] = [TEST_EDX, SUB_RSP, &[0x78, 0x20], arguments, &call(16)];
    assert!(!leads(&stale, &[0x40]), "sub changes what the test found");
    let another: [&[u8]; 2] = [&[0x48, 0x89, 0xf7], &call(3)];
    assert!(!leads(&another, &[0x40]), "another stream");
    // mov %rcx,%r8; xor %ecx,%ecx; jmp 0x40
    let handed: [&[u8]; 3] = [&[0x49, 0x89, 0xc8], &[0x31, 0xc9], &[0xeb, 0x39]];
    assert!(leads(&handed, &[0x40]));
}
