//! From an object's first words to its value.

use apm_agent_ebpf::{RaisedLocal, RaisedValue};
use apm_core::python::value::Value;

use super::Interpreter;
use crate::process::cpython::objects::decode;

impl Interpreter {
    /// The value of an object that the probes have read.
    pub fn value(&mut self, read: &RaisedValue) -> Value {
        self.any(read.ty, read.words, read.state, read.copied, &read.text)
    }

    /// The value of a variable that the probes have read.
    pub fn local(&mut self, read: &RaisedLocal) -> Value {
        self.any(read.ty, read.words, read.state, read.copied, &read.text)
    }

    fn any(&mut self, ty: u64, words: [u64; 2], state: u32, copied: u32, text: &[u8]) -> Value {
        if ty == 0 {
            return Value::Unbound;
        }
        let Some(class) = self.class(ty) else { return Value::Object("unknown".to_owned()) };
        let other = || Value::Object(class.name.clone());
        if class.is("str") {
            let copied = usize::try_from(copied).unwrap_or(0).min(text.len());
            let size = words[0].saturating_mul(u64::from(state >> 2 & 7));
            let text = decode(&text[..copied], state);
            return Value::Text { text, whole: size == copied as u64 };
        }
        match class.name.as_str() {
            "NoneType" => Value::None,
            "float" => Value::Float(f64::from_bits(words[0])),
            "bool" => Value::Bool(integer(self.minor, words).is_some_and(|value| value != 0)),
            "int" => integer(self.minor, words).map_or_else(other, Value::Int),
            _ => other(),
        }
    }
}

/// An `int` of at most two digits of 30 bits each (`Include/cpython/longintrepr.h`): up to 3.11 its signed size comes
/// first, then a tag of sign and size.
fn integer(minor: u8, [head, digits]: [u64; 2]) -> Option<i64> {
    let (negative, size) = if minor >= 12 {
        (head & 3 == 2, if head & 3 == 1 { 0 } else { head >> 3 })
    } else {
        (head.cast_signed() < 0, head.cast_signed().unsigned_abs())
    };
    let value = match size {
        0 => 0,
        1 => digits & 0xffff_ffff,
        2 => (digits & 0xffff_ffff) | (digits >> 32) << 30,
        _ => return None,
    };
    let value = i64::try_from(value).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_before_and_since_3_12() {
        assert_eq!(integer(11, [1, 7]), Some(7));
        assert_eq!(integer(11, [u64::MAX, 7]), Some(-7));
        assert_eq!(integer(11, [0, 99]), Some(0));
        assert_eq!(integer(11, [2, 1 << 32 | 5]), Some((1 << 30) + 5));
        assert_eq!(integer(11, [3, 5]), None);
        assert_eq!(integer(13, [1 << 3, 7]), Some(7));
        assert_eq!(integer(13, [1 << 3 | 2, 7]), Some(-7));
        assert_eq!(integer(13, [1, 99]), Some(0));
        assert_eq!(integer(13, [2 << 3, 1 << 32]), Some(1 << 30));
    }
}
