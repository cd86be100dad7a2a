//! Which Python processes there are, what they run and what they use.
//!
//! [`inspect`](Procfs::inspect) recognises a process, [`elf`] knows the files it maps (once per file, whatever the number of
//! processes), [`service`] names it, [`Registry`] decides what is watched, [`Sampler`] measures CPU and memory.
//!
//! [`cpython`] knows where each version of the interpreter keeps what tells which code runs.
//!
//! Nothing here touches the kernel's probes, and nothing is attached to or stopped: everything comes from `/proc`.

pub(crate) mod commands;
pub mod cpython;
pub mod elf;
mod identity;
mod mapped;
mod maps;
mod patience;
mod python;
mod registry;
mod sampler;
mod service;
mod source;
mod view;

pub(crate) use elf::{Elf64, Image};
pub use elf::{ElfFacts, FileKey, OpenSslBuild, SslFunction, SslMethods};
pub use identity::{Lineage, ProcessId};
pub use mapped::{MappedFile, TlsKind, TlsLibrary};
pub(crate) use patience::{Answered, patiently};
pub use python::{Container, Implementation, NotPython, PythonProcess, PythonRuntime, PythonVersion};
pub use registry::{Attachment, Decision, Policy, ProcessEvent, Registry, Watched};
pub use sampler::{Sample, Sampler};
pub use service::{NamingFacts, Started, service_name, started};
pub(crate) use source::environ;
pub use source::{ProcSource, Procfs, Unseen};
pub use view::{Place, View};
