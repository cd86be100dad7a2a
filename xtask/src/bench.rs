//! `cargo xtask bench`: what watching costs, and how fast the store and the pipeline are. Each part rewrites its own section.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::{agent, packages, places, python, shell};

/// Rounds, and pairs in each, of the tables in docs/performance.md and README.md.
pub(crate) const OVERHEAD: (u32, u32) = (4, 80);
const FEATURES: (u32, u32) = (4, 100);

/// Is this measured with no fewer rounds and pairs than `full`? A short run says too little to be written down.
fn is_full((rounds, pairs): (u32, u32), full: (u32, u32)) -> bool {
    rounds >= full.0 && pairs >= full.1
}

/// Parts that need no load. Only the first needs privileges.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum Part {
    /// What each part of watching costs a request that does nothing. Four minutes a round
    Features {
        /// Rounds of each in turn, an even number; nothing is written for fewer than the default
        #[arg(long, default_value_t = FEATURES.0)]
        rounds: u32,
        /// Pairs of bare and watched in each, half a second long; fewer likewise
        #[arg(long, default_value_t = FEATURES.1)]
        pairs: u32,
    },
    /// Exceptions that an application handles, where the agent looks at them on their way
    Exceptions {
        /// Rounds, each with an application and an agent of its own
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// The agent beside the SDKs of others that live in the app's process. Two minutes a round
    Peers {
        /// Rounds of each in turn
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Seconds of load per measurement, two for each
        #[arg(long, default_value_t = 5)]
        seconds: u32,
    },
    /// Attaching to servers of 1 to 64 workers and letting go of them. Two minutes
    Attach {
        /// Rounds of each size
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Memory, file and processor time after as many requests as an hour at 1,000 a second has, as fast as the app answers.
    /// Eight minutes
    Footprint {
        /// Requests; nothing is written to docs unless it is the hour's
        #[arg(long, default_value_t = 3_600_000)]
        requests: u64,
    },
    /// An hour at 1,000 requests per second into the store, then every endpoint of the API while more come; beside it the
    /// store of the collector backtrack. Ten minutes
    #[command(alias = "api")]
    Store {
        /// Requests per second
        #[arg(long, default_value_t = 1000)]
        rate: u32,
        /// Seconds of them; nothing is written to docs unless it is an hour
        #[arg(long, default_value_t = 3600)]
        seconds: u32,
        /// Leave the other store out
        #[arg(long)]
        alone: bool,
    },
    /// Cost per request as connections, routes, processes and kept requests grow
    Growth {
        /// Most requests kept; 10 million take some minutes
        #[arg(long, default_value_t = 1_000_000)]
        kept: u32,
    },
}

/// Runs a part.
pub(crate) fn part(part: Part) -> Result<()> {
    match part {
        Part::Features { rounds, pairs } => {
            packages::require(LOADED)?;
            let arguments = [("--rounds", rounds.to_string()), ("--pairs", pairs.to_string())];
            let report = by_harness("features", &arguments)?;
            if !is_full((rounds, pairs), FEATURES) {
                return Ok(());
            }
            publish("docs/performance.md", "features", &report)?;
            publish("README.md", "features", &report)
        }
        Part::Exceptions { rounds } => {
            let report = by_harness("exceptions", &[("--rounds", rounds.to_string())])?;
            publish("docs/performance.md", "exceptions", &report)
        }
        Part::Peers { rounds, seconds } => {
            packages::require(&["python3", "python3-venv", "wrk", "openssl"])?;
            python::peers()?;
            let arguments = [("--rounds", rounds.to_string()), ("--seconds", seconds.to_string())];
            publish("docs/performance.md", "peers", &by_harness("peers", &arguments)?)
        }
        Part::Attach { rounds } => {
            let report = by_harness("attach", &[("--rounds", rounds.to_string())])?;
            publish("docs/performance.md", "attach", &report)
        }
        Part::Footprint { requests } => {
            packages::require(&["python3", "python3-venv", "wrk"])?;
            let report = by_harness("footprint", &[("--requests", requests.to_string())])?;
            if requests >= 3_600_000 { publish("docs/performance.md", "footprint", &report) } else { Ok(()) }
        }
        Part::Store { rate, seconds, alone } => {
            let (rate, seconds_text) = (rate.to_string(), seconds.to_string());
            let mut measure = measure();
            measure.args(["store", "--rate", &rate, "--seconds", &seconds_text]);
            if !alone {
                python::prepare()?;
                let python = python::applications().context("no Python that the collector runs on")?;
                let results = places::target().join("seed-store.jsonl");
                println!("the other store first: some minutes");
                let mut other = Command::new(python.join("bin/python"));
                other.arg(places::root().join("tests/apps/bench/seed_store.py")).args([&rate, &seconds_text]);
                shell::run(other.stdout(File::create(&results)?))?;
                measure.arg("--beside").arg(results);
            }
            let report = shell::shown(&mut measure)?;
            if seconds == 3600 { publish("docs/performance.md", "store", &report) } else { Ok(()) }
        }
        Part::Growth { kept } => {
            let report = shell::shown(measure().args(["growth", "--kept", &kept.to_string()]))?;
            publish("docs/performance.md", "growth", &report)
        }
    }
}

/// Lets the harness measure a part; gives its report.
fn by_harness(part: &str, arguments: &[(&str, String)]) -> Result<String> {
    let report = places::target().join(format!("bench-{part}.md"));
    let mut harness = on_pythons()?;
    harness.arg(format!("bench-{part}"));
    for (name, value) in arguments {
        harness.args([name, value.as_str()]);
    }
    shell::run(harness.arg("--report").arg(&report))?;
    fs::read_to_string(&report).with_context(|| report.display().to_string())
}

/// The program that measures the rest: an example of the agent's library.
fn measure() -> Command {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--locked", "--release", "--package", "apm-agent", "--example", "measure", "--"]);
    cargo
}

/// The harness, with the agent and the Pythons that it starts servers with.
fn on_pythons() -> Result<Command> {
    let absent = python::prepare()?;
    if absent.len() == python::VERSIONS.len() {
        bail!("no Python between {} and {} found", python::VERSIONS[0], python::VERSIONS[absent.len() - 1]);
    }
    let binary = agent::build()?;
    let mut harness = shell::as_root(agent::harness()?)?;
    harness
        .arg("--agent")
        .arg(binary)
        .arg("--root")
        .arg(places::root())
        .arg("--venvs")
        .arg(places::target().join("venv"));
    Ok(harness)
}

/// What the servers under load need, those that they call, and the load.
const LOADED: &[&str] = &[
    "python3",
    "python3-venv",
    "wrk",
    "postgresql",
    "openssl",
    "libpq-dev",
    "libmariadb-dev",
    "pkg-config",
    "libc6-dev",
    "gcc",
];

/// What watching costs.
pub(crate) fn overhead(rounds: u32, pairs: u32, only: Option<&str>) -> Result<()> {
    packages::require(LOADED)?;
    let mut bench = on_pythons()?;
    bench.arg("bench").args(["--rounds", &rounds.to_string(), "--pairs", &pairs.to_string()]);
    if let Some(only) = only {
        bench.args(["--only", only]);
    }
    let report = places::target().join("bench.md");
    shell::run(bench.arg("--report").arg(&report))?;
    if only.is_some() || !is_full((rounds, pairs), OVERHEAD) {
        return Ok(());
    }
    let report = fs::read_to_string(report)?;
    publish("docs/performance.md", "overhead", &report)?;
    let summary = report.split("\nEach round, medians:").next().unwrap_or(&report);
    publish("README.md", "overhead", summary)
}

/// Writes `report` into the section `name` of `file`, between its markers.
fn publish(file: &str, name: &str, report: &str) -> Result<()> {
    let path = places::root().join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, replaced(&text, name, report).with_context(|| path.display().to_string())?)?;
    println!("written to {file}");
    Ok(())
}

/// `text` with what lies between the markers of section `name` replaced.
fn replaced(text: &str, name: &str, report: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- begin: bench {name} -->"), format!("<!-- end: bench {name} -->"));
    let (before, rest) = text.split_once(&begin).with_context(|| format!("no marker {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no marker {end}"))?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", report.trim()))
}

#[cfg(test)]
mod tests {
    use super::{is_full, replaced};

    #[test]
    fn a_short_run_is_not_full() {
        assert!(is_full((4, 80), (4, 80)) && is_full((6, 100), (4, 80)));
        assert!(!is_full((2, 200), (4, 80)) && !is_full((8, 40), (4, 80)));
    }

    #[test]
    fn a_section_is_replaced_and_no_other() {
        let text = "# A\n<!-- begin: bench a -->\nold\n<!-- end: bench a -->\n<!-- begin: bench b -->\nkept\n<!-- end: bench b -->\n";
        let new = replaced(text, "a", "\nnew\n").unwrap();
        assert_eq!(new, text.replace("old", "new"));
        assert!(replaced(text, "c", "new").is_err());
        assert!(replaced("<!-- begin: bench a -->", "a", "new").is_err());
    }
}
