//! What the correlator cannot know by itself: the wall clock, the services of processes, routes, call sites.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use apm_core::correlate::Surroundings;
use apm_core::time::Time;

use super::source::Routes;
use crate::call_sites::CallSites;
use crate::capture;

/// Ended processes whose names are kept, the latest, for what is still under way.
const ENDED_MAX: usize = 4_096;

struct Name {
    service: Arc<str>,
    has_ended: bool,
}

/// Wall-clock time and the names of processes.
pub(super) struct Naming {
    /// Unix time minus monotonic time, nanoseconds.
    offset: i128,
    names: HashMap<u32, Name>,
    ended: VecDeque<u32>,
    unnamed: Arc<str>,
    pub(super) routes: Routes,
    /// `None`: not wanted.
    pub(super) call_sites: Option<CallSites>,
}

impl Naming {
    pub(super) fn new(routes: Routes, call_sites: Option<CallSites>) -> Self {
        let unnamed = "unknown".into();
        let (names, ended) = (HashMap::new(), VecDeque::new());
        let mut naming = Self { offset: 0, names, ended, unnamed, routes, call_sites };
        naming.set_clock();
        naming
    }

    /// Follows a wall clock that was set.
    pub(super) fn set_clock(&mut self) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.offset = i128::try_from(unix).unwrap_or(0) - i128::from(capture::now().0);
    }

    pub(super) fn name(&mut self, pid: u32, service: &Arc<str>) {
        self.names.insert(pid, Name { service: Arc::clone(service), has_ended: false });
    }

    /// The process has ended, or is not watched any more.
    pub(super) fn forget(&mut self, pid: u32) {
        let Some(name) = self.names.get_mut(&pid) else { return };
        name.has_ended = true;
        self.ended.push_back(pid);
        if self.ended.len() > ENDED_MAX
            && let Some(earliest) = self.ended.pop_front()
            // Its pid may have been handed out again.
            && self.names.get(&earliest).is_some_and(|name| name.has_ended)
        {
            self.names.remove(&earliest);
        }
    }
}

impl Surroundings for Naming {
    #[allow(clippy::cast_precision_loss)] // a float is what the API gives: microseconds are kept
    fn unix(&self, time: Time) -> f64 {
        (i128::from(time.0) + self.offset) as f64 / 1e9
    }

    fn service(&self, pid: u32) -> Arc<str> {
        Arc::clone(self.names.get(&pid).map_or(&self.unnamed, |name| &name.service))
    }

    fn route_from_source(&self, service: &str, method: &str, path: &str) -> Option<Arc<str>> {
        self.routes.find(service, method, path)
    }

    fn call_site(&self, stack: u64) -> Option<Arc<str>> {
        self.call_sites.as_ref()?.of(stack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ended_processes_make_room_and_those_of_others_stay() {
        let mut naming = Naming::new(Routes::default(), None);
        let shop: Arc<str> = "shop".into();
        naming.name(1, &shop);
        for pid in 2..100_000 {
            naming.name(pid, &shop);
            naming.forget(pid);
        }
        assert!(naming.names.len() <= ENDED_MAX + 1 && naming.ended.len() <= ENDED_MAX);
        assert_eq!(&*naming.service(1), "shop");
        assert_eq!(&*naming.service(99_999), "shop", "what it did may be told yet");
        assert_eq!(&*naming.service(2), "unknown");
    }

    #[test]
    fn a_pid_that_is_handed_out_again_keeps_its_new_name() {
        let mut naming = Naming::new(Routes::default(), None);
        naming.name(7, &"old".into());
        naming.forget(7);
        naming.name(7, &"new".into());
        for pid in 100..100 + u32::try_from(ENDED_MAX).unwrap() {
            naming.name(pid, &"job".into());
            naming.forget(pid);
        }
        assert_eq!(&*naming.service(7), "new");
    }
}
