//! Runs cases, several at a time where they do not disturb each other, with progress, and counts.

use std::collections::HashSet;
use std::io::{Write, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::grace::Expedited;
use crate::limit::limited;
use crate::places::{Absent, COMMON, PYTHONS, Places};
use crate::score::DurationsDiffer;

/// Longer than any case takes on a busy machine; a long run's take up to four times that.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The agent's names for what it was too late for: events that found no room, exceptions that were gone when it looked at them.
const TOO_LATE: [&str; 2] = ["ring_full", "exceptions_unread"];

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

    /// Runs it. A test that panics has failed, and the others go on. One that does not end ends the run: what it has
    /// begun would disturb the others. `before` is what has come of the run so far.
    fn verdict<'a>(&'a self, places: &Places, before: &Mutex<Counts<'a>>) -> Result<Verdict> {
        let limit = if places.long { 4 * LIMIT } else { LIMIT };
        let work = || catch_unwind(AssertUnwindSafe(|| (self.run)(places)));
        let verdict = limited(limit, work, || {
            let mut counts = before.lock().unwrap_or_else(PoisonError::into_inner);
            counts
                .failures
                .push((self, format!("no end after {} minutes; the run ends here", limit.as_secs() / 60)));
            counts.tell(&[]);
            exit(1);
        });
        match verdict.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked, as told above"))) {
            Err(error) if error.is::<Absent>() => Ok(Verdict::Skipped(format!("{error:#}"))),
            other => other,
        }
    }

    /// A case for each Python, by the name `GROUP/VERSION`. All of them would take too long for every change: on the newest that
    /// is common and one of the others, which `nth` chooses, it always runs.
    pub(crate) fn on_pythons(
        group: &str,
        nth: usize,
        run: impl Fn(&Places, &'static str) -> Result<Verdict> + Copy + Send + Sync + 'static,
    ) -> Vec<Self> {
        let last = COMMON - 1;
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
    if let (Some(part), true) = (filter, chosen.is_empty()) {
        println!("no case's name contains `{part}`; they begin with {}", groups(cases).join(", "));
        return false;
    }
    if filter.is_none() && !left.is_empty() {
        println!("{} of {} cases are left to --long: the same on other Pythons", left.len(), cases.len());
    }
    let whole = filter.is_none() && !places.long;
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
    let unsteady = if whole { steady(&mut counts, places) } else { Vec::new() };
    counts.tell(&unsteady);
    counts.failures.is_empty()
}

/// What the names of `cases` begin with, each once.
fn groups(cases: &[Case]) -> Vec<&str> {
    let mut groups: Vec<&str> = cases.iter().filter_map(|case| case.name.split('/').next()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// More cases of one run than this do not fail by chance.
const UNSTEADY: usize = 2;

/// How often a case that failed must pass, one time after the other.
const STEADY: usize = 2;

/// A case that failed, and why, in one line.
type Failure<'a> = (&'a Case, String);

/// Tries what failed again, each alone: those that pass each time are unsteady, which is told and does not fail the run. Who
/// changes one thing is not stopped by what another does once in a hundred runs; `--long`, and a filter, take no excuse.
fn steady<'a>(counts: &mut Counts<'a>, places: &Places) -> Vec<Failure<'a>> {
    if counts.failures.len() > UNSTEADY {
        return Vec::new();
    }
    let failures = counts.failures.clone();
    let so_far = Mutex::new(std::mem::take(counts));
    let passes = |case: &'a Case| {
        (1..=STEADY).all(|time| {
            let started = Instant::now();
            let verdict = case.verdict(places, &so_far);
            let took = started.elapsed().as_secs_f64();
            match &verdict {
                Ok(_) => println!("{}, again ({time}/{STEADY}) ... ok, {took:.1} s", case.name),
                Err(error) => {
                    println!("{}, again ({time}/{STEADY}) ... failed, {took:.1} s\n{error:#}", case.name);
                }
            }
            verdict.is_ok()
        })
    };
    let (unsteady, failed): (Vec<_>, Vec<_>) = failures.into_iter().partition(|(case, _)| passes(case));
    *counts = so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
    counts.passed += unsteady.len();
    counts.failures = failed;
    unsteady
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
    counts: Counts<'a>,
) -> (Counts<'a>, Vec<&'a Case>) {
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
                    let verdict = case.verdict(places, &counts);
                    let took = started.elapsed().as_secs_f64();
                    if jobs > 1 && slipped(&verdict) {
                        println!("{} ... not to be told beside others: to be judged alone", case.name);
                        again.lock().unwrap_or_else(PoisonError::into_inner).push(case);
                    } else {
                        counts.lock().unwrap_or_else(PoisonError::into_inner).add(case, took, verdict);
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
    verdict.as_ref().is_err_and(|error| {
        let why = format!("{error:#}");
        error.is::<DurationsDiffer>() || TOO_LATE.iter().any(|name| why.contains(name))
    })
}

/// How many cases ended, and how.
#[derive(Default)]
struct Counts<'a> {
    of: usize,
    passed: usize,
    skipped: usize,
    /// Told once more at the end of a long run.
    failures: Vec<Failure<'a>>,
}

