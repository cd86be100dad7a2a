//! What the user wants watched.

use super::ProcSource;
use crate::cli::Exclude;
use crate::config::Settings;
use crate::process::identity::ProcessId;

/// What the user wants watched.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Roots to watch with their descendants; empty: every Python process.
    pub pids: Vec<u32>,
    /// Name for every watched process.
    pub service: Option<String>,
    /// What not to watch.
    pub exclude: Vec<Exclude>,
    /// The agent's own pid, which is never watched.
    pub own_pid: u32,
}

impl Policy {
    /// The policy that the settings ask for.
    pub fn of(settings: &Settings) -> Self {
        Self {
            pids: settings.pids.clone(),
            service: settings.service.clone(),
            exclude: settings.exclude.clone(),
            own_pid: std::process::id(),
        }
    }
}

/// The policy, with its pids as the processes that bore them at start: later ones of the same pid are others.
#[derive(Debug)]
pub(super) struct Rules {
    policy: Policy,
    roots: Vec<ProcessId>,
    excluded_roots: Vec<ProcessId>,
}

impl Rules {
    pub(super) fn new(policy: Policy, source: &impl ProcSource) -> Self {
        let find = |pid: &u32| source.lineage(*pid).ok().map(|lineage| lineage.id);
        let roots = policy.pids.iter().filter_map(find).collect();
        let excluded = policy.exclude.iter().filter_map(|exclude| match exclude {
            Exclude::Pid(pid) => Some(pid),
            _ => None,
        });
        let excluded_roots = excluded.filter_map(find).collect();
        Self { policy, roots, excluded_roots }
    }

    pub(super) fn is_own(&self, pid: u32) -> bool {
        pid == self.policy.own_pid
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.policy.service.as_deref()
    }

    /// What the user said about this very process.
    pub(super) fn scope_of(&self, id: ProcessId) -> Option<bool> {
        if self.excluded_roots.contains(&id) {
            return Some(false);
        }
        self.roots.contains(&id).then_some(true)
    }

    /// Are processes watched about whose ancestors the user said nothing?
    pub(super) fn scope_of_strangers(&self) -> bool {
        self.policy.pids.is_empty()
    }

    /// Have processes outside the scope to be remembered, because their orphans would come into scope?
    pub(super) fn keeps_outsiders(&self) -> bool {
        self.policy.pids.is_empty() && !self.excluded_roots.is_empty()
    }

    /// Have programs that are not Python to be remembered, because the scope of their orphans depends on them?
    pub(super) fn needs_others(&self) -> bool {
        !self.policy.pids.is_empty() || !self.excluded_roots.is_empty()
    }

    pub(super) fn excludes(&self, service: &str, cmdline: &[String]) -> bool {
        self.policy.exclude.iter().any(|exclude| match exclude {
            Exclude::Pid(_) => false,
            Exclude::Service(name) => name == service,
            Exclude::CommandLine(pattern) => pattern.matches(&cmdline.join(" ")),
        })
    }
}
