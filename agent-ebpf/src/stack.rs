//! Python call stacks on the wire: where CPython keeps its frames, and what is sent of them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::raised::RaisedFrame;

/// Most frames of one stack, innermost first; what lies further out is left out.
pub const STACK_MAX: usize = 64;

/// How a version lays out its frames.
pub mod frame_shape {
    /// Up to 3.10: every frame is a `PyFrameObject`.
    pub const OBJECT: u32 = 0;
    /// 3.11: `_PyInterpreterFrame` with the function first.
    pub const FUNCTION_FIRST: u32 = 1;
    /// 3.12 and 3.13: `_PyInterpreterFrame` with the code object first.
    pub const CODE_FIRST: u32 = 2;
    /// 3.14: the same, with a pointer to the top of its stack.
    pub const STACK_POINTER: u32 = 3;
}

/// Where a CPython process keeps the frames of a thread: the value of the map `STACKS`, keyed by tgid. Offsets in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Stacks {
    /// [`frame_shape`]
    pub shape: u32,
    /// Where `PyThreadState` holds the current frame, or what leads to it.
    pub frame: u32,
    /// One more than where that holds the current frame (`_PyCFrame.current_frame`); 0 where the thread state itself does.
    pub inner: u32,
    /// `PyFrameObject.f_lasti`; 0 where frames hold a pointer to their instruction.
    pub lasti: u32,
    /// How far `f_lasti` has to be shifted to be in bytes.
    pub lasti_shift: u32,
    /// `PyCodeObject.co_code_adaptive`
    pub instructions: u32,
    /// `PyCodeObject.co_name`
    pub name: u32,
    /// `PyCodeObject.co_firstlineno`
    pub first_line: u32,
}

/// A call stack of code that runs in a context which another stack has made. Sent once for all chunks that name both.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Begun {
    /// [`super::kind::BEGUN`]
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// Number of both together.
    pub number: u64,
    /// The stack that runs, 0 where it is empty, and the one that made the context it runs in.
    pub runs: u64,
    /// See `runs`.
    pub made_by: u64,
}

/// A call stack, sent once for all chunks that name it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Stack {
    /// [`super::kind::STACK`]
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// Its number, as in [`super::Origin`]: a hash over process and frames.
    pub number: u64,
    /// How many frames are there.
    pub frames: u32,
    /// 1: the frame after the last could not be read, and those further out are not known.
    pub cut: u32,
    /// The frames, innermost first, without lines.
    pub stack: [RaisedFrame; STACK_MAX],
}
