//! The server's connections: a few, and none that lies idle for long. Each takes a file descriptor, of which the agent needs its
//! own to look at processes and to probe them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections open at a time; those beyond wait to be accepted.
pub(super) const CONNECTIONS: usize = 256;

/// How long nothing may be written to one, as it is idle or its request does not come to an end: longer than the minute after
/// which Prometheus asks again by default. Open streams say something every 15 s.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// A listener with `room` for so many connections.
pub(super) struct Limited {
    listener: TcpListener,
    room: Arc<Semaphore>,
    idle: Duration,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, connections: usize, idle: Duration) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(connections)), idle }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let idle = Box::pin(sleep(self.idle));
        (Connection { stream, limit: self.idle, idle, is_answered: true, _permit: permit }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends with an error once nothing has been written to it for a while. Of what is read only the first byte
/// behind what was written counts, with which a request begins: a client that sends a byte now and then, and needs no token for
/// that, would keep its place for ever.
pub(super) struct Connection {
    stream: TcpStream,
    limit: Duration,
    idle: Pin<Box<Sleep>>,
    /// Nothing was read since something was written.
    is_answered: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// What was done, or that it takes too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.idle.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }

    /// The same of a write, from which on it may be idle again.
    fn noted<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_answered = true;
            self.idle.as_mut().reset(Instant::now() + self.limit);
            return written;
        }
        self.in_time(cx, written)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if self.is_answered && into.filled().len() > before {
            self.is_answered = false;
            let limit = self.limit;
            self.idle.as_mut().reset(Instant::now() + limit);
        }
        self.in_time(cx, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.noted(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn a_connection_beyond_the_room_waits_until_an_idle_one_has_ended() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut limited = Limited::new(listener, 1, Duration::from_millis(50));
            let address = limited.local_addr().unwrap();
            let mut first = TcpStream::connect(address).await.unwrap();
            let (mut served, _) = limited.accept().await;
            let mut second = TcpStream::connect(address).await.unwrap();
            first.write_all(b"x").await.unwrap();
            assert_eq!(served.read_u8().await.unwrap(), b'x');
            assert!(limited.room.try_acquire().is_err(), "there is no room for the second");
            assert_eq!(served.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            drop(served);
            let (mut served, _) = limited.accept().await;
            second.write_all(b"y").await.unwrap();
            assert_eq!(served.read_u8().await.unwrap(), b'y');
        });
    }

    #[test]
    fn a_request_has_its_time_from_its_first_byte_on() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut limited = Limited::new(listener, 1, IDLE);
            let mut client = TcpStream::connect(limited.local_addr().unwrap()).await.unwrap();
            let (mut served, _) = limited.accept().await;
            let mut until = served.idle.deadline();
            for (byte, counts) in [(b'x', true), (b'y', false), (b'z', false)] {
                client.write_u8(byte).await.unwrap();
                assert_eq!(served.read_u8().await.unwrap(), byte);
                assert_eq!(served.idle.deadline() > until, counts);
                until = served.idle.deadline();
            }
            served.write_u8(b'!').await.unwrap();
            assert!(served.idle.deadline() > until);
            until = served.idle.deadline();
            client.write_u8(b'x').await.unwrap();
            served.read_u8().await.unwrap();
            assert!(served.idle.deadline() > until);
        });
    }

    #[test]
    fn a_client_that_never_ends_its_request_does_not_keep_its_place() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut limited = Limited::new(listener, 1, Duration::from_millis(50));
            let mut client = TcpStream::connect(limited.local_addr().unwrap()).await.unwrap();
            let (mut served, _) = limited.accept().await;
            // As long as it is read it goes on, ten times as long as may be; each byte is there when it is asked for.
            let started = Instant::now();
            let ended = loop {
                if started.elapsed() > Duration::from_millis(500) || client.write_all(b"x").await.is_err() {
                    break None;
                }
                if let Err(error) = served.read_u8().await {
                    break Some(error.kind());
                }
            };
            assert_eq!(ended, Some(io::ErrorKind::TimedOut));
        });
    }
}
