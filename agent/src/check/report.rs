//! What `apm-agent check` says, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::processes::Seen;
use crate::problem::Problem;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, with less.
    Warning,
    /// The agent cannot work like this.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it; only where it is not ok.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(detail: impl Into<String>) -> Self {
        Self { status: Status::Ok, detail: detail.into(), remedy: None }
    }

    /// Works, with less.
    pub fn warning(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl From<Result<String, Problem>> for Finding {
    fn from(result: Result<String, Problem>) -> Self {
        match result {
            Ok(detail) => Self::ok(detail),
            Err(problem) => {
                Self { status: Status::Missing, detail: problem.what, remedy: Some(problem.remedy) }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    finding: Finding,
}

/// Everything that was found. Serialises to `{ok, checks: [{name, status, detail, remedy}], processes: [..]}`.
#[derive(Clone, Debug, Default)]
pub struct Report {
    checks: Vec<Named>,
    pub(super) processes: Vec<Seen>,
}

impl Report {
    pub(super) fn push(&mut self, name: &str, finding: Finding) {
        self.checks.push(Named { name: name.into(), finding });
    }

    pub(super) fn add(&mut self, name: &str, result: Result<String, Problem>) {
        self.push(name, result.into());
    }

    /// Is everything there that the agent cannot do without?
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.finding.status != Status::Missing)
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("Report", 3)?;
        object.serialize_field("ok", &self.is_ok())?;
        object.serialize_field("checks", &self.checks)?;
        object.serialize_field("processes", &self.processes)?;
        object.end()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for Named { name, finding } in &self.checks {
            let status = match finding.status {
                Status::Ok => "ok     ",
                Status::Warning => "warning",
                Status::Missing => "MISSING",
            };
            writeln!(f, "{name:width$}  {status}  {}", finding.detail)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:width$}           try: {remedy}", "")?;
            }
        }
        writeln!(f)?;
        match self.processes.len() {
            0 => writeln!(f, "No Python process to watch now; those that start later are found.")?,
            1 => writeln!(f, "1 Python process:")?,
            n => writeln!(f, "{n} Python processes:")?,
        }
        for process in &self.processes {
            writeln!(f, "{process}")?;
        }
        let verdict = if self.is_ok() {
            "Everything that is needed is there."
        } else {
            "Something that is needed is missing: see above."
        };
        writeln!(f, "\n{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add("kernel", Ok("6.1.0".into()));
        report.push("symbols", Finding::warning("few", "more"));
        report
    }

    #[test]
    fn warnings_do_not_fail_the_check_and_missing_things_do() {
        let mut report = report();
        assert!(report.is_ok());
        report.add("port", Err(Problem::new("port 1 is taken", "--port 2")));
        assert!(!report.is_ok());
        let text = report.to_string();
        assert!(text.contains("port     MISSING  port 1 is taken\n"), "{text}");
        assert!(text.contains("try: --port 2\n") && text.contains("needed is missing"), "{text}");
    }

    #[test]
    fn json_carries_the_same() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["ok"], true);
        assert_eq!(json["checks"][0]["name"], "kernel");
        assert_eq!(json["checks"][1]["status"], "warning");
        assert_eq!(json["checks"][1]["remedy"], "more");
        assert_eq!(json["processes"].as_array().map(Vec::len), Some(0));
    }
}
