//! Conversations as text.
//!
//! ```text
//! ## name                       a conversation; `#` alone starts a comment
//! mid-life                      the agent joined it late
//! C GET / HTTP/1.1              bytes of the client: the rest of the line, then CRLF; none after a final backslash.
//! S HTTP/1.1 200 OK             bytes of the server; \r \n \t \\ \xNN as usual
//! S*1000 x\                     the same text so many times
//! S+100                         so many bytes that are not captured
//! /                             what follows is another call (a change of side is one anyway)
//! close client                  who closed: client, server; or reset, timeout, died
//! = 1..2..2 ...                 an exchange, as `line` prints it
//! ! resyncs=1                   all losses that are not zero
//! > ignore                      what becomes of the connection: ignore, or redetect and the byte of its call
//! ```
//!
//! Calls are numbered from 1, and the number is their time.

use crate::protocol::CloseReason;

/// What one call moved, or failed to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Bytes {
    /// Captured bytes.
    Seen(Vec<u8>),
    /// So many bytes that were not captured.
    Gap(u64),
}

/// Some bytes of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Step {
    /// They went from the client to the server.
    pub(in crate::protocol) by_client: bool,
    /// Number of the call, and its time.
    pub(in crate::protocol) call: u64,
    pub(in crate::protocol) bytes: Bytes,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Closer {
    Client,
    Server,
    Other(CloseReason),
}

/// A conversation with what must come of it.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Conversation {
    pub(in crate::protocol) name: String,
    pub(in crate::protocol) mid_life: bool,
    pub(in crate::protocol) steps: Vec<Step>,
    pub(in crate::protocol) closer: Option<Closer>,
    pub(in crate::protocol) expected: Vec<String>,
    pub(in crate::protocol) losses: String,
    pub(in crate::protocol) next: String,
}

/// Reads a file of conversations; panics with the line that makes no sense.
pub(in crate::protocol) fn parse(text: &str) -> Vec<Conversation> {
    let mut all: Vec<Conversation> = Vec::new();
    let mut new_call = true;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            all.push(Conversation { name: name.to_owned(), ..Conversation::default() });
            new_call = true;
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let conversation = all.last_mut().unwrap_or_else(|| panic!("no conversation before: {line}"));
        if let Some(exchange) = line.strip_prefix("= ") {
            conversation.expected.push(exchange.to_owned());
        } else if let Some(losses) = line.strip_prefix("! ") {
            conversation.losses = losses.to_owned();
        } else if let Some(next) = line.strip_prefix("> ") {
            conversation.next = next.to_owned();
        } else if let Some(closer) = line.strip_prefix("close ") {
            conversation.closer = Some(match closer {
                "client" => Closer::Client,
                "server" => Closer::Server,
                "reset" => Closer::Other(CloseReason::Reset),
                "timeout" => Closer::Other(CloseReason::TimedOut),
                "died" => Closer::Other(CloseReason::ProcessEnded),
                _ => panic!("who closed? {line}"),
            });
        } else if line == "mid-life" {
            conversation.mid_life = true;
        } else if line == "/" {
            new_call = true;
        } else {
            let by_client = match line.as_bytes()[0] {
                b'C' => true,
                b'S' => false,
                _ => panic!("not understood: {line}"),
            };
            conversation.push(by_client, bytes_of(&line[1..]), new_call);
            new_call = false;
        }
    }
    all
}

impl Conversation {
    fn push(&mut self, by_client: bool, bytes: Bytes, new_call: bool) {
        let call = self.steps.last().map_or(0, |step| step.call);
        match (self.steps.last_mut(), bytes) {
            (Some(Step { by_client: side, bytes: Bytes::Seen(seen), .. }), Bytes::Seen(more))
                if *side == by_client && !new_call =>
            {
                seen.extend(more);
            }
            (last, bytes) => {
                let same = last.is_some_and(|step| step.by_client == by_client) && !new_call;
                self.steps.push(Step { by_client, call: if same { call } else { call + 1 }, bytes });
            }
        }
    }
}

fn bytes_of(text: &str) -> Bytes {
    if let Some(len) = text.strip_prefix('+') {
        return Bytes::Gap(len.parse().unwrap_or_else(|_| panic!("how many? {text}")));
    }
    let (times, text) = match text.strip_prefix('*').and_then(|rest| rest.split_once(' ')) {
        Some((times, text)) => (times.parse().unwrap_or_else(|_| panic!("how often? {times}")), text),
        None => (1, text.strip_prefix(' ').unwrap_or(text)),
    };
    Bytes::Seen(unescape(text).repeat(times))
}

/// The bytes of a line, CRLF at its end unless there is a backslash.
pub(in crate::protocol) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or_else(|_| panic!("which byte? {text}")));
            }
            Some(_) => panic!("which escape? {text}"),
            None => return bytes,
        }
    }
    bytes.extend(b"\r\n");
    bytes
}
