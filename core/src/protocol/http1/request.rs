//! The head of a request: what the allow-list keeps of it, and what it says about the connection.

use httparse::{EMPTY_HEADER, Header, ParserConfig};

use super::framing::Framing;
use super::head::{METHOD_CAP, blank_prefix, is_token, unfold, whole_lines};
use crate::exchange::{Correlation, HttpVersion};

/// Bytes of a path that are kept.
const PATH_CAP: usize = 2048;
/// Bytes of a `Host` that are kept: a DNS name has at most 253, and a port follows.
const HOST_CAP: usize = 264;
/// Bytes of a `User-Agent` that are kept.
const USER_AGENT_CAP: usize = 256;
/// Bytes of a correlation header that are kept.
pub(super) const CORRELATION_CAP: usize = 128;

/// What is kept of the head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) version: HttpVersion,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) host: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) correlation: Correlation,
    pub(super) framing: Framing,
    /// `Expect: 100-continue`: the body may never come.
    pub(super) expects_continue: bool,
}

impl RequestHead {
    /// Parses a whole head; `None` if it is not valid.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let unfolded = unfold(head);
        let head = unfolded.as_deref().unwrap_or(head);
        with_headers(head, |headers| {
            let mut request = httparse::Request::new(headers);
            let mut config = ParserConfig::default();
            config
                .allow_multiple_spaces_in_request_line_delimiters(true)
                .ignore_invalid_headers_in_requests(true);
            if !config.parse_request(&mut request, head)?.is_complete() {
                return Ok(None);
            }
            let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
            else {
                return Ok(None);
            };
            let mut parsed = Self::of_line(method, target, minor);
            request.headers.iter().for_each(|field| parsed.field(field));
            Ok(Some(parsed))
        })
    }

    /// What can be said of a head that was cut off or is not valid: nothing, unless its method and path are known whole.
    pub(super) fn of_part(part: &[u8]) -> Option<Self> {
        if let Some(parsed) = whole_lines(part).and_then(|lines| Self::parse(&lines)) {
            return Some(parsed);
        }
        let line = &part[blank_prefix(part)..];
        let space = line.iter().take(METHOD_CAP + 1).position(|&b| !is_token(b))?;
        if space == 0 || line[space] != b' ' {
            return None;
        }
        let target = line[space + 1..].trim_ascii_start();
        let whole = target.iter().position(|b| matches!(b, b' ' | b'?' | b'\r' | b'\n'));
        let end =
            whole.or_else(|| (target.len() >= PATH_CAP).then_some(target.len())).filter(|&end| end > 0)?;
        Some(Self::of_line(
            std::str::from_utf8(&line[..space]).ok()?,
            &String::from_utf8_lossy(&target[..end]),
            1,
        ))
    }

    fn of_line(method: &str, target: &str, minor: u8) -> Self {
        let (authority, path) = match target.split_once("://") {
            // The authority of CONNECT is the target itself (RFC 9112 section 3.2.3).
            None if method == "CONNECT" => (Some(target), host_of(target)),
            // Absolute-form; only where a scheme precedes, not in `/login?next=http://..`.
            Some((scheme, rest)) if is_scheme(scheme) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                (Some(&rest[..end]), without_query(&rest[end..]))
            }
            _ => (None, without_query(target)),
        };
        Self {
            version: if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 },
            method: clip(method, METHOD_CAP),
            path: clip(if path.is_empty() { "/" } else { path }, PATH_CAP),
            host: authority.map(|authority| clip(host_of(authority), HOST_CAP)),
            user_agent: None,
            correlation: Correlation::default(),
            framing: Framing::default(),
            expects_continue: false,
        }
    }

    fn field(&mut self, field: &Header<'_>) {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let correlation = &mut self.correlation;
        let (place, cap) = match field.name.len() {
            4 if is("host") => {
                // An absolute-form target overrides the field (RFC 9112 section 3.2.2).
                if self.host.is_none() {
                    let text = String::from_utf8_lossy(field.value);
                    self.host = Some(clip(host_of(text.trim()), HOST_CAP)).filter(|host| !host.is_empty());
                }
                return;
            }
            6 if is("expect") => {
                self.expects_continue = field.value.trim_ascii().eq_ignore_ascii_case(b"100-continue");
                return;
            }
            10 if is("user-agent") => (&mut self.user_agent, USER_AGENT_CAP),
            12 if is("x-request-id") => (&mut correlation.request_id, CORRELATION_CAP),
            16 if is("x-correlation-id") => (&mut correlation.correlation_id, CORRELATION_CAP),
            19 if is("x-parent-request-id") => (&mut correlation.parent_id, CORRELATION_CAP),
            11 if is("traceparent") => (&mut correlation.traceparent, CORRELATION_CAP),
            _ => return self.framing.field(field),
        };
        if place.is_none() {
            *place = value(field, cap);
        }
    }
}

/// Runs a parser of httparse with room for the headers: on the stack, and where that is too small as many as the head
/// has lines. `None` on any error.
pub(super) fn with_headers<'h, T>(
    head: &'h [u8],
    mut parse: impl FnMut(&mut [Header<'h>]) -> Result<Option<T>, httparse::Error>,
) -> Option<T> {
    let mut room = [EMPTY_HEADER; 48];
    match parse(&mut room) {
        Err(httparse::Error::TooManyHeaders) => {
            let lines = memchr::memchr_iter(b'\n', head).count();
            parse(&mut vec![EMPTY_HEADER; lines]).ok().flatten()
        }
        other => other.ok().flatten(),
    }
}

/// A field's value as text of at most `cap` bytes; `None` if it is empty.
pub(super) fn value(field: &Header<'_>, cap: usize) -> Option<String> {
    let text = String::from_utf8_lossy(field.value);
    Some(clip(text.trim(), cap)).filter(|text| !text.is_empty())
}

fn clip(text: &str, cap: usize) -> String {
    text[..text.floor_char_boundary(cap)].to_owned()
}

/// A target without its query string, whose values may be secrets.
fn without_query(target: &str) -> &str {
    &target[..target.find(['?', '#']).unwrap_or(target.len())]
}

/// An authority without its user information, which may be a password.
fn host_of(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}
