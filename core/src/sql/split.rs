//! One text with several statements: the statements.

use super::Dialect;
use super::lexer::{Kind, Lexer, Token};

/// Iterator over the statements of a text. See [`split_statements`].
pub struct Statements<'a> {
    text: &'a [u8],
    dialect: Dialect,
    lexer: Lexer<'a>,
}

/// Yields each statement of a text that may hold several, without its semicolon, as the server will run them: a
/// semicolon in a literal, a comment, parentheses (`CREATE RULE ... DO (...; ...)`) or a body does not end one, and what
/// holds no token is none. A body is what stands between `BEGIN ATOMIC` and `END` in PostgreSQL; in MySQL between `BEGIN` and
/// `END` of what `CREATE PROCEDURE`, `FUNCTION`, `TRIGGER` or `EVENT` makes, and in MariaDB after `BEGIN NOT ATOMIC`, too.
pub fn split_statements(text: &[u8], dialect: Dialect) -> Statements<'_> {
    Statements { text, dialect, lexer: Lexer::new(text, dialect) }
}

impl<'a> Iterator for Statements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = None;
        let mut end = 0;
        let mut parentheses = 0u32;
        let mut bodies = Bodies::default();
        for token in self.lexer.by_ref() {
            if token.kind == Kind::Space {
                continue;
            }
            if token.is_symbol(b';') && parentheses == 0 && bodies.open == 0 {
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
            }
            match self.dialect {
                Dialect::Postgres | Dialect::PostgresEscapes => bodies.postgres(&token),
                Dialect::Mysql | Dialect::MysqlNoEscapes => bodies.mysql(&token, parentheses == 0),
            }
        }
        start.map(|start| &self.text[start..end])
    }
}

/// How deep in bodies a statement is.
#[derive(Default)]
struct Bodies {
    /// `BEGIN`, and `CASE` within one: each has its `END`.
    open: u32,
    after_begin: bool,
    after_end: bool,
    begun: bool,
    /// It begins with `CREATE`.
    creates: bool,
    /// It has a body, or is one.
    is_routine: bool,
}

impl Bodies {
    fn postgres(&mut self, token: &Token<'_>) {
        if self.after_begin && token.is_word("ATOMIC") || self.open > 0 && token.is_word("CASE") {
            self.open += 1;
        } else if token.is_word("END") {
            self.open = self.open.saturating_sub(1);
        }
        self.after_begin = token.is_word("BEGIN");
    }

    fn mysql(&mut self, token: &Token<'_>, is_outside: bool) {
        let is = |words: &[&str]| words.iter().any(|word| token.is_word(word));
        let is_first = !std::mem::replace(&mut self.begun, true);
        self.creates |= is_first && token.is_word("CREATE");
        self.is_routine |= self.creates && is_outside && is(&["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"])
            || self.after_begin && token.is_word("NOT");
        let after_end = std::mem::take(&mut self.after_end);
        if token.is_word("BEGIN") && self.is_routine
            || token.is_word("NOT") && self.after_begin
            || token.is_word("CASE") && self.open > 0 && !after_end
            // What ends so was not counted as it began.
            || after_end && is(&["IF", "LOOP", "REPEAT", "WHILE", "FOR"])
        {
            self.open += 1;
        } else if token.is_word("END") && self.open > 0 {
            self.open -= 1;
            self.after_end = true;
        }
        self.after_begin = is_first && token.is_word("BEGIN");
    }
}
