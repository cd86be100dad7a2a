//! `cargo xtask test` and `cargo xtask ci`.

mod near;

use std::process::Command;

use anyhow::{Result, bail};

use crate::prepare::Part;
use crate::steps::{Outcome, Steps, Tally};
use crate::{agent, dashboard, deny, dist, ebpf, fuzz, node, packages, places, python, shell, tidy, vm};

/// Seconds per fuzz target inside the test command; `cargo xtask fuzz` runs longer.
const FUZZ_SECONDS: u32 = 8;

/// Seed of the property tests. The same cases come in every run: what chance finds is for `--long` to find, not for whoever
/// changes something else.
const SEED: &str = "20261128";

/// Everything, or with a filter the tests whose name contains it.
pub(crate) fn test(long: bool, write_docs: bool, filter: Option<&str>) -> Result<()> {
    let mut steps = Steps::new(if filter.is_some() { 7 } else { 15 + 5 * usize::from(long) });
    steps.step("Debian packages", || {
        Ok(packages::install(packages::TEST_PACKAGES)?
            .map_or(Outcome::Ran(Tally::default()), Outcome::Skipped))
    });
    // Packages come from the network, while compilers keep the processors busy.
    let environments = steps.beside("Python environments", || Part::Python.quietly());
    let newer = (long && filter.is_none()).then(|| steps.beside("newer Pythons", || Part::Newer.quietly()));
    if filter.is_none() {
        checks(&mut steps);
    }
    steps.step("unit tests, build", || {
        shell::run(shell::cargo().args(["test", "--locked", "--workspace", "--no-run"]))?;
        Ok(Outcome::Ran(Tally::default()))
    });
    steps.join(environments);
    if let Some(newer) = newer {
        steps.join(newer);
    }
    // Most of the time of the unit tests is spent waiting for the kernel to take probes off, and much of that of the page's
    // tests waiting for a browser.
    let built = steps.beside("agent, release build", || Part::Agent.quietly());
    steps.step("unit tests", || unit_tests(long, filter));
    if long && filter.is_none() {
        steps.step("routes of large applications", large_applications);
        steps.step("dependencies", deny::check);
    }
    steps.join(built);
    let tools = filter.is_none().then(|| steps.beside("tools", || Part::Tools.quietly()));
    let agent = places::target().join("release/apm-agent");
    steps.step("dashboard tests", || dashboard::test(&agent, long, filter));
    if let Some(tools) = tools {
        steps.join(tools);
    }
    if filter.is_none() {
        steps.step("Python header hook", python::hook);
        steps.step("eBPF object", ebpf::check);
        let oldest = steps.beside("Linux 6.1, emulated", || Ok((String::new(), vm::oldest()?)));
        steps.step("fuzz targets", || fuzz::run(FUZZ_SECONDS));
        steps.join(oldest);
        if long {
            steps.step("Linux 6.12, emulated", vm::newer);
            steps.step("package, installed in an empty root", dist::build);
        }
    }
    steps.step("end-to-end tests", || end_to_end(long, write_docs, filter));
    let nothing_ran = steps.nothing_ran();
    steps.finish()?;
    match filter {
        Some(part) if nothing_ran => bail!("{}", unmatched(part)?),
        _ => Ok(()),
    }
}

/// Why a filter that matched nothing is an error, with what may have been meant.
fn unmatched(part: &str) -> Result<String> {
    let listed = shell::output(shell::cargo().args(["test", "--locked", "--workspace", "--", "--list"]))?;
    let mut names: Vec<String> =
        listed.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect();
    names.extend(end_to_end_names()?);
    let near = near::near(part, &names);
    let hint = if near.is_empty() { String::new() } else { format!("; near it are {}", near.join(", ")) };
    Ok(format!("no test's name contains `{part}`{hint}"))
}

/// What needs neither root nor a server.
pub(crate) fn ci() -> Result<()> {
    let mut steps = Steps::new(4);
    checks(&mut steps);
    steps.step("unit tests", || unit_tests(false, None));
    steps.finish()
}

