//! Runs cases, several at a time where they do not disturb each other, with progress, and counts.

use std::collections::HashSet;
use std::io::{Write, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;

use crate::grace::Expedited;
use crate::places::{PYTHONS, Places};
use crate::score::DurationsDiffer;

/// The agent's name for events that found no room.
const RING_FULL: &str = "ring_full";

/// How a case that did not fail ended.
pub(crate) enum Verdict {
    /// It held; the note is printed.
    Passed(String),
    /// It could not run here, for this reason.
    Skipped(String),
}

/// What a case does.
type Test = dyn Fn(&Places) -> Result<Verdict> + Send + Sync;

/// What a case can run beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// Any other.
    Any,
    /// Any that does not use the same thing: the count of a database server, for example, is one for all.
    Sharing(&'static str),
    /// None: it judges load, memory, screens, or what is left in the kernel.
    Alone,
}

/// One end-to-end test.
pub(crate) struct Case {
    /// Name, as the filter sees it.
    pub(crate) name: String,
    /// The test.
    run: Box<Test>,
    /// Left to `--long`, or to a filter that names it.
    rare: bool,
    company: Company,
}

impl Case {
    /// A case by name.
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Places) -> Result<Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run), rare: false, company: Company::Any }
    }

    /// No other runs beside it.
    pub(crate) fn alone(self) -> Self {
        Self { company: Company::Alone, ..self }
    }

    /// None that uses `thing` too runs beside it.
    pub(crate) fn sharing(self, thing: &'static str) -> Self {
        Self { company: Company::Sharing(thing), ..self }
    }

    /// Left to `--long`, or to a filter that names it.
    pub(crate) fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    /// A case for each Python, by the name `GROUP/VERSION`. All of them would take too long for every change: on the
    /// newest and one of the others, which `nth` chooses, it always runs.
    pub(crate) fn on_pythons(
        group: &str,
        nth: usize,
        run: impl Fn(&Places, &'static str) -> Result<Verdict> + Copy + Send + Sync + 'static,
    ) -> Vec<Self> {
        let last = PYTHONS.len() - 1;
        let always = [nth % last, last];
        let case = |(at, &version): (usize, &&'static str)| {
            let case = Self::new(format!("{group}/{version}"), move |places| run(places, version));
            Self { rare: !always.contains(&at), ..case }
        };
        PYTHONS.iter().enumerate().map(case).collect()
    }
}

/// Runs those of `cases` whose name contains `filter`, up to `jobs` at a time; true when none failed.
pub(crate) fn run(cases: &[Case], filter: Option<&str>, jobs: usize, places: &Places) -> bool {
    let (chosen, left): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| match filter {
        Some(part) => case.name.contains(part),
        None => places.long || !case.rare,
    });
    if filter.is_none() && !left.is_empty() {
        println!("{} of {} cases are left to --long: the same on other Pythons", left.len(), cases.len());
    }
    let mut counts = Counts { of: chosen.len(), ..Counts::default() };
    let (mut alone, others): (Vec<&Case>, Vec<&Case>) =
        chosen.into_iter().partition(|case| case.company == Company::Alone);
    if !others.is_empty() {
        let _shorter_waits = Expedited::begin();
        let again;
        (counts, again) = together(others, jobs, places, counts);
        alone.extend(again);
    }
    (counts, _) = together(alone, 1, places, counts);
    let Counts { passed, failed, skipped, failures, .. } = counts;
    for failure in &failures {
        println!("failed: {failure}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {skipped} skipped");
    failed == 0
}

/// Cases that wait and things that are in use.
struct Queue<'a> {
    waiting: Vec<&'a Case>,
    in_use: HashSet<&'static str>,
}

impl<'a> Queue<'a> {
    /// The first case that may begin now.
    fn next(&mut self) -> Option<&'a Case> {
        let at = self.waiting.iter().position(|case| match case.company {
            Company::Sharing(thing) => !self.in_use.contains(thing),
            Company::Any | Company::Alone => true,
        })?;
        let case = self.waiting.remove(at);
        if let Company::Sharing(thing) = case.company {
            self.in_use.insert(thing);
        }
        Some(case)
    }
}

