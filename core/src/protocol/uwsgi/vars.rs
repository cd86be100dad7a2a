//! The variables of a request, and the head of HTTP/1 that they stand for.

/// Bytes of a packet before its variables: modifier 1, their length, modifier 2.
pub(super) const HEADER_LEN: usize = 4;

/// How many bytes of variables follow; `None` if the packet is no request for a Python application, whose modifiers are 0.
pub(super) fn length(header: [u8; HEADER_LEN]) -> Option<usize> {
    let [0, low, high, 0] = header else { return None };
    Some(usize::from(u16::from_le_bytes([low, high]))).filter(|len| *len > 0)
}

/// What the variables say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The same as a head of HTTP/1.
    pub(super) http: Vec<u8>,
    /// Bytes of the body; `None` if only its chunks tell.
    pub(super) body: Option<u64>,
    /// It comes from a router of uWSGI's, which has read it as HTTP.
    pub(super) is_routed: bool,
}

/// Fields that HTTP/1's session looks at, by the variable that holds them.
const FIELDS: &[(&[u8], &str)] = &[
    (b"HTTP_HOST", "Host"),
    (b"HTTP_USER_AGENT", "User-Agent"),
    (b"HTTP_X_REQUEST_ID", "X-Request-ID"),
    (b"HTTP_X_CORRELATION_ID", "X-Correlation-ID"),
    (b"HTTP_X_PARENT_REQUEST_ID", "X-Parent-Request-ID"),
    (b"HTTP_TRACEPARENT", "traceparent"),
    (b"HTTP_TRANSFER_ENCODING", "Transfer-Encoding"),
    (b"CONTENT_LENGTH", "Content-Length"),
];

/// Makes a head of a packet's variables, as far as they are there; `None` where those that it takes are not.
pub(super) fn head(block: &[u8]) -> Option<Head> {
    let (mut method, mut uri, mut script, mut path) = (None, None, &b""[..], None);
    let (mut version, mut fields) = (&b"1.1"[..], Vec::new());
    let (mut body, mut is_routed) = (Some(0), false);
    let mut rest = block;
    while let Some((name, value, after)) = variable(rest) {
        rest = after;
        match name {
            b"REQUEST_METHOD" => method = Some(value),
            b"REQUEST_URI" => uri = Some(value),
            b"SCRIPT_NAME" => script = value,
            b"PATH_INFO" => path = Some(value),
            b"SERVER_PROTOCOL" if value == b"HTTP/1.0" => version = b"1.0",
            b"UWSGI_ROUTER" => is_routed = true,
            _ => {}
        }
        let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) else { continue };
        if value.is_empty() || value.iter().any(u8::is_ascii_control) {
            continue;
        }
        match *field {
            "Content-Length" => body = body.and(std::str::from_utf8(value).ok()?.trim().parse().ok()),
            "Transfer-Encoding" => body = None,
            _ => {}
        }
        fields.extend([field.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let method = method.filter(|method| !method.is_empty() && method.iter().all(u8::is_ascii_graphic))?;
    let mut http = [method, b" "].concat();
    match (uri.filter(|uri| !uri.is_empty()), path) {
        (Some(uri), _) => target(uri, &mut http),
        (None, Some(path)) => {
            target(script, &mut http);
            target(path, &mut http);
        }
        (None, None) => return None,
    }
    http.extend([b" HTTP/", version, b"\r\n"].concat());
    http.extend(fields);
    http.extend(b"\r\n");
    Some(Head { http, body, is_routed })
}

/// Writes what may stand in a request line as it is, and the rest as RFC 3986 encodes it (2.1); no query.
fn target(text: &[u8], to: &mut Vec<u8>) {
    let end = memchr::memchr(b'?', text).unwrap_or(text.len());
    for &byte in &text[..end] {
        match byte {
            b'!'..=b'~' | 0x80.. => to.push(byte),
            _ => to.extend(format!("%{byte:02X}").bytes()),
        }
    }
}

/// The first variable, and what follows it; `None` where no whole one stands there.
fn variable(block: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = text(block)?;
    let (value, rest) = text(rest)?;
    Some((name, value, rest))
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}
