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

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// No way leads here.
    Nothing,
    Unknown,
    /// The first argument: the stream.
    Stream,
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
    let mut now = Registers([Holds::Unknown; 16]);
    now.0[Register::RDI.number()] = Holds::Stream;
    // What the registers hold where jumps further back lead to.
    let mut jumps: HashMap<u64, Registers> = HashMap::new();
    for instruction in instructions(code, piece) {
        if let Some(then) = jumps.remove(&instruction.ip()) {
            now.meet(&then);
        }
        if let (OpKind::Memory, Holds::Function(at)) = (instruction.op0_kind(), now.moved(&instruction)) {
            found.push((at, instruction.memory_displacement64()));
        }
        now.run(factory, &instruction, methods);
        let flow = instruction.flow_control();
        if let FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch = flow
            && let Some(target) = target(&instruction)
        {
            jumps.entry(target).and_modify(|then| then.meet(&now)).or_insert_with(|| now.clone());
        }
        if let FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return = flow {
            now = Registers([Holds::Nothing; 16]);
        }
    }
    found
}

/// What the general registers hold, by their numbers.
#[derive(Clone)]
struct Registers([Holds; 16]);

impl Registers {
    /// Another way leads here, too.
    fn meet(&mut self, other: &Self) {
        for (here, there) in self.0.iter_mut().zip(&other.0) {
            *here = match (*here, *there) {
                (Holds::Nothing, holds) | (holds, Holds::Nothing) => holds,
                (here, there) if here == there => here,
                _ => Holds::Unknown,
            };
        }
    }

    /// What `mov` from a register moves.
    fn moved(&self, instruction: &Instruction) -> Holds {
        let from = instruction.op1_register();
        let moves = instruction.mnemonic() == Mnemonic::Mov && from.is_gpr64();
        if moves { self.0[from.number()] } else { Holds::Unknown }
    }

    fn run(&mut self, factory: &mut InstructionInfoFactory, instruction: &Instruction, methods: &SslMethods) {
        let result = match load(instruction) {
            Some((base, at)) => match self.0[base.number()] {
                Holds::Stream if at == methods.method_at => Holds::Table,
                Holds::Table if at == methods.accept_at || at == methods.accept_at + 8 => Holds::Function(at),
                _ => Holds::Unknown,
            },
            None => self.moved(instruction),
        };
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            for register in (0..self.0.len()).filter(|&i| PRESERVED.iter().all(|kept| kept.number() != i)) {
                self.0[register] = Holds::Unknown;
            }
        }
        for used in factory.info(instruction).used_registers() {
            let register = used.register().full_register();
            if register.is_gpr64() && writes(used.access()) {
                self.0[register.number()] = Holds::Unknown;
            }
        }
        if instruction.mnemonic() == Mnemonic::Mov && instruction.op0_register().is_gpr64() {
            self.0[instruction.op0_register().number()] = result;
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
    let is_one = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_register().is_gpr64()
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() == Register::None
        && instruction.memory_base().is_gpr64();
    is_one.then(|| (instruction.memory_base(), instruction.memory_displacement64()))
}
