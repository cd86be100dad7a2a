//! Files that a process maps.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::elf::{ElfFacts, FileKey};

/// A file mapped into a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Path as the process sees it, without the kernel's ` (deleted)`.
    pub path: PathBuf,
    /// Path through `/proc` that leads the agent to the same file, into containers and after deletion: what to open and
    /// to attach to. It holds while the process lives and keeps the mapping.
    pub access: PathBuf,
    /// Which file it is.
    pub key: FileKey,
    /// What is in it.
    pub facts: Arc<ElfFacts>,
    /// To be added to an address as linked to get the address in the process.
    pub load_bias: u64,
}

/// A library that speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsKind {
    /// OpenSSL or LibreSSL.
    OpenSsl,
    /// BoringSSL; visible only where it exports OpenSSL's functions.
    BoringSsl,
    /// GnuTLS: not visible.
    GnuTls,
    /// Mozilla's NSS: not visible.
    Nss,
    /// rustls, inside a Rust extension: not visible.
    Rustls,
}

impl fmt::Display for TlsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSsl => "OpenSSL",
            Self::BoringSsl => "BoringSSL",
            Self::GnuTls => "GnuTLS",
            Self::Nss => "NSS",
            Self::Rustls => "rustls",
        })
    }
}

/// A TLS library mapped into a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsLibrary {
    /// Which.
    pub kind: TlsKind,
    /// Version text, such as `OpenSSL 3.0.19 27 Jan 2026`, or what its symbols tell, such as `OpenSSL 3.0.0 or later`.
    pub version: Option<String>,
    /// Its plaintext functions are there for probes: `file.facts.openssl` names them.
    pub visible: bool,
    /// The file that holds it.
    pub file: MappedFile,
    /// The file that holds its `BIO_write`: itself, or its libcrypto where that can be told.
    pub crypto: Option<MappedFile>,
}

/// TLS libraries among the files, each with its version where one can be told.
pub(super) fn tls_libraries(files: &[MappedFile]) -> Vec<TlsLibrary> {
    files
        .iter()
        .filter_map(|file| {
            let facts = &file.facts;
            if let Some(build) = &facts.openssl {
                let version = build.version.clone().or_else(|| crypto_version(file, files)).or_else(|| {
                    build.symbol_version.as_ref().map(|version| format!("OpenSSL {version} or later"))
                });
                let crypto = if facts.bio_write.is_some() { Some(file) } else { libcrypto_of(file, files) };
                return Some(TlsLibrary {
                    kind: build.kind,
                    version,
                    visible: true,
                    file: file.clone(),
                    crypto: crypto.cloned(),
                });
            }
            let kind = facts.other_tls?;
            Some(TlsLibrary { kind, version: None, visible: false, file: file.clone(), crypto: None })
        })
        .collect()
}

/// The libcrypto that belongs to a libssl: that of the same directory, or the only one there is.
fn libcrypto_of<'a>(libssl: &MappedFile, files: &'a [MappedFile]) -> Option<&'a MappedFile> {
    let all = || files.iter().filter(|file| file.facts.crypto_version.is_some());
    let mut beside = all().filter(|file| file.path.parent() == libssl.path.parent());
    match (beside.next(), beside.next()) {
        (Some(file), None) => Some(file),
        (Some(_), Some(_)) => None,
        (None, _) => {
            let mut others = all();
            let file = others.next()?;
            others.next().is_none().then_some(file)
        }
    }
}

fn crypto_version(libssl: &MappedFile, files: &[MappedFile]) -> Option<String> {
    libcrypto_of(libssl, files)?.facts.crypto_version.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::elf::OpenSslBuild;

    fn file(path: &str, facts: ElfFacts) -> MappedFile {
        MappedFile {
            path: path.into(),
            access: path.into(),
            key: FileKey { device: 1, inode: 1, modified: 0, changed: 0 },
            facts: Arc::new(facts),
            load_bias: 0,
        }
    }

    fn libssl(path: &str) -> MappedFile {
        let build = OpenSslBuild {
            kind: TlsKind::OpenSsl,
            version: None,
            symbol_version: Some("1.1.0".into()),
            functions: Vec::new(),
            methods: None,
        };
        file(path, ElfFacts { openssl: Some(build), ..Default::default() })
    }

    fn libcrypto(path: &str, version: &str) -> MappedFile {
        file(path, ElfFacts { crypto_version: Some(version.into()), ..Default::default() })
    }

    #[test]
    fn each_libssl_has_the_version_of_the_libcrypto_beside_it() {
        let files = [
            libssl("/usr/lib/libssl.so.3"),
            libcrypto("/usr/lib/libcrypto.so.3", "OpenSSL 3.0.19"),
            libssl("/venv/psycopg2_binary.libs/libssl-3e69114b.so.1.1"),
            libcrypto("/venv/psycopg2_binary.libs/libcrypto-1.so.1.1", "OpenSSL 1.1.1w"),
            libssl("/elsewhere/libssl.so.1.1"),
        ];
        let versions: Vec<_> =
            tls_libraries(&files).into_iter().map(|library| library.version.unwrap()).collect();
        assert_eq!(versions, ["OpenSSL 3.0.19", "OpenSSL 1.1.1w", "OpenSSL 1.1.0 or later"]);
    }

    #[test]
    fn only_libcrypto_lends_its_version_from_elsewhere() {
        let files = [libssl("/a/libssl.so.3"), libcrypto("/b/libcrypto.so.3", "OpenSSL 3.1.0")];
        assert_eq!(tls_libraries(&files)[0].version.as_deref(), Some("OpenSSL 3.1.0"));
    }

    #[test]
    fn libraries_without_openssls_functions_are_seen_but_not_visible() {
        let facts = ElfFacts { other_tls: Some(TlsKind::GnuTls), ..Default::default() };
        let found = tls_libraries(&[file("/usr/lib/libgnutls.so.30", facts)]);
        assert!(!found[0].visible && found[0].kind == TlsKind::GnuTls);
    }
}
