//! The function that does the work of another one, which only hands its arguments on.
//!
//! OpenSSL's `SSL_read_ex` and `SSL_write_ex` are a few instructions around a call of an inner function, of which GCC
//! makes `sub $8,%rsp; call inner; clamp; ret`: nothing to put a return probe on that is not single-stepped. The inner
//! function begins with a `push`, takes the same arguments and gives back the same but for its negative results, which
//! become 0. Where the instructions prove that, the inner one is probed in its place.

use std::io::{Read, Seek};

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::{Code, ENTRY_MAX, Keeps, disturbs, target, writes};

/// The function that the one at `start` calls first and but once, with the same arguments, and whose result it returns:
/// as it is or, if negative, 0.
pub(crate) fn inner<R: Read + Seek>(code: &mut Code<R>, start: u64) -> Option<u64> {
    let mut factory = InstructionInfoFactory::new();
    let mut at = start;
    for _ in 0..ENTRY_MAX {
        let (instruction, _) = code.instruction(at)?;
        match instruction.flow_control() {
            FlowControl::Call => {
                let inner = target(&instruction)?;
                return returns_result(code, &mut factory, instruction.next_ip()).then_some(inner);
            }
            FlowControl::Next if !disturbs(&mut factory, &instruction, Keeps::Arguments) => {
                at = instruction.next_ip();
            }
            _ => return None,
        }
    }
    None
}

/// Does the function at `start` call one of `callees` in any case, but where its third argument is negative (an error,
/// SSL_read(3)), with its own first two arguments?
pub(crate) fn leads_to<R: Read + Seek>(code: &mut Code<R>, start: u64, callees: &[u64]) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let mut at = start;
    let mut tested = false;
    for _ in 0..ENTRY_MAX {
        let Some((instruction, _)) = code.instruction(at) else { return false };
        match instruction.flow_control() {
            FlowControl::Next if !writes_any(&mut factory, &instruction, &[Register::RDI, Register::RSI]) => {
                tested = is_test_of(&instruction, Register::EDX);
            }
            FlowControl::ConditionalBranch if tested && instruction.mnemonic() == Mnemonic::Js => {
                tested = false;
            }
            FlowControl::Call | FlowControl::UnconditionalBranch => {
                return target(&instruction).is_some_and(|target| callees.contains(&target));
            }
            _ => return false,
        }
        at = instruction.next_ip();
    }
    false
}

/// From here on, is all that happens to `eax` before the function returns that a negative value becomes 0?
fn returns_result<R: Read + Seek>(
    code: &mut Code<R>,
    factory: &mut InstructionInfoFactory,
    start: u64,
) -> bool {
    let mut zero: Vec<Register> = Vec::new();
    // The flags tell whether `eax` is negative.
    let mut tested = false;
    let mut at = start;
    for _ in 0..ENTRY_MAX {
        let Some((instruction, _)) = code.instruction(at) else { return false };
        match instruction.flow_control() {
            FlowControl::Return => return true,
            FlowControl::Next => {}
            _ => return false,
        }
        if factory.info(&instruction).used_memory().iter().any(|used| writes(used.access())) {
            return false;
        }
        let clamps = instruction.mnemonic() == Mnemonic::Cmovs
            && tested
            && instruction.op0_register() == Register::EAX
            && instruction.op1_kind() == OpKind::Register
            && zero.contains(&instruction.op1_register().full_register());
        if !clamps && writes_any(factory, &instruction, &[Register::RAX]) {
            return false;
        }
        if is_test_of(&instruction, Register::EAX) {
            tested = true;
        } else if instruction.rflags_modified() != 0 {
            tested = false;
        }
        let zeroed = zeroes(&instruction);
        zero.retain(|register| !writes_any(factory, &instruction, &[*register]));
        zero.extend(zeroed);
        at = instruction.next_ip();
    }
    false
}

fn writes_any(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    registers: &[Register],
) -> bool {
    let used = factory.info(instruction).used_registers();
    used.iter().any(|used| writes(used.access()) && registers.contains(&used.register().full_register()))
}

/// `test r,r`
fn is_test_of(instruction: &Instruction, register: Register) -> bool {
    instruction.mnemonic() == Mnemonic::Test
        && instruction.op0_register() == register
        && instruction.op1_register() == register
}

/// The register that becomes 0: `xor r,r` or `mov $0,r`, of 32 bits.
fn zeroes(instruction: &Instruction) -> Option<Register> {
    let register = instruction.op0_register();
    let is_zero = match instruction.mnemonic() {
        Mnemonic::Xor => instruction.op1_register() == register,
        Mnemonic::Mov => instruction.op1_kind() == OpKind::Immediate32 && instruction.immediate32() == 0,
        _ => false,
    };
    (is_zero && register.is_gpr32()).then(|| register.full_register())
}
