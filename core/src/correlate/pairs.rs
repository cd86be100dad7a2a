//! Both ends of a connection on one host: the call that one process starts is the request that the other receives.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::connection::Info;
use crate::exchange::{Endpoint, Role};
use crate::protocol::Started;
use crate::time::Time;

/// How long one end waits for the other. Their system calls return within microseconds of each other; a request may wait
/// in the callee's backlog until a worker is free.
const MEETS_WITHIN: Duration = Duration::from_secs(30);
/// Connections on which one end waits.
const CONNECTIONS_MAX: usize = 16_384;
/// Requests that wait on one connection, and on all of them.
const WAITING_MAX: usize = 64;
const ALL_WAITING_MAX: usize = 65_536;

/// Which connection it is: the caller's address, then the callee's.
type Key = (SocketAddr, SocketAddr);

/// What one end has seen.
#[derive(Debug)]
struct Seen {
    time: Time,
    role: Role,
    request: u64,
    /// Hash of method and path.
    asked: u64,
}

/// Can the other end be on this host? Its containers have private addresses of their own.
fn may_be_here(local: IpAddr, peer: IpAddr) -> bool {
    let is_private = match peer {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    local == peer || peer.is_loopback() || is_private
}

/// Requests that one end has started and the other has not.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    waiting: HashMap<Key, VecDeque<Seen>>,
    order: VecDeque<(Time, Key)>,
    /// Requests that wait.
    count: usize,
    hasher: RandomState,
}

impl Pairs {
    /// One end has started a request. When the other has, too: the request that called, and the one that was called.
    pub(super) fn meet(&mut self, conn: &Info, role: Role, started: &Started) -> Option<(u64, u64)> {
        let (Endpoint::Tcp(local), Endpoint::Tcp(peer)) = (&conn.local, &conn.peer) else { return None };
        if !may_be_here(local.ip(), peer.ip()) {
            return None;
        }
        let key = match role {
            Role::Client => (*local, *peer),
            Role::Server => (*peer, *local),
        };
        let request = started.origin.request;
        let asked = self.hasher.hash_one((&started.method, &started.path));
        if let Some(queue) = self.waiting.get_mut(&key)
            && let Some(at) = queue.iter().position(|seen| seen.role != role && seen.asked == asked)
        {
            self.count -= at + 1;
            // Those before it were missed by this end.
            let other = queue.drain(..=at).next_back()?;
            if queue.is_empty() {
                self.waiting.remove(&key);
            }
            return Some(match role {
                Role::Client => (request, other.request),
                Role::Server => (other.request, request),
            });
        }
        if self.waiting.len() < CONNECTIONS_MAX || self.waiting.contains_key(&key) {
            let queue = self.waiting.entry(key).or_default();
            if queue.is_empty() {
                self.order.push_back((started.time, key));
            }
            if queue.len() >= WAITING_MAX {
                queue.pop_front();
                self.count -= 1;
            }
            self.count += 1;
            queue.push_back(Seen { time: started.time, role, request, asked });
        }
        None
    }

    /// Lets go of ends that waited long enough: the other is not watched.
    pub(super) fn tick(&mut self, now: Time) {
        while let Some((since, key)) = self.order.front() {
            let is_crowded = self.order.len() > CONNECTIONS_MAX || self.count > ALL_WAITING_MAX;
            if now.since(*since) < MEETS_WITHIN && !is_crowded {
                return;
            }
            // Those that came since have an entry of their own, or get one.
            let (since, key) = (*since, *key);
            self.order.pop_front();
            if let Some(queue) = self.waiting.get_mut(&key) {
                let before = queue.len();
                queue.retain(|seen| seen.time > since);
                self.count -= before - queue.len();
                match queue.front() {
                    Some(next) => self.order.push_back((next.time, key)),
                    None => drop(self.waiting.remove(&key)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tests::info;
    use crate::exchange::{Correlation, Origin};

    #[test]
    fn requests_that_none_meets_stay_within_the_cap_and_the_newest_are_kept() {
        const CONNECTIONS: u16 = 3000;
        let mut pairs = Pairs::default();
        let conn = |role, port| {
            let at = |port: u16| Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
            let (local, peer) = if role == Role::Client { (at(port), at(80)) } else { (at(80), at(port)) };
            Info { local, peer, ..info(role, "127.0.0.1:80") }
        };
        let started = |time, request| Started {
            time: Time(time),
            origin: Origin { request, ..Origin::default() },
            method: "GET".into(),
            path: "/".into(),
            correlation: Correlation::default(),
            stream: 0,
            relayed: false,
        };
        for port in 0..CONNECTIONS {
            for n in 0..2 * WAITING_MAX as u64 {
                let time = u64::from(port) * 1000 + n;
                assert_eq!(pairs.meet(&conn(Role::Client, port), Role::Client, &started(time, 1)), None);
            }
            pairs.tick(Time(u64::from(port) * 1000));
            assert!(pairs.count <= ALL_WAITING_MAX);
            assert_eq!(pairs.count, pairs.waiting.values().map(VecDeque::len).sum::<usize>());
        }
        let mut meet = |port| pairs.meet(&conn(Role::Server, port), Role::Server, &started(0, 2));
        assert_eq!(meet(CONNECTIONS - 1), Some((1, 2)));
        assert_eq!(meet(0), None, "it had to go");
        pairs.tick(Time(u64::MAX));
        assert_eq!((pairs.count, pairs.waiting.len(), pairs.order.len()), (0, 0, 0));
    }
}
