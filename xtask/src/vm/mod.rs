//! `cargo xtask vmtest`: the committed probes and the agent inside Debian's kernels.
//!
//! qemu emulates the machine in software, so that it works where KVM does not; correctness is tested there, never speed.
//! The machine has no disk and no network: all it needs is in the image it boots from.

mod image;
mod machine;
mod tools;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::steps::{Outcome, Tally};
use crate::{places, shell};
use image::Image;
pub(crate) use image::Root;
pub(crate) use tools::emulator;

/// Kernels by the name a user gives, with the suite of Debian 12 whose `linux-image-cloud-amd64` it is.
const KERNELS: &[(&str, &str)] = &[("6.1", "bookworm-security"), ("6.12", "bookworm-backports")];

/// Test programs of the agent that run inside: they need root and nothing else.
const TESTS: &[&str] = &["capture", "verifier"];

/// `cargo xtask vmtest [--kernel NAME] [--record]`
pub(crate) fn task(kernel: Option<&str>, record: bool) -> Result<()> {
    let chosen: Vec<_> =
        KERNELS.iter().filter(|(name, _)| kernel.is_none_or(|wanted| wanted == *name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = KERNELS.iter().map(|(name, _)| *name).collect();
        bail!("no such kernel; there are {}", names.join(" and "));
    }
    if std::env::consts::ARCH != "x86_64" {
        bail!("the kernels tested are those of x86-64, and this machine is another");
    }
    let tools = emulator()?;
    let image = Image::build(&tools, TESTS)?;
    let mut failed = Vec::new();
    for (name, suite) in chosen {
        let kernel = tools::kernel(name, suite)?;
        println!("Linux {name}: {}", kernel.file_name().unwrap_or_default().to_string_lossy());
        let run = machine::boot(&tools, &kernel, &image, record)?;
        for line in run.console.lines() {
            println!("  {line}");
        }
        println!("Linux {name}: {} in {:.0} s", if run.passed { "passed" } else { "FAILED" }, run.seconds);
        if !run.passed {
            failed.push(*name);
        } else if record {
            remember(name, &run.console)?;
        }
    }
    if !failed.is_empty() {
        bail!("failed in Linux {}", failed.join(" and "));
    }
    if record && kernel.is_none() {
        remember_own()?;
    }
    Ok(())
}

/// Records the counts of the kernel that runs here, which takes root.
fn remember_own() -> Result<()> {
    let mut test = shell::cargo();
    test.args(["test", "--locked", "--package", "apm-agent", "--test", "verifier", "--", "--nocapture"]);
    let told = shell::output(test.env("VERIFIER_RECORD", "1"))?;
    let series = |line: &str| Some(line.strip_prefix("verified ")?.split_whitespace().next()?.to_owned());
    match told.lines().find_map(series) {
        Some(series) => {
            remember(&series, &told)?;
            println!("Linux {series}, of this machine: recorded");
        }
        None => println!("the kernel of this machine is not recorded: that needs root"),
    }
    Ok(())
}

/// Fetches what [`oldest`] needs; where that fails, it says why.
pub(crate) fn prepare() {
    if std::env::consts::ARCH == "x86_64" && emulator().is_ok() {
        let (name, suite) = KERNELS[0];
        let _told_later = tools::kernel(name, suite);
    }
}

/// The oldest of the kernels, for the test command: it bounds what the frames of a call chain take together more tightly
/// than later ones. Skipped where Debian's archive cannot be reached.
pub(crate) fn oldest() -> Result<Outcome> {
    boots(0)
}

/// The next, for the long run of the test command.
pub(crate) fn newer() -> Result<Outcome> {
    boots(1)
}

/// The tests in one of the kernels.
fn boots(nth: usize) -> Result<Outcome> {
    let (name, suite) = KERNELS[nth];
    if std::env::consts::ARCH != "x86_64" {
        return Ok(Outcome::Skipped("the kernel is one of x86-64, and this machine is another".to_owned()));
    }
    let (tools, kernel) = match emulator().and_then(|tools| Ok((tools, tools::kernel(name, suite)?))) {
        Ok(found) => found,
        Err(reason) => return Ok(Outcome::Skipped(format!("no kernel to boot: {reason:#}"))),
    };
    let run = machine::boot(&tools, &kernel, &Image::build(&tools, TESTS)?, false)?;
    if !run.passed {
        bail!("{}\nfailed in Linux {name}", run.console);
    }
    Ok(Outcome::Ran(run.console.lines().filter_map(summary).fold(Tally::PASS, |mut sum, part| {
        sum += part;
        sum
    })))
}

/// What a test program says of its tests.
fn summary(line: &str) -> Option<Tally> {
    line.trim().strip_prefix("test result:").and_then(Tally::parse)
}

/// Writes the verifier's counts that a run printed to `agent-ebpf/verifier.toml`, which the test `verifier` reads.
fn remember(kernel: &str, console: &str) -> Result<()> {
    let file = places::root().join("agent-ebpf/verifier.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let (comment, _) =
        text.split_once("\n\n").context("verifier.toml begins with a comment and an empty line")?;
    let mut kernels: BTreeMap<String, BTreeMap<String, u32>> = toml::from_str(&text)?;
    let counts = counts(kernel, console);
    if counts.is_empty() {
        bail!("the run told no instruction counts for Linux {kernel}");
    }
    kernels.insert(kernel.to_owned(), counts);
    let mut out = format!("{comment}\n");
    for (kernel, counts) in kernels {
        out.push_str(&format!("\n[\"{kernel}\"]\n"));
        for (program, count) in counts {
            out.push_str(&format!("{program} = {count}\n"));
        }
    }
    fs::write(&file, out)?;
    Ok(())
}

/// Lines `verified KERNEL PROGRAM COUNT`, as the test prints them.
fn counts(kernel: &str, console: &str) -> BTreeMap<String, u32> {
    let words = |line: &str| -> Option<(String, u32)> {
        let mut words = line.trim().strip_prefix("verified ")?.split_whitespace();
        (words.next()? == kernel).then_some(())?;
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    };
    console.lines().filter_map(words).collect()
}

/// The test programs called `names`, built and not run.
fn test_programs(names: &[&str]) -> Result<Vec<(String, std::path::PathBuf)>> {
    let mut cargo = shell::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--locked",
        "--no-run",
        "--message-format=json",
        "--package",
        "apm-agent",
    ]);
    for name in names {
        cargo.args(["--test", name]);
    }
    let messages = shell::output(&mut cargo)?;
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo told no JSON")?;
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if let Some(path) = message["executable"].as_str().filter(|_| names.contains(&name)) {
            programs.push((name.to_owned(), path.into()));
        }
    }
    if programs.len() != names.len() {
        bail!("cargo built {} of {} test programs", programs.len(), names.len());
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn counts_of_the_kernel_asked_for_are_read() {
        let console =
            "booting\nverified 6.1 sys_exit_read 812\nverified 6.12 sys_exit_read 9\r\nverified 6.1 x none\n";
        assert_eq!(
            counts("6.1", console).into_iter().collect::<Vec<_>>(),
            [("sys_exit_read".to_owned(), 812)]
        );
    }
}
