//! Where a register already holds what a function is going to return.
//!
//! A probe of the return costs two traps: one at the entry, which replaces the return address, and one when the function
//! comes back. Where the instructions prove that each way through the function passes just one emulated instruction at
//! which a known register holds the result, a probe there costs one.
//!
//! Optimised builds move rare parts of a function elsewhere: they are followed. And they let functions that do much the same go
//! on in one that they share, whose result they hand on: that one is probed in their place.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Seek};
use std::ops::Range;

use iced_x86::{
    ConditionCode, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::{Code, Extents, emulated, target, writes};

/// Instructions of a function that are looked at.
const FUNCTION_MAX: usize = 512;
/// Pieces of code that a function consists of, at most.
const PIECES_MAX: usize = 16;

/// Registers that a called function gives back as they were (System V ABI for AMD64, 3.2.1), but for the stack pointer.
pub(crate) const PRESERVED: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// An emulated instruction, and the register that holds the result before it is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// File offset of the instruction.
    pub(crate) site: u64,
    /// `rax`, or one of those that a called function gives back as they were.
    pub(crate) register: Register,
}

/// A function, and what may be one with it.
pub(crate) struct Function<'a> {
    /// File offset of its first instruction.
    pub(crate) start: u64,
    /// Bytes of its code.
    pub(crate) size: u64,
    /// The pieces of the file's code.
    pub(crate) extents: &'a Extents,
}

impl Function<'_> {
    fn own(&self) -> Option<Range<u64>> {
        Some(self.start..self.start.checked_add(self.size)?)
    }

    /// Functions whose result it hands on as it is: those that it jumps to, so that they return in its place, and those that it
    /// calls, if it neither looks into what they return nor passes it to anyone else. What such a function returns is complete:
    /// it is no mere piece of memory.
    pub(crate) fn hands_on<R: Read + Seek>(&self, code: &mut Code<R>) -> BTreeSet<u64> {
        let Some(flow) = Flow::of(code, self) else { return BTreeSet::new() };
        let mut found = flow.tails.clone();
        if let Some(ways) = flow.ways(self.start, &found)
            && flow.is_left_alone(&ways)
        {
            found.extend(ways.makers);
        }
        found
    }

    /// Its sites, in its own code: each call that returns something passes just one, and no site is passed twice, but for calls
    /// that return the result of one of `shared`, which has sites of its own. A call that returns 0 may pass one with any value
    /// in the register. `None` where that is not proven.
    pub(crate) fn held<R: Read + Seek>(
        &self,
        code: &mut Code<R>,
        shared: &BTreeSet<u64>,
    ) -> Option<Vec<Held>> {
        let flow = Flow::of(code, self)?;
        let ways = flow.ways(self.start, shared)?;
        if ways.made.is_empty() {
            // Either it returns nothing but 0, which is nothing to rely on, or what others return.
            return ways.is_shared.then(Vec::new);
        }
        let own = self.own()?;
        // Where ways meet, one of the two may meet them in the one place that the other finds in several.
        let last = flow.first(&ways.returned, &ways.from, &ways.made);
        let sites = [last, flow.first(&ways.made, &ways.then, &ways.returned)].into_iter().flatten().find(
            |sites| {
                let fits = |site| own.contains(&site) && !flow.leads_from_to(site, sites);
                !sites.is_empty() && sites.iter().all(|&(site, _)| fits(site))
            },
        )?;
        Some(sites.into_iter().map(|(site, register)| Held { site, register }).collect())
    }

    /// Its `ret` instructions, at which `rax` holds the result, whatever it is. They are stepped over, with a second trap. `None` where
    /// it may leave in another way.
    pub(crate) fn returns<R: Read + Seek>(&self, code: &mut Code<R>) -> Option<Vec<Held>> {
        let flow = Flow::of(code, self)?;
        let returns = flow.instructions.iter().filter(|(_, (i, _))| i.flow_control() == FlowControl::Return);
        let sites: Vec<Held> = returns.map(|(&site, _)| Held { site, register: Register::RAX }).collect();
        (flow.tails.is_empty() && !sites.is_empty()).then_some(sites)
    }
}

/// Which instruction follows which, in one function.
#[derive(Default)]
struct Flow {
    instructions: BTreeMap<u64, (Instruction, bool)>,
    after: BTreeMap<u64, Vec<u64>>,
    before: BTreeMap<u64, Vec<u64>>,
    /// Other pieces whose first instruction it jumps to, and not only on a condition.
    tails: BTreeSet<u64>,
}

