//! Reading CPython's objects from outside: code objects, classes, strings.
//!
//! What is read may be gone or something else by now, so every object's type is looked at before it is believed.

use super::memory::Memory;
use crate::process::PythonVersion;
use apm_agent_ebpf::{LOCALS_MAX, Raising, Stacks, frame_shape};

/// Offsets of what describes code and exceptions, one row a minor version, in bytes; from CPython's headers, compared
/// with what `ctypes` sees in each version.
#[derive(Clone, Copy, Debug)]
pub struct ObjectLayout {
    /// 3.`minor`
    pub minor: u8,
    /// What the probes need to read exceptions.
    pub raising: Raising,
    /// What the probes need to walk frames.
    pub stacks: Stacks,
    /// `co_filename`; `co_name` follows.
    file: u64,
    /// `co_qualname`; 0 where there is none.
    qualified: u64,
    /// `co_linetable`, up to 3.9 `co_lnotab`.
    lines: u64,
    /// `PyHeapTypeObject.ht_qualname`
    class_name: u64,
}

/// `PyObject.ob_type`, `PyVarObject.ob_size`, `PyBytesObject.ob_sval`, in every version.
const TYPE: u64 = 8;
const SIZE: u64 = 16;
const BYTES: u64 = 32;
/// `PyTypeObject`: `tp_name`, `tp_flags`, `tp_base`, `tp_dict`, in every version.
const TYPE_NAME: u64 = 24;
const TYPE_FLAGS: u64 = 168;
const TYPE_BASE: u64 = 256;
const TYPE_DICT: u64 = 264;
/// `Py_TPFLAGS_HEAPTYPE`
const IS_HEAP_TYPE: u64 = 1 << 9;
/// `PyDictObject.ma_keys`
const DICT_KEYS: u64 = 32;
/// Longest string, line table and dictionary that are read.
const TEXT_MAX: u64 = 4_096;
const LINES_MAX: u64 = 1 << 20;
const ENTRIES_MAX: u64 = 4_096;
/// Classes between a class and the built-in one that it is a kind of.
const BASES_MAX: usize = 32;

/// `exc_info`, `f_frame`'s code, `co_firstlineno`, `co_filename`, `co_linetable`, `ht_qualname`.
const fn row(minor: u8, [exc_info, code, first_line, file, lines, class_name]: [u32; 6]) -> ObjectLayout {
    let old = minor <= 10;
    let strings = if minor >= 12 { [40, 56] } else { [48, 72] };
    ObjectLayout {
        minor,
        raising: Raising {
            exc_info,
            value: if old { 8 } else { 0 },
            previous: if old { 24 } else { 8 },
            traceback: if old { 32 } else { 40 },
            filename: if old { 80 } else { 88 },
            inner: if old { 0 } else { 24 },
            code,
            name: file + 8,
            first_line,
            items: if minor >= 14 { 32 } else { 24 },
            ascii: strings[0],
            compact: strings[1],
            current: match minor {
                ..=10 => 88,
                11 | 12 => 96,
                13 | 14 => 112,
                _ => 136,
            },
            three: if minor <= 11 { 1 } else { 0 },
            unwinding: 0,
            locals: match minor {
                8 | 9 => 360,
                10 => 352,
                11..=13 => 72,
                _ => 80,
            },
            locals_count: match minor {
                ..=10 => 28,
                11 => 76,
                _ => 72,
            },
            reserved: 0,
            frames: frames(minor, file + 8, first_line),
        },
        stacks: frames(minor, file + 8, first_line),
        file: file as u64,
        qualified: if old { 0 } else { file as u64 + 16 },
        lines: lines as u64,
        class_name: class_name as u64,
    }
}

/// Frames: where the thread state leads to the current one, and where a frame's code begins.
const fn frames(minor: u8, name: u32, first_line: u32) -> Stacks {
    // `PyThreadState.frame`; `PyThreadState.cframe` and `_PyCFrame.current_frame`; `PyThreadState.current_frame`.
    let (frame, inner) = match minor {
        ..=10 => (24, 0),
        11 => (56, 8 + 1),
        12 => (56, 1),
        _ => (72, 0),
    };
    Stacks {
        shape: match minor {
            ..=10 => frame_shape::OBJECT,
            11 => frame_shape::FUNCTION_FIRST,
            12 | 13 => frame_shape::CODE_FIRST,
            _ => frame_shape::STACK_POINTER,
        },
        frame,
        inner,
        lasti: match minor {
            ..=9 => 104,
            10 => 96,
            _ => 0,
        },
        // In 3.10 in units of two bytes.
        lasti_shift: if minor == 10 { 1 } else { 0 },
        instructions: match minor {
            ..=10 => 0,
            11 => 184,
            12 => 192,
            13 => 200,
            _ => 208,
        },
        name,
        first_line,
    }
}

