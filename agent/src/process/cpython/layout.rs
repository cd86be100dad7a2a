//! Offsets of CPython's structures on 64-bit machines, from its headers and from the DWARF of builds that carry it.

use crate::process::PythonVersion;

/// Offsets of one minor version; all in bytes.
///
/// Only what is checked against the process before it is used: see [`super::inspect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// 3.`minor`
    pub minor: u8,
    /// `_PyRuntimeState.interpreters.head`
    pub interpreters_head: u32,
    /// `_PyRuntimeState.gilstate.autoTSSkey` (3.12 to 3.14: `_PyRuntimeState.autoTSSkey`); from 3.15 on there is none.
    pub tss: Option<u32>,
    /// `PyInterpreterState.threads.head` (up to 3.10: `tstate_head`)
    pub threads_head: u32,
    /// `PyThreadState.thread_id`
    pub thread_id: u32,
    /// `PyThreadState.context`
    pub context: u32,
    /// How to find the frames of a thread.
    pub frames: Frames,
}

/// Frames of a thread, from the innermost out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// `PyThreadState.frame`, `cframe` (3.11, 3.12) or `current_frame`.
    pub first: u32,
    /// `_PyCFrame.current_frame`, where there is one.
    pub within: Option<u32>,
    /// `PyFrameObject.f_back`, from 3.11 on `_PyInterpreterFrame.previous`.
    pub previous: u32,
    /// `PyFrameObject.f_localsplus`, from 3.11 on `_PyInterpreterFrame.localsplus`.
    pub locals: u32,
}

const fn row(minor: u8, [interpreters_head, tss, threads_head, thread_id, context]: [u32; 5]) -> Layout {
    let (first, within, previous, locals) = match minor {
        ..=9 => (24, None, 24, 360),
        10 => (24, None, 24, 352),
        11 => (56, Some(8), 48, 72),
        12 => (56, Some(0), 8, 72),
        13 => (72, None, 8, 72),
        _ => (72, None, 8, 80),
    };
    let frames = Frames { first, within, previous, locals };
    let tss = if tss == 0 { None } else { Some(tss) };
    Layout { minor, interpreters_head, tss, threads_head, thread_id, context, frames }
}

/// The versions we know.
pub const LAYOUTS: &[Layout] = &[
    row(8, [32, 1392, 8, 176, 240]),
    row(9, [32, 584, 8, 176, 240]),
    row(10, [32, 584, 8, 176, 240]),
    row(11, [40, 592, 16, 152, 224]),
    row(12, [40, 1544, 72, 136, 208]),
    row(13, [632, 2160, 7344, 152, 208]),
    row(14, [808, 2336, 7344, 152, 208]),
    row(15, [936, 0, 7336, 176, 232]),
];

impl Layout {
    /// The row of a version, if there is one.
    pub fn of(version: PythonVersion) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| version.major == 3 && layout.minor == version.minor)
    }
}

/// `PyThreadState.next`
pub const THREAD_NEXT: u64 = 8;
/// `PyObject.ob_type`
pub const OBJECT_TYPE: u64 = 8;
/// `PyTypeObject.tp_methods`
pub const TYPE_METHODS: u64 = 232;
/// `PyTypeObject.tp_new`
pub const TYPE_NEW: u64 = 312;
/// `sizeof(PyMethodDef)`: name, function, flags, documentation.
pub const METHOD_DEF: u64 = 32;

/// `_Py_DebugOffsets`, with which `_PyRuntime` begins from 3.13 on (CPython's `pycore_debug_offsets.h`; 3.13:
/// `pycore_runtime.h`): it tells the offsets that patch releases have moved.
pub mod debug_offsets {
    /// The first eight bytes.
    pub const COOKIE: &[u8; 8] = b"xdebugpy";
    /// `runtime_state.interpreters_head`
    pub const INTERPRETERS_HEAD: u64 = 40;
    /// `interpreter_state.threads_head`
    pub const THREADS_HEAD: u64 = 72;
}

/// `struct pthread.specific_1stblock` of glibc 2.36 and later on x86-64 and earlier releases back to 2.10, from the
/// thread pointer; each entry is a sequence number and the value.
pub const TSS_FIRST_BLOCK: u32 = 0x310;
/// Entries in that block.
pub const TSS_FIRST_BLOCK_KEYS: u32 = 32;
