//! Offsets of kernel structure members, from the BTF of the running kernel.
//!
//! rustc emits no CO-RE relocations, so the offsets are looked up here and handed to the probes as globals.
//! Format: Documentation/bpf/btf.rst of the kernel.

use std::collections::HashMap;
use std::path::Path;

use thiserror::Error;

/// What can be wrong with the kernel's BTF.
#[derive(Debug, Error)]
pub enum BtfError {
    /// It could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not BTF, or cut off.
    #[error("the kernel's type information is damaged at byte {0}")]
    Damaged(usize),
    /// A structure or member that the probes need is not there.
    #[error("this kernel has no {0}")]
    Missing(String),
}

/// Type kinds (`include/uapi/linux/btf.h`).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Anonymous structures within structures are entered this deep.
const NESTING_MAX: usize = 16;

/// The parsed type information.
pub struct KernelTypes {
    raw: Vec<u8>,
    /// Type number -> offset of its `struct btf_type`.
    types: Vec<usize>,
    strings: usize,
    /// Named structures and unions.
    by_name: HashMap<String, u32>,
}

impl KernelTypes {
    /// The running kernel's.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        Self::read(Path::new("/sys/kernel/btf/vmlinux"))
    }

    fn read(path: &Path) -> Result<Self, BtfError> {
        let raw = std::fs::read(path)
            .map_err(|source| BtfError::Read { path: path.display().to_string(), source })?;
        Self::parse(raw)
    }

    fn parse(raw: Vec<u8>) -> Result<Self, BtfError> {
        let mut this = Self { raw, types: vec![0], strings: 0, by_name: HashMap::new() };
        if this.raw.len() < 24 || this.raw[..2] != [0x9f, 0xeb] {
            return Err(BtfError::Damaged(0));
        }
        let header = this.word(4)? as usize;
        let (types, types_len, strings) =
            (this.word(8)? as usize, this.word(12)? as usize, this.word(16)? as usize);
        this.strings = header + strings;
        let (mut at, end) = (header + types, header + types + types_len);
        while at < end {
            let info = this.word(at + 4)?;
            let (members, kind) = ((info & 0xffff) as usize, (info >> 24) & 0x1f);
            if matches!(kind, kind::STRUCT | kind::UNION) {
                let name = this.string(this.word(at)?).to_owned();
                if !name.is_empty() {
                    let number = u32::try_from(this.types.len()).map_err(|_| BtfError::Damaged(at))?;
                    this.by_name.entry(name).or_insert(number);
                }
            }
            this.types.push(at);
            at += 12
                + match kind {
                    kind::INT | kind::VAR | kind::DECL_TAG => 4,
                    kind::ARRAY => 12,
                    kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * members,
                    kind::ENUM | kind::FUNC_PROTO => 8 * members,
                    _ => 0,
                };
        }
        Ok(this)
    }

    /// Byte offset of a member: `offset("sock", "__sk_common.skc_family")`. Anonymous members are looked through.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::Missing(format!("struct {structure} with a member {path}"));
        let mut number = *self.by_name.get(structure).ok_or_else(missing)?;
        let mut offset = 0;
        for member in path.split('.') {
            let (at, ty) = self.member(number, member, 0)?.ok_or_else(missing)?;
            offset += at;
            number = ty;
        }
        Ok(offset)
    }

    fn member(&self, number: u32, name: &str, depth: usize) -> Result<Option<(u32, u32)>, BtfError> {
        let at = self.types.get(number as usize).copied().ok_or(BtfError::Damaged(number as usize))?;
        let info = self.word(at + 4)?;
        if !matches!((info >> 24) & 0x1f, kind::STRUCT | kind::UNION) || depth > NESTING_MAX {
            return Ok(None);
        }
        // With the kind flag set, the upper byte of a member's offset is its bit-field size.
        let mask = if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
        for i in 0..(info & 0xffff) as usize {
            let member = at + 12 + 12 * i;
            let (member_name, bits) = (self.string(self.word(member)?), self.word(member + 8)? & mask);
            let ty = self.resolve(self.word(member + 4)?)?;
            if member_name == name {
                return Ok(Some((bits / 8, ty)));
            }
            if member_name.is_empty()
                && let Some((inner, ty)) = self.member(ty, name, depth + 1)?
            {
                return Ok(Some((bits / 8 + inner, ty)));
            }
        }
        Ok(None)
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut number: u32) -> Result<u32, BtfError> {
        for _ in 0..NESTING_MAX {
            let at = self.types.get(number as usize).copied().ok_or(BtfError::Damaged(number as usize))?;
            let kind = (self.word(at + 4)? >> 24) & 0x1f;
            if number == 0
                || !matches!(
                    kind,
                    kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
                )
            {
                return Ok(number);
            }
            number = self.word(at + 8)?;
        }
        Err(BtfError::Damaged(number as usize))
    }

    fn word(&self, at: usize) -> Result<u32, BtfError> {
        let bytes = self.raw.get(at..at + 4).ok_or(BtfError::Damaged(at))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn string(&self, offset: u32) -> &str {
        let bytes = self.raw.get(self.strings + offset as usize..).unwrap_or_default();
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(0);
        std::str::from_utf8(&bytes[..len]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_kernel_has_every_offset_the_probes_need() {
        let Ok(types) = KernelTypes::of_running_kernel() else {
            println!("skipped: this kernel has no BTF");
            return;
        };
        macro_rules! check {
            ($($name:ident = ($ty:literal, $path:literal);)*) => {
                $(types.offset($ty, $path).unwrap_or_else(|e| panic!("{}: {e}", stringify!($name)));)*
            };
        }
        apm_agent_ebpf::kernel_offsets!(check);
        assert_eq!(types.offset("pt_regs", "r10").unwrap(), 56);
        assert_eq!(types.offset("pt_regs", "di").unwrap(), 112);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let Ok(types) = KernelTypes::of_running_kernel() else {
            println!("skipped: this kernel has no BTF");
            return;
        };
        let error = types.offset("sock", "no_such_member").unwrap_err().to_string();
        assert_eq!(error, "this kernel has no struct sock with a member no_such_member");
    }

    #[test]
    fn garbage_is_refused() {
        assert!(KernelTypes::parse(vec![0; 100]).is_err());
        assert!(KernelTypes::parse(vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0]).is_err());
    }
}
