//! Recognising a Python interpreter in an ELF file.

use super::reader::{Elf, Symbol, text_at};
use super::symbol;
use crate::process::python::{Implementation, PythonVersion};

pub(super) const SYMBOLS: &[&[u8]] = &[
    b"_PyRuntime",
    b"Py_Version",
    b"Py_GetVersion",
    b"PyContext_Type",
    b"PyBytes_Type",
    b"PyContext_CopyCurrent",
    b"PyTraceBack_Here",
    b"pypy_main_startup",
    b"rpython_startup_code",
];

/// A Python interpreter as it lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonBuild {
    /// Which Python.
    pub implementation: Implementation,
    /// Its version, as far as the file tells.
    pub version: Option<PythonVersion>,
    /// Virtual address of `_PyRuntime` as linked; CPython 3.7 and later.
    pub runtime: Option<u64>,
    /// Virtual address of `PyContext_Type` as linked.
    pub context_type: Option<u64>,
    /// Virtual address of `PyBytes_Type` as linked.
    pub bytes_type: Option<u64>,
    /// Where in the file `PyContext_CopyCurrent` lies.
    pub copy_context: Option<u64>,
    /// Bytes of its code; 0 where the file does not say.
    pub copy_context_size: u64,
    /// Where in the file `PyTraceBack_Here` lies.
    pub traceback_here: Option<u64>,
}

/// Is this the name of a Python executable: `python3.11`, `python`, `python3.13t`, `python3-dbg`?
pub(crate) fn is_python_name(name: &str) -> bool {
    let digits = |rest: &str| -> String {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').to_owned()
    };
    if let Some(rest) = name.strip_prefix("python") {
        // `t` is free-threaded, `d` and `-dbg` are debug builds, `m` and `u` belong to old ABIs.
        return matches!(digits(rest).as_str(), "" | "t" | "d" | "td" | "m" | "dm" | "u" | "-dbg" | "-debug");
    }
    ["pypy", "graalpy"]
        .iter()
        .any(|other| name.strip_prefix(other).is_some_and(|rest| digits(rest).is_empty()))
}

/// Version that a file's name tells: `python3.11`, `libpython3.13t.so.1.0`, `libpypy3.9-c.so`.
pub(crate) fn version_in_name(name: &str) -> Option<PythonVersion> {
    let name = name.strip_prefix("lib").unwrap_or(name);
    let rest = ["python", "pypy", "graalpy"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(PythonVersion { major: major.parse().ok()?, minor: minor.parse().ok()?, micro: None })
}

/// `python3.13t`, `libpython3.14td.so.1.0`
fn free_threaded_name(name: &str) -> bool {
    let name = name.strip_prefix("lib").unwrap_or(name);
    let rest = name.strip_prefix("python").unwrap_or_default();
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').starts_with('t')
}

pub(super) fn recognise(elf: &Elf<'_, '_>, symbols: &[Symbol<'_>], name: &str) -> Option<PythonBuild> {
    if symbol(symbols, "pypy_main_startup").or_else(|| symbol(symbols, "rpython_startup_code")).is_some() {
        let version = version_in_name(name);
        return Some(PythonBuild {
            implementation: Implementation::PyPy,
            version,
            runtime: None,
            context_type: None,
            bytes_type: None,
            copy_context: None,
            copy_context_size: 0,
            traceback_here: None,
        });
    }
    // The section bears this name from 3.10 on and is there even where the symbols are hidden.
    let runtime = symbol(symbols, "_PyRuntime")
        .map(|symbol| symbol.address)
        .or_else(|| elf.section_address(".PyRuntime"));
    if runtime.is_none() && symbol(symbols, "Py_GetVersion").is_none() {
        return None;
    }
    let debug_offsets = runtime.and_then(|address| DebugOffsets::read(elf, address));
    let exact = symbol(symbols, "Py_Version")
        .and_then(|symbol| elf.at(symbol.address, 8))
        .and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)))
        .or_else(|| debug_offsets.as_ref().map(|offsets| offsets.version))
        .and_then(PythonVersion::from_hex);
    let free_threaded =
        debug_offsets.map_or_else(|| free_threaded_name(name), |offsets| offsets.free_threaded);
    Some(PythonBuild {
        implementation: if free_threaded { Implementation::FreeThreaded } else { Implementation::CPython },
        version: exact.or_else(|| version_in_texts(elf.section(".rodata"), version_in_name(name))),
        runtime,
        context_type: symbol(symbols, "PyContext_Type").map(|symbol| symbol.address),
        bytes_type: symbol(symbols, "PyBytes_Type").map(|symbol| symbol.address),
        copy_context: symbol(symbols, "PyContext_CopyCurrent")
            .and_then(|symbol| elf.file_offset(symbol.address)),
        copy_context_size: symbol(symbols, "PyContext_CopyCurrent").map_or(0, |symbol| symbol.size),
        traceback_here: symbol(symbols, "PyTraceBack_Here")
            .and_then(|symbol| elf.file_offset(symbol.address)),
    })
}