fn checks(steps: &mut Steps) {
    steps.step("formatting", || {
        shell::quiet(shell::cargo().args(["fmt", "--all", "--check"]))?;
        Ok(Outcome::Ran(Tally::PASS))
    });
    steps.step("lints", || {
        let mut clippy = shell::cargo();
        clippy.args([
            "clippy",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]);
        shell::quiet(&mut clippy)?;
        Ok(Outcome::Ran(Tally::PASS))
    });
    steps.step("tidy rules", tidy::check);
}

fn unit_tests(long: bool, filter: Option<&str>) -> Result<Outcome> {
    let run = |only: &[String]| {
        let mut command = shell::cargo();
        if !long {
            command.env("PROPTEST_RNG_SEED", SEED);
        }
        if let Some(home) = python::applications().filter(|_| long) {
            // Attribution as the probes tell it, for every server: the end-to-end tests judge the same by what is stored.
            command.env("APM_TEST_VENV", home);
        }
        if long {
            command.env("APM_TEST_PYTHONS", python::home(""));
        }
        command
            .args(["test", "--locked", "--workspace", "--no-fail-fast"])
            .args(filter)
            .args(["--", "--show-output"]);
        if !only.is_empty() {
            command.arg("--exact").args(only);
        }
        cargo_tests(&mut command)
    };
    let outcome = run(&[])?;
    if long || filter.is_some() { Ok(outcome) } else { steady(outcome, run) }
}

/// More tests of one run than this do not fail by chance.
const UNSTEADY: usize = 2;

/// How often what failed must pass, one time after the other.
const STEADY: usize = 2;

/// Tries tests that failed once more, as the end-to-end tests do with theirs: many of cargo's start servers and load probes,
/// too. Those that pass each time are told as unsteady, and do not fail the run.
fn steady(outcome: Outcome, mut again: impl FnMut(&[String]) -> Result<Outcome>) -> Result<Outcome> {
    let Outcome::Told(mut tally, mut told) = outcome else { return Ok(outcome) };
    let name = |line: &String| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.split(" - ").next().unwrap_or(name).to_owned())
    };
    let names: Vec<String> = told.iter().filter_map(name).collect();
    if names.is_empty() || names.len() > UNSTEADY || names.len() as u64 != tally.failed {
        return Ok(Outcome::Told(tally, told));
    }
    for time in 1..=STEADY {
        println!("      again ({time}/{STEADY}): {}", names.join(", "));
        let passed = match again(&names)? {
            Outcome::Ran(tally) | Outcome::Told(tally, _) => {
                tally.failed == 0 && tally.passed >= names.len() as u64
            }
            Outcome::Skipped(_) => false,
        };
        if !passed {
            return Ok(Outcome::Told(tally, told));
        }
    }
    tally.passed += std::mem::take(&mut tally.failed);
    for line in &mut told {
        if let Some(name) = name(line) {
            *line = format!("unsteady: {name}");
        }
    }
    Ok(Outcome::Told(tally, told))
}

/// The scanner on two applications that pip installs, which takes minutes.
fn large_applications() -> Result<Outcome> {
    let mut command = shell::cargo();
    command.args(["test", "--locked", "--package", "apm-routes", "--test", "large"]);
    cargo_tests(command.args(["--", "--ignored", "--show-output"]))
}

fn cargo_tests(command: &mut Command) -> Result<Outcome> {
    if let Some(home) = python::applications() {
        command.env("APM_TEST_PYTHON", home.join("bin/python"));
    }
    counted(command, |line| line.contains("... FAILED") || line.contains("panicked at"))
}

/// The harness with what it always asks for.
fn harness(mut command: Command) -> Command {
    command.arg("--agent").arg(places::target().join("release/apm-agent")).arg("--root").arg(places::root());
    command
}

