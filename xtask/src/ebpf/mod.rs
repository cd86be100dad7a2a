//! The committed eBPF object: building it and checking it.
//!
//! `agent-ebpf/probes.bpf.o` is committed, so that a user builds with plain stable Rust. The build is reproducible:
//! the same compiler gives the same bytes in any directory, and `--check` holds the committed object to that.

mod record;
mod toolchain;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::{Outcome, Tally};
use crate::{places, shell};
use record::Record;
use toolchain::Toolchain;

const TARGET: &str = "bpfel-unknown-none";

/// The committed object.
fn committed() -> PathBuf {
    places::root().join("agent-ebpf/probes.bpf.o")
}

/// What it was built with, beside it.
fn record_of(object: &Path) -> PathBuf {
    object.with_extension("o.build")
}

/// `cargo xtask ebpf [--check]`
pub(crate) fn task(only_check: bool) -> Result<()> {
    if only_check {
        println!("the committed object against its sources: {}", check()?.line()?);
        return Ok(());
    }
    let tools = Toolchain::prepare()?.map_err(anyhow::Error::msg)?;
    let built = build(&tools)?;
    fs::copy(&built, committed())?;
    let record = Record::of(&tools, &built)?;
    fs::write(record_of(&committed()), record.to_string())?;
    println!("{}\n{record}", committed().display());
    Ok(())
}

/// Installs what builds the probes, where this machine can have it; what it lacks [`check`] says.
pub(crate) fn prepare() -> Result<()> {
    Toolchain::prepare().map(drop)
}

/// Rebuilds and compares byte for byte; skipped with the reason where this machine has another compiler.
pub(crate) fn check() -> Result<Outcome> {
    let object = committed();
    let wanted = fs::read_to_string(record_of(&object)).context("no build record; run `cargo xtask ebpf`")?;
    let wanted: Record = wanted.parse()?;
    if Record::sha256(&object)? != wanted.sha256 {
        bail!("{} is not the object its build record describes; run `cargo xtask ebpf`", object.display());
    }
    let tools = match Toolchain::prepare()? {
        Ok(tools) => tools,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let built = build(&tools)?;
    let ours = Record::of(&tools, &built)?;
    if let Some(difference) = wanted.other_tools(&ours) {
        return Ok(Outcome::Skipped(format!(
            "the sources build, but the bytes cannot be compared: {difference}"
        )));
    }
    if fs::read(&built)? != fs::read(&object)? {
        bail!(
            "{} is not what the sources give; run `cargo xtask ebpf` and commit the result",
            object.display()
        );
    }
    Ok(Outcome::Ran(Tally::PASS))
}

/// Builds the probes and gives back the stripped object, under the target directory.
fn build(tools: &Toolchain) -> Result<PathBuf> {
    let target = places::target().join("ebpf");
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--quiet", "--locked", "--package", "apm-agent-ebpf", "--bin", "apm-agent-probes"])
        .args(["--features", "probes", "--profile", "probes", "--target", TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTC", &tools.rustc)
        // Debian's compiler is a release; the variable admits `-Z build-std` and nightly features. Set for this one
        // command only: it must never reach a build of the agent.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTFLAGS")
        // Incremental builds are cut into other units, and give other code.
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(tools))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &tools.linker);
    shell::run(&mut cargo).context("the probes do not build")?;
    let stripped = target.join("probes.bpf.o");
    strip(&target.join(TARGET).join("probes/apm-agent-probes"), &stripped)?;
    Ok(stripped)
}

/// Flags that make the bytes independent of where the sources lie.
fn rustflags(tools: &Toolchain) -> OsString {
    let mut flags: Vec<OsString> = vec![
        "-Cdebuginfo=2".into(), // BTF is made from debug information
        "-Clink-arg=--btf".into(),
        "--cfg=bpf_target_arch=\"x86_64\"".into(), // aya's register layout of the machine we trace
    ];
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    remap(&places::root(), "/src");
    remap(&places::cargo_home().join("registry/src"), "/registry");
    remap(&tools.rust_src, "/rust");
    if let Ok(real) = tools.rust_src.canonicalize() {
        remap(&real, "/rust");
    }
    flags.join("\u{1f}".as_ref())
}

/// Takes DWARF off and leaves BTF: a sixth of the size, and nothing left of the machine's paths.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let sysroot =
        shell::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(places::root()))?;
    let sysroot = PathBuf::from(sysroot.trim());
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let objcopy = sysroot.join("lib/rustlib").join(host).join("bin/rust-objcopy");
    let mut command = Command::new(&objcopy);
    // rust-objcopy finds its libLLVM in its toolchain's lib directory.
    command.env("LD_LIBRARY_PATH", sysroot.join("lib")).arg("--strip-debug").arg(from).arg(to);
    shell::quiet(&mut command).context("rust-objcopy, which comes with rustup's toolchain, failed")
}
