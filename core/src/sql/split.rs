//! One text with several statements: the statements.

use super::Dialect;
use super::lexer::{Kind, Lexer};

/// Iterator over the statements of a text. See [`split_statements`].
pub struct Statements<'a> {
    text: &'a [u8],
    lexer: Lexer<'a>,
}

/// Yields each statement of a text that may hold several, without its semicolon, as the server will run them: a
/// semicolon in a literal, a comment, parentheses (`CREATE RULE ... DO (...; ...)`) or a `BEGIN ATOMIC ... END` body
/// does not end one, and what holds no token is none.
pub fn split_statements(text: &[u8], dialect: Dialect) -> Statements<'_> {
    Statements { text, lexer: Lexer::new(text, dialect) }
}

impl<'a> Iterator for Statements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = None;
        let mut end = 0;
        let mut parentheses = 0u32;
        let mut blocks = 0u32; // BEGIN ATOMIC, and CASE within one: each has its END
        let mut after_begin = false;
        for token in self.lexer.by_ref() {
            if token.kind == Kind::Space {
                continue;
            }
            if token.is_symbol(b';') && parentheses == 0 && blocks == 0 {
                if start.is_some() {
                    break;
                }
                continue;
            }
            start.get_or_insert(token.start);
            end = token.start + token.text.len();
            if token.is_symbol(b'(') {
                parentheses += 1;
            } else if token.is_symbol(b')') {
                parentheses = parentheses.saturating_sub(1);
            } else if after_begin && token.is_word("ATOMIC") || blocks > 0 && token.is_word("CASE") {
                blocks += 1;
            } else if token.is_word("END") {
                blocks = blocks.saturating_sub(1);
            }
            after_begin = token.is_word("BEGIN");
        }
        start.map(|start| &self.text[start..end])
    }
}
