//! Recognising TLS libraries in an ELF file.

use super::methods::SslMethods;
use super::reader::{Elf, Symbol, text_at};
use super::symbol;
use crate::process::mapped::TlsKind;

/// Functions that carry plaintext or bound the life of a stream, `OpenSSL_version` that marks a libcrypto, and BIO_write(3)
/// that passes ciphertext.
/// SSL_read(3), SSL_write(3), SSL_set_bio(3), SSL_get_rbio(3), SSL_free(3).
pub(super) const SYMBOLS: &[&[u8]] = &[
    b"SSL_read",
    b"SSL_read_ex",
    b"SSL_write",
    b"SSL_write_ex",
    b"SSL_write_ex2",
    b"SSL_set_accept_state",
    b"SSL_set_connect_state",
    b"SSL_do_handshake",
    b"SSL_set_bio",
    b"SSL_get_rbio",
    b"SSL_set_fd",
    b"SSL_shutdown",
    b"SSL_new",
    b"SSL_free",
    b"OpenSSL_version",
    b"BIO_write",
];

/// A function to put a probe on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SslFunction {
    /// Its name, such as `SSL_write_ex`.
    pub name: String,
    /// Virtual address as linked.
    pub address: u64,
    /// Where in the file its first instruction lies: what a uprobe wants.
    pub file_offset: u64,
    /// Bytes of code; 0 where the file does not say.
    pub size: u64,
}

/// OpenSSL's upper half (libssl), or a library with its API, as it lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSslBuild {
    /// OpenSSL or BoringSSL.
    pub kind: TlsKind,
    /// Version text, where this file holds it (a shared libssl has none: see libcrypto).
    pub version: Option<String>,
    /// Version of the symbols, such as `3.0.0`: the oldest release this library can be.
    pub symbol_version: Option<String>,
    /// The functions that are there, by name.
    pub functions: Vec<SslFunction>,
    /// What stands for them where no symbol names them.
    pub methods: Option<SslMethods>,
}

/// OpenSSL in the file; `linked_in`, if it may have been linked into what the file is, so that no symbol tells of it.
pub(super) fn recognise(
    elf: &Elf<'_, '_>,
    symbols: &[Symbol<'_>],
    name: &str,
    linked_in: bool,
) -> Option<OpenSslBuild> {
    let defines = |names: [&str; 2]| names.iter().any(|name| symbol(symbols, name).is_some());
    if !(defines(["SSL_read", "SSL_read_ex"]) && defines(["SSL_write", "SSL_write_ex"])) {
        return if linked_in { nameless(elf) } else { None };
    }
    let mut functions: Vec<SslFunction> = symbols
        .iter()
        .filter(|symbol| symbol.name.starts_with(b"SSL_"))
        .filter_map(|symbol| {
            Some(SslFunction {
                name: String::from_utf8_lossy(symbol.name).into_owned(),
                address: symbol.address,
                file_offset: elf.file_offset(symbol.address)?,
                size: symbol.size,
            })
        })
        .collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    functions.dedup_by(|a, b| a.name == b.name);
    let texts = elf.section(".rodata");
    let boring = name.contains("boringssl") || memchr::memmem::find(texts, b"BoringSSL").is_some();
    Some(OpenSslBuild {
        kind: if boring { TlsKind::BoringSsl } else { TlsKind::OpenSsl },
        version: version_text(texts),
        symbol_version: symbol_version(elf.section(".dynstr")),
        functions,
        methods: None,
    })
}

/// An OpenSSL without names.
fn nameless(elf: &Elf<'_, '_>) -> Option<OpenSslBuild> {
    let texts = elf.section(".rodata");
    let version = version_text(texts);
    if version.is_none() && !reports_errors(texts) {
        return None;
    }
    let methods = SslMethods::find(elf)?;
    Some(OpenSslBuild {
        kind: TlsKind::OpenSsl,
        version,
        symbol_version: None,
        functions: Vec::new(),
        methods: Some(methods),
    })
}

/// Version text of a libcrypto.
pub(super) fn crypto_version(elf: &Elf<'_, '_>, symbols: &[Symbol<'_>]) -> Option<String> {
    symbol(symbols, "OpenSSL_version")?;
    version_text(elf.section(".rodata"))
}

/// TLS libraries that we cannot look into.
pub(super) fn other_tls(
    elf: &Elf<'_, '_>,
    openssl: Option<&OpenSslBuild>,
    name: &str,
    linked_in: bool,
) -> Option<TlsKind> {
    if openssl.is_some() {
        return None;
    }
    if linked_in && reports_errors(elf.section(".rodata")) {
        return Some(TlsKind::OpenSsl);
    }
    if name.starts_with("libgnutls") {
        return Some(TlsKind::GnuTls);
    }
    if name.starts_with("libssl3.so") {
        return Some(TlsKind::Nss);
    }
    // gRPC's extension has BoringSSL linked in and stripped.
    if name.starts_with("cygrpc.") {
        return Some(TlsKind::BoringSsl);
    }
    let rust = memchr::memmem::find(elf.section(".comment"), b"rustc version").is_some();
    (rust && memchr::memmem::find(elf.section(".rodata"), b"rustls").is_some()).then_some(TlsKind::Rustls)
}

/// OpenSSL's reports of errors name the file of its source.
fn reports_errors(texts: &[u8]) -> bool {
    memchr::memmem::find(texts, b"ssl/ssl_lib.c").is_some()
}

/// `OpenSSL 3.0.19 27 Jan 2026`, `LibreSSL 3.8.2`.
fn version_text(texts: &[u8]) -> Option<String> {
    [b"OpenSSL ".as_slice(), b"LibreSSL "].iter().find_map(|&name| {
        memchr::memmem::find_iter(texts, name)
            .filter(|at| texts.get(at + name.len()).is_some_and(u8::is_ascii_digit))
            .find_map(|at| text_at(texts, at, 64))
    })
}

/// The version in `OPENSSL_3.0.0`, `OPENSSL_1_1_0`: the lowest is the base of the series.
fn symbol_version(names: &[u8]) -> Option<String> {
    let name = b"OPENSSL_";
    memchr::memmem::find_iter(names, name)
        .filter(|at| names.get(at + name.len()).is_some_and(u8::is_ascii_digit))
        .filter_map(|at| text_at(names, at + name.len(), 16))
        .map(|version| version.replace('_', "."))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_text_begins_with_a_digit() {
        let texts = b"\0OpenSSL default\0OpenSSL 1.1.1w  11 Sep 2023\0";
        assert_eq!(version_text(texts).as_deref(), Some("OpenSSL 1.1.1w  11 Sep 2023"));
        assert_eq!(version_text(b"OpenSSL default user\0"), None);
        assert_eq!(version_text(b"OpenSSL 3.0"), None, "a text that the section's end cuts is no version");
    }

    #[test]
    fn symbol_version_is_the_base_of_the_series() {
        assert_eq!(symbol_version(b"\0OPENSSL_3.2.0\0OPENSSL_3.0.0\0").as_deref(), Some("3.0.0"));
        assert_eq!(symbol_version(b"\0OPENSSL_1_1_1\0OPENSSL_1_1_0\0").as_deref(), Some("1.1.0"));
        assert_eq!(symbol_version(b"\0OPENSSL_init_ssl\0"), None);
    }
}
