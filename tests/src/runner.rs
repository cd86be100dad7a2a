//! Runs cases one after the other, with progress, and counts.

use std::io::{Write, stdout};
use std::time::Instant;

use anyhow::Result;

use crate::places::{PYTHONS, Places};

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
    /// Left to `--long`, or to a filter that names it.
    rare: bool,
}

impl Case {
    /// A case by name.
    pub(crate) fn new(name: impl Into<String>, run: impl Fn(&Places) -> Result<Verdict> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run), rare: false }
    }

    /// A case for each Python, by the name `GROUP/VERSION`. All of them would take too long for every change: on the
    /// oldest, the newest and one between them, which `nth` chooses, it always runs.
    pub(crate) fn on_pythons(
        group: &str,
        nth: usize,
        run: impl Fn(&Places, &'static str) -> Result<Verdict> + Copy + 'static,
    ) -> Vec<Self> {
        let last = PYTHONS.len() - 1;
        let always = [0, 1 + nth % (last - 1), last];
        let case = |(at, &version): (usize, &&'static str)| {
            let case = Self::new(format!("{group}/{version}"), move |places| run(places, version));
            Self { rare: !always.contains(&at), ..case }
        };
        PYTHONS.iter().enumerate().map(case).collect()
    }
}

/// Runs those of `cases` whose name contains `filter`; true when none failed.
pub(crate) fn run(cases: &[Case], filter: Option<&str>, places: &Places) -> bool {
    let (chosen, left): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| match filter {
        Some(part) => case.name.contains(part),
        None => places.long || !case.rare,
    });
    if filter.is_none() && !left.is_empty() {
        println!("{} of {} cases are left to --long: the same on other Pythons", left.len(), cases.len());
    }
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
