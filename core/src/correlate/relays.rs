//! Processes that hand requests on to others, which serve them: uWSGI's routers. Both read the request, and it is one.

use std::collections::HashMap;

use crate::exchange::Role;
use crate::protocol::Started;
use crate::time::Time;

/// Processes that are remembered.
const RELAYS_MAX: usize = 1_024;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// When a process handed a request on last.
    handed_on: HashMap<u32, Time>,
    /// A watched process has served such a request: they are not told by the router alone.
    are_served: bool,
}

impl Relays {
    /// A request begins in a process.
    pub(super) fn started(&mut self, pid: u32, role: Role, started: &Started) {
        match role {
            _ if !started.relayed => {}
            Role::Server => self.are_served = true,
            Role::Client => {
                if self.handed_on.len() >= RELAYS_MAX {
                    self.handed_on.clear();
                }
                self.handed_on.insert(pid, started.time);
            }
        }
    }

    /// Was a request that began then in that process served by another, which tells of it?
    pub(super) fn told_elsewhere(&self, pid: u32, start: Time) -> bool {
        self.are_served && self.handed_on.get(&pid).is_some_and(|last| *last >= start)
    }
}
