//! Comparing the three records of one load: the clients', the app's own, and the agent's.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Result, bail, ensure};

use crate::agent::Event;
use crate::load::{Fate, Sent};
use crate::truth::Served;

/// Durations may differ by this much, in milliseconds ...
const TOLERANCE_MS: f64 = 1.0;
/// ... or by this part of the app's own figure.
const TOLERANCE_PART: f64 = 0.05;
/// This part of the durations must lie within the tolerance. Not all: between the system call, which the agent times,
/// and the line of Python that reads the clock after it, the machine may run something else for milliseconds.
const WITHIN: f64 = 0.99;

/// Durations are not what they should be, and all else is.
#[derive(Debug)]
pub(crate) struct DurationsDiffer(pub(crate) String);

impl fmt::Display for DurationsDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "durations differ from the app's own: {}", self.0)
    }
}

impl std::error::Error for DurationsDiffer {}

/// No client saw a failure, and the app wrote down exactly what was answered.
pub(crate) fn app_against_load(sent: &[Sent], served: &[Served]) -> Result<()> {
    let mut faults = Faults::default();
    let mut by_path: HashMap<&str, Vec<&Served>> = HashMap::new();
    for one in served {
        by_path.entry(&one.path).or_default().push(one);
    }
    for ask in sent {
        let found = by_path.remove(ask.path.as_str()).unwrap_or_default();
        match (&ask.fate, found.as_slice()) {
            (Fate::Failed(why), _) => faults.add("failed", why),
            (Fate::Answered, [one]) if one.method == ask.method && one.status == ask.status => {}
            (Fate::Answered, []) => faults.add("not in the app's log", &ask.path),
            (Fate::Abandoned, [] | [_]) => {}
            (_, [one, ..]) => faults.add("other in the app's log", format_args!("{ask:?} {one:?}")),
        }
    }
    for path in by_path.keys() {
        faults.add("in the app's log but never sent", path);
    }
    faults.result()
}

/// What a comparison with the agent came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Requests matched one to one.
    pub(crate) matched: usize,
    /// Those whose client went away.
    pub(crate) abandoned: usize,
    /// Durations compared.
    pub(crate) timed: usize,
    /// Durations within the tolerance.
    pub(crate) within: usize,
    /// Largest difference, milliseconds.
    pub(crate) worst_ms: f64,
    /// Differences beyond the tolerance, largest first, in words.
    pub(crate) beyond: Vec<(f64, String)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = 100.0 * self.within as f64 / self.timed.max(1) as f64;
        let Self { matched, abandoned, timed, worst_ms, .. } = self;
        write!(
            f,
            "{matched} matched, {abandoned} abandoned; {part:.2} % of {timed} durations within tolerance, "
        )?;
        write!(f, "worst {worst_ms:.1} ms off")
    }
}

