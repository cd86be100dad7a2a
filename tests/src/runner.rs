//! Runs cases one after the other, with progress, and counts.

use std::io::{Write, stdout};
use std::time::Instant;

use anyhow::Result;

use crate::places::Places;

/// How a case that did not fail ended.
pub(crate) enum Verdict {
    /// It held; the note is printed.
    Passed(String),
    /// It could not run here, for this reason.
    Skipped(String),
}

/// What a case does.
type Test = dyn Fn(&Places) -> Result<Verdict>;

/// One end-to-end test.
pub(crate) struct Case {
    /// Name, as the filter sees it.
    pub(crate) name: String,
    /// The test.
    pub(crate) run: Box<Test>,
}

impl Case {
    /// A case by name.
    pub(crate) fn new(name: impl Into<String>, run: impl Fn(&Places) -> Result<Verdict> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Runs those of `cases` whose name contains `filter`; true when none failed.
pub(crate) fn run(cases: &[Case], filter: Option<&str>, places: &Places) -> bool {
    let chosen: Vec<&Case> =
        cases.iter().filter(|case| filter.is_none_or(|part| case.name.contains(part))).collect();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (at, case) in chosen.iter().enumerate() {
        let started = Instant::now();
        let head = format!("({}/{}) {}", at + 1, chosen.len(), case.name);
        let verdict = (case.run)(places);
        let took = started.elapsed().as_secs_f64();
        match verdict {
            Ok(Verdict::Passed(note)) => {
                passed += 1;
                println!("{head} ... ok, {took:.1} s, {note}");
            }
            Ok(Verdict::Skipped(why)) => {
                skipped += 1;
                println!("{head} ... skipped: {why}");
            }
            Err(error) => {
                failed += 1;
                println!("{head} ... FAILED, {took:.1} s\n{error:#}");
            }
        }
        let _ = stdout().flush();
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {skipped} skipped");
    failed == 0
}
