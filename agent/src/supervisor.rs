//! What a service manager wants to hear: sd_notify(3), spoken here because it is one datagram.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager that started us, or nobody.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life, nanoseconds of the caller's clock; 0: never.
    every: u64,
    next: u64,
}

impl Supervisor {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let socket = match connect(name.as_bytes()) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!("cannot tell the service manager that we run: {error}");
                return Self::default();
            }
        };
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = Duration::from_micros(number("WATCHDOG_USEC").filter(|_| ours).unwrap_or(0));
        Self::new(socket, limit)
    }

    /// Speaks over `socket`; a sign of life is due twice within `limit`, never if that is zero.
    fn new(socket: UnixDatagram, limit: Duration) -> Self {
        let every = u64::try_from(limit.as_nanos() / 2).unwrap_or(u64::MAX);
        Self { socket: Some(socket), every, next: 0 }
    }

    /// Everything works: probes, store and server.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// The thread that matters is alive at `now`, nanoseconds; call it at every turn.
    pub fn alive(&mut self, now: u64) {
        if self.every > 0 && now >= self.next {
            self.next = now.saturating_add(self.every);
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::debug!("the service manager does not listen: {error}");
        }
    }
}

fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    // sd_notify(3): a leading `@` stands for the null byte of an abstract name.
    let address = match name {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not hold up capture.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[test]
    fn signs_of_life_come_twice_within_the_limit() {
        let (manager, socket) = UnixDatagram::pair().unwrap();
        manager.set_nonblocking(true).unwrap();
        let mut supervisor = Supervisor::new(socket, Duration::from_nanos(20));
        supervisor.ready("watching 2");
        assert_eq!(heard(&manager).as_deref(), Some("READY=1\nSTATUS=watching 2"));
        let told: Vec<u64> = (100..140)
            .filter(|now| {
                supervisor.alive(*now);
                heard(&manager).is_some()
            })
            .collect();
        assert_eq!(told, [100, 110, 120, 130]);
    }

    #[test]
    fn without_a_limit_there_are_none() {
        let (manager, socket) = UnixDatagram::pair().unwrap();
        manager.set_nonblocking(true).unwrap();
        Supervisor::new(socket, Duration::ZERO).alive(5);
        assert_eq!(heard(&manager), None);
    }

    #[test]
    fn both_kinds_of_names_are_reached() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        connect(path.as_os_str().as_bytes()).unwrap().send(b"x").unwrap();
        assert_eq!(heard(&by_path).as_deref(), Some("x"));
        let name = format!("apm-agent-test-{}", std::process::id());
        let abstracted = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        connect(format!("@{name}").as_bytes()).unwrap().send(b"y").unwrap();
        assert_eq!(heard(&abstracted).as_deref(), Some("y"));
    }
}
