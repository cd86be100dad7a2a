//! What the pipeline tells the server each second: the state that no store has.

use apm_core::loss::Losses;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

/// The agent's state at one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Live {
    /// Watched processes.
    pub processes: Vec<ProcessStatus>,
    /// Counters of everything lost, as `[{name, count, meaning}]`. The store's own are added by the server.
    #[serde(serialize_with = "named_losses")]
    pub losses: Losses,
    /// How often calls and queries were bound to their request, by how that is known.
    pub links: Vec<LinkCount>,
    /// The ring buffer between kernel and agent.
    pub ring: Option<Ring>,
    /// What the agent itself uses.
    pub agent: AgentUse,
    /// What is wrong beyond a single process, one sentence with its remedy each.
    pub problems: Vec<String>,
}

/// A watched process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProcessStatus {
    /// Its pid, as the host numbers it.
    pub pid: u32,
    /// Its service.
    pub service: String,
    /// Version of its interpreter, `3.11.7`.
    pub python: Option<String>,
    /// Its command line, shortened, credentials removed.
    pub command: Option<String>,
    /// `watched`, `exited`, `ignored`, ...
    pub state: String,
    /// What was to be attached to it, and whether it was.
    pub probes: Vec<ProbeStatus>,
    /// CPU over the last second, percent of one core.
    pub cpu_pct: Option<f64>,
    /// Resident memory, MiB.
    pub mem_mb: Option<f64>,
    /// Requests open now.
    pub in_flight: u32,
}

/// Something that was to be attached.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProbeStatus {
    /// What: `sockets`, `tls /usr/lib/libssl.so.3`, `python context`, ...
    pub name: String,
    /// It was.
    pub attached: bool,
    /// Why it was not, and what to do about it.
    pub reason: Option<String>,
}

/// How often calls were bound in one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LinkCount {
    /// `context`, `thread`, `handover`, `response`, `header`, `socket pair`; `none` for those without a request.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// The ring buffer between kernel and agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ring {
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Bytes in use at the last look.
    pub used_bytes: u64,
    /// Most bytes in use at any look.
    pub max_used_bytes: u64,
}

/// What the agent itself uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AgentUse {
    /// Its pid.
    pub pid: u32,
    /// CPU over the last second, percent of one core.
    pub cpu_pct: Option<f64>,
    /// Resident memory, MiB.
    pub mem_mb: Option<f64>,
}

fn named_losses<S: Serializer>(losses: &Losses, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named {
        name: &'static str,
        count: u64,
        meaning: &'static str,
    }
    let mut list = serializer.serialize_seq(None)?;
    for (loss, count) in losses.iter() {
        list.serialize_element(&Named { name: loss.name(), count, meaning: loss.meaning() })?;
    }
    list.end()
}
