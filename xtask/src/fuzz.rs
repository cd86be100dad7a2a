//! Fuzzing every target of `fuzz/`.

use std::num::NonZero;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::Result;

use crate::steps::{Outcome, Tally};
use crate::{places, shell};

const CARGO_FUZZ: &str = "0.13.1";

/// `cargo xtask fuzz`
pub(crate) fn task(seconds: u32) -> Result<()> {
    println!("{}", run(seconds)?.line()?);
    Ok(())
}

/// Fuzzes every target for `seconds`; a target that crashed counts as failed and names its input.
pub(crate) fn run(seconds: u32) -> Result<Outcome> {
    if !places::root().join("fuzz/Cargo.toml").exists() {
        return Ok(Outcome::Skipped("no fuzz/Cargo.toml".to_owned()));
    }
    let (cargo_fuzz, targets) = built()?;
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    // A target keeps one processor busy.
    let at_once = thread::available_parallelism().map_or(1, NonZero::get);
    for targets in targets.chunks(at_once) {
        let commands = targets.iter().map(|target| {
            let mut command = fuzz(&cargo_fuzz);
            command.args(["run", "--sanitizer", "none"]).args(target_dir()).arg(target);
            command
                .args(["--", "-timeout=10", "-rss_limit_mb=2048"])
                .arg(format!("-max_total_time={seconds}"));
            (target, thread::spawn(move || shell::quiet(&mut command)))
        });
        for (target, run) in commands.collect::<Vec<_>>() {
            match run.join().expect("a command's output is read without a panic") {
                Ok(()) => {
                    println!("      ok {target}, {seconds} s");
                    tally.passed += 1;
                }
                Err(error) => {
                    println!("      FAILED {target}\n{error:#}");
                    tally.failed += 1;
                    failures.push(format!("fuzz target {target}"));
                }
            }
        }
    }
    Ok(Outcome::of(tally, failures))
}

/// Installs cargo-fuzz and builds the targets, if there are any.
pub(crate) fn prepare() -> Result<()> {
    if places::root().join("fuzz/Cargo.toml").exists() {
        built()?;
    }
    Ok(())
}

/// cargo-fuzz, and the names of its targets, which are built.
fn built() -> Result<(PathBuf, Vec<String>)> {
    let cargo_fuzz = installed()?;
    let list = shell::output(fuzz(&cargo_fuzz).arg("list"))?;
    let targets: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    println!("      building {} fuzz targets", targets.len());
    shell::quiet(fuzz(&cargo_fuzz).args(["build", "--sanitizer", "none"]).args(target_dir()))?;
    Ok((cargo_fuzz, targets))
}

/// cargo-fuzz under the toolchain in use. Its coverage flags are unstable: on a stable compiler the bootstrap
/// variable admits them, which spares every contributor a second toolchain. The code is safe Rust, so the
/// sanitizers, which do need nightly, are left out.
fn fuzz(cargo_fuzz: &PathBuf) -> Command {
    let mut command = Command::new(cargo_fuzz);
    command
        .arg("fuzz")
        .current_dir(places::root())
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("CARGO_TARGET_DIR");
    command
}

fn target_dir() -> [std::ffi::OsString; 2] {
    ["--target-dir".into(), places::target().join("fuzz").into()]
}

fn installed() -> Result<PathBuf> {
    let tools = places::target().join("tools");
    let binary = tools.join("bin/cargo-fuzz");
    if !binary.exists() {
        println!("      installing cargo-fuzz {CARGO_FUZZ}");
        let mut install = shell::cargo();
        install
            .args(["install", "--quiet", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ, "--root"])
            .arg(&tools);
        install.env_remove("CARGO_TARGET_DIR").arg("--target-dir").arg(tools.join("build"));
        shell::quiet(&mut install)?;
    }
    Ok(binary)
}