/// Head of `_Py_DebugOffsets`, with which `_PyRuntime` begins from 3.13 on (CPython's
/// `Include/internal/pycore_runtime.h`, later `pycore_debug_offsets.h`): cookie, version, free_threaded.
struct DebugOffsets {
    version: u64,
    free_threaded: bool,
}

impl DebugOffsets {
    fn read(elf: &Elf<'_, '_>, runtime: u64) -> Option<Self> {
        let head = elf.at(runtime, 24)?;
        let word = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        if !head.starts_with(b"xdebugpy") {
            return None;
        }
        Some(Self { version: word(8)?, free_threaded: word(16)? != 0 })
    }
}

/// Version of a build before 3.11, from the texts in it. `PY_VERSION` is among them, but linkers fold it into the tail
/// of longer texts, and other libraries have versions too; so it has to end a text, and its minor version must be that
/// of the file's name or of the library directory built in (`lib/python3.8`). Where two differ in the last part, that
/// part is left open.
fn version_in_texts(texts: &[u8], named: Option<PythonVersion>) -> Option<PythonVersion> {
    let minor = named.or_else(|| {
        let at = memchr::memmem::find(texts, b"lib/python3.")?;
        version_in_name(&text_at(texts, at + "lib/".len(), 32)?)
    })?;
    let prefix = format!("{}.{}.", minor.major, minor.minor);
    let mut found: Option<u8> = None;
    for at in memchr::memmem::find_iter(texts, prefix.as_bytes()) {
        if at > 0 && (texts[at - 1].is_ascii_digit() || texts[at - 1] == b'.') {
            continue;
        }
        // `18`, `0rc1`, `2+`: release, pre-release, built from a checkout.
        let Some(rest) = text_at(texts, at + prefix.len(), 8) else { continue };
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(micro) = rest[..digits].parse() else { continue };
        if !(rest.len() == digits || rest[digits..].starts_with(['+', 'a', 'b', 'r'])) {
            continue;
        }
        if found.is_some_and(|other| other != micro) {
            return Some(minor);
        }
        found = Some(micro);
    }
    Some(PythonVersion { micro: found, ..minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3_8: PythonVersion = PythonVersion { major: 3, minor: 8, micro: None };

    #[rstest::rstest]
    #[case("python", true)]
    #[case("python3", true)]
    #[case("python3.11", true)]
    #[case("python3.13t", true)]
    #[case("python3-dbg", true)]
    #[case("pypy3.10", true)]
    #[case("graalpy", true)]
    #[case("python-argcomplete", false)]
    #[case("bash", false)]
    #[case("ipython3", false)]
    fn executables_are_told_by_name(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_python_name(name), expected);
    }

    #[rstest::rstest]
    #[case("python3.11", Some((3, 11)))]
    #[case("libpython3.13t.so.1.0", Some((3, 13)))]
    #[case("libpython2.7.so.1.0", Some((2, 7)))]
    #[case("libpypy3.9-c.so", Some((3, 9)))]
    #[case("python3", None)]
    #[case("libpython3.so", None)]
    fn names_tell_versions(#[case] name: &str, #[case] expected: Option<(u8, u8)>) {
        assert_eq!(version_in_name(name).map(|version| (version.major, version.minor)), expected);
    }

    #[test]
    fn free_threaded_builds_are_told_by_name() {
        assert!(free_threaded_name("libpython3.13t.so.1.0") && free_threaded_name("python3.14t"));
        assert!(!free_threaded_name("libpython3.13.so.1.0") && !free_threaded_name("python3"));
    }

    #[test]
    fn version_text_may_be_the_tail_of_another() {
        let texts = b"\0expat 2.4.8\0/opt/versions/3.8.18\0x 3.8\0";
        assert_eq!(version_in_texts(texts, Some(V3_8)), Some(PythonVersion { micro: Some(18), ..V3_8 }));
    }

    #[test]
    fn two_version_texts_leave_the_last_part_open() {
        assert_eq!(version_in_texts(b"\x003.8.18\0sqlite 3.8.3\0", Some(V3_8)), Some(V3_8));
        assert_eq!(version_in_texts(b"\x0013.8.18\x003.8.1x\0", Some(V3_8)), Some(V3_8));
    }

    #[test]
    fn version_of_a_nameless_build_comes_from_its_library_directory() {
        let texts = b"\0/usr/lib/python3.9\x003.9.2\x003.40.1\0";
        let expected = PythonVersion { major: 3, minor: 9, micro: Some(2) };
        assert_eq!(version_in_texts(texts, None), Some(expected));
        assert_eq!(version_in_texts(b"\x003.9.2\0", None), None);
    }
}
