//! The real probes in the real kernel, on sockets of this very process. Needs root; says so and passes without.

#![allow(clippy::print_stdout)] // what was skipped is said

use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use apm_agent::capture::{self, Capture, CaptureOptions, Captured, Point};
use apm_agent::process::FileKey;
use apm_core::connection::Change;
use apm_core::exchange::{ConnId, Direction, Endpoint, Role};

/// A chunk with its bytes kept.
#[derive(Debug)]
struct Seen {
    conn: ConnId,
    direction: Direction,
    pos: u64,
    len: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    tls: bool,
}

#[derive(Default, Debug)]
struct Log {
    chunks: Vec<Seen>,
    opened: Vec<(ConnId, Option<Role>, Endpoint, Endpoint, bool)>,
    changed: Vec<(ConnId, Change)>,
    named: Vec<(ConnId, String, bool)>,
}

impl Log {
    /// Reads the ring until `done`, for half a minute at most.
    fn until(&mut self, capture: &mut Capture, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < deadline, "never saw {what}: {self:#?}");
            capture.wait(Duration::from_millis(5));
            capture.drain(usize::MAX, |event| match event {
                Captured::Chunk(c) => self.chunks.push(Seen {
                    conn: c.conn,
                    direction: c.direction,
                    pos: c.pos,
                    len: c.len,
                    head: c.head.to_vec(),
                    tail: c.tail.to_vec(),
                    tls: c.opens_tls,
                }),
                Captured::Opened(info, _) => {
                    self.opened.push((info.id, info.role, info.local, info.peer, info.from_start));
                }
                Captured::Changed(c) => self.changed.push((c.conn, c.change)),
                Captured::Named { conn, path, is_peers } => self.named.push((conn, path, is_peers)),
                Captured::Process(_)
                | Captured::Raised(_)
                | Captured::Left(_)
                | Captured::Stack(_)
                | Captured::Begun(_)
                | Captured::Bound { .. }
                | Captured::Connecting(..)
                | Captured::Queued { .. }
                | Captured::Unresolved(_) => {}
            });
        }
    }

    fn bytes(&self, conn: ConnId, direction: Direction) -> Vec<u8> {
        self.chunks
            .iter()
            .filter(|c| c.conn == conn && c.direction == direction)
            .flat_map(|c| [&c.head[..], &c.tail[..]].concat())
            .collect()
    }

    fn by_role(&self, role: Role) -> &(ConnId, Option<Role>, Endpoint, Endpoint, bool) {
        self.opened.iter().find(|o| o.1 == Some(role)).expect("a connection of that role")
    }
}

fn start() -> Option<Capture> {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return None;
    }
    let mut capture = Capture::start(CaptureOptions { ring_bytes: 8 << 20 }).expect("capture starts");
    capture.watch(std::process::id()).expect("this process is watched");
    Some(capture)
}

#[test]
fn every_probe_attaches() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return;
    }
    for (probe, result) in capture::support().expect("the object loads") {
        assert_eq!(result, Ok(()), "{}", probe.program);
    }
}

