//! Where OpenSSL keeps a stream's BIOs, read out of its own function that tells one of them.

use std::io::{Read, Seek};

use iced_x86::{Mnemonic, OpKind, Register};

use crate::capture::sites::Code;
use crate::process::{OpenSslBuild, TlsKind};

/// Instructions of the function that are looked at; OpenSSL 3.6 has 39, 3.0 three.
const INSTRUCTIONS_MAX: usize = 64;
/// Where the BIO could not be any more.
const OFFSET_MAX: u64 = 1024;

/// Offset in `struct ssl_st` (OpenSSL 1.1 to 3.1) or `struct ssl_connection_st` (since 3.2; ssl/ssl_local.h) of the BIO that a
/// stream reads from; the one that it writes to follows it. `None` where SSL_get_rbio(3) does not show it, and for libraries with
/// OpenSSL's API whose memory BIOs are of another make.
pub(crate) fn bios<R: Read + Seek>(build: &OpenSslBuild, code: &mut Code<R>) -> Option<u64> {
    let named = build.version.as_deref().is_some_and(|version| version.starts_with("OpenSSL "));
    if build.kind != TlsKind::OpenSsl || !(named || build.symbol_version.is_some()) {
        return None;
    }
    let function = build.functions.iter().find(|function| function.name == "SSL_get_rbio")?;
    only_field(code, function.file_offset, function.size)
}

/// The offset from which the function of `size` bytes at `start` loads a pointer, if there is but one.
fn only_field<R: Read + Seek>(code: &mut Code<R>, start: u64, size: u64) -> Option<u64> {
    let (mut at, mut found) = (start, None);
    for _ in 0..INSTRUCTIONS_MAX {
        if at >= start + size {
            return found;
        }
        let (instruction, _) = code.instruction(at)?;
        at = instruction.next_ip();
        let loads = instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_register().is_gpr64()
            && instruction.op1_kind() == OpKind::Memory
            && instruction.memory_index() == Register::None
            && !matches!(instruction.memory_base(), Register::RSP | Register::RIP);
        if !loads {
            continue;
        }
        let offset = instruction.memory_displacement64();
        if offset % 8 != 0 || offset == 0 || offset > OFFSET_MAX || found.is_some_and(|other| other != offset)
        {
            return None;
        }
        found = Some(offset);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// What the function with this code shows.
    fn shown(bytes: &[u8]) -> Option<u64> {
        let mut code = Code::new(Cursor::new(bytes.to_vec()), 0..bytes.len() as u64);
        only_field(&mut code, 0, bytes.len() as u64)
    }

    #[test]
    fn the_only_field_that_is_loaded() {
        // mov 0x10(%rdi),%rax; xor %edi,%edi; ret
        assert_eq!(shown(&[0x48, 0x8b, 0x47, 0x10, 0x31, 0xff, 0xc3]), Some(16));
        // sub $0x18,%rsp; mov 8(%rsp),%rdi; mov 0x50(%rax),%rax; add $0x18,%rsp; ret
        let from_stack = [
            0x48, 0x83, 0xec, 0x18, 0x48, 0x8b, 0x7c, 0x24, 0x08, 0x48, 0x8b, 0x40, 0x50, 0x48, 0x83, 0xc4,
            0x18, 0xc3,
        ];
        assert_eq!(shown(&from_stack), Some(0x50));
        // mov 0x10(%rdi),%rax; mov 0x18(%rax),%rax; ret
        assert_eq!(shown(&[0x48, 0x8b, 0x47, 0x10, 0x48, 0x8b, 0x40, 0x18, 0xc3]), None, "either may be it");
        assert_eq!(shown(&[0x31, 0xc0, 0xc3]), None, "xor %eax,%eax; ret");
        // mov 0x11(%rdi),%rax; ret
        assert_eq!(shown(&[0x48, 0x8b, 0x47, 0x11, 0xc3]), None, "no pointer lies there");
    }
}
