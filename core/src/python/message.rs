//! The message of an exception: what `str(exception)` gives.

use super::value::Value;

/// How an exception's class makes its message.
#[derive(Clone, Debug, PartialEq)]
pub enum Wording {
    /// As `BaseException`: nothing, the one argument, or the tuple of all.
    Plain,
    /// As `KeyError`: one argument as `repr` has it.
    Key,
    /// As `OSError`: `[Errno n] text`, and the file name where it has one.
    Os {
        /// `OSError.filename`
        filename: Option<Value>,
    },
}

/// Longest message kept, in characters.
pub const MESSAGE_MAX: usize = 500;

/// The message of an exception with `count` arguments, the first of which are known.
pub fn message(wording: &Wording, arguments: &[Value], count: u64) -> String {
    let text = match (wording, arguments) {
        (_, []) => String::new(),
        (Wording::Key, [key]) if count == 1 => key.repr(),
        (Wording::Os { filename }, [errno, text]) if count == 2 => {
            let named = filename.as_ref().map(|name| format!(": {}", name.repr()));
            format!("[Errno {}] {}{}", errno.str(), text.str(), named.unwrap_or_default())
        }
        (_, [one]) if count == 1 => one.str(),
        (_, several) => {
            let mut text: Vec<String> = several.iter().map(Value::repr).collect();
            if (several.len() as u64) < count {
                text.push("...".to_owned());
            }
            format!("({})", text.join(", "))
        }
    };
    match text.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text { text: text.to_owned(), whole: true }
    }

    #[test]
    fn arguments_make_the_message() {
        assert_eq!(message(&Wording::Plain, &[], 0), "");
        assert_eq!(message(&Wording::Plain, &[text("boom")], 1), "boom");
        assert_eq!(message(&Wording::Plain, &[Value::Int(7)], 1), "7");
        assert_eq!(message(&Wording::Plain, &[text("a"), Value::Int(1)], 2), "('a', 1)");
        assert_eq!(message(&Wording::Plain, &[text("a"), Value::None], 9), "('a', None, ...)");
        assert_eq!(message(&Wording::Key, &[text("id")], 1), "'id'");
    }

    #[test]
    fn a_system_error_names_its_file() {
        let arguments = [Value::Int(2), text("No such file or directory")];
        let with = Wording::Os { filename: Some(text("/x")) };
        assert_eq!(message(&with, &arguments, 2), "[Errno 2] No such file or directory: '/x'");
        let without = Wording::Os { filename: None };
        assert_eq!(message(&without, &arguments, 2), "[Errno 2] No such file or directory");
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "é".repeat(MESSAGE_MAX + 1);
        assert_eq!(message(&Wording::Plain, &[text(&long)], 1).chars().count(), MESSAGE_MAX);
    }
}
