//! RESP values: where they end, and the few bytes of them that matter.

use memchr::memchr;

/// Nesting of arrays that is followed; real replies have three or four levels.
const DEPTH_CAP: usize = 32;
/// Bytes kept of a line or of a word.
const WORD_CAP: usize = 32;
/// A longer value than this cannot be one: Redis itself stops at 512 MiB.
const LENGTH_CAP: u64 = 1 << 40;

/// A whole value of the top level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    /// Its type byte; `\0` for an inline command.
    pub(super) kind: u8,
    /// Bytes on the wire.
    pub(super) bytes: u64,
    /// A command: its name. An error: the start of its text.
    pub(super) word: Vec<u8>,
    /// The second word of `CLIENT`, which decides whether replies still come.
    pub(super) second: Vec<u8>,
}

/// The bytes are no RESP, or too few of them were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// An aggregate that is not complete.
#[derive(Clone, Copy, Debug)]
struct Level {
    left: u64,
    /// A RESP3 attribute, which is no element of what contains it.
    is_attribute: bool,
}

/// Inside a value.
#[derive(Clone, Debug)]
enum State {
    /// A line with its type byte; what is kept of it.
    Line(Vec<u8>),
    /// A string with the CRLF after it.
    Bulk { left: u64, keep: Keep },
}

/// What is kept of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    Word,
    Second,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    /// Lines without a type byte are commands.
    inline: bool,
    state: State,
    levels: Vec<Level>,
    value: Value,
}

impl Reader {
    /// `inline` where commands come.
    pub(super) fn new(inline: bool) -> Self {
        Self { inline, state: State::Line(Vec::new()), levels: Vec::new(), value: Value::default() }
    }

    /// Between two values.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.value.bytes == 0
    }

    /// Bytes of the value that it is in.
    pub(super) fn bytes(&self) -> u64 {
        self.value.bytes
    }

    /// It is in an error, or in what it cannot tell yet.
    pub(super) fn is_error(&self) -> bool {
        matches!(self.value.kind, 0 | b'-' | b'!')
    }

    /// Are the next `len` bytes, whatever they are, part of a string of which nothing is kept, and not its last?
    pub(super) fn is_inside(&self, len: u64) -> bool {
        matches!(self.state, State::Bulk { left, keep: Keep::Nothing } if len < left)
    }

    /// Forgets the value it is in.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.inline);
    }

    /// Reads on up to the end of a value: the bytes taken, and the value if it ended.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Result<Value, Lost>>) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (taken, ended) = match &mut self.state {
                State::Line(kept) => {
                    let end = memchr(b'\n', rest);
                    let taken = end.map_or(rest.len(), |end| end + 1);
                    let room = WORD_CAP.saturating_sub(kept.len());
                    kept.extend_from_slice(&rest[..taken.min(room)]);
                    (taken, end.is_some())
                }
                State::Bulk { left, keep } => {
                    let taken = (*left).min(rest.len() as u64) as usize;
                    // The last two bytes are the CRLF.
                    let text = &rest[..taken.min(left.saturating_sub(2) as usize)];
                    keep_of(&mut self.value, *keep, text);
                    *left -= taken as u64;
                    (taken, *left == 0)
                }
            };
            at += taken;
            self.value.bytes += taken as u64;
            if !ended {
                break;
            }
            match self.step() {
                Ok(None) => {}
                Ok(Some(value)) => return (at, Some(Ok(value))),
                Err(lost) => return (at, Some(Err(lost))),
            }
        }
        (at, None)
    }

    /// `len` bytes that were not captured: harmless inside a string of which nothing is kept.
    pub(super) fn gap(&mut self, len: u64) -> Result<Option<Value>, Lost> {
        match &mut self.state {
            State::Bulk { left, keep: Keep::Nothing } if len <= *left => {
                *left -= len;
                self.value.bytes = self.value.bytes.saturating_add(len);
                if *left == 0 { self.step() } else { Ok(None) }
            }
            _ => Err(Lost),
        }
    }

    /// A line or a string has ended.
    fn step(&mut self) -> Result<Option<Value>, Lost> {
        let State::Line(line) = std::mem::replace(&mut self.state, State::Line(Vec::new())) else {
            return Ok(self.leaf());
        };
        let text = line.trim_ascii_end();
        let top = self.levels.is_empty();
        let Some((&kind, text)) = text.split_first() else {
            // An empty line between inline commands.
            if self.inline && top {
                self.value = Value::default();
                return Ok(None);
            }
            return Err(Lost);
        };
        let attribute = kind == b'|';
        if top && !attribute {
            self.value.kind = kind;
        }
        match kind {
            b'+' | b':' | b'_' | b'#' | b',' | b'(' => Ok(self.leaf()),
            b'-' => {
                if top {
                    keep_of(&mut self.value, Keep::Word, text);
                }
                Ok(self.leaf())
            }
            b'$' | b'!' | b'=' => match length(text)? {
                None => Ok(self.leaf()),
                Some(len) => {
                    let keep = self.keep(kind);
                    self.state = State::Bulk { left: len + 2, keep };
                    Ok(None)
                }
            },
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let per_entry = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                match length(text)? {
                    None | Some(0) if !attribute => Ok(self.leaf()),
                    None | Some(0) => Ok(None),
                    Some(_) if self.levels.len() >= DEPTH_CAP => Err(Lost),
                    Some(len) => {
                        self.levels.push(Level { left: len * per_entry, is_attribute: attribute });
                        Ok(None)
                    }
                }
            }
            _ if self.inline && top && kind.is_ascii_alphabetic() => {
                self.value.kind = 0;
                let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                self.value.word = words.next().unwrap_or_default().to_vec();
                if self.value.word.eq_ignore_ascii_case(b"CLIENT") {
                    self.value.second = words.next().unwrap_or_default().to_vec();
                }
                Ok(self.leaf())
            }
            _ => Err(Lost),
        }
    }

    /// An element without parts has ended, and with it all aggregates of which it is the last.
    fn leaf(&mut self) -> Option<Value> {
        while let Some(level) = self.levels.last_mut() {
            level.left = level.left.saturating_sub(1);
            if level.left > 0 {
                return None;
            }
            let ended = self.levels.pop();
            if ended.is_some_and(|level| level.is_attribute) {
                return None;
            }
        }
        Some(std::mem::take(&mut self.value))
    }

    /// What to keep of a string that begins now.
    fn keep(&self, kind: u8) -> Keep {
        match self.levels[..] {
            [] if kind == b'!' => Keep::Word,
            [_] if self.inline && self.value.word.is_empty() => Keep::Word,
            [_] if self.inline
                && self.value.second.is_empty()
                && self.value.word.eq_ignore_ascii_case(b"CLIENT") =>
            {
                Keep::Second
            }
            _ => Keep::Nothing,
        }
    }
}

fn keep_of(value: &mut Value, keep: Keep, text: &[u8]) {
    let place = match keep {
        Keep::Nothing => return,
        Keep::Word => &mut value.word,
        Keep::Second => &mut value.second,
    };
    let room = WORD_CAP.saturating_sub(place.len());
    place.extend_from_slice(&text[..text.len().min(room)]);
}

/// A length; `None` for the null of RESP2, -1.
fn length(text: &[u8]) -> Result<Option<u64>, Lost> {
    if text == b"-1" {
        return Ok(None);
    }
    let number: Option<u64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.filter(|&number| number <= LENGTH_CAP && !text.starts_with(b"+")).map(Some).ok_or(Lost)
}