/// The names of all end-to-end cases.
fn end_to_end_names() -> Result<Vec<String>> {
    let listed = shell::output(harness(Command::new(agent::test_harness()?)).arg("list"))?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn end_to_end(long: bool, write_docs: bool, filter: Option<&str>) -> Result<Outcome> {
    if let Some(part) = filter
        && !end_to_end_names()?.iter().any(|name| name.contains(part))
    {
        return Ok(Outcome::Ran(Tally::default()));
    }
    let mut command = harness(shell::as_root(agent::test_harness()?)?);
    command.arg("--venvs").arg(places::target().join("venv"));
    command.arg("--screens").arg(places::target().join("screens"));
    if let Ok(node) = node::directory()? {
        command.arg("--node").arg(node.join("node"));
    }
    command.arg("run").args(long.then_some("--long")).args(write_docs.then_some("--write-docs")).args(filter);
    counted(&mut command, |line| !line.trim().is_empty())
}

/// Lines of a panic's message that are shown.
const MESSAGE_LINES_MAX: usize = 20;

/// Runs a command that prints summary lines; shows the lines that `show` picks, with what a panic says, and adds the
/// summaries up. A test that cannot run here, wholly or for one Python, says so in a line `skipped: why`, since cargo's
/// own tests have no such end.
fn counted(command: &mut Command, show: impl Fn(&str) -> bool) -> Result<Outcome> {
    let mut tally = Tally::default();
    let mut told = Vec::new();
    let mut messages = Vec::new();
    let mut message_lines = 0;
    let passed = shell::lines(command, |line| {
        let summary = line.strip_prefix("test result:").and_then(Tally::parse);
        tally += summary.unwrap_or_default();
        let skipped = line.starts_with("skipped: ");
        tally.skipped += u64::from(skipped);
        if line.ends_with("... FAILED") || line.starts_with("failed: ") || line.starts_with("unsteady: ") {
            told.push(line.to_owned());
        }
        // The message of a panic stands below the line that says where, up to cargo's note or an empty line.
        let ends = line.is_empty() || line.starts_with("note: ");
        message_lines = if ends { 0_usize } else { message_lines.saturating_sub(1) };
        let says_why = message_lines > 0;
        if says_why {
            messages.push(line.to_owned());
        }
        if line.contains("panicked at") {
            message_lines = MESSAGE_LINES_MAX + 1;
        }
        if skipped || says_why || show(line) || summary.is_some_and(|s| s != Tally::default()) {
            println!("      {line}");
        }
    })?;
    if !passed && tally.failed == 0 {
        bail!("the tests could not run; the output above tells why");
    }
    if tally.failed > 0 {
        // Where all passed, a panic was what a test wanted.
        told.append(&mut messages);
    }
    Ok(Outcome::of(tally, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(names: &[&str]) -> Outcome {
        let told =
            names.iter().flat_map(|name| [format!("test {name} ... FAILED"), "it was late".to_owned()]);
        Outcome::Told(Tally { passed: 7, failed: names.len() as u64, skipped: 1 }, told.collect())
    }

    /// What comes of it when the further runs fail so many; and how many runs there were.
    fn judged(outcome: Outcome, fails: &[u64]) -> (Tally, Vec<String>, usize) {
        let mut runs = 0;
        let outcome = steady(outcome, |names| {
            let failed = fails[runs];
            runs += 1;
            Ok(Outcome::Ran(Tally { passed: names.len() as u64 - failed, failed, skipped: 0 }))
        });
        match outcome.unwrap() {
            Outcome::Ran(tally) => (tally, Vec::new(), runs),
            Outcome::Told(tally, told) => (tally, told, runs),
            Outcome::Skipped(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_test_that_failed_by_chance_is_unsteady() {
        let (tally, told, runs) = judged(failed(&["a::b"]), &[0, 0]);
        assert_eq!((tally, runs), (Tally { passed: 8, failed: 0, skipped: 1 }, 2));
        assert_eq!(told, ["unsteady: a::b", "it was late"]);
    }

    #[test]
    fn a_test_that_fails_again_has_failed() {
        for (fails, tried) in [(&[1, 0], 1), (&[0, 1], 2)] {
            let (tally, told, runs) = judged(failed(&["a::b"]), fails);
            assert_eq!((tally.failed, runs), (1, tried));
            assert_eq!(told, ["test a::b ... FAILED", "it was late"]);
        }
    }

    #[test]
    fn many_that_fail_or_one_without_a_name_did_not_fail_by_chance() {
        assert_eq!(judged(failed(&["a", "b", "c"]), &[]).0.failed, 3);
        let nameless =
            Outcome::Told(Tally { passed: 7, failed: 1, skipped: 0 }, vec!["failed: it".to_owned()]);
        assert_eq!(judged(nameless, &[]).0.failed, 1);
        assert_eq!(judged(Outcome::Ran(Tally::PASS), &[]), (Tally::PASS, Vec::new(), 0));
    }
}
