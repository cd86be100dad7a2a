//! Ports for the servers of tests.

use std::fs;
use std::io::{Error, Result};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_240;

/// A port that nothing listens on and that no other test of this program was given. It lies below those that the kernel gives
/// to clients (`ip_local_port_range`, ip(7)): one of them would else take it before the server does.
///
/// # Errors
/// All are in use.
pub(crate) fn free_port() -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let end = range.split_whitespace().next().and_then(|port| port.parse::<u32>().ok());
    let count = end.unwrap_or_default().saturating_sub(FIRST);
    // Programs that run beside each other begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..count {
        let place = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = (FIRST + place) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::other(format!("no free port from {FIRST} on")))
}
