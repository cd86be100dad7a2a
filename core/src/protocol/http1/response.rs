//! The head of a response.

use httparse::ParserConfig;

use super::framing::Framing;
use super::head::{Plausible, blank_prefix, status_line, unfold, whole_lines};
use super::request::{CORRELATION_CAP, value, with_headers};

/// What is kept of the head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) request_id: Option<String>,
    pub(super) framing: Framing,
    /// `Upgrade` names HTTP/2 in clear text.
    pub(super) upgrades_to_h2c: bool,
}

impl ResponseHead {
    /// Parses a whole head; `None` if it is not valid.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let unfolded = unfold(head);
        let head = unfolded.as_deref().unwrap_or(head);
        with_headers(head, |headers| {
            let mut response = httparse::Response::new(headers);
            let mut config = ParserConfig::default();
            config
                .allow_multiple_spaces_in_response_status_delimiters(true)
                .allow_spaces_after_header_name_in_responses(true)
                .ignore_invalid_headers_in_responses(true);
            if !config.parse_response(&mut response, head)?.is_complete() {
                return Ok(None);
            }
            let Some(status) = response.code else { return Ok(None) };
            let mut parsed = Self::of_status(status);
            for field in response.headers.iter() {
                if field.name.eq_ignore_ascii_case("x-request-id") {
                    parsed.request_id = parsed.request_id.or_else(|| value(field, CORRELATION_CAP));
                } else if field.name.eq_ignore_ascii_case("upgrade") {
                    parsed.upgrades_to_h2c |= field
                        .value
                        .split(|&b| b == b',')
                        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"h2c"));
                } else {
                    parsed.framing.field(field);
                }
            }
            Ok(Some(parsed))
        })
    }

    /// What can be said of a head that was cut off: nothing, unless its status is known.
    pub(super) fn of_part(part: &[u8]) -> Option<Self> {
        if let Some(parsed) = whole_lines(part).and_then(|lines| Self::parse(&lines)) {
            return Some(parsed);
        }
        let line = &part[blank_prefix(part)..];
        if status_line(line) != Plausible::Yes {
            return None;
        }
        let digits = line.get(9..12)?;
        Some(Self::of_status(digits.iter().fold(0, |n, b| n * 10 + u16::from(b - b'0'))))
    }

    fn of_status(status: u16) -> Self {
        Self { status, request_id: None, framing: Framing::default(), upgrades_to_h2c: false }
    }

    /// 1xx other than 101: the final response is still to come (RFC 9110 section 15.2).
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199) && self.status != 101
    }
}
