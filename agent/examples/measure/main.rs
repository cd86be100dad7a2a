//! What `cargo xtask bench store` and `cargo xtask bench growth` run: the store and the pipeline without a kernel, fed as fast
//! as they take it. Prints Markdown; progress goes to standard error.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line: printing is what it is for

mod feed;
mod growth;
mod store;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// An hour of requests into the store, then every endpoint while more come
    Store {
        /// Requests per second
        #[arg(long, default_value_t = 1000)]
        rate: u64,
        /// Seconds of them
        #[arg(long, default_value_t = 3600)]
        seconds: u64,
        /// What another store took for the same, as JSON lines `{"what", "p50_ms", "p99_ms", ...}`
        #[arg(long)]
        beside: Option<PathBuf>,
    },
    /// Cost per request as connections, routes, processes and kept requests grow
    Growth {
        /// Most requests kept
        #[arg(long, default_value_t = 1_000_000)]
        kept: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let machine = machine();
    match Cli::parse().what {
        What::Store { rate, seconds, beside } => store::measure(rate, seconds, beside.as_deref(), &machine),
        What::Growth { kept } => growth::measure(kept, &machine),
    }
}

/// Processors and kernel.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.trim_start_matches(['\t', ':', ' ']);
    let kernel = read("/proc/sys/kernel/osrelease");
    // Without the name that whoever built it gave it.
    format!("{count} x {model}, Linux {}", kernel.trim().split('-').next().unwrap_or_default())
}