const LAYOUTS: &[ObjectLayout] = &[
    row(8, [144, 32, 40, 104, 120, 864]),
    row(9, [144, 32, 40, 104, 120, 856]),
    row(10, [144, 32, 40, 104, 120, 864]),
    row(11, [120, 32, 72, 112, 136, 864]),
    row(12, [104, 0, 68, 112, 136, 872]),
    row(13, [120, 0, 68, 112, 136, 872]),
    row(14, [120, 0, 68, 112, 136, 872]),
    row(15, [144, 0, 68, 112, 136, 880]),
];

impl ObjectLayout {
    /// The row of a version, if there is one.
    pub fn of(version: PythonVersion) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| version.major == 3 && layout.minor == version.minor)
    }
}

/// A code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// `co_filename`
    pub file: String,
    /// `co_name`
    pub name: String,
    /// `co_qualname` from 3.11 on, else `co_name`.
    pub qualified: String,
    /// Its line table, in the format of its version.
    pub lines: Vec<u8>,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// As a traceback names it: with its module, unless that is `builtins` or `__main__`.
    pub name: String,
    /// Names of it and its bases that are built in, nearest first.
    pub built_in: Vec<String>,
}

impl Class {
    /// Is it this built-in class, or derived from it?
    pub fn is(&self, name: &str) -> bool {
        self.built_in.iter().any(|base| base == name)
    }
}

/// Objects of a process.
pub struct Objects {
    memory: Memory,
    layout: &'static ObjectLayout,
}

impl Objects {
    /// Opens the process's memory.
    ///
    /// # Errors
    /// The process is gone, or may not be read.
    pub fn open(pid: u32, layout: &'static ObjectLayout) -> std::io::Result<Self> {
        Ok(Self { memory: Memory::open(pid)?, layout })
    }

    /// The code object at `address`, if that is still the one whose name is at `name` and which begins in line
    /// `first_line`.
    pub fn code(&self, address: u64, name: u64, first_line: u32) -> Option<Code> {
        let (memory, layout) = (&self.memory, self.layout);
        if self.identity(address)? != (name, first_line) {
            return None;
        }
        let file = self.text(memory.word(address + layout.file)?)?;
        let name = self.text(name)?;
        let qualified = match layout.qualified {
            0 => name.clone(),
            offset => self.text(memory.word(address + offset)?)?,
        };
        let lines = self.bytes(memory.word(address + layout.lines)?)?;
        Some(Code { file, name, qualified, lines })
    }

    /// Where the file name of the code object at `address` is.
    pub fn file_of(&self, address: u64) -> Option<u64> {
        self.memory.word(address + self.layout.file)
    }

    /// Where the name of the code object at `address` is, and its first line; `None` where there is no code object.
    pub fn identity(&self, address: u64) -> Option<(u64, u32)> {
        let (memory, layout) = (&self.memory, self.layout);
        if self.type_name(address)? != "code" {
            return None;
        }
        let first_line = memory.half(address + u64::from(layout.raising.first_line))?;
        Some((memory.word(address + layout.file + 8)?, first_line))
    }

    /// Names of the variables of the code object at `address`, in the order in which a frame holds them:
    /// `co_localsplusnames`, up to 3.10 `co_varnames`.
    pub fn variables(&self, address: u64) -> Option<Vec<String>> {
        let names = self.memory.word(address + if self.layout.minor <= 10 { 72 } else { 96 })?;
        let count = self.memory.word(names + SIZE)?.min(LOCALS_MAX as u64);
        let items = names + u64::from(self.layout.raising.items);
        (0..count).map(|i| self.text(self.memory.word(items + i * 8)?)).collect()
    }

