//! The port the dashboard listens on.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use procfs::net::TcpState;
use procfs::process::FDTarget;

use crate::problem::Problem;

/// Can the dashboard listen there?
pub(super) fn free(listen: SocketAddr) -> Result<(), Problem> {
    let Err(error) = TcpListener::bind(listen) else { return Ok(()) };
    let port = listen.port();
    Err(match error.kind() {
        ErrorKind::AddrInUse => {
            let by = listener(port).map(|name| format!(" by {name}")).unwrap_or_default();
            let other = port.checked_add(1).unwrap_or(9876);
            Problem::new(format!("port {port} is taken{by}"), format!("--port {other}"))
        }
        ErrorKind::PermissionDenied => {
            Problem::new(format!("port {port} is reserved for root"), "--port 9876, or sudo")
        }
        ErrorKind::AddrNotAvailable => Problem::new(
            format!("{} is no address of this machine", listen.ip()),
            "--host 127.0.0.1, or --host 0.0.0.0 for all of its addresses",
        ),
        _ => Problem::new(format!("cannot listen on {listen}: {error}"), "another --host or --port"),
    })
}

/// Who listens on the port, as far as we may know: `process 4242 (nginx)`.
fn listener(port: u16) -> Option<String> {
    let sockets = procfs::net::tcp().into_iter().flatten().chain(procfs::net::tcp6().into_iter().flatten());
    let inodes: Vec<u64> = sockets
        .filter(|socket| socket.state == TcpState::Listen && socket.local_address.port() == port)
        .map(|socket| socket.inode)
        .collect();
    procfs::process::all_processes().ok()?.flatten().find_map(|process| {
        let holds = process.fd().ok()?.flatten().any(
            |descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if inodes.contains(&inode)),
        );
        let name = || process.stat().map_or_else(|_| "?".into(), |stat| stat.comm);
        holds.then(|| format!("process {} ({})", process.pid(), name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_port_is_told_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let problem = free(listener.local_addr().unwrap()).unwrap_err();
        assert!(problem.what.contains(&format!("is taken by process {}", std::process::id())), "{problem}");
        assert!(problem.remedy.starts_with("--port "), "{problem}");
    }

    #[test]
    fn address_of_another_machine_is_told() {
        // RFC 5737: this address is nobody's.
        let problem = free("192.0.2.1:9876".parse().unwrap()).unwrap_err();
        assert_eq!(problem.what, "192.0.2.1 is no address of this machine");
    }

    #[test]
    fn free_port_is_free() {
        assert_eq!(free("127.0.0.1:0".parse().unwrap()), Ok(()));
    }
}
