//! Both ends of a connection on one host: the call that one process starts is the request that the other receives.

use std::collections::{HashMap, VecDeque};
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
/// Requests that wait on one connection.
const WAITING_MAX: usize = 64;

/// Which connection it is: the caller's address, then the callee's.
type Key = (SocketAddr, SocketAddr);

/// What one end has seen.
#[derive(Debug)]
struct Seen {
    time: Time,
    role: Role,
    request: u64,
    method: String,
    path: String,
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
}

impl Pairs {
    /// One end has started a request. When the other has, too: the request that called, and the one that was called.
    pub(super) fn meet(&mut self, conn: &Info, role: Role, started: Started) -> Option<(u64, u64)> {
        let (Endpoint::Tcp(local), Endpoint::Tcp(peer)) = (&conn.local, &conn.peer) else { return None };
        if !may_be_here(local.ip(), peer.ip()) {
            return None;
        }
        let key = match role {
            Role::Client => (*local, *peer),
            Role::Server => (*peer, *local),
        };
        let request = started.origin.request;
        if let Some(queue) = self.waiting.get_mut(&key) {
            let is_same = |s: &Seen| s.role != role && s.method == started.method && s.path == started.path;
            if let Some(at) = queue.iter().position(is_same) {
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
        }
        if self.waiting.len() < CONNECTIONS_MAX || self.waiting.contains_key(&key) {
            let queue = self.waiting.entry(key).or_default();
            if queue.is_empty() {
                self.order.push_back((started.time, key));
            }
            if queue.len() >= WAITING_MAX {
                queue.pop_front();
            }
            let Started { time, method, path, .. } = started;
            queue.push_back(Seen { time, role, request, method, path });
        }
        None
    }

    /// Lets go of ends that waited long enough: the other is not watched.
    pub(super) fn tick(&mut self, now: Time) {
        while let Some((since, key)) = self.order.front() {
            if now.since(*since) < MEETS_WITHIN && self.order.len() <= CONNECTIONS_MAX {
                return;
            }
            // Those that came since have an entry of their own, or get one.
            let (since, key) = (*since, *key);
            self.order.pop_front();
            if let Some(queue) = self.waiting.get_mut(&key) {
                queue.retain(|seen| seen.time > since);
                match queue.front() {
                    Some(next) => self.order.push_back((next.time, key)),
                    None => drop(self.waiting.remove(&key)),
                }
            }
        }
    }
}
