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
    /// Roots and excluded roots, as the processes they were at start.
    pub(super) roots: Vec<ProcessId>,
    pub(super) excluded_roots: Vec<ProcessId>,
}

impl Policy {
    /// The policy that the settings ask for.
    pub fn of(settings: &Settings) -> Self {
        Self {
            pids: settings.pids.clone(),
            service: settings.service.clone(),
            exclude: settings.exclude.clone(),
            own_pid: std::process::id(),
            ..Self::default()
        }
    }

    /// Finds out which processes the pids mean, once: later ones of the same pid are others.
    pub(super) fn pin(&mut self, source: &impl ProcSource) {
        let find = |pid: &u32| source.lineage(*pid).map(|lineage| lineage.id);
        self.roots = self.pids.iter().filter_map(find).collect();
        let excluded = self.exclude.iter().filter_map(|exclude| match exclude {
            Exclude::Pid(pid) => Some(pid),
            _ => None,
        });
        self.excluded_roots = excluded.filter_map(find).collect();
    }

    pub(super) fn is_own(&self, pid: u32) -> bool {
        pid == self.own_pid
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.service.as_deref()
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
        self.pids.is_empty()
    }

    /// Have processes outside the scope to be remembered, because their orphans would come into scope?
    pub(super) fn keeps_outsiders(&self) -> bool {
        self.pids.is_empty() && !self.excluded_roots.is_empty()
    }

    /// Have programs that are not Python to be remembered, because the scope of their orphans depends on them?
    pub(super) fn needs_others(&self) -> bool {
        !self.pids.is_empty() || !self.excluded_roots.is_empty()
    }

    pub(super) fn excludes(&self, service: &str, cmdline: &[String]) -> bool {
        self.exclude.iter().any(|exclude| match exclude {
            Exclude::Pid(_) => false,
            Exclude::Service(name) => name == service,
            Exclude::CommandLine(pattern) => pattern.matches(&cmdline.join(" ")),
        })
    }
}
