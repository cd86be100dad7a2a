//! What the agent has to know about an ELF file, found once per file.

mod cache;
mod image;
mod methods;
mod openssl;
mod python;
mod reader;

pub use cache::{ElfCache, FileKey};
pub(crate) use image::{Elf64, Image};
pub use methods::SslMethods;
pub use openssl::{OpenSslBuild, SslFunction};
pub use python::PythonBuild;
pub(crate) use python::{is_python_name, version_in_name};

use std::path::Path;

use object::Object;

use super::mapped::TlsKind;
pub(crate) use reader::Elf;
use reader::Symbol;

/// getaddrinfo(3)
const NAME_LOOKUP: &str = "getaddrinfo";

/// Is this the name of the GNU C library's file? Up to 2.33 the loader mapped it as `libc-2.31.so`.
fn is_libc(name: &str) -> bool {
    name == "libc.so.6" || name.starts_with("libc-2.")
}

/// Facts about one ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElfFacts {
    /// It holds a Python interpreter.
    pub python: Option<PythonBuild>,
    /// It holds functions of OpenSSL (or of a library with its API) that carry plaintext.
    pub openssl: Option<OpenSslBuild>,
    /// Version text of the OpenSSL libcrypto in it, such as `OpenSSL 3.0.19 27 Jan 2026`.
    pub crypto_version: Option<String>,
    /// Where `BIO_write` lies in it, which passes the ciphertext of memory BIOs: file offset, as a uprobe wants it.
    pub bio_write: Option<u64>,
    /// Where `getaddrinfo` of the GNU C library lies in it, likewise.
    pub name_lookup: Option<u64>,
    /// Another TLS library in it, whose plaintext no probe can see.
    pub other_tls: Option<TlsKind>,
    /// It has no `.symtab`: local functions cannot be found by name.
    pub stripped: bool,
    /// GNU build id, hexadecimal.
    pub build_id: Option<String>,
    /// File offset and virtual address of the first loaded segment, both rounded down to its page: the load bias of a
    /// mapping is `mapped address - address`, for the mapping of that offset.
    pub first_segment: (u64, u64),
}

/// Why a file gave no facts.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// It is no ELF file for 64-bit machines, or a damaged one.
    #[error("{0} is no readable ELF file: {1}")]
    Format(String, object::Error),
}

impl ElfError {
    fn read(path: &Path, error: std::io::Error) -> Self {
        Self::Read(path.display().to_string(), error)
    }

    fn format(path: &Path, error: object::Error) -> Self {
        Self::Format(path.display().to_string(), error)
    }
}

impl ElfFacts {
    /// Does the file define a Python interpreter? Much less work than all facts, for the programs of the machine that are something
    /// else.
    ///
    /// # Errors
    /// As [`ElfFacts::read`].
    pub(crate) fn holds_python(image: &Image) -> Result<bool, ElfError> {
        let bytes = image.bytes().map_err(|error| ElfError::read(image.shown(), error))?;
        let parsed = Elf64::parse(&bytes).map_err(|error| ElfError::format(image.shown(), error))?;
        let elf = Elf::new(&parsed);
        Ok(!elf.dynamic_symbols(python::SYMBOLS).is_empty() || elf.section_address(".PyRuntime").is_some())
    }

    /// Reads the file at `access`; `name` is what it is called in the process (last part of the path), a hint for
    /// builds whose symbols do not say all.
    ///
    /// # Errors
    /// The file cannot be read or is no 64-bit ELF file. A file that lacks what we look for is not an error.
    pub fn read(access: &Path, name: &str) -> Result<Self, ElfError> {
        Self::of(&Image::open(access).map_err(|error| ElfError::read(access, error))?, name)
    }

    /// The same of an open file.
    ///
    /// # Errors
    /// As [`ElfFacts::read`].
    pub(crate) fn of(image: &Image, name: &str) -> Result<Self, ElfError> {
        let bytes = image.bytes().map_err(|error| ElfError::read(image.shown(), error))?;
        let parsed = Elf64::parse(&bytes).map_err(|error| ElfError::format(image.shown(), error));
        let facts = parsed.map(|parsed| Self::of_parsed(&parsed, name));
        if bytes.exceeded() {
            tracing::warn!("{}: its tables are too large to look at all of them", image.shown().display());
        }
        facts
    }

    fn of_parsed(parsed: &Elf64<'_>, name: &str) -> Self {
        let elf = Elf::new(parsed);
        let mut wanted: Vec<&[u8]> = Vec::new();
        wanted.extend(python::SYMBOLS);
        wanted.extend(openssl::SYMBOLS);
        if is_libc(name) {
            wanted.push(NAME_LOOKUP.as_bytes());
        }
        let mut symbols = elf.dynamic_symbols(&wanted);
        // A library linked into an executable or extension is found by its local symbols, if they are still there. Only
        // such files are looked through, because a symbol table can be hundreds of megabytes.
        let may_hold_openssl = name.contains("ssl") || is_python_name(name) || name.starts_with("libpython");
        if may_hold_openssl && !symbols.iter().any(|symbol| symbol.name == b"SSL_read") {
            symbols.extend(elf.local_symbols(openssl::SYMBOLS));
        }
        let python = python::recognise(&elf, &symbols, name);
        let linked_in = python.is_some() || elf.defines(b"PyInit_");
        let openssl = openssl::recognise(&elf, &symbols, name, linked_in);
        Self {
            crypto_version: openssl::crypto_version(&elf, &symbols),
            bio_write: symbol(&symbols, "BIO_write").and_then(|found| elf.file_offset(found.address)),
            name_lookup: symbol(&symbols, NAME_LOOKUP).and_then(|found| elf.file_offset(found.address)),
            other_tls: openssl::other_tls(&elf, openssl.as_ref(), name, linked_in),
            python,
            openssl,
            stripped: !elf.has_symbol_table(),
            build_id: parsed.build_id().ok().flatten().map(hex),
            first_segment: elf.first_segment(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn symbol<'a, 'n>(symbols: &'a [Symbol<'n>], name: &str) -> Option<&'a Symbol<'n>> {
    symbols.iter().find(|symbol| symbol.name == name.as_bytes())
}

#[cfg(test)]
mod tests;
