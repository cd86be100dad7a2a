//! Counting what matches, by phase.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use anyhow::{Result, bail, ensure};

use crate::score::DurationsDiffer;

/// This part of the durations must agree: beside the call itself the machine may run something else for milliseconds.
const WITHIN: f64 = 0.9;
/// So many calls of a run may lack the app's line where the agent counts them: a probe cannot wait for memory that the kernel
/// has to fetch or is moving just then.
const LINELESS: u64 = 2;
/// The agent's name for such calls.
const UNREAD: &str = "stacks_unread";
/// Where the machine is short of processors, chunks may be cut: all that the app sent must be told of them nevertheless.
const CUT: &str = "chunks_cut";

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
    lineless: Vec<String>,
    /// Must durations have been compared?
    times: bool,
}

impl Tally {
    /// Of an app that times calls: that its durations are compared is part of the test.
    pub(super) fn of_timed() -> Self {
        Self { times: true, ..Self::default() }
    }

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

    /// A call does not have the app's line: it has none, or `another`.
    pub(super) fn lineless(&mut self, another: Option<&str>, what: &str) {
        match another {
            Some(line) => self.fault("with another's line", format_args!("{line} of {what}")),
            None => self.lineless.push(what.to_owned()),
        }
    }

    /// What the agent counts as lost, but for what is `expected`; it must tell of each call without the app's line.
    pub(super) fn lost(&mut self, losses: &[(String, u64)], expected: &[&str]) {
        let unread = losses.iter().find(|(name, _)| name == UNREAD).map_or(0, |(_, count)| *count);
        if self.lineless.len() as u64 > unread.min(LINELESS) {
            for what in std::mem::take(&mut self.lineless) {
                self.fault("without the app's line", what);
            }
        }
        let few = |name: &str, count: u64| name == UNREAD && count <= LINELESS;
        for (name, count) in losses {
            if name != CUT && !expected.contains(&name.as_str()) && !few(name, *count) {
                self.fault("counted as lost", format_args!("{name} {count}"));
            }
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
        let timed = self.phases.values().any(|counts| counts.timed > 0);
        ensure!(timed || !self.times, "no duration was compared: {self}");
        for (phase, counts) in &self.phases {
            ensure!(counts.sent == counts.matched, "{phase}: {} of {} matched", counts.matched, counts.sent);
            let enough = counts.agree as f64 >= WITHIN * counts.timed as f64;
            ensure!(enough, DurationsDiffer(format!("{phase}: {}", self.slips.join("; "))));
        }
        match self.lineless.len() {
            0 => Ok(self.to_string()),
            few => Ok(format!("{self}, {few} without a line, as the agent says")),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn result(missing: usize, another: Option<&str>, losses: &[(&str, u64)]) -> Result<String> {
        let mut tally = Tally::default();
        tally.sent("tcp");
        tally.matched("tcp");
        (0..missing).for_each(|_| tally.lineless(another, "q_1"));
        let losses: Vec<_> = losses.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        tally.lost(&losses, &["resyncs"]);
        tally.result()
    }

    #[test]
    fn where_the_app_times_some_duration_is_compared() {
        for (timed, holds) in [(false, false), (true, true)] {
            let mut tally = Tally::of_timed();
            tally.sent("tcp");
            tally.matched("tcp");
            if timed {
                tally.timed("tcp", true, "q_1");
            }
            assert_eq!(tally.result().is_ok(), holds);
        }
    }

    #[test]
    fn a_line_may_be_missing_where_the_agent_says_so_and_seldom() {
        assert!(result(0, None, &[("resyncs", 9)]).is_ok());
        assert!(result(2, None, &[(UNREAD, 2)]).is_ok_and(|note| note.contains("2 without a line")));
        assert!(result(1, None, &[]).is_err());
        assert!(result(2, None, &[(UNREAD, 1)]).is_err());
        assert!(result(3, None, &[(UNREAD, 3)]).is_err());
        assert!(result(1, Some("/other.py:1 f"), &[(UNREAD, 1)]).is_err());
        assert!(result(0, None, &[("gaps", 1)]).is_err());
    }
}