#[test]
fn sockets_of_a_watched_process_are_seen() {
    let Some(mut capture) = start() else { return };
    for result in capture.probes() {
        println!("{}: {:?} instructions verified", result.probe.program, result.verified_instructions);
    }
    let mut log = Log::default();

    // TCP: both ends are this process.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(b"GET /a HTTP/1.1\r\n\r\n").unwrap();
    let mut buffer = [0; 1000];
    assert_eq!(server.read(&mut buffer).unwrap(), 19);
    let written = server
        .write_vectored(&[IoSlice::new(b"HTTP/1.1 200 OK\r\n"), IoSlice::new(b"\r\n"), IoSlice::new(b"body")])
        .unwrap();
    assert_eq!(written, 23);
    assert_eq!(client.read(&mut buffer).unwrap(), 23);
    log.until(&mut capture, "four chunks", |l| l.chunks.len() >= 4);
    let (server_conn, _, local, remote, from_start) = log.by_role(Role::Server).clone();
    assert!(from_start);
    assert_eq!(local, Endpoint::Tcp(listener.local_addr().unwrap()));
    assert_eq!(remote, Endpoint::Tcp(peer));
    let client_conn = log.by_role(Role::Client).0;
    assert_eq!(log.bytes(server_conn, Direction::Read), b"GET /a HTTP/1.1\r\n\r\n");
    assert_eq!(log.bytes(client_conn, Direction::Write), b"GET /a HTTP/1.1\r\n\r\n");
    assert_eq!(log.bytes(server_conn, Direction::Write), b"HTTP/1.1 200 OK\r\n\r\nbody");
    assert_eq!(log.bytes(client_conn, Direction::Read), b"HTTP/1.1 200 OK\r\n\r\nbody");

    // A large body: its head and the ends of its chunks, true lengths always.
    let body: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let writer = {
        let mut client = client.try_clone().unwrap();
        let body = body.clone();
        std::thread::spawn(move || client.write_all(&body).unwrap())
    };
    let mut got = 0;
    let mut large = vec![0; 100_000];
    while got < body.len() {
        got += server.read(&mut large).unwrap();
    }
    writer.join().unwrap();
    let total = 19 + body.len() as u64;
    log.until(&mut capture, "the whole body", |l| {
        l.chunks.iter().any(|c| c.conn == server_conn && c.pos + c.len == total)
    });
    let mut expected = 19;
    for chunk in
        log.chunks.iter().filter(|c| c.conn == server_conn && c.pos >= 19 && c.direction == Direction::Read)
    {
        assert_eq!(chunk.pos, expected, "positions join up");
        expected += chunk.len;
        let start = (chunk.pos - 19) as usize;
        let end = start + chunk.len as usize;
        assert_eq!(chunk.head, body[start..start + chunk.head.len()]);
        assert_eq!(chunk.tail, body[end - chunk.tail.len()..end]);
        assert!(chunk.head.len() >= 256.min(chunk.len as usize), "{chunk:?}");
    }
    assert_eq!(expected, total);

    // A vector longer than what is copied.
    let pieces: Vec<&[u8]> = body.chunks(3000).take(30).collect();
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
    let before = log.chunks.len();
    let written = server.write_vectored(&slices).unwrap();
    log.until(&mut capture, "the vector", |l| {
        l.chunks[before..].iter().any(|c| c.conn == server_conn && c.direction == Direction::Write)
    });
    let chunk = log.chunks[before..]
        .iter()
        .find(|c| c.conn == server_conn && c.direction == Direction::Write)
        .unwrap();
    assert_eq!(chunk.len, written as u64);
    assert_eq!(chunk.head, body[..chunk.head.len()]);
    assert_eq!(chunk.tail, body[written - chunk.tail.len()..written]);

    // Of HTTP/2 every byte is wanted, in however many entries it is written: the library of gRPC makes up to 260 of them,
    // asyncio up to 1,024. Lengths from nothing on, and a large one among them.
    let (framing, mut framed) =
        (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap().0);
    framed.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut pieces: Vec<&[u8]> = (0..960).map(|n| &body[n..n + n % 90]).collect();
    pieces[100] = &body[..40_000];
    let (whole, slices) = (pieces.concat(), pieces.iter().map(|p| IoSlice::new(p)).collect::<Vec<_>>());
    assert_eq!(framed.write_vectored(&slices).unwrap(), whole.len());
    framed.write_all(b"behind it").unwrap();
    let preface = |l: &Log| l.chunks.iter().find(|c| c.head.starts_with(b"PRI * ")).map(|c| c.conn);
    log.until(&mut capture, "what was written behind the vector", |l| {
        preface(l).is_some_and(|conn| l.bytes(conn, Direction::Write).ends_with(b"behind it"))
    });
    let framed_conn = preface(&log).unwrap();
    let seen = log.bytes(framed_conn, Direction::Write);
    assert!(seen[24..seen.len() - 9] == whole, "{} of {} bytes", seen.len() - 33, whole.len());
    drop((framing, framed));

    // Bytes that go by way of a pipe never pass through the process, but are counted.
    let (from, mut to) = std::io::pipe().unwrap();
    to.write_all(b"through a pipe").unwrap();
    let before = log.chunks.len();
    splice(&from, &server, 14);
    splice(&client, &to, 14);
    log.until(&mut capture, "what was spliced", |l| {
        let mut told = l.chunks[before..].iter().filter(|c| c.len == 14 && c.head.is_empty());
        told.any(|c| c.conn == server_conn && c.direction == Direction::Write)
            && told.any(|c| c.conn == client_conn && c.direction == Direction::Read)
    });

    // The end.
    drop(client);
    drop(server);
    log.until(&mut capture, "the end of the server's side", |l| {
        l.changed.iter().any(|c| c.0 == server_conn && matches!(c.1, Change::Gone { .. }))
    });

    // A Unix socket with a path: the peer's for who connects, the own for who accepts.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listens.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asking = UnixStream::connect(&path).unwrap();
    let answering = listener.accept().unwrap();
    log.until(&mut capture, "both paths", |l| l.named.len() >= 2);
    let paths: Vec<_> = log.named.iter().map(|(_, path, is_peers)| (path.as_str(), *is_peers)).collect();
    let path = path.to_str().unwrap();
    assert_eq!(paths, [(path, true), (path, false)]);
    drop((asking, answering, listener));

    // Unix sockets, older than the first look at them.
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let before = log.chunks.len();
    a.write_all(b"ping").unwrap();
    assert_eq!(b.read(&mut buffer).unwrap(), 4);
    log.until(&mut capture, "both ends of a Unix socket", |l| l.chunks.len() >= before + 2);
    let unix = log.chunks[before].conn;
    assert_eq!(log.bytes(unix, Direction::Write), b"ping");
    // The end of what is read is told where bytes were asked for, however they are asked for.
    a.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(receive(&b, &mut [], libc::MSG_DONTWAIT), 0);
    let of_b = log.chunks[before..].iter().find(|c| c.conn != unix).expect("the other end").conn;
    b.write_all(b"marker").unwrap();
    log.until(&mut capture, "the marker", |l| l.chunks.iter().any(|c| c.conn == of_b && c.head == b"marker"));
    let is_end = |c: &(ConnId, Change)| *c == (of_b, Change::EndOfStream);
    assert!(!log.changed.iter().any(is_end), "{:?}", log.changed);
    assert_eq!(receive(&b, &mut buffer, 0), 0);
    log.until(&mut capture, "the end of what a Unix socket reads", |l| l.changed.iter().any(is_end));
    drop(a);
    log.until(&mut capture, "the close of a Unix socket", |l| {
        l.changed.iter().any(|c| c.0 == unix && matches!(c.1, Change::Closed { .. }))
    });

    // A TLS session is named once and not copied further.
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let before = log.chunks.len();
    a.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).unwrap();
    a.write_all(b"secret bytes").unwrap();
    b.write_all(b"marker").unwrap();
    log.until(&mut capture, "the marker", |l| l.chunks[before..].iter().any(|c| c.head == b"marker"));
    let hello = log.chunks[before..].iter().find(|c| c.tls).expect("the ClientHello");
    assert!(!log.bytes(hello.conn, Direction::Write).ends_with(b"secret bytes"));

    // A file is no connection.
    let mut file = tempfile::tempfile().unwrap();
    let before = log.chunks.len();
    file.write_all(b"to a file").unwrap();
    b.write_all(b"after the file").unwrap();
    log.until(&mut capture, "the second marker", |l| {
        l.chunks[before..].iter().any(|c| c.head == b"after the file")
    });
    assert!(log.chunks[before..].iter().all(|c| c.head != b"to a file"));
}

