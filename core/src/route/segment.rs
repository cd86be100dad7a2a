//! What one path segment is, told from its text alone.

/// The placeholder that stands for a segment whose text names one thing among many; `None` for a segment that reads
/// like a word and may be part of the route.
///
/// | segment | placeholder |
/// |---|---|
/// | `42`, `-7`, `3.14` | `{id}` |
/// | `123e4567-e89b-12d3-a456-426614174000`, braces and the 32 bare digits included | `{uuid}` |
/// | `2024-02-29`, `2024-02-29T10:00:00Z` | `{date}` |
/// | eight or more hexadecimal digits, a decimal one among them | `{hex}` |
/// | `a@b.example` | `{email}` |
/// | sixteen or more characters that mix letters and digits, or any 65 and more | `{token}` |
pub fn placeholder(segment: &str) -> Option<&'static str> {
    let bytes = segment.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    if is_number(bytes) {
        Some("{id}")
    } else if is_uuid(bytes) {
        Some("{uuid}")
    } else if is_date(bytes) {
        Some("{date}")
    } else if is_hex(bytes) {
        Some("{hex}")
    } else if is_email(segment) {
        Some("{email}")
    } else if is_token(bytes) {
        Some("{token}")
    } else {
        None
    }
}

fn is_number(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let mut dots = 0;
    digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|b| {
            dots += usize::from(*b == b'.');
            b.is_ascii_digit() || *b == b'.'
        })
        && dots <= 1
}

/// RFC 9562, section 4: 8-4-4-4-12 hexadecimal digits; also as 32 digits without hyphens.
fn is_uuid(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"{").and_then(|b| b.strip_suffix(b"}")).unwrap_or(bytes);
    match bytes.len() {
        36 => bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        }),
        32 => is_hex(bytes),
        _ => false,
    }
}

/// ISO 8601 calendar date, with or without a time behind it.
fn is_date(bytes: &[u8]) -> bool {
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        })
        && bytes.get(10).is_none_or(|b| matches!(b, b'T' | b't' | b'_' | b' ' | b'%'))
}

/// Words such as `facade` or `deadbeef` have no decimal digit, so one is demanded.
fn is_hex(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes.iter().all(u8::is_ascii_hexdigit) && bytes.iter().any(u8::is_ascii_digit)
}

fn is_email(segment: &str) -> bool {
    segment.split_once('@').or_else(|| segment.split_once("%40")).is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    })
}

/// Opaque ids (base64url, ULID, JWT, ObjectId, prefixed ids such as `cus_9s6XKzkNRiz8i3`): long, letters and digits
/// mixed. File names (`jquery-3.7.1.min.js`) and version words (`2024-summer-catalogue`) are told apart by the share
/// of digits and by case: a token changes between letters and digits, or between cases, often.
fn is_token(bytes: &[u8]) -> bool {
    if bytes.len() > 64 {
        return true;
    }
    if bytes.len() < 16
        || !bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'~'))
    {
        return false;
    }
    if !bytes.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let classes: Vec<_> = bytes
        .iter()
        .filter(|b| b.is_ascii_alphanumeric())
        .map(|b| (b.is_ascii_digit(), b.is_ascii_uppercase()))
        .collect();
    let changes = classes.windows(2).filter(|w| w[0] != w[1]).count();
    changes * 5 >= classes.len()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("42", Some("{id}"))]
    #[case("-7", Some("{id}"))]
    #[case("3.14", Some("{id}"))]
    #[case("1.2.3", None)]
    #[case("123e4567-e89b-12d3-a456-426614174000", Some("{uuid}"))]
    #[case("{123E4567-E89B-12D3-A456-426614174000}", Some("{uuid}"))]
    #[case("123e4567e89b12d3a456426614174000", Some("{uuid}"))]
    #[case("2024-02-29", Some("{date}"))]
    #[case("2024-02-29T10:00:00Z", Some("{date}"))]
    #[case("2024-02-29-report", None)]
    #[case("507f1f77bcf86cd799439011", Some("{hex}"))]
    #[case("facade", None)]
    #[case("deadbeef", None)]
    #[case("bob@example.org", Some("{email}"))]
    #[case("bob%40example.org", Some("{email}"))]
    #[case("@me", None)]
    #[case("cus_9s6XKzkNRiz8i3Zq", Some("{token}"))]
    #[case("01ARZ3NDEKTSV4RRFFQ69G5FAV", Some("{token}"))]
    #[case("dQw4w9WgXcQdQw4w9WgXcQ", Some("{token}"))]
    #[case("getUserSubscriptionDetails", None)]
    #[case("2024-summer-catalogue", None)]
    #[case("jquery-3.7.1.min.js", None)]
    #[case("oauth2callback", None)]
    #[case("v1", None)]
    #[case("users", None)]
    #[case("", None)]
    #[case("%D0%BF%D1%80", None)]
    fn segments(#[case] segment: &str, #[case] expected: Option<&str>) {
        assert_eq!(placeholder(segment), expected);
    }
}