/// How much of an error is told again at the end; a list of what is missing can be long.
const TOLD_AGAIN: usize = 1_000;

impl<'a> Counts<'a> {
    /// Prints what failed, or did so once, and the sums.
    fn tell(&self, unsteady: &[Failure<'_>]) {
        for (word, some) in [("unsteady", unsteady), ("failed", &self.failures)] {
            for (case, why) in some {
                println!("{word}: {}: {why}", case.name);
            }
        }
        let (word, failed) = (if self.failures.is_empty() { "ok" } else { "FAILED" }, self.failures.len());
        println!("test result: {word}. {} passed; {failed} failed; {} skipped", self.passed, self.skipped);
    }

    /// Counts a case that took so many seconds and prints its line.
    fn add(&mut self, case: &'a Case, took: f64, verdict: Result<Verdict>) {
        let nth = self.passed + self.failures.len() + self.skipped + 1;
        let head = format!("({nth}/{}) {}", self.of, case.name);
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
                let why = format!("{error:#}");
                println!("{head} ... FAILED, {took:.1} s\n{why}");
                self.failures.push((case, why.replace('\n', " | ").chars().take(TOLD_AGAIN).collect()));
            }
        }
        let _ = stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    fn nowhere() -> Places {
        Places {
            agent: PathBuf::new(),
            root: PathBuf::new(),
            venvs: PathBuf::new(),
            screens: PathBuf::new(),
            node: None,
            long: false,
            write_docs: false,
        }
    }

    #[test]
    fn a_filter_that_no_name_contains_has_failed() {
        let cases = [case("page/a"), case("ends/b"), case("page/c")];
        assert_eq!(groups(&cases), ["ends", "page"]);
        assert!(run(&cases, Some("page/"), 1, &nowhere()));
        assert!(!run(&cases, Some("pgae"), 1, &nowhere()));
    }

    #[test]
    fn what_failed_by_chance_is_unsteady_and_what_fails_again_has_failed() {
        let places = nowhere();
        // Fails at these of its turns.
        let at = |name: &str, turns: &'static [usize]| {
            let turn = AtomicUsize::new(0);
            Case::new(name, move |_| {
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                anyhow::ensure!(!turns.contains(&turn), "at turn {turn}");
                Ok(Verdict::Passed(String::new()))
            })
        };
        let (once, late, always) = (at("once", &[]), at("late", &[1]), at("always", &[0, 1, 2]));
        let judged = |cases: &[&Case]| {
            let failures = cases.iter().map(|&case| (case, String::new())).collect();
            let mut counts = Counts { failures, ..Counts::default() };
            let unsteady = steady(&mut counts, &places);
            assert_eq!(counts.passed, unsteady.len());
            [unsteady, counts.failures]
                .map(|some| some.iter().map(|(case, _)| case.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(judged(&[&once, &late]), [["once"], ["late"]]);
        assert_eq!(judged(&[&once, &always]), [["once"], ["always"]]);
        let [unsteady, failed] = judged(&[&once, &once, &once]);
        assert_eq!((unsteady.len(), failed.len()), (0, 3), "too many for chance");
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
