//! Heads: put together from the pieces in which they come, and recognised by their first line.

use memchr::memchr;

use super::HEAD_CAP;

/// Could these bytes be the start of a head?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plausible {
    /// Yes, beyond doubt.
    Yes,
    /// No.
    No,
    /// Too few bytes to tell.
    More,
}

/// Bytes of the longest method that is believed (the longest registered one has 18).
pub(super) const METHOD_CAP: usize = 32;

/// Looks at the first line of a request: method, one target without white space, `HTTP/1.` and a digit
/// (RFC 9112 section 3).
pub(super) fn request_line(bytes: &[u8]) -> Plausible {
    let method = bytes.iter().take_while(|&&b| is_token(b)).count();
    if method > METHOD_CAP || bytes.first().is_some_and(|b| !b.is_ascii_alphabetic()) {
        return Plausible::No;
    }
    let Some((&b' ', rest)) = bytes[method..].split_first() else {
        return if method == bytes.len() { Plausible::More } else { Plausible::No };
    };
    let target = rest.iter().take_while(|&&b| b > b' ' && b != 0x7f).count();
    match rest[target..].split_first() {
        None => Plausible::More,
        Some((b' ', version)) if target > 0 => versioned(version, |rest| match rest.first() {
            None => Plausible::More,
            Some(b'\r' | b'\n') => Plausible::Yes,
            Some(_) => Plausible::No,
        }),
        Some(_) => Plausible::No,
    }
}

/// Methods of RFC 9110 and RFC 5789.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH "];

/// Does it begin with a registered method?
pub(super) fn has_known_method(line: &[u8]) -> bool {
    METHODS.iter().any(|method| line.starts_with(method))
}

/// Does it begin with the whole first line of a request, by a registered method?
pub(super) fn is_surely_request(bytes: &[u8]) -> bool {
    let line = &bytes[blank_prefix(bytes)..];
    has_known_method(line) && request_line(line) == Plausible::Yes
}

/// Looks at the first line of a response: `HTTP/1.`, a digit and a three-digit status (RFC 9112 section 4).
pub(super) fn status_line(bytes: &[u8]) -> Plausible {
    versioned(bytes, |rest| {
        let shape: [fn(&u8) -> bool; 5] = [
            |&b| b == b' ',
            |&b| (b'1'..=b'9').contains(&b),
            u8::is_ascii_digit,
            u8::is_ascii_digit,
            |b| matches!(b, b' ' | b'\r' | b'\n'),
        ];
        if !rest.iter().zip(shape).all(|(b, fits)| fits(b)) {
            Plausible::No
        } else if rest.len() < shape.len() {
            Plausible::More
        } else {
            Plausible::Yes
        }
    })
}

/// `HTTP/1.` and a digit, then whatever `then` says of the rest.
fn versioned(bytes: &[u8], then: impl Fn(&[u8]) -> Plausible) -> Plausible {
    const NAME: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(NAME.len());
    if bytes[..known] != NAME[..known] {
        return Plausible::No;
    }
    match bytes.get(NAME.len()) {
        None => Plausible::More,
        Some(digit) if digit.is_ascii_digit() => then(&bytes[NAME.len() + 1..]),
        Some(_) => Plausible::No,
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Bytes of empty lines before a head, to be ignored (RFC 9112 section 2.2).
pub(super) fn blank_prefix(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// What [`HeadBuffer::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take<'a> {
    /// A whole head, its empty line included; so many bytes of the input belong to it.
    Head { head: &'a [u8], consumed: usize },
    /// The head goes on; all of the input was taken.
    More,
    /// The bytes are no head. The input was not taken; what the buffer holds came before it.
    No,
    /// The head is longer than the buffer: the part that fits is in it, all of the input was taken.
    TooLong,
}

/// Puts a head together from pieces. A head that comes in one piece is not copied.
#[derive(Debug, Default)]
pub(super) struct HeadBuffer {
    bytes: Vec<u8>,
}

impl HeadBuffer {
    /// Takes more bytes. After [`Take::Head`] the caller must [`Self::clear`].
    pub(super) fn take<'a>(&'a mut self, input: &'a [u8], line: fn(&[u8]) -> Plausible) -> Take<'a> {
        if self.bytes.is_empty() {
            let blank = blank_prefix(input);
            let head = &input[blank..];
            if head.is_empty() {
                return Take::More;
            }
            if line(head) == Plausible::No {
                return Take::No;
            }
            if let Some(end) = find_end(head, 0).filter(|&end| end <= HEAD_CAP) {
                return Take::Head { head: &head[..end], consumed: blank + end };
            }
            self.bytes.extend_from_slice(&head[..head.len().min(HEAD_CAP)]);
            return if head.len() < HEAD_CAP { Take::More } else { Take::TooLong };
        }
        let held = self.bytes.len();
        let fits = input.len().min(HEAD_CAP.saturating_sub(held));
        let undecided = line(&self.bytes) != Plausible::Yes;
        self.bytes.extend_from_slice(&input[..fits]);
        if undecided && line(&self.bytes) == Plausible::No {
            self.bytes.truncate(held);
            return Take::No;
        }
        match find_end(&self.bytes, held.saturating_sub(3)) {
            Some(end) => Take::Head { head: &self.bytes[..end], consumed: end.saturating_sub(held) },
            None if self.bytes.len() < HEAD_CAP => Take::More,
            None => Take::TooLong,
        }
    }

    /// What is held of an unfinished head.
    pub(super) fn held(&self) -> &[u8] {
        &self.bytes
    }

    /// Hands out what is held and is empty again.
    pub(super) fn release(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Empties the buffer and frees its memory: idle connections hold none.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
    }
}

/// The end of the head, after its empty line; the search for that line begins at `from`.
fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(newline) = memchr(b'\n', &bytes[at..]) {
        at += newline + 1;
        match bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Replaces each line folding (RFC 9112 section 5.2) by spaces; `None` where there is none.
pub(super) fn unfold(head: &[u8]) -> Option<Vec<u8>> {
    let folded = |at: usize| matches!(head.get(at + 1), Some(b' ' | b'\t'));
    if !memchr::memchr_iter(b'\n', head).any(folded) {
        return None;
    }
    let mut flat = head.to_vec();
    for at in memchr::memchr_iter(b'\n', head).filter(|&at| folded(at)) {
        flat[at] = b' ';
        if at > 0 && flat[at - 1] == b'\r' {
            flat[at - 1] = b' ';
        }
    }
    Some(flat)
}

/// The whole lines of a head that was cut off, closed by an empty line, so that they parse as a head of their own.
pub(super) fn whole_lines(cut: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memrchr(b'\n', cut)? + 1;
    Some([&cut[..end], b"\r\n"].concat())
}
