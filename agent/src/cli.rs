//! The command line.

mod options;
mod values;

pub use options::Options;
pub use values::{Exclude, LogFormat, LogLevel};

use clap::{CommandFactory, Parser, Subcommand};

const ABOUT: &str = "Shows what unmodified Python backends on this machine are doing: requests, latency, errors, \
                     queries, outgoing calls. Watches from the kernel; the apps are not touched.";

const EXAMPLES: &str = "\
Examples:
  sudo apm-agent                          watch every Python process of this machine, now and later
  sudo apm-agent --pid 4242               only this one, with its children and later workers
  sudo apm-agent --pid 4242 --service shop    and call it `shop`
  sudo apm-agent --exclude celery --exclude '*jupyter*'
                                          all but the service `celery` and whatever runs jupyter
  sudo apm-agent --db /data/apm.db --retention 86400
                                          keep single requests for a day
  sudo APM_AGENT_TOKEN=... apm-agent --host 0.0.0.0
                                          let other machines see the dashboard, with a token
  sudo apm-agent --config /etc/apm-agent/config.toml
  sudo apm-agent check                    what this machine allows, and what to do about the rest

The dashboard is at http://127.0.0.1:9876/ unless --host and --port say otherwise.
Each option can stand in the environment (APM_AGENT_PORT=9900) or in the file of --config (port = 9900).
The command line wins over the environment, the environment over the file.";

/// The command line of `apm-agent`.
#[derive(Debug, Parser)]
#[command(name = "apm-agent", version, about = ABOUT, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of watching.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to watch.
    #[command(flatten)]
    pub options: Options,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what this machine allows, which Python processes run on it, and what to do about what is missing
    ///
    /// Tries the kernel's probes for a moment and leaves nothing behind. Exits with 0 if everything that is needed is there, with 1 otherwise.
    Check(Box<Check>),
    /// Print the man page, roff
    #[command(hide = true)]
    Man,
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
}

/// Arguments of `apm-agent check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Check for these settings.
    #[command(flatten)]
    pub options: Options,
}

impl Cli {
    /// Reads the process's own command line and environment. Prints help or a usage error and exits where due.
    pub fn from_process() -> Self {
        Self::parse()
    }

    /// The clap command, for what is generated from it: names of options, man page, completions.
    pub fn describe() -> clap::Command {
        Self::command()
    }
}
