//! The message of an exception: what `str(exception)` gives.

use super::redact::whole_words;
use super::scrub::scrub;
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
    /// As `BaseExceptionGroup`: its first argument, and how many it holds.
    Group {
        /// Length of the second argument, where that is a list or tuple.
        members: Option<u64>,
    },
}

/// Longest message kept, in characters.
pub const MESSAGE_MAX: usize = 500;

/// The message of an exception with `count` arguments, the first of which are known. Secrets are taken out of it.
pub fn message(wording: &Wording, arguments: &[Value], count: u64) -> String {
    let arguments: Vec<Value> = arguments.iter().map(without_cut_word).collect();
    let text = match (wording, arguments.as_slice()) {
        (_, []) => String::new(),
        (Wording::Key, [key]) if count == 1 => key.repr(),
        (Wording::Os { filename }, [errno, text]) if count == 2 => {
            let named = filename.as_ref().map(|name| format!(": {}", name.repr()));
            format!("[Errno {}] {}{}", errno.str(), text.str(), named.unwrap_or_default())
        }
        (Wording::Group { members }, [text, _]) if count == 2 => match members {
            Some(1) => format!("{} (1 sub-exception)", text.str()),
            Some(members) => format!("{} ({members} sub-exceptions)", text.str()),
            None => text.str(),
        },
        (_, [one]) if count == 1 => one.str(),
        (_, several) => {
            let mut text: Vec<String> = several.iter().map(Value::repr).collect();
            if (several.len() as u64) < count {
                text.push("...".to_owned());
            }
            format!("({})", text.join(", "))
        }
    };
    let text = scrub(&text);
    let end = text.char_indices().nth(MESSAGE_MAX).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}

fn without_cut_word(value: &Value) -> Value {
    match value {
        Value::Text { text, whole: false } => {
            Value::Text { text: whole_words(text).to_owned(), whole: false }
        }
        other => other.clone(),
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
    fn a_group_says_how_many_it_holds() {
        let arguments = [text("unhandled errors in a TaskGroup"), Value::Object("list".to_owned())];
        let of = |members| message(&Wording::Group { members }, &arguments, 2);
        assert_eq!(of(Some(1)), "unhandled errors in a TaskGroup (1 sub-exception)");
        assert_eq!(of(Some(2)), "unhandled errors in a TaskGroup (2 sub-exceptions)");
        assert_eq!(of(None), "unhandled errors in a TaskGroup");
    }

    #[test]
    fn a_message_keeps_no_secret() {
        assert_eq!(message(&Wording::Plain, &[text("no password=hunter2")], 1), "no password=<redacted>");
        let pair = [text("ann@example.org"), Value::Int(1)];
        assert_eq!(message(&Wording::Plain, &pair, 2), "('<redacted>', 1)");
        assert_eq!(message(&Wording::Key, &[text("password=hunter2")], 1), "'password=<redacted>'");
        let cut = Value::Text { text: "by eyJ".to_owned(), whole: false };
        assert_eq!(message(&Wording::Plain, &[cut], 1), "by...");
        let cut = Value::Text { text: "paid with 4111 1111 1111 1".to_owned(), whole: false };
        assert_eq!(message(&Wording::Plain, &[cut], 1), "paid with...");
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "é".repeat(MESSAGE_MAX + 1);
        assert_eq!(message(&Wording::Plain, &[text(&long)], 1).chars().count(), MESSAGE_MAX);
    }
}
