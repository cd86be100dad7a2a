//! The Python processes there are, and what can be seen of each.

use std::fmt;

use serde::Serialize;

use crate::config::Settings;
use crate::problem::Problem;
use crate::process::{
    Implementation, NotPython, Policy, ProcSource, Procfs, PythonProcess, PythonVersion, Registry, Watched,
};

/// Series of CPython whose structures are known.
const ATTRIBUTABLE: std::ops::RangeInclusive<u8> = 8..=15;

/// A Python process, as shown to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    pid: u32,
    service: String,
    command: String,
    implementation: Implementation,
    version: Option<PythonVersion>,
    /// File that holds the interpreter.
    runtime: Option<String>,
    /// The interpreter has lost its local symbols.
    stripped: bool,
    tls: Vec<SeenTls>,
    container: Option<String>,
    /// What cannot be seen of it, and why.
    limits: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SeenTls {
    name: String,
    path: String,
    visible: bool,
}

/// Every Python process that these settings would watch, by pid.
pub(super) fn list(procfs: Procfs, settings: &Settings) -> Vec<Seen> {
    let mut registry = Registry::new(procfs, Policy::of(settings));
    registry.scan();
    let mut seen: Vec<Seen> = registry.watched().map(Seen::from).collect();
    seen.sort_by_key(|process| process.pid);
    seen
}

/// Is the process a Python process that can be looked at?
pub(super) fn is_python(procfs: &Procfs, pid: u32) -> Result<(), Problem> {
    let Err(not) = procfs.inspect(pid) else { return Ok(()) };
    let remedy = match &not {
        NotPython::NotPermitted(_) if !nix::unistd::geteuid().is_root() => "sudo apm-agent".to_owned(),
        NotPython::OtherProgram(..) => match descendants(procfs, pid).as_slice() {
            [] => "apm-agent check, which lists the Python processes".to_owned(),
            below => {
                let pids: Vec<String> = below.iter().map(|pid| format!("--pid {pid}")).collect();
                format!("{}, started by it", pids.join(" "))
            }
        },
        _ => "apm-agent check, which lists the Python processes".to_owned(),
    };
    Err(Problem::new(not.to_string(), remedy))
}

/// Topmost Python processes below `pid`, four at most.
fn descendants(procfs: &Procfs, pid: u32) -> Vec<u32> {
    let lineages: Vec<_> =
        procfs.pids().into_iter().flatten().filter_map(|pid| procfs.lineage(pid).ok()).collect();
    let (mut found, mut level) = (Vec::new(), vec![pid]);
    while let Some(parent) = level.pop() {
        for child in lineages.iter().filter(|lineage| lineage.parent == parent && lineage.id.pid != parent) {
            match procfs.inspect(child.id.pid) {
                Ok(_) => found.push(child.id.pid),
                Err(_) => level.push(child.id.pid),
            }
        }
    }
    found.sort_unstable();
    found.truncate(4);
    found
}

fn limits(process: &PythonProcess) -> Vec<String> {
    let mut limits = Vec::new();
    let known =
        process.version.is_none_or(|version| version.major == 3 && ATTRIBUTABLE.contains(&version.minor));
    if process.implementation != Implementation::CPython || !known {
        let version = process.version.map(|version| format!(" {version}")).unwrap_or_default();
        limits.push(format!(
            "no attribution of queries and calls to requests: the insides of {}{version} are not known",
            process.implementation
        ));
    }
    for library in process.tls.iter().filter(|library| !library.visible) {
        limits.push(format!(
            "connections through {} ({}) stay encrypted",
            library.kind,
            library.file.path.display()
        ));
    }
    limits
}

impl From<&Watched> for Seen {
    fn from(watched: &Watched) -> Self {
        let process = &watched.process;
        let runtime = process.runtime.as_ref();
        let command: String = process.naming.cmdline.join(" ").chars().take(100).collect();
        Self {
            pid: process.id.pid,
            service: watched.service.to_string(),
            command,
            implementation: process.implementation,
            version: process.version,
            runtime: runtime.map(|runtime| runtime.file.path.display().to_string()),
            stripped: runtime.is_some_and(|runtime| runtime.file.facts.stripped),
            tls: process
                .tls
                .iter()
                .map(|library| SeenTls {
                    name: library.version.clone().unwrap_or_else(|| library.kind.to_string()),
                    path: library.file.path.display().to_string(),
                    visible: library.visible,
                })
                .collect(),
            container: process.container.as_ref().map(|container| {
                container.id.as_deref().map_or_else(|| "yes".to_owned(), |id| id[..12].to_owned())
            }),
            limits: limits(process),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:>7}  {}  ({}", self.pid, self.service, self.implementation)?;
        if let Some(version) = self.version {
            write!(f, " {version}")?;
        }
        write!(f, ")  {}", self.command)?;
        let mut line = |text: String| write!(f, "\n           {text}");
        if let Some(runtime) = &self.runtime {
            line(format!("interpreter in {runtime}{}", if self.stripped { ", stripped" } else { "" }))?;
        }
        match self.tls.as_slice() {
            [] => line("no TLS library loaded yet".into())?,
            all => {
                for library in all.iter().filter(|library| library.visible) {
                    line(format!("{} in {}", library.name, library.path))?;
                }
            }
        }
        if let Some(container) = &self.container {
            line(format!("in container {container}"))?;
        }
        self.limits.iter().try_for_each(|limit| line(format!("limit: {limit}")))
    }
}
