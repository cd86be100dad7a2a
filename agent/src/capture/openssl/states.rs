//! The functions by which a stream becomes a server's or a client's, in an OpenSSL of which no symbol tells.
//!
//! SSL_set_accept_state(3) copies `ssl_accept` from the stream's table of functions to its `handshake_func`, SSL_set_connect_state(3)
//! `ssl_connect`, and no other function does that but those that call these. Four fields before that one are the stream's BIOs
//! (`rbio`, `wbio`, `bbio` and `rwstate` precede it in OpenSSL's `ssl/ssl_local.h` from 1.1.0 to 4.0).

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Seek};
use std::ops::Range;

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use crate::capture::sites::{Code, Extents, PRESERVED, target, writes};
use crate::process::SslMethods;

/// Bytes of the longest function that is looked at; with OpenSSL 3.5 they have 160.
const BYTES_MAX: u64 = 512;
/// From `rbio` to `handshake_func`.
const HANDSHAKE_AFTER_BIOS: u64 = 32;

/// Where a stream's role is set; places are file offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct States {
    /// `SSL_set_accept_state`
    pub(crate) accepts: u64,
    /// `SSL_set_connect_state`
    pub(crate) connects: u64,
    /// Offset of the BIO that a stream reads from.
    pub(crate) bios: u64,
}

/// What a register, or a place on the stack, holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Unknown,
    /// The first argument, the stream, and as many bytes more.
    Stream(u64),
    /// The stream's table.
    Table,
    /// The table's function at this offset.
    Function(u64),
}

/// The functions of the file's code that are that. A compiler may have put the body of one into others (Clang: into SSL_accept(3));
/// these are longer, then.
pub(crate) fn states<R: Read + Seek>(
    methods: &SslMethods,
    code: &mut Code<R>,
    extents: &Extents,
) -> Option<States> {
    let mut factory = InstructionInfoFactory::new();
    let mut found = Vec::new();
    for piece in extents.pieces().filter(|piece| piece.end - piece.start <= BYTES_MAX) {
        let copies = copies(methods, code, &mut factory, piece.clone());
        found.extend(copies.into_iter().map(|(from, to)| (from, to, piece.clone())));
    }
    // Other code may copy something from such a place; but not from both to the same one.
    let copied = |from: u64, to: u64| found.iter().filter(move |found| (found.0, found.1) == (from, to));
    let (accept_at, connect_at) = (methods.accept_at, methods.accept_at + 8);
    let both: BTreeSet<u64> =
        copies_to(&found, accept_at).filter(|to| copied(connect_at, *to).next().is_some()).collect();
    let [to] = both.into_iter().collect::<Vec<_>>()[..] else { return None };
    let shortest = |from: u64| {
        let mut pieces: Vec<_> = copied(from, to).map(|(.., piece)| piece).collect();
        pieces.sort_by_key(|piece| piece.end - piece.start);
        match pieces.as_slice() {
            [only] => Some(only.start),
            [first, second, ..] if first.end - first.start < second.end - second.start => Some(first.start),
            _ => None,
        }
    };
    let (accepts, connects) = (shortest(accept_at)?, shortest(connect_at)?);
    let bios = to.checked_sub(HANDSHAKE_AFTER_BIOS)?;
    (accepts != connects).then_some(States { accepts, connects, bios })
}

/// Where a function of this offset in the table is copied to, by any of the pieces.
fn copies_to(found: &[(u64, u64, Range<u64>)], from: u64) -> impl Iterator<Item = u64> {
    found.iter().filter(move |found| found.0 == from).map(|found| found.1)
}

/// Functions that the code of this piece copies from the table of the stream that it is given, by their offsets there, and the
/// offsets that they are copied to.
fn copies<R: Read + Seek>(
    methods: &SslMethods,
    code: &mut Code<R>,
    factory: &mut InstructionInfoFactory,
    piece: Range<u64>,
) -> Vec<(u64, u64)> {
    let wanted = [methods.accept_at, methods.accept_at + 8];
    let mut found = Vec::new();
    // Most code never loads from such an offset, which is soon seen.
    if !instructions(code, piece.clone()).any(|next| load(&next).is_some_and(|(_, at)| wanted.contains(&at)))
    {
        return found;
    }
    let mut now = Some(Held::of_entry());
    // What is held where jumps further back lead to.
    let mut jumps: HashMap<u64, Held> = HashMap::new();
    for instruction in instructions(code, piece) {
        match (now.as_mut(), jumps.remove(&instruction.ip())) {
            (Some(held), Some(jumped)) => held.meet(&jumped),
            (None, Some(jumped)) => now = Some(jumped),
            (_, None) => {}
        }
        // Otherwise no way leads here.
        let Some(held) = now.as_mut() else { continue };
        found.extend(held.copied(&instruction));
        held.run(factory, &instruction, methods);
        let flow = instruction.flow_control();
        if let FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch = flow
            && let Some(target) = target(&instruction)
        {
            jumps.entry(target).and_modify(|then| then.meet(held)).or_insert_with(|| held.clone());
        }
        if let FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return = flow {
            now = None;
        }
    }
    found
}