    /// The class at `address`.
    pub fn class(&self, address: u64) -> Option<Class> {
        let name = self.class_name(address)?;
        let mut built_in = Vec::new();
        let mut base = address;
        for _ in 0..BASES_MAX {
            if base == 0 {
                break;
            }
            if self.memory.word(base + TYPE_FLAGS)? & IS_HEAP_TYPE == 0 {
                built_in.push(self.short_name(base)?);
            }
            base = self.memory.word(base + TYPE_BASE)?;
        }
        Some(Class { name, built_in })
    }

    fn class_name(&self, address: u64) -> Option<String> {
        let short = self.short_name(address)?;
        if self.memory.word(address + TYPE_FLAGS)? & IS_HEAP_TYPE == 0 {
            // Its name has the module in it.
            return Some(short);
        }
        let qualified = self.text(self.memory.word(address + self.layout.class_name)?);
        let name = qualified
            .filter(|name| name.ends_with(short.rsplit('.').next().unwrap_or(&short)))
            .unwrap_or(short);
        let module = self.memory.word(address + TYPE_DICT).and_then(|dict| self.item(dict, "__module__"));
        Some(match module.and_then(|module| self.text(module)).as_deref() {
            None | Some("builtins" | "__main__") => name,
            Some(module) => format!("{module}.{name}"),
        })
    }

    /// `tp_name`
    fn short_name(&self, address: u64) -> Option<String> {
        self.memory.text::<256>(self.memory.word(address + TYPE_NAME)?)
    }

    fn type_name(&self, object: u64) -> Option<String> {
        self.short_name(self.memory.word(object + TYPE)?)
    }

    /// The value of a text key in a dictionary that is no instance's: its entries are looked through
    /// (`Objects/dictobject.c`, `PyDictKeysObject`).
    fn item(&self, dict: u64, key: &str) -> Option<u64> {
        let memory = &self.memory;
        let keys = memory.word(dict + DICT_KEYS)?;
        let (entries, step, at) = if self.layout.minor >= 11 {
            let shape = memory.word(keys + 8)?.to_le_bytes();
            // With nothing but text for keys, an entry has no hash.
            let (step, at) = if shape[2] == 0 { (24, 8) } else { (16, 0) };
            (keys + 32 + 1u64.checked_shl(u32::from(shape[1]))?, step, at)
        } else {
            let size = memory.word(keys + 8)?;
            let width = match size {
                ..=0xff => 1,
                0x100..=0xffff => 2,
                0x1_0000..=0xffff_ffff => 4,
                _ => 8,
            };
            (keys + 40 + size.checked_mul(width)?, 24, 8)
        };
        let used = memory.word(keys + if self.layout.minor >= 11 { 24 } else { 32 })?;
        (0..used.min(ENTRIES_MAX)).map(|i| entries + i * step + at).find_map(|entry| {
            let name = memory.word(entry).filter(|name| *name != 0)?;
            (self.text(name)? == key).then(|| memory.word(entry + 8))?
        })
    }

    /// A string.
    fn text(&self, address: u64) -> Option<String> {
        if self.type_name(address)? != "str" {
            return None;
        }
        let (len, state) = (self.memory.word(address + SIZE)?, self.memory.half(address + SIZE + 16)?);
        let strings = &self.layout.raising;
        let data = address + u64::from(if state >> 6 & 1 != 0 { strings.ascii } else { strings.compact });
        let len = len.checked_mul(u64::from(state >> 2 & 7)).filter(|len| *len <= TEXT_MAX)?;
        let bytes = self.memory.range(data, data + len);
        (bytes.len() as u64 == len).then(|| decode(&bytes, state))
    }

    fn bytes(&self, address: u64) -> Option<Vec<u8>> {
        let len = self.memory.word(address + SIZE).filter(|len| *len <= LINES_MAX)?;
        let bytes = self.memory.range(address + BYTES, address + BYTES + len);
        (self.type_name(address)? == "bytes" && bytes.len() as u64 == len).then_some(bytes)
    }
}

/// Characters of one, two or four bytes each, as the string's `state` says (PEP 393).
pub fn decode(bytes: &[u8], state: u32) -> String {
    let char = |code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    match state >> 2 & 7 {
        1 => bytes.iter().map(|&byte| char::from(byte)).collect(),
        2 => bytes.chunks_exact(2).map(|c| char(u32::from(u16::from_le_bytes([c[0], c[1]])))).collect(),
        4 => bytes.chunks_exact(4).map(|c| char(u32::from_le_bytes([c[0], c[1], c[2], c[3]]))).collect(),
        _ => String::new(),
    }
}
