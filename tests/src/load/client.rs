//! One client: a connection at a time, requests out, answers in, checked against what was asked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::plan::{Ask, Upload};
use super::{Address, Fate, Sent, now};

/// No answer of ours takes this long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one server.
pub(super) struct Client {
    address: Address,
    connection: Option<Connection>,
}

/// A stream of either kind.
trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

struct Connection {
    stream: Box<dyn Stream>,
    /// A load balancer's header that is to go ahead of the first request.
    header: Vec<u8>,
    /// Bytes read and not used yet.
    ahead: Vec<u8>,
}

/// How an answer's body ends.
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl Client {
    /// Connects when it has something to ask.
    pub(super) fn new(address: Address) -> Self {
        Self { address, connection: None }
    }

    /// Sends `asks` in one go and reads their answers.
    pub(super) fn ask(&mut self, asks: &[Ask]) -> Vec<Sent> {
        let at = now();
        let sent = |ask: &Ask, fate| Sent {
            method: ask.method,
            path: ask.path.clone(),
            status: ask.status,
            at,
            pipelined: asks.len() > 1,
            fate,
        };
        let failed = |ask: &Ask, error: &anyhow::Error| Fate::Failed(format!("{error:#} ({ask:?})"));
        if let Err(error) = self.send(asks) {
            self.connection = None;
            return asks.iter().map(|ask| sent(ask, failed(ask, &error))).collect();
        }
        let mut done = Vec::new();
        for ask in asks {
            let fate = if ask.abandon {
                self.connection = None;
                Fate::Abandoned
            } else {
                self.answer(ask).map_or_else(|error| failed(ask, &error), |()| Fate::Answered)
            };
            if matches!(fate, Fate::Failed(_)) {
                self.connection = None;
            }
            done.push(sent(ask, fate));
        }
        done
    }

    fn send(&mut self, asks: &[Ask]) -> Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(&self.address)?),
        };
        if let [ask] = asks {
            return connection.send(ask);
        }
        let heads: Vec<u8> = asks.iter().flat_map(Ask::head).collect();
        connection.write(&heads).context("sending a pipeline")
    }

    /// Reads the answer to `ask` and compares it.
    fn answer(&mut self, ask: &Ask) -> Result<()> {
        let connection = self.connection.as_mut().context("closed before the answer")?;
        let (status, length, keep) = connection.answer(ask)?;
        if !keep || ask.http10 || ask.close {
            self.connection = None;
        }
        ensure!(status == ask.status, "{} {}: answered {status}", ask.method, ask.path);
        ensure!(length == ask.answer_length(), "{} {}: body of {length} bytes", ask.method, ask.path);
        Ok(())
    }
}

impl Connection {
    fn open(address: &Address) -> Result<Self> {
        let stream: Box<dyn Stream> = match address {
            Address::Tcp(address) | Address::Proxied(address) => {
                let stream = TcpStream::connect(address).context("connecting")?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Box::new(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).context("connecting")?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Box::new(stream)
            }
        };
        let header = match address {
            Address::Proxied(to) => format!("PROXY TCP4 192.0.2.7 192.0.2.8 56324 {}\r\n", to.port()),
            Address::Tcp(_) | Address::Unix(_) => String::new(),
        };
        let header = header.into_bytes();
        Ok(Self { stream, header, ahead: Vec::new() })
    }

    /// Writes in one go, with the header if it is still to go.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut all = std::mem::take(&mut self.header);
        all.extend_from_slice(bytes);
        self.stream.write_all(&all)
    }

    fn send(&mut self, ask: &Ask) -> Result<()> {
        let head = ask.head();
        let body = ask.body();
        if ask.split {
            let (first, rest) = head.split_at(head.len() / 2);
            if !self.header.is_empty() {
                self.write(b"").context("sending the header of a load balancer")?;
            }
            self.write(first).context("sending the head's first half")?;
            self.write(rest).context("sending the head's second half")?;
        } else if ask.expect || ask.upload == Upload::None || body.len() > 5000 {
            self.write(&head).context("sending the head")?;
        } else {
            return self.write(&[head, body].concat()).context("sending head and body");
        }
        if ask.expect {
            let (status, ..) = self.head()?;
            ensure!(status == 100, "{}: {status} instead of 100 Continue", ask.path);
        }
        self.write(&body).context("sending the body")
    }

    /// Status, length of the body and whether the connection stays open.
    fn answer(&mut self, ask: &Ask) -> Result<(u16, usize, bool)> {
        let (mut status, mut framing, mut keep) = self.head()?;
        while status == 100 {
            (status, framing, keep) = self.head()?;
        }
        if ask.method == "HEAD" || matches!(status, 204 | 304) {
            return Ok((status, 0, keep));
        }
        let length = match framing {
            Framing::Length(n) => {
                self.skip(n)?;
                n
            }
            Framing::Chunked => self.chunks()?,
            Framing::Close => {
                keep = false;
                self.rest()?
            }
        };
        Ok((status, length, keep))
    }

    fn head(&mut self) -> Result<(u16, Framing, bool)> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(used) = response.parse(&self.ahead)? {
                let status = response.code.context("no status")?;
                let mut keep = response.version == Some(1);
                let mut framing = Framing::Close;
                for field in response.headers.iter() {
                    let value = std::str::from_utf8(field.value)?.to_ascii_lowercase();
                    match field.name.to_ascii_lowercase().as_str() {
                        "content-length" => framing = Framing::Length(value.parse()?),
                        "transfer-encoding" if value.contains("chunked") => framing = Framing::Chunked,
                        "connection" => keep = value != "close",
                        _ => {}
                    }
                }
                self.ahead.drain(..used);
                return Ok((status, framing, keep));
            }
            self.more()?;
        }
    }

    fn chunks(&mut self) -> Result<usize> {
        let mut length = 0;
        loop {
            let line = loop {
                if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                    break end;
                }
                self.more()?;
            };
            let digits = std::str::from_utf8(&self.ahead[..line])?;
            let size = usize::from_str_radix(digits.split(';').next().unwrap_or_default().trim(), 16)?;
            self.skip(line + 2 + size + 2)?;
            if size == 0 {
                return Ok(length);
            }
            length += size;
        }
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        while self.ahead.len() < n {
            self.more()?;
        }
        self.ahead.drain(..n);
        Ok(())
    }

    fn rest(&mut self) -> Result<usize> {
        self.stream.read_to_end(&mut self.ahead).context("reading to the end")?;
        let length = self.ahead.len();
        self.ahead.clear();
        Ok(length)
    }

    fn more(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        let n = self.stream.read(&mut buffer).context("reading the answer")?;
        if n == 0 {
            bail!("the server closed the connection before its answer was complete");
        }
        self.ahead.extend_from_slice(&buffer[..n]);
        Ok(())
    }
}
