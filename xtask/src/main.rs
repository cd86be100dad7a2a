//! Tasks of the project, `cargo xtask --help`. Nothing but Rust is needed to start one; each installs what it lacks.

#![allow(clippy::print_stdout)] // a command line: printing is what it is for

mod agent;
mod bench;
mod dashboard;
mod deny;
mod dist;
mod ebpf;
mod fuzz;
mod node;
mod packages;
mod places;
mod prepare;
mod python;
mod shell;
mod steps;
mod suite;
mod tidy;
mod tools;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs, tests and measures apm-agent.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the agent and start it, through sudo when not root. Example: `cargo xtask run -- --pid 4711`
    Run {
        /// Arguments for apm-agent
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Install what the tests need, then run all of them, or those whose name contains FILTER
    Test {
        /// Also run the long tests (more requests per server)
        #[arg(long)]
        long: bool,
        /// Write what the tests measure into docs (the table of attribution)
        #[arg(long)]
        write_docs: bool,
        /// Part of a test's name; formatting, lints, fuzzing and the eBPF check are left out then
        filter: Option<String>,
    },
    /// Install a part of what the tests need, which `test` does by itself
    Prepare {
        /// Which part
        part: prepare::Part,
    },
    /// Start a small sample app with traffic, and the agent watching it
    Demo {
        /// Arguments for apm-agent
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Build the committed eBPF object
    Ebpf {
        /// Rebuild and compare with the committed object, byte for byte
        #[arg(long)]
        check: bool,
    },
    /// Build the dashboard
    Dashboard,
    /// Measure what watching costs a FastAPI app, or another part, and write the tables to docs/performance.md and README.md
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        /// Rounds, each with an agent of its own, an even number; nothing is written for fewer than the default
        #[arg(long, default_value_t = bench::OVERHEAD.0)]
        rounds: u32,
        /// Pairs of bare and watched in each, half a second long, and as much time for latency; fewer likewise
        #[arg(long, default_value_t = bench::OVERHEAD.1)]
        pairs: u32,
        /// Only workloads whose name contains this, as `/db`; nothing is written then
        #[arg(long)]
        only: Option<String>,
        #[command(subcommand)]
        part: Option<bench::Part>,
    },
    /// Run every fuzz target
    Fuzz {
        /// Seconds per target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Keep the inputs that reach different code in fuzz/corpus, where every run begins
        #[arg(long)]
        keep: bool,
        /// Only this target
        target: Option<String>,
    },
    /// Load the probes and watch a server inside Debian's kernels, emulated by qemu
    Vmtest {
        /// Only this kernel: 6.1 or 6.12
        #[arg(long)]
        kernel: Option<String>,
        /// Write the verifier's instruction counts to agent-ebpf/verifier.toml, as root those of this machine's kernel too
        #[arg(long)]
        record: bool,
    },
    /// Build the .deb and the tarball, install the package in a clean root and watch a server with it
    Dist,
    /// Formatting, lints, tidy rules and unit tests: what needs neither root nor servers
    Ci,
    /// Check the house rules that no compiler knows
    Tidy,
    /// Check licences, sources and known vulnerabilities of all dependencies
    Deny,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Run { args } => agent::run(&args),
        Task::Test { long, write_docs, filter } => suite::test(long, write_docs, filter.as_deref()),
        Task::Prepare { part } => prepare::task(part),
        Task::Demo { args } => agent::demo(&args),
        Task::Ebpf { check } => ebpf::task(check),
        Task::Dashboard => dashboard::build(),
        Task::Bench { part: Some(part), .. } => bench::part(part),
        Task::Bench { rounds, pairs, only, part: None } => bench::overhead(rounds, pairs, only.as_deref()),
        Task::Fuzz { seconds, keep, target } => fuzz::task(seconds, target.as_deref(), keep),
        Task::Vmtest { kernel, record } => vm::task(kernel.as_deref(), record),
        Task::Dist => dist::task(),
        Task::Ci => suite::ci(),
        Task::Tidy => tidy::task(),
        Task::Deny => deny::task(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
