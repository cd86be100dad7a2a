//! How long a message's body is, by its head (RFC 9112 section 6.3).

use httparse::Header;

use super::body::Body;
use super::chunked::Chunked;

/// What the framing fields of a head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    length: Option<u64>,
    /// `Content-Length` is no number, or there are several that differ.
    length_invalid: bool,
    coding: Coding,
}

/// What `Transfer-Encoding` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    /// `chunked` is the last coding.
    Chunked,
    /// There are codings, and `chunked` is not the last.
    Other,
}

impl Framing {
    /// Takes a field into account, if it is one about framing.
    pub(super) fn field(&mut self, field: &Header<'_>) {
        if field.name.eq_ignore_ascii_case("content-length") {
            // A list of equal numbers is what merging proxies make of a repeated field: one number.
            for value in field.value.split(|&b| b == b',') {
                match decimal(value.trim_ascii()) {
                    Some(n) if self.length.is_none_or(|known| known == n) => self.length = Some(n),
                    _ => self.length_invalid = true,
                }
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            for coding in field.value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|c| !c.is_empty())
            {
                let chunked = coding.eq_ignore_ascii_case(b"chunked");
                self.coding = if chunked { Coding::Chunked } else { Coding::Other };
            }
        }
    }

    /// The body of a request; `None` where the head does not tell. `Transfer-Encoding` overrides `Content-Length`.
    pub(super) fn of_request(self) -> Option<Body> {
        match self.coding {
            Coding::Chunked => Some(Body::Chunked(Chunked::START)),
            Coding::Other => None,
            Coding::None if self.length_invalid => None,
            Coding::None => Some(Body::Length(self.length.unwrap_or(0))),
        }
    }

    /// The body of a response that has one; `None` where the head does not tell.
    pub(super) fn of_response(self) -> Option<Body> {
        match (self.coding, self.length) {
            (Coding::Chunked, _) => Some(Body::Chunked(Chunked::START)),
            (Coding::Other, _) => Some(Body::UntilClose),
            (Coding::None, _) if self.length_invalid => None,
            (Coding::None, Some(length)) => Some(Body::Length(length)),
            (Coding::None, None) => Some(Body::UntilClose),
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}
