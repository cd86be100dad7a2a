//! Where in a function a probe goes: where the kernel need not single-step an instruction.
//!
//! An instruction under a breakpoint is either emulated by the kernel or copied aside and stepped over with a second trap,
//! which is several times as dear (30 times in a virtual machine within another). Which are emulated:
//! `arch/x86/kernel/uprobes.c`, `branch_setup_xol_ops` and `push_setup_xol_ops`. So a probe moves from the first
//! instruction to the first emulated one that is as good: everything that runs on the way there is known, and leaves alone
//! what the probe reads.

mod code;
mod extents;
mod held;
mod inner;

pub(super) use code::Code;
pub(super) use extents::Extents;
pub(super) use held::{Function, Held, PRESERVED};
pub(super) use inner::{inner, leads_to};

use std::io::{Read, Seek};

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};

/// Instructions on the way to a site.
const ENTRY_MAX: usize = 32;
/// Instructions of a function that are looked through for jumps.
const FUNCTION_MAX: usize = 4096;
/// Registers of the first six integer arguments (System V ABI for AMD64, 3.2.3).
const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// What has to be at the site as it was at the first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// The registers of arguments and all memory but the stack: for a probe at the entry.
    Arguments,
    /// The stack pointer and the return address it points to, which the kernel replaces: for a probe of the return.
    ReturnAddress,
}

/// File offset at which to probe the function at file offset `start`, of `size` bytes (0: not known). That is `start` where
/// nothing better is proven.
pub(super) fn site<R: Read + Seek>(code: &mut Code<R>, start: u64, size: u64, keeps: Keeps) -> u64 {
    match first_emulated(code, start, keeps) {
        Some(site) if site == start || !is_jumped_into(code, start, size, site) => site,
        _ => start,
    }
}

/// Is the site one that the kernel emulates?
pub(super) fn is_emulated<R: Read + Seek>(code: &mut Code<R>, site: u64) -> bool {
    code.instruction(site).is_some_and(|(_, bytes)| emulated(bytes.as_slice()))
}

/// One of the forms that every kernel since 5.0 emulates. Longer `nop`s are left out: 6.18 emulates them, earlier ones step.
fn emulated(instruction: &[u8]) -> bool {
    matches!(
        instruction,
        [0x50..=0x57]                           // push
            | [0x41, 0x50..=0x57]               // push r8 .. r15
            | [0x70..=0x7f, _]                  // jcc
            | [0x0f, 0x80..=0x8f, _, _, _, _]
            | [0xeb, _]                         // jmp
            | [0xe9, _, _, _, _]
            | [0xe8, _, _, _, _]                // call
            | [0x90] // nop
    )
}

/// The first emulated instruction of the straight line that begins at `start`, if all before it keeps what it must.
fn first_emulated<R: Read + Seek>(code: &mut Code<R>, start: u64, keeps: Keeps) -> Option<u64> {
    let mut factory = InstructionInfoFactory::new();
    let mut at = start;
    for _ in 0..ENTRY_MAX {
        let (instruction, bytes) = code.instruction(at)?;
        if emulated(bytes.as_slice()) {
            return Some(at);
        }
        if instruction.flow_control() != FlowControl::Next || disturbs(&mut factory, &instruction, keeps) {
            return None;
        }
        at = instruction.next_ip();
    }
    None
}

fn disturbs(factory: &mut InstructionInfoFactory, instruction: &Instruction, keeps: Keeps) -> bool {
    let info = factory.info(instruction);
    let kept = match keeps {
        Keeps::Arguments => ARGUMENTS.as_slice(),
        Keeps::ReturnAddress => &[Register::RSP],
    };
    let register = info
        .used_registers()
        .iter()
        .any(|used| writes(used.access()) && kept.contains(&used.register().full_register()));
    let memory = info.used_memory().iter().any(|used| {
        let on_stack = used.base() == Register::RSP && used.index() == Register::None;
        writes(used.access()) && (keeps == Keeps::ReturnAddress || !on_stack)
    });
    register || memory
}

pub(super) fn writes(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
}

/// Could a jump lead to between the function's first instruction and the site? Yes, where that cannot be told.
fn is_jumped_into<R: Read + Seek>(code: &mut Code<R>, start: u64, size: u64, site: u64) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut blocks = vec![start];
    while let Some(block) = blocks.pop() {
        let mut at = block;
        let own = start..start + size;
        // Past its end lies what a call before it never returns to.
        while !(own.contains(&block) && at == own.end) && seen.insert(at) {
            let Some((instruction, _)) = code.instruction(at) else { return true };
            if seen.len() > FUNCTION_MAX {
                return true;
            }
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::IndirectCall | FlowControl::Interrupt => {}
                FlowControl::Call | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                    let Some(target) = target(&instruction) else {
                        // A system call.
                        at = instruction.next_ip();
                        continue;
                    };
                    if target > start && target <= site {
                        return true;
                    }
                    if instruction.flow_control() != FlowControl::Call {
                        blocks.push(target);
                    }
                    if instruction.flow_control() == FlowControl::UnconditionalBranch {
                        break;
                    }
                }
                FlowControl::Return | FlowControl::Exception => break,
                // By way of the table of another library's functions; anything else may be a switch.
                FlowControl::IndirectBranch if instruction.is_ip_rel_memory_operand() => break,
                FlowControl::IndirectBranch | FlowControl::XbeginXabortXend => return true,
            }
            at = instruction.next_ip();
        }
    }
    false
}

/// Where a direct jump or call leads.
pub(super) fn target(instruction: &Instruction) -> Option<u64> {
    (instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch64())
}

#[cfg(test)]
mod tests;
