//! Starts real servers, real load and the real agent; `cargo xtask test`, `bench` and `demo` call it.

#![allow(clippy::print_stdout)] // a command line: printing is what it is for

mod agent;
mod bench;
mod cases;
mod demo;
mod grace;
mod guard;
mod limit;
mod load;
mod places;
mod port;
mod process;
mod runner;
mod score;
mod server;
mod store;
mod truth;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use places::Places;

/// End-to-end tests, demo and benchmark of apm-agent. Started by `cargo xtask`.
#[derive(Parser)]
struct Cli {
    /// The agent's binary
    #[arg(long)]
    agent: PathBuf,
    /// Root of the workspace
    #[arg(long)]
    root: PathBuf,
    /// Virtual environments, one directory per Python version
    #[arg(long, default_value = "target/venv")]
    venvs: PathBuf,
    /// Where screenshots go
    #[arg(long, default_value = "target/screens")]
    screens: PathBuf,
    /// Node, for the page
    #[arg(long)]
    node: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the tests whose name contains FILTER
    Run {
        /// More requests per test
        #[arg(long)]
        long: bool,
        /// Write the tables of results in docs
        #[arg(long)]
        write_docs: bool,
        /// Tests at a time, of those that do not disturb each other
        #[arg(long, default_value_t = 3)]
        jobs: usize,
        /// Part of a name
        filter: Option<String>,
    },
    /// Print the names of all tests
    List,
    /// Measure what watching costs
    Bench {
        /// Rounds, each with an agent of its own
        #[arg(long)]
        rounds: u32,
        /// Pairs of bare and watched in each
        #[arg(long)]
        pairs: u32,
        /// Only workloads whose name contains this
        #[arg(long)]
        only: Option<String>,
        /// Where the report goes, as Markdown
        #[arg(long)]
        report: PathBuf,
    },
    /// Measure what each part of watching costs
    BenchFeatures {
        /// Rounds of each in turn
        #[arg(long)]
        rounds: u32,
        /// Pairs of bare and watched in each
        #[arg(long)]
        pairs: u32,
        /// Where the report goes, as Markdown
        #[arg(long)]
        report: PathBuf,
    },
    /// Measure what exceptions cost that an app handles
    BenchExceptions {
        /// Rounds, each with an app and an agent of its own
        #[arg(long)]
        rounds: u32,
        /// Where the report goes, as Markdown
        #[arg(long)]
        report: PathBuf,
    },
    /// Measure the agent beside SDKs that live in the app's process
    BenchPeers {
        /// Rounds of each in turn
        #[arg(long)]
        rounds: u32,
        /// Seconds per measurement
        #[arg(long)]
        seconds: u32,
        /// Where the report goes, as Markdown
        #[arg(long)]
        report: PathBuf,
    },
    /// Measure how long attaching takes
    BenchAttach {
        /// Rounds of each size
        #[arg(long)]
        rounds: u32,
        /// Where the report goes, as Markdown
        #[arg(long)]
        report: PathBuf,
    },
    /// Measure what the agent takes after many requests
    BenchFootprint {
        /// How many
        #[arg(long)]
        requests: u64,
        /// Where the report goes, as Markdown
        #[arg(long)]
        report: PathBuf,
    },
    /// Start the sample app with traffic and the agent
    Demo {
        /// The Python that runs the sample app
        #[arg(long)]
        python: PathBuf,
        /// Arguments for apm-agent
        #[arg(last = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let Cli { agent, root, venvs, screens, node, task } = Cli::parse();
    // Apps run in directories of their own.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let places = |long, write_docs| Places {
        agent: absolute(agent),
        root: absolute(root),
        venvs: absolute(venvs),
        screens: absolute(screens),
        node,
        long,
        write_docs,
    };
    let done = match task {
        Task::Run { long, write_docs, jobs, filter } => {
            let harness = filter.as_deref().is_some_and(|part| part.starts_with("harness"));
            let cases = if harness { cases::harness() } else { cases::all() };
            Ok(runner::run(&cases, filter.as_deref(), jobs.max(1), &places(long, write_docs)))
        }
        Task::List => {
            cases::all().iter().chain(&cases::harness()).for_each(|case| println!("{}", case.name));
            Ok(true)
        }
        Task::Bench { rounds, pairs, only, report } => {
            bench::run(&places(false, false), rounds, bench::Pairs::of(pairs), only.as_deref(), &report)
        }
        Task::BenchFeatures { rounds, pairs, report } => {
            bench::features::run(&places(false, false), rounds, bench::Pairs::of(pairs), &report)
        }
        Task::BenchExceptions { rounds, report } => {
            bench::exceptions::run(&places(false, false), rounds, &report)
        }
        Task::BenchPeers { rounds, seconds, report } => {
            bench::peers::run(&places(false, false), rounds, seconds, &report)
        }
        Task::BenchAttach { rounds, report } => bench::attach::run(&places(false, false), rounds, &report),
        Task::BenchFootprint { requests, report } => {
            bench::footprint::run(&places(false, false), requests, &report)
        }
        Task::Demo { python, args } => demo::run(&places(false, false), &python, &args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err::<bool, anyhow::Error>(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