impl Flow {
    /// `None` where the function leaves its pieces but by returning, or does so in a way that cannot be told.
    fn of<R: Read + Seek>(code: &mut Code<R>, function: &Function<'_>) -> Option<Self> {
        let own = function.own()?;
        let mut flow = Self::default();
        let mut ways = vec![own.start];
        let mut pieces = vec![own];
        while let Some(at) = ways.pop() {
            if flow.instructions.contains_key(&at) {
                continue;
            }
            if flow.instructions.len() >= FUNCTION_MAX {
                return None;
            }
            let piece = pieces.iter().find(|piece| piece.contains(&at))?.clone();
            let (instruction, bytes) = code.instruction(at)?;
            flow.instructions.insert(at, (instruction, emulated(bytes.as_slice())));
            let next = instruction.next_ip();
            let jump = match instruction.flow_control() {
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                    Some(target(&instruction)?)
                }
                _ => None,
            };
            if let Some(to) = jump
                && !pieces.iter().any(|piece| piece.contains(&to))
            {
                let other = function.extents.around(to)?;
                if other.start == to && instruction.flow_control() == FlowControl::UnconditionalBranch {
                    flow.tails.insert(to);
                    continue;
                }
                if pieces.len() >= PIECES_MAX {
                    return None;
                }
                pieces.push(other);
            }
            let after = match instruction.flow_control() {
                FlowControl::Next => vec![next],
                // What stands last calls a function that does not return.
                FlowControl::Call | FlowControl::IndirectCall if next == piece.end => vec![],
                FlowControl::Call | FlowControl::IndirectCall => vec![next],
                FlowControl::ConditionalBranch => vec![next, jump?],
                FlowControl::UnconditionalBranch => vec![jump?],
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

    /// The emulated instructions that are met first on the ways from these places on, each with the register that holds the
    /// result there. `None` where a way leads to one of `ends` without.
    fn first(
        &self,
        from: &BTreeSet<Place>,
        next: &BTreeMap<Place, Vec<Place>>,
        ends: &BTreeSet<Place>,
    ) -> Option<BTreeSet<Place>> {
        let mut factory = InstructionInfoFactory::new();
        let mut sites = BTreeSet::new();
        let mut ways: Vec<Place> = from.iter().copied().collect();
        let mut seen: HashSet<Place> = HashSet::new();
        while let Some(place) = ways.pop() {
            let (at, register) = place;
            if !seen.insert(place) {
                continue;
            }
            let (_, emulated) = self.instructions.get(&at)?;
            if *emulated {
                if !self.is_zero(&mut factory, at, register) {
                    sites.insert(place);
                }
            } else if ends.contains(&place) {
                return None;
            } else {
                ways.extend(next.get(&place).into_iter().flatten());
            }
        }
        Some(sites)
    }

    /// All ways of the result, from where it is made to where it is returned; what one of `shared` returns is left out. `None`
    /// where it may be what another function returns.
    fn ways(&self, start: u64, shared: &BTreeSet<u64>) -> Option<Ways> {
        if !self.tails.is_subset(shared) {
            return None;
        }
        let mut factory = InstructionInfoFactory::new();
        let mut ways = Ways {
            made: BTreeSet::new(),
            makers: BTreeSet::new(),
            is_called: true,
            is_shared: !self.tails.is_empty(),
            returned: BTreeSet::new(),
            then: BTreeMap::new(),
            from: BTreeMap::new(),
        };
        let returns = self.instructions.iter().filter(|(_, (i, _))| i.flow_control() == FlowControl::Return);
        ways.returned.extend(returns.map(|(&at, _)| (at, Register::RAX)));
        let mut known: Vec<Place> = ways.returned.iter().copied().collect();
        let mut seen: HashSet<Place> = HashSet::new();
        while let Some(place) = known.pop() {
            let (at, register) = place;
            if !seen.insert(place) {
                continue;
            }
            if at == start {
                // It is what the caller left there.
                return None;
            }
            for &before in self.before.get(&at)? {
                if self.is_tested_zero(&mut factory, before, at, register) {
                    continue;
                }
                let (instruction, _) = self.instructions.get(&before)?;
                match step(&mut factory, instruction, register) {
                    None => match called(instruction) {
                        Some(function) if shared.contains(&function) => ways.is_shared = true,
                        maker => {
                            ways.made.insert(place);
                            ways.makers.extend(maker);
                            ways.is_called &= maker.is_some();
                        }
                    },
                    Some(Before::Zero) => {}
                    Some(Before::In(earlier)) => {
                        let before = (before, earlier);
                        ways.then.entry(before).or_default().push(place);
                        ways.from.entry(place).or_default().push(before);
                        known.push(before);
                    }
                }
            }
        }
        Some(ways)
    }

    /// Is the result of the functions that make it handed on without a look into it, and given to no one else on the way?
    fn is_left_alone(&self, ways: &Ways) -> bool {
        let mut factory = InstructionInfoFactory::new();
        let mut touches = |&(at, register): &Place| {
            let Some((instruction, _)) = self.instructions.get(&at) else { return true };
            let returns = instruction.flow_control() == FlowControl::Return;
            let tests = instruction.mnemonic() == Mnemonic::Test
                && instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register();
            let next = ways.then.get(&(at, register)).map(Vec::as_slice).unwrap_or_default();
            let moves = next.iter().any(|&(_, to)| to != register);
            let reads = factory.info(instruction).used_registers().iter().any(|used| {
                used.register().full_register() == register
                    && !matches!(used.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::None)
            });
            reads && !returns && !tests && !moves
        };
        let places = ways.made.iter().chain(ways.then.keys());
        ways.is_called && !places.into_iter().any(&mut touches)
    }

    /// Is the register 0 before the instruction at this place? Only the one way that leads there is looked back on, as far as
    /// it is the only one.
    fn is_zero(&self, factory: &mut InstructionInfoFactory, mut at: u64, mut register: Register) -> bool {
        for _ in 0..FUNCTION_MAX {
            let Some([before]) = self.before.get(&at).map(Vec::as_slice) else { return false };
            let Some((instruction, _)) = self.instructions.get(before) else { return false };
            if self.is_tested_zero(factory, *before, at, register) {
                return true;
            }
            match step(factory, instruction, register) {
                Some(Before::In(earlier)) => (at, register) = (*before, earlier),
                Some(Before::Zero) => return true,
                None => return false,
            }
        }
        false
    }

    /// Is the register 0 on the way from the jump at `jump` to `to`, as that way is taken where a test has found it, or what it
    /// is a copy of, to be 0?
    fn is_tested_zero(
        &self,
        factory: &mut InstructionInfoFactory,
        jump: u64,
        to: u64,
        register: Register,
    ) -> bool {
        let sole = |at: u64| match self.before.get(&at).map(Vec::as_slice) {
            Some(&[before]) => self.instructions.get(&before).map(|(instruction, _)| (before, instruction)),
            _ => None,
        };
        let Some((jump, _)) = self.instructions.get(&jump) else { return false };
        if jump.flow_control() != FlowControl::ConditionalBranch {
            return false;
        }
        let (next, far) = (jump.next_ip(), target(jump));
        let on_zero = match jump.condition_code() {
            ConditionCode::e => far == Some(to) && next != to,
            ConditionCode::ne => next == to && far != Some(to),
            _ => false,
        };
        let Some((at, test)) = sole(jump.ip()).filter(|_| on_zero) else { return false };
        let tested = test.op0_register();
        if test.mnemonic() != Mnemonic::Test || tested != test.op1_register() || !tested.is_gpr64() {
            return false;
        }
        // `mov %rax,%rbx; test %rax,%rax`, or the other way round.
        tested == register
            || sole(at).is_some_and(|(_, copy)| {
                let (to, from) = (copy.op0_register(), copy.op1_register());
                let is_copy =
                    matches!(step(factory, copy, to), Some(Before::In(of)) if of == from && of != to);
                is_copy && [(to, from), (from, to)].contains(&(register, tested))
            })
    }

    /// Does a way lead from behind this site to any?
    fn leads_from_to(&self, site: u64, sites: &BTreeSet<Place>) -> bool {
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

/// The place of an instruction, and the register that holds the result before it.
type Place = (u64, Register);

/// How the result comes to be returned.
struct Ways {
    /// Behind what makes it.
    made: BTreeSet<Place>,
    /// Functions that make it.
    makers: BTreeSet<u64>,
    /// Nothing else does.
    is_called: bool,
    /// One of those whose result is left out may make it, too.
    is_shared: bool,
    /// At the returns.
    returned: BTreeSet<Place>,
    /// What comes next.
    then: BTreeMap<Place, Vec<Place>>,
    /// What came before.
    from: BTreeMap<Place, Vec<Place>>,
}

/// The function that an instruction calls, if it says which.
fn called(instruction: &Instruction) -> Option<u64> {
    (instruction.flow_control() == FlowControl::Call).then(|| target(instruction)).flatten()
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
