//! What the correlator cannot know by itself: the wall clock, the services of processes, routes, call sites.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use apm_core::correlate::Surroundings;
use apm_core::time::Time;

use super::source::Routes;
use crate::call_sites::CallSites;
use crate::capture;

/// How long an ended process's name is kept for what is still under way.
const NAMES_MAX: usize = 65_536;

/// Wall-clock time and the names of processes.
pub(super) struct Naming {
    /// Unix time minus monotonic time, nanoseconds.
    offset: i128,
    names: HashMap<u32, Arc<str>>,
    unnamed: Arc<str>,
    pub(super) routes: Routes,
    /// `None`: not wanted.
    pub(super) call_sites: Option<CallSites>,
}

impl Naming {
    pub(super) fn new(routes: Routes, call_sites: Option<CallSites>) -> Self {
        let unnamed = "unknown".into();
        let mut naming = Self { offset: 0, names: HashMap::new(), unnamed, routes, call_sites };
        naming.set_clock();
        naming
    }

    /// Follows a wall clock that was set.
    pub(super) fn set_clock(&mut self) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.offset = i128::try_from(unix).unwrap_or(0) - i128::from(capture::now().0);
    }

    pub(super) fn name(&mut self, pid: u32, service: &Arc<str>) {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(pid, Arc::clone(service));
    }
}

impl Surroundings for Naming {
    #[allow(clippy::cast_precision_loss)] // a float is what the API gives: microseconds are kept
    fn unix(&self, time: Time) -> f64 {
        (i128::from(time.0) + self.offset) as f64 / 1e9
    }

    fn service(&self, pid: u32) -> Arc<str> {
        Arc::clone(self.names.get(&pid).unwrap_or(&self.unnamed))
    }

    fn route_from_source(&self, service: &str, method: &str, path: &str) -> Option<Arc<str>> {
        self.routes.find(service, method, path)
    }

    fn call_site(&self, stack: u64) -> Option<Arc<str>> {
        self.call_sites.as_ref()?.of(stack)
    }
}
