//! From the engine's state to what the status page shows.

use std::path::Path;

use apm_core::loss::Losses;

use super::EngineStatus;
use crate::process::{Attachment, PythonProcess, Sample, Watched};
use crate::server::live::{AgentUse, LinkCount, Live, ProbeStatus, ProcessStatus, Ring};

/// Characters of a command line that are shown.
const COMMAND_MAX: usize = 200;
/// What is said of the probes that see what every process sends and receives.
pub(super) const SOCKETS: &str = "sockets";
/// Words whose value is not shown, in a command line such as `--password=x` or `--token x`.
const CREDENTIALS: &[&str] =
    &["password", "passwd", "token", "secret", "api-key", "apikey", "api_key", "credential"];

/// The agent's state at this second.
pub(super) fn live(status: &EngineStatus<'_>, losses: Losses) -> Live {
    let links = &status.links;
    let kinds = [
        ("context", links.context),
        ("thread", links.thread),
        ("handover", links.handover),
        ("response", links.response),
        ("socket pair", links.socket_pair),
        ("none", links.none),
    ];
    Live {
        processes: status.processes.iter().map(|(w, sample, open)| process(w, *sample, *open)).collect(),
        losses,
        links: kinds.map(|(kind, count)| LinkCount { kind: kind.to_owned(), count }).to_vec(),
        ring: Some(Ring {
            size_bytes: u64::from(status.ring_bytes),
            used_bytes: status.ring_used,
            max_used_bytes: status.ring_peak,
        }),
        agent: AgentUse {
            pid: std::process::id(),
            cpu_pct: status.own.and_then(|s| s.cpu_pct),
            mem_mb: status.own.map(|s| s.mem_mb),
            db_bytes: 0,
        },
        problems: status.silent.iter().map(|file| silent(file)).collect(),
    }
}

fn silent(file: &Path) -> String {
    let file = file.display();
    format!(
        "The file system of {file} does not answer: processes with files there are not looked at until it does"
    )
}

fn process(watched: &Watched, sample: Option<Sample>, in_flight: u32) -> ProcessStatus {
    let process = &watched.process;
    ProcessStatus {
        pid: process.id.pid,
        service: watched.service.to_string(),
        python: process.version.map(|version| version.to_string()),
        command: Some(command(process)),
        state: "watched".to_owned(),
        probes: probes(&watched.attachments),
        cpu_pct: sample.and_then(|s| s.cpu_pct),
        mem_mb: sample.map(|s| s.mem_mb),
        in_flight,
    }
}

/// What was attached, sockets first: those need a word only where they are not seen.
fn probes(attachments: &[Attachment]) -> Vec<ProbeStatus> {
    let (sockets, others): (Vec<_>, Vec<_>) = attachments.iter().partition(|a| a.what == SOCKETS);
    let seen = Attachment { what: SOCKETS.to_owned(), problem: None };
    let sockets = sockets.first().copied().unwrap_or(&seen);
    let told = |attachment: &Attachment| ProbeStatus {
        name: attachment.what.clone(),
        attached: attachment.problem.is_none(),
        reason: attachment.problem.clone(),
    };
    std::iter::once(sockets).chain(others).map(told).collect()
}

/// The command line, shortened, without what looks like a credential.
fn command(process: &PythonProcess) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut hide_next = false;
    for word in &process.naming.cmdline {
        if std::mem::take(&mut hide_next) && !word.starts_with('-') {
            words.push("***".to_owned());
            continue;
        }
        let lower = word.to_ascii_lowercase();
        let is_credential = CREDENTIALS.iter().any(|name| lower.contains(name));
        match word.split_once('=') {
            Some((name, _)) if is_credential => words.push(format!("{name}=***")),
            _ if word.contains("://") && word.contains('@') => words.push("***".to_owned()),
            _ => {
                hide_next = is_credential && word.starts_with('-');
                words.push(word.clone());
            }
        }
    }
    let mut text: String = words.join(" ").chars().take(COMMAND_MAX + 1).collect();
    if text.chars().count() > COMMAND_MAX {
        text.pop();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_are_not_seen_are_told_first_and_once() {
        let attachment = |what: &str, problem: Option<&str>| Attachment {
            what: what.to_owned(),
            problem: problem.map(str::to_owned),
        };
        let told = |attachments: &[Attachment]| -> Vec<(String, bool)> {
            probes(attachments).into_iter().map(|probe| (probe.name, probe.attached)).collect()
        };
        let tls = attachment("openssl", None);
        assert_eq!(told(&[]), [("sockets".to_owned(), true)]);
        let refused = attachment("sockets", Some("the table is full"));
        assert_eq!(
            told(&[tls.clone(), refused]),
            [("sockets".to_owned(), false), ("openssl".to_owned(), true)]
        );
        let taken = attachment("sockets", None);
        assert_eq!(told(&[taken, tls]), [("sockets".to_owned(), true), ("openssl".to_owned(), true)]);
    }
}
