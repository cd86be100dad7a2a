//! Progress and the final count of a run of steps, one after the other or with one in the background.

use std::fmt;
use std::io::{IsTerminal, stdout};
use std::ops::AddAssign;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One check that passed.
    pub(crate) const PASS: Self = Self { passed: 1, failed: 0, skipped: 0 };

    /// Reads a summary line: cargo's `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, or any other that
    /// counts `N passed`, `N failed` and `N ignored` or `N skipped`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split([' ', ';', ',', '(', ')']).filter(|w| !w.is_empty()).peekable();
        let mut tally = Self::default();
        let mut found = false;
        while let Some(word) = words.next() {
            let (Ok(n), Some(kind)) = (word.parse::<u64>(), words.peek()) else { continue };
            match *kind {
                "passed" => tally.passed += n,
                "failed" => tally.failed += n,
                "ignored" | "skipped" => tally.skipped += n,
                _ => continue,
            }
            found = true;
        }
        found.then_some(tally)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What a step came to.
pub(crate) enum Outcome {
    /// It ran; this is its count.
    Ran(Tally),
    /// It ran, and some of what it printed is to be read once more at the end, below everything else: what failed, or passed
    /// only when it was tried again.
    Told(Tally, Vec<String>),
    /// It could not run, for this reason; counted as one skipped.
    Skipped(String),
}

impl Outcome {
    /// What ran came to `tally`; `told` has a line for each that is to be read again.
    pub(crate) fn of(tally: Tally, told: Vec<String>) -> Self {
        if told.is_empty() { Self::Ran(tally) } else { Self::Told(tally, told) }
    }

    /// The one line of a command that did this alone; an error when something failed.
    pub(crate) fn line(self) -> Result<String> {
        match self {
            Self::Ran(tally) | Self::Told(tally, _) if tally.failed > 0 => bail!("{tally}"),
            Self::Ran(tally) | Self::Told(tally, _) => Ok(tally.to_string()),
            Self::Skipped(why) => Ok(format!("skipped: {why}")),
        }
    }
}

/// Runs steps one after the other; a failed one does not stop the next.
pub(crate) struct Steps {
    total: usize,
    begun: usize,
    done: Vec<(String, Tally, Duration, String)>,
    /// What is to be read again, as the steps told it.
    told: Vec<String>,
}

/// A step in the background.
#[must_use = "its end is awaited with `Steps::join`"]
pub(crate) struct Beside {
    name: String,
    number: usize,
    /// What it has to print, what it came to, and how long it took.
    work: JoinHandle<(Result<(String, Outcome)>, Duration)>,
}

impl Steps {
    /// A run of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, begun: 0, done: Vec::new(), told: Vec::new() }
    }

    /// Runs one step and prints how it went.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) {
        self.head(name);
        let started = Instant::now();
        let outcome = work();
        self.end(name, outcome, started.elapsed());
    }

    /// Begins a step in the background: `work` is done while others are, and prints nothing itself: what it has to print
    /// is kept until [`Self::join`].
    pub(crate) fn beside(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<(String, Outcome)> + Send + 'static,
    ) -> Beside {
        self.head(name);
        println!("      begun; the next steps run meanwhile\n");
        let work = thread::spawn(move || {
            let started = Instant::now();
            (work(), started.elapsed())
        });
        Beside { name: name.to_owned(), number: self.begun, work }
    }

    /// Awaits a step in the background and prints what it printed and how it went.
    pub(crate) fn join(&mut self, beside: Beside) {
        let Beside { name, number, work } = beside;
        println!("{}", bold(&format!("[{number}/{}] {name}, begun above", self.total)));
        let (done, took) = work.join().unwrap_or_else(|_| (Err(anyhow!("it panicked")), Duration::ZERO));
        let outcome = done.map(|(text, outcome)| {
            print!("{text}");
            outcome
        });
        self.end(&name, outcome, took);
    }

    fn head(&mut self, name: &str) {
        self.begun += 1;
        println!("{}", bold(&format!("[{}/{}] {name}", self.begun, self.total)));
    }

    fn end(&mut self, name: &str, outcome: Result<Outcome>, took: Duration) {
        let (tally, note) = match outcome {
            Ok(Outcome::Ran(tally)) => (tally, String::new()),
            Ok(Outcome::Told(tally, told)) => {
                self.told.extend(told);
                (tally, String::new())
            }
            Ok(Outcome::Skipped(why)) => (Tally { skipped: 1, ..Tally::default() }, why),
            Err(error) => (Tally { failed: 1, ..Tally::default() }, format!("{error:#}")),
        };
        let word = if tally.failed > 0 { "FAILED" } else { "done" };
        let colon = if note.is_empty() { "" } else { ": " };
        println!("      {word} in {:.1} s: {tally}{colon}{note}\n", took.as_secs_f64());
        self.done.push((name.to_owned(), tally, took, note));
    }

    /// Was nothing counted by any step that could run?
    pub(crate) fn nothing_ran(&self) -> bool {
        self.done.iter().all(|(_, tally, _, note)| *tally == Tally::default() || !note.is_empty())
    }

    /// Prints the summary; an error when anything failed.
    pub(crate) fn finish(self) -> Result<()> {
        let mut sum = Tally::default();
        println!("{}", bold("Summary"));
        for (name, tally, took, note) in &self.done {
            sum += *tally;
            let reason = note.lines().next().unwrap_or_default();
            println!("  {:<28} {:>7.1} s   {tally}   {reason}", name, took.as_secs_f64());
        }
        println!("{}", bold(&format!("{sum}")));
        for line in &self.told {
            println!("  {line}");
        }
        if sum.failed > 0 {
            bail!("{} failed; the lines above say which", sum.failed);
        }
        Ok(())
    }
}

fn bold(text: &str) -> String {
    if stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Steps, Tally};

    #[test]
    fn steps_that_count_nothing_or_cannot_run_have_run_nothing() {
        let mut steps = Steps::new(3);
        steps.step("none", || Ok(Outcome::Ran(Tally::default())));
        steps.step("no browser", || Ok(Outcome::Skipped("no browser".to_owned())));
        assert!(steps.nothing_ran());
        steps.step("one that this machine cannot run", || {
            Ok(Outcome::Ran(Tally { skipped: 1, ..Tally::default() }))
        });
        assert!(!steps.nothing_ran());
    }

    #[test]
    fn cargos_summary_line_is_counted() {
        let line = "test result: FAILED. 41 passed; 2 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.10s";
        assert_eq!(Tally::parse(line), Some(Tally { passed: 41, failed: 2, skipped: 3 }));
    }

    #[test]
    fn playwrights_summary_line_is_counted() {
        assert_eq!(Tally::parse("  12 passed (3.4s)"), Some(Tally { passed: 12, failed: 0, skipped: 0 }));
    }

    #[test]
    fn another_line_is_no_summary() {
        assert_eq!(Tally::parse("test store::tests::rows_survive ... ok"), None);
    }
}
