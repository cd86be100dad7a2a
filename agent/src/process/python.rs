//! A Python process, and what else a process can be.

use std::fmt;
use std::path::{Path, PathBuf};

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

impl PythonProcess {
    /// Is it a program with its modules packed into it (PyInstaller)? Their code does not tell whose it is: of each module it names
    /// the file as if all lay in one directory.
    pub fn is_frozen(&self) -> bool {
        self.runtime.as_ref().is_some_and(|runtime| is_packed(&self.exe, &runtime.file.path))
    }
}

/// Such a program has its interpreter in a directory that it fills as it starts (`_MEI` and random characters) or that lies beside it
/// (PyInstaller's manual, "What PyInstaller Does and How It Does It").
fn is_packed(exe: &Path, interpreter: &Path) -> bool {
    let Some(directory) = interpreter.parent() else { return false };
    let unpacked = directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with("_MEI"));
    unpacked || exe.parent().is_some_and(|beside| directory == beside.join("_internal"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/opt/shop/shop", "/opt/shop/_internal/libpython3.11.so.1.0", true)]
    #[case("/opt/shop", "/tmp/_MEI0000603fCAWRCo/libpython3.11.so.1.0", true)]
    #[case("/usr/bin/python3.11", "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", false)]
    #[case("/usr/bin/python3.11", "/usr/bin/python3.11", false)]
    #[case("/srv/_internal/bin/python3", "/srv/_internal/lib/libpython3.13.so.1.0", false)]
    fn packed_programs_are_told_by_where_their_interpreter_lies(
        #[case] exe: &str,
        #[case] interpreter: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(is_packed(exe.as_ref(), interpreter.as_ref()), expected);
    }
}
