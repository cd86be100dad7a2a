//! Requests to the app under test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Does something listen there?
pub(crate) fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// `count` requests `GET /kind?rid=ID` with ids from `first` on, `concurrency` at a time; every third client makes a new
/// connection for each.
pub(crate) fn run(port: u16, kind: &str, first: usize, count: usize, concurrency: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..concurrency {
            let next = &next;
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, move || {
                    let mut kept: Option<TcpStream> = None;
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= count {
                            return;
                        }
                        let mut stream = kept.take().unwrap_or_else(|| connect(port));
                        let closes = ask(&mut stream, kind, first + i);
                        if client % 3 != 0 && !closes {
                            kept = Some(stream);
                        }
                    }
                })
                .expect("a thread for the client");
        }
    });
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a valid timeout");
    stream
}

/// Returns whether the server closes the connection.
fn ask(stream: &mut TcpStream, kind: &str, rid: usize) -> bool {
    let request = format!("GET /{kind}?rid={rid} HTTP/1.1\r\nHost: app\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let n = stream.read(&mut buffer).expect("the server answers in time");
        assert!(n > 0, "the server closed before it answered {kind}: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..n]);
        if answer.ends_with(b"\r\n\r\nok") {
            let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            return head.contains("connection: close");
        }
    }
}
