//! Load: clients that ask for known answers and keep a record of what they asked and got.

mod client;
mod plan;
mod random;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) use plan::{Ask, SECRET, Traits};

use client::Client;
use random::Random;

/// Seconds of CLOCK_MONOTONIC, the clock of Python's `time.monotonic()`: moments of all processes compare.
pub(crate) fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is a live timespec; this clock always exists, so the call cannot fail.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
    }
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What became of one request, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered whole, with the status and body length that were asked for.
    Answered,
    /// The client went away on purpose before the answer.
    Abandoned,
    /// Anything else, in words. A test fails on it.
    Failed(String),
}

/// One request that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Method.
    pub(crate) method: &'static str,
    /// Path without query string; unique.
    pub(crate) path: String,
    /// Status that was asked for.
    pub(crate) status: u16,
    /// When its client began to send it; see [`now`].
    pub(crate) at: f64,
    /// It shared a write with others (pipelining).
    pub(crate) pipelined: bool,
    /// How it ended.
    pub(crate) fate: Fate,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// TCP, where each connection begins with a load balancer's line (PROXY protocol, version 1).
    Proxied(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Does someone accept connections there?
    pub(crate) fn accepts(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::Proxied(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }

    /// Port of a TCP address, 0 of another.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) | Self::Proxied(address) => address.port(),
            Self::Unix(_) => 0,
        }
    }
}

/// When the clients stop.
#[derive(Clone, Copy)]
pub(crate) enum Until<'a> {
    /// After this many requests, over all clients.
    Requests(u64),
    /// When the flag is set.
    Stopped(&'a AtomicBool),
}

/// A load to put on a server.
pub(crate) struct Load<'a> {
    /// Where the server listens.
    pub(crate) address: Address,
    /// Concurrent clients, each with one connection at a time.
    pub(crate) clients: u64,
    /// What the server can do.
    pub(crate) traits: Traits,
    /// Goes into every path and decides what is asked: equal seeds ask the same.
    pub(crate) seed: u64,
    /// When to stop.
    pub(crate) until: Until<'a>,
    /// Pause of each client between two requests.
    pub(crate) pause: Duration,
}

impl Load<'_> {
    /// Runs the load to its end and gives back every request.
    pub(crate) fn run(&self) -> Vec<Sent> {
        let count = AtomicU64::new(0);
        let more = || match self.until {
            Until::Requests(n) => count.fetch_add(1, Ordering::Relaxed) < n,
            Until::Stopped(flag) => !flag.load(Ordering::Relaxed),
        };
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..self.clients).map(|id| scope.spawn(move || self.client(id, more))).collect();
            clients.into_iter().flat_map(|client| client.join().expect("a client does not panic")).collect()
        })
    }

    fn client(&self, id: u64, more: impl Fn() -> bool) -> Vec<Sent> {
        let mut random = Random::new(self.seed.wrapping_mul(1_000_003).wrapping_add(id));
        let mut client = Client::new(self.address.clone());
        let mut sent = Vec::new();
        let mut number = 0;
        while more() {
            let batch = if self.traits.pipelining && random.one_in(20) { 4 } else { 1 };
            let asks: Vec<Ask> = (0..batch)
                .map(|_| {
                    number += 1;
                    let id = format!("{}-{id}-{number}", self.seed);
                    if batch > 1 {
                        Ask::plain(&id, &mut random)
                    } else {
                        Ask::any(&id, self.traits, &mut random)
                    }
                })
                .collect();
            sent.extend(client.ask(&asks));
            if !self.pause.is_zero() {
                thread::sleep(self.pause);
            }
        }
        sent
    }
}