/// Runs `cases` up to `jobs` at a time and adds them to `counts`. Gives back those that found nothing wrong but what others
/// that keep the processors busy can cause: only alone they can tell.
fn together<'a>(
    cases: Vec<&'a Case>,
    jobs: usize,
    places: &Places,
    counts: Counts,
) -> (Counts, Vec<&'a Case>) {
    let again = Mutex::new(Vec::new());
    let queue = Mutex::new(Queue { waiting: cases, in_use: HashSet::new() });
    let changed = Condvar::new();
    let counts = Mutex::new(counts);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut open = queue.lock().unwrap_or_else(PoisonError::into_inner);
                while !open.waiting.is_empty() {
                    let Some(case) = open.next() else {
                        open = changed.wait(open).unwrap_or_else(PoisonError::into_inner);
                        continue;
                    };
                    drop(open);
                    let started = Instant::now();
                    // A test that panics has failed, and the others go on.
                    let verdict = catch_unwind(AssertUnwindSafe(|| (case.run)(places)))
                        .unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked, as told above")));
                    let took = started.elapsed().as_secs_f64();
                    if jobs > 1 && slipped(&verdict) {
                        println!("{} ... not to be told beside others: to be judged alone", case.name);
                        again.lock().unwrap_or_else(PoisonError::into_inner).push(case);
                    } else {
                        counts.lock().unwrap_or_else(PoisonError::into_inner).add(&case.name, took, verdict);
                    }
                    open = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Company::Sharing(thing) = case.company {
                        open.in_use.remove(thing);
                    }
                    changed.notify_all();
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    (counts, again.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Is nothing wrong but durations, or did the agent itself say that it was not let run in time? Both may be the others'
/// doing.
fn slipped(verdict: &Result<Verdict>) -> bool {
    verdict
        .as_ref()
        .is_err_and(|error| error.is::<DurationsDiffer>() || format!("{error:#}").contains(RING_FULL))
}

/// How many cases ended, and how.
#[derive(Default)]
struct Counts {
    of: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Each that failed in one line, to be read at the end of a long run.
    failures: Vec<String>,
}

/// How much of an error is told again at the end; a list of what is missing can be long.
const TOLD_AGAIN: usize = 1_000;

impl Counts {
    /// Counts a case that took so many seconds and prints its line.
    fn add(&mut self, name: &str, took: f64, verdict: Result<Verdict>) {
        let head = format!("({}/{}) {name}", self.passed + self.failed + self.skipped + 1, self.of);
        match verdict {
            Ok(Verdict::Passed(note)) => {
                self.passed += 1;
                println!("{head} ... ok, {took:.1} s, {note}");
            }
            Ok(Verdict::Skipped(why)) => {
                self.skipped += 1;
                println!("{head} ... skipped: {why}");
            }
            Err(error) => {
                self.failed += 1;
                let why = format!("{error:#}");
                println!("{head} ... FAILED, {took:.1} s\n{why}");
                let short: String = why.replace('\n', " | ").chars().take(TOLD_AGAIN).collect();
                self.failures.push(format!("{name}: {short}"));
            }
        }
        let _ = stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        Case::new(name, |_| Ok(Verdict::Passed(String::new())))
    }

    #[test]
    fn what_a_busy_machine_causes_is_judged_again_and_nothing_else_is() {
        let slips = anyhow::Error::from(DurationsDiffer("2 ms".to_owned())).context("losses: none");
        assert!(slipped(&Err(slips)));
        assert!(!slipped(&Err(anyhow::anyhow!("missed by the agent").context("losses: none"))));
        let overflowed =
            anyhow::anyhow!("missed by the agent").context("not told since the start: ring_full 12");
        assert!(slipped(&Err(overflowed)));
        assert!(!slipped(&Ok(Verdict::Passed(String::new()))));
    }

    #[test]
    fn what_shares_a_thing_waits_for_it() {
        let cases = [case("a").sharing("database"), case("b").sharing("database"), case("c")];
        let mut queue = Queue { waiting: cases.iter().collect(), in_use: HashSet::new() };
        let names: Vec<_> = std::iter::from_fn(|| queue.next()).map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        queue.in_use.clear();
        assert_eq!(queue.next().map(|case| case.name.as_str()), Some("b"));
    }
}
