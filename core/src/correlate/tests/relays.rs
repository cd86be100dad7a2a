//! Requests that a router hands on to the process that serves them.

use super::*;

const ROUTER: u32 = 7;
const WORKER: u32 = 8;

impl Rig {
    fn begins(&mut self, pid: u32, role: Role, time: u64, relayed: bool) {
        let started = Started {
            time: Time(time),
            origin: Origin::default(),
            method: "GET".into(),
            path: "/".into(),
            correlation: Correlation::default(),
            stream: 0,
            relayed,
        };
        let conn = Arc::new(Info { pid, ..info(role, "10.0.0.1:80") });
        let mut progress = Progress { started: vec![(conn, role, started)], ..Progress::default() };
        self.correlator.take(&mut progress, &World, &mut self.out);
    }

    fn responds(&mut self, pid: u32, start: u64) {
        let mut finished =
            finished(Role::Server, Origin::default(), Origin::default(), http("/", Correlation::default()));
        finished.pid = pid;
        finished.exchange.start = Time(start);
        self.feed(finished);
    }
}

#[test]
fn a_request_that_a_router_hands_on_is_told_once_by_who_served_it() {
    let mut rig = Rig::new();
    rig.begins(ROUTER, Role::Server, 10, false);
    rig.begins(ROUTER, Role::Client, 11, true);
    rig.begins(WORKER, Role::Server, 12, true);
    rig.responds(WORKER, 12);
    rig.responds(ROUTER, 10);
    assert_eq!(rig.events().len(), 1);
    // The router answers for a worker that it does not reach, and a process that gets its number later serves its own.
    rig.responds(ROUTER, 13);
    assert_eq!(rig.events().len(), 2);
}

#[test]
fn what_nobody_else_tells_the_router_tells() {
    let mut rig = Rig::new();
    rig.begins(ROUTER, Role::Server, 10, false);
    rig.begins(ROUTER, Role::Client, 11, true);
    rig.responds(ROUTER, 10);
    assert_eq!(rig.events().len(), 1);
}
