//! Ports for the servers of tests.

use std::fs;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_240;

/// A port that nothing is bound to and that no other test of this program was given. It lies below those that the kernel gives
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
        if bound(port).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::other(format!("no free port from {FIRST} on")))
}

/// A socket bound to `port` of 127.0.0.1. Unlike `TcpListener::bind` it does not listen, which whoever waits for another's server
/// there would take for that; and it does not set `SO_REUSEADDR`, with which a port is had that another has bound and does not
/// listen on yet (socket(7)).
fn bound(port: u16) -> Result<OwnedFd> {
    // SAFETY: socket takes no pointers; what it gives is ours.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: zeros are an address.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the address is a sockaddr_in of that size, as the socket's family says.
    let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(socket) }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_port_that_another_has_bound_is_not_free_though_nobody_listens() {
        let port = free_port().unwrap();
        let socket = bound(port).unwrap();
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(bound(port).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(socket);
        bound(port).unwrap();
    }
}
