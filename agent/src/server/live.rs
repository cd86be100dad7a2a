//! What the pipeline tells the server each second: the state that no store has.

use apm_core::loss::Losses;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// The agent's state at one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Live {
    /// Watched processes.
    pub processes: Vec<ProcessStatus>,
    /// Counters of everything lost, as `[{name, count, meaning}]`. The store's own are added by the server.
    #[serde(serialize_with = "named_losses")]
    #[schema(value_type = Vec<LossCount>)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProbeStatus {
    /// What: `sockets`, `tls /usr/lib/libssl.so.3`, `python context`, ...
    pub name: String,
    /// It was.
    pub attached: bool,
    /// Why it was not, and what to do about it.
    pub reason: Option<String>,
}

/// How often calls were bound in one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct LinkCount {
    /// `context`, `thread`, `handover`, `response`, `header`, `socket pair`; `none` for those without a request.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// The ring buffer between kernel and agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Ring {
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Bytes in use at the last look.
    pub used_bytes: u64,
    /// Most bytes in use at any look.
    pub max_used_bytes: u64,
}

/// What the agent itself uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct AgentUse {
    /// Its pid.
    pub pid: u32,
    /// CPU over the last second, percent of one core.
    pub cpu_pct: Option<f64>,
    /// Resident memory, MiB.
    pub mem_mb: Option<f64>,
    /// Bytes in use of the store's file; set by the server.
    pub db_bytes: u64,
}

/// How much was lost in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LossCount {
    /// Its name.
    pub name: &'static str,
    /// How often, since the agent started.
    pub count: u64,
    /// What was lost, in one sentence.
    pub meaning: &'static str,
}

/// Every kind of loss with its counter.
pub fn loss_counts(losses: &Losses) -> impl Iterator<Item = LossCount> + '_ {
    losses.iter().map(|(loss, count)| LossCount { name: loss.name(), count, meaning: loss.meaning() })
}

fn named_losses<S: Serializer>(losses: &Losses, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(loss_counts(losses))
}
