//! What the apps under test call.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Answers every request after a while of a few milliseconds that differs from one to the next, so that answers come in
/// another order than requests. Returns its port.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || answer(stream))
                .expect("a thread for the connection");
        }
    });
    port
}

fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while let Ok(n) = stream.read(&mut buffer[filled..])
        && n > 0
    {
        filled += n;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            let spread: u64 = buffer[..filled].iter().map(|byte| u64::from(*byte)).sum();
            std::thread::sleep(Duration::from_millis(2 + spread % 13));
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
            filled = 0;
        }
    }
}