/// recvmsg(2)
fn receive(from: &UnixStream, buffer: &mut [u8], flags: i32) -> isize {
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zeros are a valid message without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    if !buffer.is_empty() {
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
    }
    // SAFETY: the message names the buffer, which lives.
    unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, flags) }
}

/// splice(2), of all `len` bytes at once.
fn splice(from: &impl AsRawFd, to: &impl AsRawFd, len: usize) {
    let (from, to, none) = (from.as_raw_fd(), to.as_raw_fd(), std::ptr::null_mut());
    // SAFETY: open descriptors, and no offsets.
    assert_eq!(unsafe { libc::splice(from, none, to, none, len, 0) }, len as isize);
}

/// A Python process with both ends of a TLS connection: over blocking sockets, and over memory BIOs on an event loop.
const TLS_PEERS: &str = r#"
import asyncio, socket, ssl, sys, threading
cert, key = sys.argv[1:3]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server.load_cert_chain(cert, key)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); client.check_hostname = False; client.verify_mode = ssl.CERT_NONE
sys.stdin.readline()
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    connection, _ = listener.accept()
    with server.wrap_socket(connection, server_side=True) as tls:
        request = tls.recv(1000)
        tls.sendall(b"answer to " + request)
        tls.recv(1)
thread = threading.Thread(target=serve); thread.start()
with client.wrap_socket(socket.create_connection(listener.getsockname())) as tls:
    tls.sendall(b"blocking question")
    assert tls.recv(1000) == b"answer to blocking question"
