//! The compiler and linker of the probes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{packages, places, shell};

/// Version of bpf-linker that the committed object is linked with.
const LINKER_VERSION: &str = "0.13.0";

/// What builds the probes.
pub(super) struct Toolchain {
    /// A rustc whose library sources are present.
    pub(super) rustc: PathBuf,
    /// Those sources: `lib/rustlib/src/rust` of its sysroot.
    pub(super) rust_src: PathBuf,
    /// bpf-linker.
    pub(super) linker: PathBuf,
}

impl Toolchain {
    /// Finds or installs it. The inner error says why this machine cannot have it.
    pub(super) fn prepare() -> Result<std::result::Result<Self, String>> {
        let Some((rustc, rust_src)) = compiler()? else {
            let why = "no rustc with library sources: Debian has `rustc-web` and `rust-web-src`; elsewhere `rustup \
                       toolchain install nightly --component rust-src` and EBPF_RUSTC set to its rustc";
            return Ok(Err(why.to_owned()));
        };
        let llvm = llvm_major(&rustc)?;
        let Some(library) = llvm_library(&rustc, &llvm)? else {
            return Ok(Err(format!("no libLLVM {llvm} found for bpf-linker")));
        };
        let tools = places::target().join("ebpf-tools");
        let linker = tools.join("bin/bpf-linker");
        if !linker.exists() {
            println!("      installing bpf-linker {LINKER_VERSION} (a minute or two)");
            // bpf-linker's build asks for `$LLVM_PREFIX/lib/libLLVM.so` and for nothing else of LLVM.
            let prefix = tools.join("llvm");
            fs::create_dir_all(prefix.join("lib"))?;
            let link = prefix.join("lib/libLLVM.so");
            let _ = fs::remove_file(&link);
            symlink(&library, &link).with_context(|| format!("cannot link {}", link.display()))?;
            let mut install = shell::cargo();
            install.args(["install", "--quiet", "bpf-linker", "--version", LINKER_VERSION, "--locked"]);
            install
                .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
                .arg(&tools);
            install.env_remove("CARGO_TARGET_DIR").arg("--target-dir").arg(tools.join("build"));
            shell::quiet(install.env("LLVM_PREFIX", &prefix))?;
        }
        Ok(Ok(Self { rustc, rust_src, linker }))
    }
}

/// The compiler: `EBPF_RUSTC`, else Debian's (installed if need be), else rustup's nightly with `rust-src`.
fn compiler() -> Result<Option<(PathBuf, PathBuf)>> {
    if let Some(own) = std::env::var_os("EBPF_RUSTC") {
        return Ok(with_sources(Path::new(&own)));
    }
    if let Some(why) = packages::install(packages::EBPF_PACKAGES)? {
        println!("      {why}");
    }
    if let Some(found) = with_sources(Path::new("/usr/bin/rustc")) {
        return Ok(Some(found));
    }
    let nightly = shell::output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]));
    Ok(nightly.ok().and_then(|path| with_sources(Path::new(path.trim()))))
}

fn with_sources(rustc: &Path) -> Option<(PathBuf, PathBuf)> {
    let sysroot = shell::output(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    sources.join("library/core/Cargo.toml").exists().then(|| (rustc.to_owned(), sources))
}

fn llvm_major(rustc: &Path) -> Result<String> {
    let version = shell::output(Command::new(rustc).arg("-vV"))?;
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .context("rustc names no LLVM")?;
    Ok(llvm.split('.').next().unwrap_or(llvm).to_owned())
}

/// The LLVM that `rustc` itself is linked with: the system's, or the one in rustup's toolchain.
fn llvm_library(rustc: &Path, major: &str) -> Result<Option<PathBuf>> {
    let cache = shell::output(Command::new("/sbin/ldconfig").arg("-p")).unwrap_or_default();
    let name = format!("libLLVM.so.{major}.");
    let system = cache.lines().filter(|line| line.trim_start().starts_with(&name));
    let system = system.filter_map(|line| line.split("=> ").nth(1)).map(PathBuf::from).next();
    let sysroot = PathBuf::from(shell::output(Command::new(rustc).args(["--print", "sysroot"]))?.trim());
    let bundled = fs::read_dir(sysroot.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut bundled = bundled.filter(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("libLLVM"))
    });
    Ok(system.or_else(|| bundled.next()))
}
