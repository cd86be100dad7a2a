//! Values of variables, as far as they can be read in passing, and how Python writes them.

use std::fmt::Write;

/// A Python value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A variable that has no value.
    Unbound,
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int` of up to 60 bits.
    Int(i64),
    /// `float`
    Float(f64),
    /// `str`; `whole` is false where only its start is known.
    Text {
        /// What is known of it.
        text: String,
        /// Is that all?
        whole: bool,
    },
    /// Anything else: the name of its type.
    Object(String),
}

impl Value {
    /// What `str(value)` gives, or a name in angle brackets where that is not known.
    pub fn str(&self) -> String {
        match self {
            Self::Text { text, whole: true } => text.clone(),
            Self::Text { text, whole: false } => format!("{text}..."),
            other => other.repr(),
        }
    }

    /// What `repr(value)` gives, or a name in angle brackets where that is not known.
    pub fn repr(&self) -> String {
        match self {
            Self::Unbound => "<unbound>".to_owned(),
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float(*value),
            Self::Text { text, whole } => {
                let mut quoted = quote(text);
                if !whole {
                    quoted.push_str("...");
                }
                quoted
            }
            Self::Object(name) => format!("<{name} object>"),
        }
    }
}

/// The shortest digits that give the same value, with an exponent where Python's `float_repr_style` has one: below 1e-4
/// and from 1e16 on.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

/// `repr` of a string: in single quotes, unless it has such and no double ones.
fn quote(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(mark);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == mark => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                // Writing into a string cannot fail.
                let _infallible = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push(mark);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let text = |text: &str| Value::Text { text: text.to_owned(), whole: true }.repr();
        assert_eq!(text("a b"), "'a b'");
        assert_eq!(text("it's"), "\"it's\"");
        assert_eq!(text("it's \"so\""), "'it\\'s \"so\"'");
        assert_eq!(text("a\n\\\u{1}é"), "'a\\n\\\\\\x01é'");
        let floats =
            [2.5, 1.0, 1e16, 1.5e-5, 123_456_789.0, -0.0, 1e22, 0.0001].map(|f| Value::Float(f).repr());
        assert_eq!(floats, ["2.5", "1.0", "1e+16", "1.5e-05", "123456789.0", "-0.0", "1e+22", "0.0001"]);
        assert_eq!(Value::Bool(true).str(), "True");
        assert_eq!(Value::Text { text: "cut".into(), whole: false }.str(), "cut...");
    }
}
