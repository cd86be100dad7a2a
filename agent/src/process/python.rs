//! A Python process, and what else a process can be.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::identity::ProcessId;
use super::mapped::{MappedFile, TlsLibrary};
use super::service::NamingFacts;

/// Which Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Implementation {
    /// CPython with the global interpreter lock.
    CPython,
    /// CPython built with `--disable-gil`.
    #[serde(rename = "cpython-free-threaded")]
    FreeThreaded,
    /// PyPy.
    PyPy,
    /// GraalPy.
    GraalPy,
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CPython => "CPython",
            Self::FreeThreaded => "CPython (free-threaded)",
            Self::PyPy => "PyPy",
            Self::GraalPy => "GraalPy",
        })
    }
}

/// A version of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PythonVersion {
    /// 3
    pub major: u8,
    /// 11
    pub minor: u8,
    /// 7; `None` where only the series is known.
    pub micro: Option<u8>,
}

impl PythonVersion {
    /// Reads `PY_VERSION_HEX` (the C API's "API and ABI Versioning"): major, minor, micro a byte each, then level and
    /// serial. Prereleases count as their release. `None` for what is no version.
    pub fn from_hex(hex: u64) -> Option<Self> {
        let [level, micro, minor, major] = u32::try_from(hex).ok()?.to_le_bytes();
        ((2..=3).contains(&major) && level >> 4 >= 0xA).then_some(Self { major, minor, micro: Some(micro) })
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.micro.map_or(Ok(()), |micro| write!(f, ".{micro}"))
    }
}

impl Serialize for PythonVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The file that holds a process's interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonRuntime {
    /// libpython, or the executable where the interpreter is linked into it.
    pub file: MappedFile,
    /// Address of `_PyRuntime` in the process; CPython 3.7 and later.
    pub runtime_address: Option<u64>,
}

/// Where a containerised process lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Id that Docker, containerd, CRI-O or Podman gave it: 64 hexadecimal digits; `None` where the process is in
    /// namespaces of its own and its control group names no container.
    pub id: Option<String>,
}

/// A Python process and all that is known about it. Secrets of its environment are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonProcess {
    /// Which process.
    pub id: ProcessId,
    /// Its parent when it was inspected.
    pub parent: u32,
    /// Executable, as the process sees it.
    pub exe: PathBuf,
    /// Which Python.
    pub implementation: Implementation,
    /// Its version, as far as the files tell.
    pub version: Option<PythonVersion>,
    /// The interpreter. `None` right after execve, before the loader has mapped libpython: inspect again.
    pub runtime: Option<PythonRuntime>,
    /// TLS libraries mapped so far. Python maps libssl when `ssl` is first imported: inspect again.
    pub tls: Vec<TlsLibrary>,
    /// The C library, where its `getaddrinfo` can be probed: `facts.name_lookup`.
    pub libc: Option<MappedFile>,
    /// It has a library that sends what the application asks of it from tasks of its own, which run later than they are made:
    /// aiohttp does with requests that have a body, on Python before 3.12.
    pub sends_in_tasks: bool,
    /// Set when the process has a mount or pid namespace of its own.
    pub container: Option<Container>,
    /// What its service name is derived from.
    pub naming: NamingFacts,
}

/// Why a process is not watched: it is no Python process, or cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPython {
    /// There is no such process.
    #[error("there is no process {0}")]
    NoSuchProcess(u32),
    /// It has ended, and its parent has not noticed yet.
    #[error("process {0} has ended (it is a zombie)")]
    Zombie(u32),
    /// It is a thread of the kernel.
    #[error("process {0} is a kernel thread ({1}), not a Python process")]
    KernelThread(u32, String),
    /// It runs something else.
    #[error("process {0} runs {1}, not Python")]
    OtherProgram(u32, String),
    /// Looking is not allowed.
    #[error("process {0} may not be looked at")]
    NotPermitted(u32),
    /// The agent lacks what it takes to look, such as file descriptors: that tells nothing of the process.
    #[error("process {0} could not be looked at: {1}")]
    Unknown(u32, String),
}
