//! Where a register already holds what a function is going to return.
//!
//! A probe of the return costs two traps: one at the entry, which replaces the return address, and one when the function
//! comes back. Where the instructions prove that each way through the function passes just one emulated instruction at
//! which a known register holds the result, a probe there costs one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Seek};
use std::ops::Range;

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::{Code, emulated, target, writes};

/// Instructions of a function that are looked at.
const FUNCTION_MAX: usize = 512;

/// Registers that a called function gives back as they were (System V ABI for AMD64, 3.2.1), but for the stack pointer.
const PRESERVED: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// An emulated instruction, and the register that holds the result before it is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// File offset of the instruction.
    pub(crate) site: u64,
    /// `rax`, or one of those that a called function gives back as they were.
    pub(crate) register: Register,
}

/// The sites of the function at file offset `start`, of `size` bytes: each call that returns something passes just one, and
/// no site is passed twice. A call that returns 0 may pass one with any value in the register. `None` where that is not
/// proven.
pub(crate) fn held<R: Read + Seek>(code: &mut Code<R>, start: u64, size: u64) -> Option<Vec<Held>> {
    let flow = Flow::of(code, start..start.checked_add(size)?)?;
    let sites = flow.backwards(start)?;
    let apart = sites.iter().all(|&(site, _)| !flow.leads_from_to(site, &sites));
    let held = sites.iter().map(|&(site, register)| Held { site, register });
    (apart && !sites.is_empty()).then(|| held.collect())
}

/// Which instruction follows which, in one function.
struct Flow {
    instructions: BTreeMap<u64, (Instruction, bool)>,
    after: BTreeMap<u64, Vec<u64>>,
    before: BTreeMap<u64, Vec<u64>>,
}

impl Flow {
    /// `None` where the function leaves its own bytes but by returning, or does so in a way that cannot be told.
    fn of<R: Read + Seek>(code: &mut Code<R>, own: Range<u64>) -> Option<Self> {
        let mut flow =
            Self { instructions: BTreeMap::new(), after: BTreeMap::new(), before: BTreeMap::new() };
        let mut ways = vec![own.start];
        while let Some(at) = ways.pop() {
            if flow.instructions.contains_key(&at) {
                continue;
            }
            if !own.contains(&at) || flow.instructions.len() >= FUNCTION_MAX {
                return None;
            }
            let (instruction, bytes) = code.instruction(at)?;
            flow.instructions.insert(at, (instruction, emulated(bytes.as_slice())));
            let next = instruction.next_ip();
            let after = match instruction.flow_control() {
                FlowControl::Next => vec![next],
                // What stands last calls a function that does not return.
                FlowControl::Call | FlowControl::IndirectCall if next == own.end => vec![],
                FlowControl::Call | FlowControl::IndirectCall => vec![next],
                FlowControl::ConditionalBranch => vec![next, target(&instruction)?],
                FlowControl::UnconditionalBranch => vec![target(&instruction)?],
                FlowControl::Return | FlowControl::Exception => vec![],
                FlowControl::IndirectBranch | FlowControl::Interrupt | FlowControl::XbeginXabortXend => {
                    return None;
                }
            };
            for &next in &after {
                flow.before.entry(next).or_default().push(at);
            }
            ways.extend(&after);
            flow.after.insert(at, after);
        }
        Some(flow)
    }

    /// From each return back to the first emulated instruction on each way to it, with the register that holds the result
    /// there.
    fn backwards(&self, start: u64) -> Option<BTreeSet<(u64, Register)>> {
        let mut factory = InstructionInfoFactory::new();
        let mut sites = BTreeSet::new();
        let returns = self.instructions.iter().filter(|(_, (i, _))| i.flow_control() == FlowControl::Return);
        // Before the instruction at this place, this register holds the result.
        let mut known: Vec<(u64, Register)> = returns.map(|(&at, _)| (at, Register::RAX)).collect();
        let mut seen: HashSet<(u64, Register)> = HashSet::new();
        while let Some((at, register)) = known.pop() {
            if !seen.insert((at, register)) {
                continue;
            }
            if at == start {
                // It is what the caller left there, and no site lies on the way.
                return None;
            }
            for &before in self.before.get(&at)? {
                let (instruction, emulated) = self.instructions.get(&before)?;
                match step(&mut factory, instruction, register)? {
                    Before::Zero => {}
                    Before::In(register) if *emulated => {
                        if !self.is_zero(&mut factory, before, register) {
                            sites.insert((before, register));
                        }
                    }
                    Before::In(register) => known.push((before, register)),
                }
            }
        }
        Some(sites)
    }

    /// Is the register 0 before the instruction at this place? Only the one way that leads there is looked back on, as far as
    /// it is the only one.
    fn is_zero(&self, factory: &mut InstructionInfoFactory, mut at: u64, mut register: Register) -> bool {
        for _ in 0..FUNCTION_MAX {
            let Some([before]) = self.before.get(&at).map(Vec::as_slice) else { return false };
            let Some((instruction, _)) = self.instructions.get(before) else { return false };
            match step(factory, instruction, register) {
                Some(Before::In(earlier)) => (at, register) = (*before, earlier),
                Some(Before::Zero) => return true,
                None => return false,
            }
        }
        false
    }

    /// Does a way lead from behind this site to any?
    fn leads_from_to(&self, site: u64, sites: &BTreeSet<(u64, Register)>) -> bool {
        let mut seen: HashSet<u64> = HashSet::new();
        let mut ways = self.after.get(&site).cloned().unwrap_or_default();
        while let Some(at) = ways.pop() {
            if sites.iter().any(|(site, _)| *site == at) {
                return true;
            }
            if seen.insert(at) {
                ways.extend(self.after.get(&at).into_iter().flatten());
            }
        }
        false
    }
}

/// Where what a register holds after an instruction was before it.
enum Before {
    In(Register),
    /// Nowhere: it is 0.
    Zero,
}

/// `None` where the instruction makes the value.
fn step(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    register: Register,
) -> Option<Before> {
    if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
        return PRESERVED.contains(&register).then_some(Before::In(register));
    }
    let changed = factory
        .info(instruction)
        .used_registers()
        .iter()
        .any(|used| writes(used.access()) && used.register().full_register() == register);
    if !changed {
        return Some(Before::In(register));
    }
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    if to.full_register() != register {
        return None;
    }
    let zero = match instruction.mnemonic() {
        Mnemonic::Xor => instruction.op1_kind() == OpKind::Register && to == from && to.size() >= 4,
        Mnemonic::Mov => instruction.op1_kind() == OpKind::Immediate32 && instruction.immediate32() == 0,
        _ => false,
    };
    if zero {
        return Some(Before::Zero);
    }
    let copied = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op1_kind() == OpKind::Register
        && to.is_gpr64()
        && from.is_gpr64();
    let followed = from == Register::RAX || PRESERVED.contains(&from);
    (copied && followed).then_some(Before::In(from))
}

#[cfg(test)]
mod tests;
