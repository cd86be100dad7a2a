//! Attempts to connect by the real probes in the real kernel. Needs root; says so and passes without.

#![allow(clippy::print_stdout)] // what was skipped is said

use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use apm_agent::capture::{Capture, CaptureOptions, Captured};
use apm_core::connection::Change;
use apm_core::exchange::{ConnId, Endpoint, Role};
use apm_core::protocol::CloseReason;

fn socket() -> OwnedFd {
    // SAFETY: no preconditions.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Asks for a connection; gives the `errno`.
fn connect(socket: &OwnedFd, to: SocketAddrV4) -> i32 {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: an address of this family, with its size.
    let result = unsafe {
        libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_in>() as u32)
    };
    if result == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
}

/// An address on which nobody listens.
fn nobody() -> SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let Ok(std::net::SocketAddr::V4(address)) = listener.local_addr() else { panic!("not IPv4") };
    address
}

/// What was told of connections to one address.
#[derive(Default, Debug)]
struct Told {
    opened: Vec<(ConnId, Option<CloseReason>)>,
    gone: Vec<(ConnId, Option<CloseReason>)>,
}

impl Told {
    fn until(&mut self, capture: &mut Capture, to: SocketAddrV4, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !done(self) {
            assert!(Instant::now() < deadline, "{self:#?}");
            capture.wait(Duration::from_millis(5));
            capture.drain(usize::MAX, |event| match event {
                Captured::Opened(info, error) if info.peer == Endpoint::Tcp(to.into()) => {
                    assert_eq!(info.role, Some(Role::Client));
                    self.opened.push((info.id, error));
                }
                Captured::Changed(change) => {
                    if let Change::Gone { reason, .. } = change.change
                        && self.opened.iter().any(|(conn, _)| *conn == change.conn)
                    {
                        self.gone.push((change.conn, reason));
                    }
                }
                _ => {}
            });
        }
    }
}

#[test]
fn each_attempt_is_told_with_its_end() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return;
    }
    let mut capture = Capture::start(CaptureOptions { ring_bytes: 8 << 20 }).expect("capture starts");
    capture.watch(std::process::id()).expect("this process is watched");

    // Refused, asked about and told so, and connected once somebody listens: all by one socket.
    let to = nobody();
    let once = socket();
    assert_eq!(connect(&once, to), libc::EINPROGRESS);
    let mut told = Told::default();
    told.until(&mut capture, to, |told| !told.gone.is_empty());
    assert_eq!(told.gone, [(told.opened[0].0, Some(CloseReason::Refused))]);
    assert_eq!(connect(&once, to), libc::ECONNREFUSED);
    let listener = TcpListener::bind(to).unwrap();
    assert_eq!(connect(&once, to), libc::EINPROGRESS);
    drop(listener.accept().unwrap());
    drop(once);
    told.until(&mut capture, to, |told| told.gone.len() >= 2);
    let errors: Vec<_> = told.opened.iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [None, Some(CloseReason::Refused), None]);
    assert_eq!(told.gone[1], (told.opened[2].0, None));

    // Asked for again while it is under way, and given up: one attempt.
    let listener = TcpListener::bind(nobody()).unwrap();
    let Ok(std::net::SocketAddr::V4(to)) = listener.local_addr() else { panic!("not IPv4") };
    // SAFETY: the socket listens; with no room but for one connection (listen(2)).
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let first = TcpStream::connect(to).unwrap();
    let silent = socket();
    assert_eq!(connect(&silent, to), libc::EINPROGRESS);
    assert_eq!(connect(&silent, to), libc::EALREADY);
    drop(silent);
    let mut told = Told::default();
    told.until(&mut capture, to, |told| !told.gone.is_empty());
    let errors: Vec<_> = told.opened.iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [None, None]);
    assert_eq!(told.gone, [(told.opened[1].0, Some(CloseReason::GivenUp))]);
    drop(first);
}
