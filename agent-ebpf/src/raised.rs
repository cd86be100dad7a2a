//! Exceptions on the wire: where CPython keeps them, and what is sent of one.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::stack::Stacks;

/// Most frames of one traceback, outermost first.
pub const FRAMES_MAX: usize = 96;
/// Most arguments of an exception that are sent; one more value is the file name of an `OSError`.
pub const ARGUMENTS_MAX: usize = 3;
/// Bytes of a string that are sent.
pub const TEXT_MAX: usize = 512;
/// Most variables of the raising function that are sent.
pub const LOCALS_MAX: usize = 16;
/// Bytes of a variable's string that are sent.
pub const LOCAL_TEXT_MAX: usize = 120;
/// Exceptions of a chain (`__cause__`, `__context__`) that are sent.
pub const CHAIN_MAX: u32 = 4;

/// What made us look at the exception that is being handled.
pub mod seen_at {
    /// The process began to write a response with a status from 500 on.
    pub const RESPONSE: u32 = 1;
    /// The process wrote to its standard error.
    pub const STDERR: u32 = 2;
    /// It left a function: the first frame is that function's, where the exception may yet be caught.
    pub const UNWINDING: u32 = 3;
}

/// How an exception came before the one that was sent before it.
pub mod relation {
    /// It is the first of its report.
    pub const NONE: u32 = 0;
    /// `__cause__`
    pub const CAUSE: u32 = 1;
    /// `__context__`
    pub const CONTEXT: u32 = 2;
}

/// Flags of [`Raised`].
pub mod raised_flags {
    /// It is the last of its report.
    pub const LAST: u32 = 1;
    /// It has more frames than were sent.
    pub const CUT: u32 = 2;
}

/// Where a CPython process keeps exceptions: the value of the map `RAISING`, keyed by tgid. Offsets in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Raising {
    /// `PyThreadState.exc_info`
    pub exc_info: u32,
    /// `_PyErr_StackItem.exc_value`
    pub value: u32,
    /// `_PyErr_StackItem.previous_item`
    pub previous: u32,
    /// `PyBaseExceptionObject.traceback`; `context`, `cause` and `suppress_context` follow it.
    pub traceback: u32,
    /// `OSError.filename`
    pub filename: u32,
    /// `PyFrameObject.f_frame`; 0 where the frame object itself holds the code.
    pub inner: u32,
    /// Where the frame holds its code object.
    pub code: u32,
    /// `PyCodeObject.co_name`
    pub name: u32,
    /// `PyCodeObject.co_firstlineno`
    pub first_line: u32,
    /// First item of a tuple.
    pub items: u32,
    /// Data of an ASCII string.
    pub ascii: u32,
    /// Data of another compact string.
    pub compact: u32,
    /// `PyThreadState.curexc_type`, from 3.12 on `PyThreadState.current_exception`.
    pub current: u32,
    /// 1 where an exception on its way is kept as type, value and traceback (up to 3.11), and may be no object yet.
    pub three: u32,
    /// Are exceptions on their way looked at? [`unwinding`]
    pub unwinding: u32,
    /// Where a frame holds its variables; 0 where they are not wanted.
    pub locals: u32,
    /// `PyCodeObject.co_nlocalsplus`, up to 3.10 `co_nlocals`
    pub locals_count: u32,
    /// Zero.
    pub reserved: u32,
    /// How to read the frame that an exception leaves.
    pub frames: Stacks,
}

/// Whose exceptions are looked at on their way.
pub mod unwinding {
    /// Nobody's.
    pub const NO: u32 = 0;
    /// Those of requests that the probes know.
    pub const OF_REQUESTS: u32 = 1;
    /// Those of contexts without a request too, which may serve streams.
    pub const OF_STREAMS: u32 = 2;
}

/// A function that exceptions leave and that nothing is to be sent of: the key of the map `MUTED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Muted {
    /// Address of its code object.
    pub code: u64,
    /// Address of the code object's name.
    pub name: u64,
    /// Process.
    pub tgid: u64,
}

/// One entry of a traceback.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RaisedFrame {
    /// Address of its code object.
    pub code: u64,
    /// Address of the code object's name: addresses of code objects are reused, and this tells.
    pub name: u64,
    /// `tb_lasti`
    pub lasti: i32,
    /// `tb_lineno`; below 1 where it is to be computed.
    pub line: i32,
    /// `co_firstlineno`
    pub first_line: u32,
    /// Zero.
    pub reserved: u32,
}

/// A Python object, read in passing.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RaisedValue {
    /// Address of its type; 0 where there is no object.
    pub ty: u64,
    /// What follows the object's head: length, digits or value, depending on the type.
    pub words: [u64; 2],
    /// `state` of a string.
    pub state: u32,
    /// Bytes of `text` that were read.
    pub copied: u32,
    /// Data of a string.
    pub text: [u8; TEXT_MAX],
}

/// A variable's value, read in passing.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RaisedLocal {
    /// As in [`RaisedValue`].
    pub ty: u64,
    /// As in [`RaisedValue`].
    pub words: [u64; 2],
    /// As in [`RaisedValue`].
    pub state: u32,
    /// As in [`RaisedValue`].
    pub copied: u32,
    /// As in [`RaisedValue`].
    pub text: [u8; LOCAL_TEXT_MAX],
}

/// An exception that was being handled. Each exception of a chain is one event; all of a report have its `root`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Raised {
    /// [`super::kind::RAISED`]
    pub kind: u32,
    /// Thread.
    pub tid: u32,
    /// Process.
    pub tgid: u32,
    /// [`seen_at`]
    pub seen_at: u32,
    /// When.
    pub time: u64,
    /// The request that was being served; where none is known, the number of the context or greenlet that ran. Both count
    /// in one row.
    pub request: u64,
    /// Address of the exception that was being handled.
    pub root: u64,
    /// Address of this one's class.
    pub ty: u64,
    /// How many arguments it has.
    pub arguments: u64,
    /// Its place in the chain, from 0.
    pub depth: u32,
    /// [`relation`]
    pub relation: u32,
    /// [`raised_flags`]
    pub flags: u32,
    /// How many frames are there.
    pub frames: u32,
    /// How many of `locals` are there.
    pub locals_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Its first arguments, then the file name.
    pub values: [RaisedValue; ARGUMENTS_MAX + 1],
    /// Its traceback.
    pub traceback: [RaisedFrame; FRAMES_MAX],
    /// Variables of the function that raised it, in the order of its code object; of the first of a report only.
    pub locals: [RaisedLocal; LOCALS_MAX],
}

/// Flags of [`Left`].
pub mod left_flags {
    /// The exception has left no function before, and nothing of it was sent.
    pub const FIRST: u32 = 1;
}

/// An exception that is on its way leaves a function. But for [`left_flags::FIRST`] it is the one that the thread sent last, by
/// a [`Raised`] that was [`seen_at::UNWINDING`]: class, arguments, cause and context are the same, and the traceback has one
/// entry more.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Left {
    /// [`super::kind::LEFT`]
    pub kind: u32,
    /// Thread.
    pub tid: u32,
    /// Process.
    pub tgid: u32,
    /// [`left_flags`]
    pub flags: u32,
    /// When.
    pub time: u64,
    /// As in [`Raised`].
    pub request: u64,
    /// As in [`Raised`].
    pub root: u64,
    /// The function, which goes before the frames that were sent.
    pub frame: RaisedFrame,
}
