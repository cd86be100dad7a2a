//! From the wire's words to the core's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use apm_agent_ebpf as wire;
use apm_core::connection::{Change, Chunk, Info};
use apm_core::correlate::{NameFailure, Unresolved};
use apm_core::exchange::{ConnId, Direction, Endpoint, Origin, Role};
use apm_core::protocol::CloseReason;
use apm_core::time::Time;

use super::Captured;

/// Something happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketChange {
    /// Which.
    pub conn: ConnId,
    /// What.
    pub change: Change,
    /// When.
    pub time: Time,
    /// Bytes that the connection has read and written by then.
    pub moved: [u64; 2],
}

/// A process came, changed or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It was forked from a watched process, and is watched.
    Fork {
        /// The parent.
        parent: u32,
        /// The new process.
        pid: u32,
    },
    /// It replaced its program; it is not watched (any more).
    Exec {
        /// The process.
        pid: u32,
        /// It was watched before.
        watched: bool,
    },
    /// It loaded a library.
    Mapped {
        /// The process.
        pid: u32,
    },
    /// It ended.
    Exit {
        /// The process.
        pid: u32,
        /// When.
        time: Time,
    },
}

pub(super) fn event(event: wire::Event<'_>) -> Option<Captured<'_>> {
    Some(match event {
        wire::Event::Data(data, head, tail) => Captured::Chunk(chunk(&data, head, tail)),
        wire::Event::Opened(opened) => Captured::Opened(info(&opened), reason(opened.error)),
        wire::Event::Connecting(event) => {
            Captured::Connecting(ConnId(event.conn), origin(event.tid, &event.origin))
        }
        wire::Event::Changed(changed) => Captured::Changed(SocketChange {
            conn: ConnId(changed.conn),
            change: change(&changed)?,
            time: Time(changed.time),
            moved: [changed.read, changed.written],
        }),
        wire::Event::Raised(raised) => Captured::Raised(raised),
        wire::Event::Left(left) => Captured::Left(left),
        wire::Event::Stack(stack) => Captured::Stack(stack),
        wire::Event::Begun(begun) => Captured::Begun(begun),
        wire::Event::Queued(event) => Captured::Queued {
            conn: ConnId(event.conn),
            pos: event.pos,
            len: event.len,
            by: origin(event.tid, &event.origin),
        },
        wire::Event::Unresolved(event) => Captured::Unresolved(unresolved(event)?),
        wire::Event::Named(named) => {
            Captured::Named { conn: ConnId(named.conn), path: path(named)?, is_peers: named.is_peers != 0 }
        }
        wire::Event::Bound(bound) => {
            Captured::Bound { stream: ConnId(bound.stream), socket: ConnId(bound.socket) }
        }
        wire::Event::Process(process) => Captured::Process(match process.life {
            wire::life::FORK => ProcessEvent::Fork { parent: process.parent, pid: process.tgid },
            wire::life::EXEC => ProcessEvent::Exec { pid: process.tgid, watched: process.watched != 0 },
            wire::life::MAPPED => ProcessEvent::Mapped { pid: process.tgid },
            wire::life::EXIT => ProcessEvent::Exit { pid: process.tgid, time: Time(process.time) },
            _ => return None,
        }),
    })
}

fn chunk<'a>(data: &wire::Data, head: &'a [u8], tail: &'a [u8]) -> Chunk<'a> {
    let write = data.flags & wire::data_flags::WRITE != 0;
    Chunk {
        conn: ConnId(data.conn),
        pid: data.tgid,
        direction: if write { Direction::Write } else { Direction::Read },
        time: Time(data.time),
        pos: data.pos,
        len: u64::from(data.len),
        head,
        tail,
        origin: origin(data.tid, &data.origin),
        opens_tls: data.flags & wire::data_flags::TLS != 0,
    }
}

fn origin(tid: u32, from: &wire::Origin) -> Origin {
    Origin {
        tid,
        how: u8::try_from(from.how).unwrap_or(0),
        request: from.request,
        unit: from.unit,
        ancestors: from.ancestors,
        in_unit: from.in_unit != 0,
        stack: from.stack,
    }
}

fn info(opened: &wire::Opened) -> Info {
    let (local, peer) = match opened.family {
        wire::family::UNIX => (Endpoint::Unix(None), Endpoint::Unix(None)),
        0 => (Endpoint::Unknown, Endpoint::Unknown), // a TLS stream
        _ => (
            endpoint(opened.family, opened.local, opened.local_port),
            endpoint(opened.family, opened.peer, opened.peer_port),
        ),
    };
    Info {
        id: ConnId(opened.conn),
        key: opened.key,
        pid: opened.tgid,
        role: match opened.by {
            wire::opened_by::ACCEPT | wire::opened_by::TLS_ACCEPT => Some(Role::Server),
            wire::opened_by::CONNECT | wire::opened_by::TLS_CONNECT => Some(Role::Client),
            _ => None,
        },
        local,
        peer,
        from_start: !matches!(opened.by, wire::opened_by::DATA | wire::opened_by::TLS_DATA),
        since: Time(opened.time),
        tls: opened.family == 0,
        caller: Origin::default(),
    }
}

fn unresolved(event: &wire::Unresolved) -> Option<Unresolved> {
    let text = |bytes: &[u8], len: u32| {
        let bytes = bytes.get(..usize::try_from(len).ok()?.checked_sub(1)?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    Some(Unresolved {
        pid: event.tgid,
        host: text(&event.host, event.host_len).filter(|host| !host.is_empty())?,
        port: text(&event.port, event.port_len),
        caller: origin(event.tid, &event.origin),
        start: Time(event.started),
        end: Time(event.time),
        failure: failure(event.error)?,
    })
}

/// What a value of getaddrinfo(3) says (`netdb.h` of the GNU C library); `None` for one that says nothing of the name.
fn failure(error: i32) -> Option<NameFailure> {
    Some(match error {
        // EAI_NONAME, EAI_NODATA, EAI_ADDRFAMILY
        -2 | -5 | -9 => NameFailure::Unknown,
        // EAI_AGAIN
        -3 => NameFailure::NoAnswer,
        // EAI_FAIL
        -4 => NameFailure::Refused,
        // EAI_SYSTEM: why stands in errno.
        -11 => NameFailure::System,
        _ => return None,
    })
}

/// The path as it is usually written: an abstract one with `@` for its zero (ss(8)).
fn path(named: &wire::Named) -> Option<String> {
    let bytes = named.path.get(..usize::try_from(named.len).ok()?)?;
    let (mark, name) = match bytes.split_first()? {
        (0, name) => ("@", name),
        _ => ("", bytes.split(|&b| b == 0).next()?),
    };
    (!name.is_empty()).then(|| format!("{mark}{}", String::from_utf8_lossy(name)))
}

/// IPv4 addresses mapped into IPv6 are shown as what they are.
fn endpoint(family: u16, address: [u8; 16], port: u16) -> Endpoint {
    let ip = if family == wire::family::INET {
        IpAddr::V4(Ipv4Addr::new(address[0], address[1], address[2], address[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(address)).to_canonical()
    };
    Endpoint::Tcp(SocketAddr::new(ip, port))
}

fn change(changed: &wire::Changed) -> Option<Change> {
    use wire::change as c;
    let peer_first = changed.value & c::PEER_FIRST != 0;
    let errno = changed.value & !(c::PEER_FIRST | c::READS_NO_MORE | c::UNMADE);
    let unmade = changed.value & c::UNMADE != 0;
    // `tcp_reset` of net/ipv4/tcp_input.c has these of connections that were made, if only for a moment.
    let was_made = matches!(i32::try_from(errno), Ok(libc::ECONNRESET | libc::EPIPE));
    Some(match changed.change {
        c::END_OF_STREAM => Change::EndOfStream,
        c::FAILED => {
            let reason = reason(changed.value & !c::WRITING).unwrap_or(CloseReason::Reset);
            if changed.value & c::WRITING != 0 { Change::WriteFailed(reason) } else { Change::Failed(reason) }
        }
        c::ESTABLISHED => Change::Established,
        c::PEER_CLOSED => Change::PeerClosed,
        // The kernel may keep it for a while, for what the peer has not got yet.
        c::LOCAL_CLOSED if changed.value & c::READS_NO_MORE != 0 => Change::Closed { peer_first },
        c::LOCAL_CLOSED => Change::LocalClosed { peer_first },
        c::GONE => {
            let reason = match reason(errno) {
                None if unmade => Some(CloseReason::GivenUp),
                // Some router's answer, or that of this host.
                Some(CloseReason::Reset) if unmade && !was_made => Some(CloseReason::Unreachable),
                reason => reason,
            };
            Change::Gone { reason, peer_first }
        }
        c::DESCRIPTOR_CLOSED => Change::Closed { peer_first: false },
        _ => return None,
    })
}

/// What an `errno` of a socket says about its end; `None` for 0.
fn reason(errno: u32) -> Option<CloseReason> {
    match i32::try_from(errno).unwrap_or(0) {
        0 => None,
        libc::ETIMEDOUT => Some(CloseReason::TimedOut),
        libc::ECONNREFUSED => Some(CloseReason::Refused),
        libc::ENETDOWN | libc::ENETUNREACH | libc::EHOSTDOWN | libc::EHOSTUNREACH => {
            Some(CloseReason::Unreachable)
        }
        _ => Some(CloseReason::Reset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_ipv4_is_shown_as_ipv4() {
        let mut address = [0; 16];
        address[10..12].copy_from_slice(&[0xff, 0xff]);
        address[12..].copy_from_slice(&[127, 0, 0, 1]);
        assert_eq!(
            endpoint(wire::family::INET6, address, 8000),
            Endpoint::Tcp("127.0.0.1:8000".parse().unwrap())
        );
    }

    #[test]
    fn refused_is_told_from_reset() {
        assert_eq!(reason(0), None);
        assert_eq!(reason(111), Some(CloseReason::Refused));
        assert_eq!(reason(104), Some(CloseReason::Reset));
        assert_eq!(reason(110), Some(CloseReason::TimedOut));
    }

    #[test]
    fn a_socket_that_was_closed_is_gone_for_its_process() {
        let closed = |value| {
            let (kind, time, conn, tgid, read, written) = (wire::kind::CHANGED, 0, 1, 1, 0, 0);
            let what = wire::change::LOCAL_CLOSED;
            change(&wire::Changed { kind, change: what, time, conn, value, tgid, read, written })
        };
        let (peer_first, reads_no_more) = (wire::change::PEER_FIRST, wire::change::READS_NO_MORE);
        assert_eq!(closed(0), Some(Change::LocalClosed { peer_first: false }));
        assert_eq!(closed(reads_no_more), Some(Change::Closed { peer_first: false }));
        assert_eq!(closed(reads_no_more | peer_first), Some(Change::Closed { peer_first: true }));
    }

    #[test]
    fn whatever_keeps_a_connection_from_being_made_is_told_as_that() {
        let gone = |value| {
            let (kind, time, conn, tgid, read, written) = (wire::kind::CHANGED, 0, 1, 1, 0, 0);
            let gone =
                wire::Changed { kind, change: wire::change::GONE, time, conn, value, tgid, read, written };
            match change(&gone) {
                Some(Change::Gone { reason, .. }) => reason,
                other => panic!("{other:?}"),
            }
        };
        let unmade = wire::change::UNMADE;
        assert_eq!(gone(unmade), Some(CloseReason::GivenUp));
        // ECONNREFUSED, EHOSTUNREACH, EOPNOTSUPP (`icmp_err_convert` of net/ipv4/icmp.c).
        assert_eq!(gone(unmade | 111), Some(CloseReason::Refused));
        assert_eq!(gone(unmade | 113), Some(CloseReason::Unreachable));
        assert_eq!(gone(unmade | 95), Some(CloseReason::Unreachable));
        assert_eq!(gone(unmade | 104), Some(CloseReason::Reset));
        assert_eq!(gone(104), Some(CloseReason::Reset));
        assert_eq!(gone(0), None);
    }
}