/// What is held at an instruction, as far as it is known.
#[derive(Clone)]
struct Held {
    /// By the general registers' numbers.
    registers: [Holds; 16],
    /// On the stack, by the register and the offset that it is found with.
    stack: HashMap<(Register, u64), Holds>,
}

impl Held {
    fn of_entry() -> Self {
        let mut registers = [Holds::Unknown; 16];
        registers[Register::RDI.number()] = Holds::Stream(0);
        Self { registers, stack: HashMap::new() }
    }

    /// Another way leads here, too.
    fn meet(&mut self, other: &Self) {
        for (here, there) in self.registers.iter_mut().zip(&other.registers) {
            if here != there {
                *here = Holds::Unknown;
            }
        }
        self.stack.retain(|place, here| other.stack.get(place) == Some(here));
    }

    /// What `mov` from a register moves.
    fn moved(&self, instruction: &Instruction) -> Holds {
        let from = instruction.op1_register();
        let moves = instruction.mnemonic() == Mnemonic::Mov && from.is_gpr64();
        if moves { self.registers[from.number()] } else { Holds::Unknown }
    }

    /// The function that the instruction copies to the stream, by its offset in the table, and where to.
    fn copied(&self, instruction: &Instruction) -> Option<(u64, u64)> {
        let Holds::Function(from) = self.moved(instruction) else { return None };
        let (base, at) = place(instruction, 0)?;
        match self.registers[base.number()] {
            Holds::Stream(more) => Some((from, more.wrapping_add(at))),
            _ => None,
        }
    }

    /// What the instruction leaves in the register that it writes first.
    fn result(&self, instruction: &Instruction, methods: &SslMethods) -> Holds {
        if let Some((base, at)) = load(instruction) {
            return match self.registers[base.number()] {
                Holds::Stream(more) if more.wrapping_add(at) == methods.method_at => Holds::Table,
                Holds::Table if at == methods.accept_at || at == methods.accept_at + 8 => Holds::Function(at),
                _ => self.stack.get(&(base, at)).copied().unwrap_or(Holds::Unknown),
            };
        }
        let to = instruction.op0_register();
        match instruction.mnemonic() {
            Mnemonic::Mov => self.moved(instruction),
            Mnemonic::Lea if instruction.memory_index() == Register::None => {
                let base = instruction.memory_base();
                let more = instruction.memory_displacement64();
                if base.is_gpr64() { self.registers[base.number()].and(more) } else { Holds::Unknown }
            }
            Mnemonic::Add if to.is_gpr64() => match instruction.try_immediate(1) {
                Ok(more) => self.registers[to.number()].and(more),
                Err(_) => Holds::Unknown,
            },
            Mnemonic::Sub if to.is_gpr64() => match instruction.try_immediate(1) {
                Ok(less) => self.registers[to.number()].and(less.wrapping_neg()),
                Err(_) => Holds::Unknown,
            },
            _ => Holds::Unknown,
        }
    }

    fn run(&mut self, factory: &mut InstructionInfoFactory, instruction: &Instruction, methods: &SslMethods) {
        let result = self.result(instruction, methods);
        let kept = place(instruction, 0).filter(|(base, _)| [Register::RSP, Register::RBP].contains(base));
        let moved = self.moved(instruction);
        let calls = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
        if calls {
            for register in
                (0..self.registers.len()).filter(|&i| PRESERVED.iter().all(|kept| kept.number() != i))
            {
                self.registers[register] = Holds::Unknown;
            }
        }
        for used in factory.info(instruction).used_registers() {
            let register = used.register().full_register();
            if register.is_gpr64() && writes(used.access()) {
                self.registers[register.number()] = Holds::Unknown;
                // A call gives the stack pointer back as it was.
                if !calls {
                    self.stack.retain(|(base, _), _| *base != register);
                }
            }
        }
        if let Some(place) = kept {
            self.stack.insert(place, moved);
        }
        let to = instruction.op0_register();
        if result != Holds::Unknown && to.is_gpr64() {
            self.registers[to.number()] = result;
        }
    }
}

impl Holds {
    /// That, and as many bytes more.
    fn and(self, more: u64) -> Self {
        match self {
            Self::Stream(before) => Self::Stream(before.wrapping_add(more)),
            _ => Self::Unknown,
        }
    }
}

fn instructions<R: Read + Seek>(code: &mut Code<R>, piece: Range<u64>) -> impl Iterator<Item = Instruction> {
    let mut at = piece.start;
    std::iter::from_fn(move || {
        let (instruction, _) = (at < piece.end).then(|| code.instruction(at))??;
        at = instruction.next_ip();
        Some(instruction)
    })
}

/// Base and offset of what `mov offset(base),register` loads.
fn load(instruction: &Instruction) -> Option<(Register, u64)> {
    let loads = instruction.mnemonic() == Mnemonic::Mov && instruction.op0_register().is_gpr64();
    loads.then(|| place(instruction, 1)).flatten()
}

/// Base and offset of the memory that is an instruction's operand of this number, if it has no more than these.
fn place(instruction: &Instruction, operand: u32) -> Option<(Register, u64)> {
    let is_one = instruction.op_kind(operand) == OpKind::Memory
        && instruction.memory_index() == Register::None
        && instruction.memory_base().is_gpr64();
    is_one.then(|| (instruction.memory_base(), instruction.memory_displacement64()))
}