/// The agent's events match the app's log one to one: none missing, none invented, none different.
pub(crate) fn agent_against_app(sent: &[Sent], served: &[Served], events: &[Event]) -> Result<Report> {
    let mut faults = Faults::default();
    let mut report = Report::default();
    let truth: HashMap<&str, &Served> = served.iter().map(|one| (one.path.as_str(), one)).collect();
    let mut by_path: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in events {
        by_path.entry(&event.path).or_default().push(event);
    }
    for ask in sent {
        let found = by_path.remove(ask.path.as_str()).unwrap_or_default();
        let served = truth.get(ask.path.as_str());
        let event = match (found.as_slice(), &ask.fate, served) {
            ([event], ..) => event,
            // Its bytes may never have reached the app.
            ([], Fate::Abandoned, None) => continue,
            ([], ..) => {
                faults.add("missed by the agent", &ask.path);
                continue;
            }
            (several, ..) => {
                faults.add("seen more than once", format_args!("{} x{}", ask.path, several.len()));
                continue;
            }
        };
        if event.method != ask.method {
            faults.add("other method", format_args!("{} for {} {}", event.method, ask.method, ask.path));
        }
        if ask.fate == Fate::Abandoned {
            report.abandoned += 1;
            // 0: the server was stopped at the end of the load before it came to the end of this request.
            let unanswered = event.status == 499 || (event.status == 0 && served.is_none());
            if !unanswered && event.status != ask.status {
                faults.add("other status", format_args!("{} for abandoned {}", event.status, ask.path));
            }
            if unanswered && event.error.is_none() {
                faults.add("a client's leaving without its error", &ask.path);
            }
            continue;
        }
        if event.status != ask.status {
            faults.add("other status", format_args!("{} for {}", event.status, ask.path));
        }
        if let Some(error) = &event.error {
            faults.add("an error nobody had", format_args!("{error}: {}", ask.path));
        }
        report.matched += 1;
        let bounds = served.and_then(|served| served.bounds_ms(ask.at));
        if let (Some((low, high)), false) = (bounds, ask.pipelined) {
            report.timed += 1;
            let off = (low - event.duration_ms).max(event.duration_ms - high).max(0.0);
            report.worst_ms = report.worst_ms.max(off);
            if off <= TOLERANCE_MS.max(TOLERANCE_PART * high) {
                report.within += 1;
            } else {
                let (method, path, ours) = (ask.method, &ask.path, event.duration_ms);
                report
                    .beyond
                    .push((off, format!("{method} {path}: {ours:.2} ms, the app {low:.2} to {high:.2}")));
            }
        }
    }
    for path in by_path.keys() {
        faults.add("invented by the agent", path);
    }
    faults.result()?;
    ensure!(report.timed > 0, "no duration could be compared");
    if (report.within as f64) < WITHIN * report.timed as f64 {
        report.beyond.sort_by(|a, b| b.0.total_cmp(&a.0));
        let worst: Vec<&str> = report.beyond.iter().take(8).map(|(_, text)| text.as_str()).collect();
        bail!(DurationsDiffer(format!("{report}\n{}", worst.join("\n"))));
    }
    Ok(report)
}

/// Faults by kind, with a few examples of each.
#[derive(Default)]
struct Faults(HashMap<&'static str, (usize, Vec<String>)>);

impl Faults {
    fn add(&mut self, kind: &'static str, example: impl fmt::Display) {
        let (count, examples) = self.0.entry(kind).or_default();
        *count += 1;
        if examples.len() < 3 {
            examples.push(example.to_string());
        }
    }

    fn result(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let told = self.0.iter().map(|(kind, (n, examples))| format!("{n} {kind}: {}", examples.join("; ")));
        bail!("{}", told.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(path: &str) -> Sent {
        let (path, fate) = (path.to_owned(), Fate::Answered);
        Sent { method: "GET", path, status: 200, at: 0.0, pipelined: false, fate }
    }

    fn served(path: &str) -> Served {
        Served {
            method: "GET".into(),
            path: path.into(),
            status: 200,
            read: Some([0.0, 0.0]),
            write: Some([0.0095, 0.01]),
        }
    }

    fn event(path: &str, duration_ms: f64) -> Event {
        Event { method: "GET".into(), path: path.into(), status: 200, duration_ms, error: None }
    }

    #[test]
    fn equal_records_match() {
        let report = agent_against_app(&[sent("/a")], &[served("/a")], &[event("/a", 9.6)]).unwrap();
        assert_eq!((report.matched, report.timed, report.within), (1, 1, 1));
    }

    #[test]
    fn a_missing_event_fails() {
        let error = agent_against_app(&[sent("/a")], &[served("/a")], &[]).unwrap_err();
        assert!(error.to_string().contains("missed by the agent"));
    }

    #[test]
    fn an_invented_event_fails() {
        let events = [event("/a", 9.6), event("/b", 9.6)];
        let error = agent_against_app(&[sent("/a")], &[served("/a")], &events).unwrap_err();
        assert!(error.to_string().contains("invented"));
    }

    #[test]
    fn an_event_seen_twice_fails() {
        let events = [event("/a", 9.6), event("/a", 9.6)];
        assert!(agent_against_app(&[sent("/a")], &[served("/a")], &events).is_err());
    }

    #[test]
    fn a_wrong_duration_fails() {
        assert!(agent_against_app(&[sent("/a")], &[served("/a")], &[event("/a", 11.5)]).is_err());
        assert!(agent_against_app(&[sent("/a")], &[served("/a")], &[event("/a", 8.0)]).is_err());
    }

    #[test]
    fn a_request_the_app_never_logged_fails() {
        assert!(app_against_load(&[sent("/a")], &[]).is_err());
        assert!(app_against_load(&[], &[served("/a")]).is_err());
        assert!(app_against_load(&[sent("/a")], &[served("/a")]).is_ok());
    }
}
