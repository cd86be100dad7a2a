//! The server's connections: a few, and none that lies idle for long. Each takes a file descriptor, of which the agent needs its
//! own to look at processes and to probe them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections open at a time; those beyond wait to be accepted.
pub(super) const CONNECTIONS: usize = 256;

/// How long nothing may pass over one: longer than the minute after which Prometheus asks again by default. Open streams say something
/// every 15 s.
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
        (Connection { stream, limit: self.idle, idle: Box::pin(sleep(self.idle)), _permit: permit }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends with an error once nothing has passed over it for a while.
pub(super) struct Connection {
    stream: TcpStream,
    limit: Duration,
    idle: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Takes note of what passed, or of its absence.
    fn noted<T>(&mut self, cx: &mut Context<'_>, passed: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if passed.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.limit);
            return passed;
        }
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let passed = Pin::new(&mut self.stream).poll_read(cx, into);
        self.noted(cx, passed)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let passed = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(cx, passed)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let passed = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.noted(cx, passed)
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
}