thread.join()
async def main():
    async def handle(reader, writer):
        writer.write(b"answer to " + await reader.read(1000))
        await writer.drain()
        writer.close()
    srv = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=server)
    reader, writer = await asyncio.open_connection(*srv.sockets[0].getsockname(), ssl=client)
    writer.write(b"asynchronous question")
    assert await reader.read(1000) == b"answer to asynchronous question"
    writer.close()
asyncio.run(main())
print("done", flush=True)
sys.stdin.readline()
"#;

#[test]
fn a_file_that_took_the_place_of_the_one_looked_at_is_not_probed() {
    let Some(mut capture) = start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [looked_at, other, name] = ["looked_at", "other", "name"].map(|name| directory.path().join(name));
    for file in [&looked_at, &other] {
        std::fs::copy("/proc/self/exe", file).unwrap();
    }
    std::os::unix::fs::symlink(&looked_at, &name).unwrap();
    let key = FileKey::of(&name).unwrap();
    std::fs::remove_file(&name).unwrap();
    std::os::unix::fs::symlink(&other, &name).unwrap();
    let points = [Point { program: "python_context", offset: 0x1000, size: 0, cookie: None }];
    let refused = capture.attach_functions(std::process::id(), key, "test", &name, &points).unwrap_err();
    assert!(refused.contains("another file"), "{refused}");
}

#[test]
fn plaintext_of_tls_is_seen_once_and_bound_to_its_socket() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use apm_agent::process::{ProcSource, Procfs};

    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no openssl to make a certificate with");
        return;
    }
    let mut python = Command::new("python3")
        .args(["-c", TLS_PEERS])
        .args([&cert, &key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let mut capture = Capture::start(CaptureOptions { ring_bytes: 8 << 20 }).unwrap();
    // `ssl` is imported when the library is mapped.
    let source = Procfs::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    let process = loop {
        if let Ok(process) = source.inspect(python.id())
            && !process.tls.is_empty()
        {
            break process;
        }
        assert!(Instant::now() < deadline, "Python never mapped a TLS library");
        std::thread::yield_now();
    };
    capture.watch(process.id.pid).unwrap();
    for library in &process.tls {
        capture.attach_tls(process.id.pid, library).unwrap();
    }
    input.write_all(b"\n").unwrap();
    let mut line = String::new();
    BufReader::new(python.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "done\n");

    let mut plain: Vec<(ConnId, Direction, Vec<u8>)> = Vec::new();
    let mut infos = Vec::new();
    let mut bound = Vec::new();
    while capture.drain(usize::MAX, |event| match event {
        Captured::Chunk(c) => {
            assert!(c.opens_tls || c.head.is_ascii(), "ciphertext was copied: {c:?}");
            if !c.opens_tls {
                plain.push((c.conn, c.direction, c.head.to_vec()));
            }
        }
        Captured::Opened(info, _) => infos.push(info),
        Captured::Bound { stream, socket } => bound.push((stream, socket)),
        _ => {}
    }) > 0
    {}
    input.write_all(b"\n").unwrap();
    python.wait().unwrap();
    for kind in ["blocking", "asynchronous"] {
        let question = format!("{kind} question").into_bytes();
        let answer = format!("answer to {kind} question").into_bytes();
        for (bytes, direction, role) in [
            (&question, Direction::Write, Role::Client),
            (&question, Direction::Read, Role::Server),
            (&answer, Direction::Write, Role::Server),
            (&answer, Direction::Read, Role::Client),
        ] {
            let seen: Vec<_> = plain.iter().filter(|p| p.1 == direction && p.2 == *bytes).collect();
            assert_eq!(seen.len(), 1, "{kind} {direction:?}: {plain:#?}");
            let info = infos.iter().find(|i| i.id == seen[0].0).expect("the stream was announced");
            assert!(info.tls && info.from_start);
            assert_eq!(info.role, Some(role));
            let socket = bound.iter().find(|b| b.0 == info.id);
            assert!(socket.is_some(), "{kind} {role:?}: {bound:?}");
            if let Some((_, socket)) = socket {
                let socket = infos.iter().find(|i| i.id == *socket).expect("the socket was announced");
                assert_eq!(socket.role, Some(role));
            }
        }
    }
}
