//! Row ids made of time, and request ids in few bytes.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

/// Row ids of one microsecond.
const PER_MICRO: i64 = 1024;

/// Seconds per slot of table `ref`.
pub(crate) const SLOT: i64 = 10;

/// Latest time a row id can hold, microseconds (the year 2255).
const LATEST: i64 = i64::MAX / PER_MICRO - 1;

/// Unix seconds to microseconds; times before 1970, beyond the representable or not a number are moved to the nearest
/// that can be stored.
pub(crate) fn micros(seconds: f64) -> i64 {
    ((seconds * 1e6).round() as i64).clamp(0, LATEST)
}

/// Microseconds to Unix seconds.
pub(crate) fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Milliseconds to nanoseconds; what cannot be a duration becomes 0.
pub(crate) fn nanos(ms: f64) -> i64 {
    ((ms * 1e6).round() as i64).max(0)
}

/// Nanoseconds to milliseconds.
pub(crate) fn ms(nanos: f64) -> f64 {
    nanos / 1e6
}

/// The first row id of a microsecond.
pub(crate) fn first_row(micros: i64) -> i64 {
    micros.clamp(0, LATEST + 1).saturating_mul(PER_MICRO)
}

/// The microsecond of a row.
pub(crate) fn row_micros(row: i64) -> i64 {
    row / PER_MICRO
}

/// Gives out row ids: in the order of time, and of arrival within a microsecond. More rows than a microsecond has
/// numbers for flow over into the next ones.
#[derive(Debug, Default)]
pub(crate) struct RowIds {
    first: i64,
    next: i64,
    step: i64,
}

impl RowIds {
    /// A row id for `micros`, likely free: rows mostly arrive in the order of time.
    pub(crate) fn next(&mut self, micros: i64) -> i64 {
        let first = first_row(micros);
        if first != self.first {
            *self = Self { first, next: first, step: 1 };
        }
        let id = self.next;
        self.next = id.saturating_add(1);
        id
    }

    /// The one to try after the last one was found to be taken: ever further on, so that few tries find the end of
    /// however many rows of one time. `None` at the end of all ids.
    pub(crate) fn after(&mut self, taken: i64) -> Option<i64> {
        let id = taken.checked_add(self.step)?;
        self.step = self.step.saturating_mul(2);
        self.next = id.saturating_add(1);
        Some(id)
    }
}

/// A request id as stored: UUIDs (RFC 9562 text form, lower case) and hexadecimal strings as bytes, others as text.
///
/// The length of the bytes tells the form: 16 = UUID with hyphens, otherwise a leading 0 and the digits' bytes.
pub(crate) struct Packed<'a>(pub(crate) &'a str);

impl rusqlite::ToSql for Packed<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match pack(self.0) {
            Some(bytes) => ToSqlOutput::Owned(Value::Blob(bytes)),
            None => ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_bytes())),
        })
    }
}

fn pack(id: &str) -> Option<Vec<u8>> {
    let text = id.as_bytes();
    let hyphens = |i: &usize| matches!(i, 8 | 13 | 18 | 23);
    let is_uuid = text.len() == 36 && (0..36).filter(hyphens).all(|i| text[i] == b'-');
    let mut out = Vec::with_capacity(17);
    if !is_uuid {
        if text.len() < 8 || text.len() % 2 == 1 || text.len() > 128 || text.len() == 30 {
            return None;
        }
        out.push(0);
    }
    let mut high = None;
    for (i, byte) in text.iter().enumerate() {
        if is_uuid && hyphens(&i) {
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        high = match high {
            None => Some(digit << 4),
            Some(high) => {
                out.push(high | digit);
                None
            }
        };
    }
    Some(out)
}

/// The id that was stored.
pub(crate) fn unpack(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            let is_uuid = bytes.len() == 16;
            let bytes = if is_uuid { bytes } else { bytes.get(1..)? };
            let mut out = String::with_capacity(36);
            for (i, byte) in bytes.iter().enumerate() {
                if is_uuid && matches!(i, 4 | 6 | 8 | 10) {
                    out.push('-');
                }
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(digit), 16)?);
                }
            }
            Some(out)
        }
        _ => None,
    }
}

/// Hash of an id for table `ref`: FNV-1a, 64 bits (draft-eastlake-fnv). Readers compare the ids themselves.
pub(crate) fn key(id: &str) -> i64 {
    hash(id.as_bytes()).cast_signed()
}

/// FNV-1a, 64 bits: the same in every version, as the store needs it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::ToSql;

    use super::*;

    fn there_and_back(id: &str) -> Option<String> {
        match Packed(id).to_sql().unwrap() {
            ToSqlOutput::Owned(Value::Blob(bytes)) => unpack(ValueRef::Blob(&bytes)),
            ToSqlOutput::Borrowed(value) => unpack(value),
            _ => None,
        }
    }

    #[test]
    fn uuids_take_sixteen_bytes() {
        assert_eq!(pack("123e4567-e89b-12d3-a456-426614174000").map(|b| b.len()), Some(16));
        assert_eq!(pack("123E4567-e89b-12d3-a456-426614174000"), None);
        assert_eq!(pack("4bf92f3577b34da6a3ce929d0e0e4736").map(|b| b.len()), Some(17));
    }

    #[test]
    fn rows_of_one_microsecond_are_told_apart_and_stay_within_it() {
        let mut ids = RowIds::default();
        let (a, b) = (ids.next(7), ids.next(7));
        assert!(a < b);
        assert_eq!((row_micros(a), row_micros(b)), (7, 7));
        assert_eq!(row_micros(ids.next(3)), 3);
    }

    #[test]
    fn the_last_id_ends_the_search() {
        let mut ids = RowIds::default();
        let mut tried = vec![ids.next(i64::MAX)];
        while let Some(id) = ids.after(tried[tried.len() - 1]) {
            tried.push(id);
        }
        assert!(tried.is_sorted_by(|a, b| a < b) && tried.len() < 64, "{tried:?}");
    }

    proptest! {
        #[test]
        fn every_id_comes_back(id in prop_oneof![".{0,40}", "[0-9a-f]{0,64}", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"]) {
            prop_assert_eq!(there_and_back(&id), Some(id));
        }
    }
}
