//! `cargo xtask prepare`: what the test command installs while it does something else.

use std::process::Command;

use anyhow::Result;

use crate::steps::{Outcome, Tally};
use crate::{agent, ebpf, fuzz, python, shell, vm};

/// A part of what the tests need.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Part {
    /// Virtual environments of the servers under test
    Python,
    /// Pythons newer than this machine's, from Debian's unstable (needs root)
    Newer,
    /// The agent with its page, for release
    Agent,
    /// What builds the probes, the fuzz targets, and a kernel with its emulator
    Tools,
}

impl Part {
    /// Prepares it and gives back what that printed.
    pub(crate) fn quietly(self) -> Result<(String, Outcome)> {
        Ok((shell::output(&mut self.command())?, Outcome::Ran(Tally::default())))
    }

    /// This program again, so that what it prints can be kept. What is built while tests run leaves them the processors.
    fn command(self) -> Command {
        // By this name a program that cargo has replaced meanwhile is found too.
        const OURSELVES: &str = "/proc/self/exe";
        match self {
            Self::Python | Self::Newer => {
                let mut command = Command::new(OURSELVES);
                command.args(["prepare", if matches!(self, Self::Newer) { "newer" } else { "python" }]);
                command
            }
            Self::Agent | Self::Tools => {
                let mut command = Command::new("nice");
                command.arg("--adjustment=10").arg(format!("/proc/{}/exe", std::process::id()));
                command.args(["prepare", if matches!(self, Self::Agent) { "agent" } else { "tools" }]);
                command
            }
        }
    }
}

/// `cargo xtask prepare PART`
pub(crate) fn task(part: Part) -> Result<()> {
    match part {
        Part::Python => {
            for version in python::prepare()? {
                println!("      Python {version} is not on this machine: its tests will be skipped");
            }
        }
        Part::Newer => {
            if let Some(why) = python::unstable::prepare()? {
                println!("      {why}: its tests will be skipped");
            }
        }
        Part::Agent => {
            agent::with_page();
            agent::build()?;
        }
        Part::Tools => {
            ebpf::prepare()?;
            fuzz::prepare()?;
            vm::prepare();
        }
    }
    Ok(())
}
