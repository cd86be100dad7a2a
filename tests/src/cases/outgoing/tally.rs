//! Counting what matches, by phase.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use anyhow::{Result, bail, ensure};

use crate::score::DurationsDiffer;

/// This part of the durations must agree: beside the call itself the machine may run something else for milliseconds.
const WITHIN: f64 = 0.9;

#[derive(Default)]
struct Counts {
    sent: usize,
    matched: usize,
    timed: usize,
    agree: usize,
}

/// Figures by phase, faults with examples.
#[derive(Default)]
pub(super) struct Tally {
    phases: BTreeMap<String, Counts>,
    faults: BTreeMap<String, (usize, Vec<String>)>,
    slips: Vec<String>,
}

impl Tally {
    /// One call of the app's log.
    pub(super) fn sent(&mut self, phase: &str) {
        self.phases.entry(phase.to_owned()).or_default().sent += 1;
    }

    /// The agent has it, once, as it was.
    pub(super) fn matched(&mut self, phase: &str) {
        self.phases.entry(phase.to_owned()).or_default().matched += 1;
    }

    /// A duration was compared.
    pub(super) fn timed(&mut self, phase: &str, agrees: bool, what: impl Display) {
        let counts = self.phases.entry(phase.to_owned()).or_default();
        counts.timed += 1;
        counts.agree += usize::from(agrees);
        if !agrees {
            self.slips.push(format!("{phase}: {what}"));
        }
    }

    /// Something is wrong.
    pub(super) fn fault(&mut self, kind: &str, example: impl Display) {
        let (count, examples) = self.faults.entry(kind.to_owned()).or_default();
        *count += 1;
        if examples.len() < 3 {
            examples.push(example.to_string());
        }
    }

    /// The note of a test that held.
    pub(super) fn result(self) -> Result<String> {
        if !self.faults.is_empty() {
            let faults = self
                .faults
                .iter()
                .map(|(kind, (n, examples))| format!("{n} {kind}: {}", examples.join("; ")));
            bail!("{self}\n{}", faults.collect::<Vec<_>>().join("\n"));
        }
        ensure!(!self.phases.is_empty(), "the app sent nothing");
        for (phase, counts) in &self.phases {
            ensure!(counts.sent == counts.matched, "{phase}: {} of {} matched", counts.matched, counts.sent);
            let enough = counts.agree as f64 >= WITHIN * counts.timed as f64;
            ensure!(enough, DurationsDiffer(format!("{phase}: {}", self.slips.join("; "))));
        }
        Ok(self.to_string())
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, matched, timed, agree) = self.phases.values().fold((0, 0, 0, 0), |sum, one| {
            (sum.0 + one.sent, sum.1 + one.matched, sum.2 + one.timed, sum.3 + one.agree)
        });
        write!(f, "{matched} of {sent} matched, {agree} of {timed} durations agree (")?;
        for (at, (phase, counts)) in self.phases.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{phase} {}/{}", counts.matched, counts.sent)?;
        }
        write!(f, ")")
    }
}
