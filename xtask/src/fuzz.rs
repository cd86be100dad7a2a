//! Fuzzing every target of `fuzz/`.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Result, bail};

use crate::steps::{Outcome, Tally};
use crate::{places, shell};

mod corpus;

const CARGO_FUZZ: &str = "0.13.1";

/// `cargo xtask fuzz`
pub(crate) fn task(seconds: u32, target: Option<&str>, keep: bool) -> Result<()> {
    let (cargo_fuzz, mut targets) = built()?;
    if let Some(only) = target {
        if !targets.iter().any(|target| target == only) {
            bail!("no fuzz target {only}; there are {}", targets.join(", "));
        }
        targets.retain(|target| target == only);
    }
    let outcome = run_all(&cargo_fuzz, &targets, seconds)?;
    if keep {
        for target in &targets {
            let directory = corpus::unpack(target)?;
            let mut command = fuzz(&cargo_fuzz);
            command.args(["cmin", "--sanitizer", "none"]).args(target_dir()).arg(target).arg(&directory);
            shell::quiet(&mut command)?;
            let (kept, all) = corpus::keep(target, &directory)?;
            println!("      {target}: {kept} inputs kept of {all} that reach different code");
        }
    }
    println!("{}", outcome.line()?);
    Ok(())
}

/// Fuzzes every target for `seconds`; a target that crashed counts as failed and names its input.
pub(crate) fn run(seconds: u32) -> Result<Outcome> {
    if !places::root().join("fuzz/Cargo.toml").exists() {
        return Ok(Outcome::Skipped("no fuzz/Cargo.toml".to_owned()));
    }
    let (cargo_fuzz, targets) = built()?;
    run_all(&cargo_fuzz, &targets, seconds)
}

fn run_all(cargo_fuzz: &Path, targets: &[String], seconds: u32) -> Result<Outcome> {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    // A target keeps one processor busy.
    let at_once = thread::available_parallelism().map_or(1, NonZero::get);
    for targets in targets.chunks(at_once) {
        if seconds >= 60 {
            println!("      {} for {seconds} s", targets.join(" and "));
        }
        let runs = targets.iter().map(|target| {
            let (cargo_fuzz, name) = (cargo_fuzz.to_owned(), target.clone());
            (target, thread::spawn(move || fuzzed(&cargo_fuzz, &name, seconds)))
        });
        for (target, run) in runs.collect::<Vec<_>>() {
            match run.join().expect("a command's output is read without a panic") {
                Ok(figures) => {
                    println!("      ok {target}, {seconds} s{figures}");
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

/// Fuzzes one target, from its corpus on. Returns what it came to in words.
fn fuzzed(cargo_fuzz: &Path, target: &str, seconds: u32) -> Result<String> {
    let mut command = fuzz(cargo_fuzz);
    command.args(["run", "--sanitizer", "none"]).args(target_dir()).arg(target).arg(corpus::unpack(target)?);
    command
        .args(["--", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"));
    let (_, told) = shell::outputs(&mut command)?;
    Ok(figures(&told).unwrap_or_default())
}

/// Inputs and edges reached, from what libFuzzer printed.
fn figures(told: &str) -> Option<String> {
    let after = |text: &str| {
        let (_, rest) = told.rsplit_once(text)?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (inputs, edges) = (after("stat::number_of_executed_units:")?, after(" cov: ")?);
    Some(format!(": {inputs} inputs, {edges} edges reached"))
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
fn fuzz(cargo_fuzz: &Path) -> Command {
    let mut command = Command::new(cargo_fuzz);
    command
        .arg("fuzz")
        .current_dir(places::root())
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("CARGO_TARGET_DIR");
    command
}

fn target_dir() -> [OsString; 2] {
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

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn what_libfuzzer_prints_at_its_end_is_read() {
        let told = "#2 INITED cov: 12 ft: 13 corp: 1/1b\n#524288 pulse  cov: 431 ft: 1200 corp: 300/12Kb\n\
            stat::number_of_executed_units: 600123\nstat::average_exec_per_sec:     75015\n";
        assert_eq!(figures(told).unwrap(), ": 600123 inputs, 431 edges reached");
        assert_eq!(figures("thread panicked"), None);
    }
}
