//! Bytes to tokens, for text that may end anywhere.

use memchr::{memchr, memchr2};

use super::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space and comments.
    Space,
    /// Unquoted identifier or keyword.
    Word,
    /// Quoted identifier.
    Quoted,
    /// A value: string, number, bit string; whole or cut.
    Literal,
    /// The place of a value: `$1`, `?`, `:name`, `%s`, `%(name)s`.
    Parameter,
    /// Operator.
    Operator,
    /// Punctuation, one byte or `::`.
    Symbol,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: Kind,
    /// Its bytes.
    pub(super) text: &'a [u8],
    /// Where it starts in the text.
    pub(super) start: usize,
    /// The token before it ends an expression: a sign or a colon here is not the start of a value.
    pub(super) after_operand: bool,
}

impl Token<'_> {
    /// Is it this keyword, given in upper case?
    #[inline]
    pub(super) fn is_word(&self, word: &str) -> bool {
        // Asked of every word for dozens of keywords: most are told apart by length and first letter.
        self.kind == Kind::Word
            && self.text.len() == word.len()
            && self.text[0].to_ascii_uppercase() == word.as_bytes()[0]
            && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Is it this punctuation?
    pub(super) fn is_symbol(&self, symbol: u8) -> bool {
        self.kind == Kind::Symbol && self.text == [symbol]
    }
}

/// Keywords after which a value may follow, so that `-` is a sign: what remains are names.
const BEFORE_VALUES: &[&str] = &[
    "ABSOLUTE",
    "ALL",
    "AND",
    "ANY",
    "AS",
    "BACKWARD",
    "BETWEEN",
    "BY",
    "CASE",
    "DEFAULT",
    "DISTINCT",
    "ELSE",
    "FETCH",
    "FORWARD",
    "FROM",
    "HAVING",
    "ILIKE",
    "IN",
    "INTERVAL",
    "IS",
    "LIKE",
    "LIMIT",
    "MOVE",
    "NOT",
    "OFFSET",
    "ON",
    "OR",
    "RELATIVE",
    "RETURN",
    "RETURNING",
    "SELECT",
    "SET",
    "SOME",
    "THEN",
    "TO",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What the token before the next one was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Operand,
    OpenBracket,
    Other,
}

/// Iterator over the tokens of a text; every byte is in one token.
pub(super) struct Lexer<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    dialect: Dialect,
    pub(super) before: Before,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], dialect: Dialect) -> Self {
        Self { bytes, at: 0, dialect, before: Before::Other }
    }

    /// Byte `ahead` of the current one; 0 past the end (a NUL is white space, so it ends any token).
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn mysql(&self) -> bool {
        matches!(self.dialect, Dialect::Mysql | Dialect::MysqlNoEscapes)
    }

    /// Does a backslash escape in a plain literal?
    pub(super) fn escapes(&self) -> bool {
        matches!(self.dialect, Dialect::Mysql | Dialect::PostgresEscapes)
    }

    pub(super) fn end(&mut self) {
        self.at = self.bytes.len();
    }

    pub(super) fn word(&mut self) {
        while is_word_byte(self.peek(0)) {
            self.at += 1;
        }
    }

    fn token(&mut self) -> Kind {
        let first = self.peek(0);
        match first {
            0..=b' ' | 0x7f => self.space(),
            b'-' if self.peek(1) == b'-' && (!self.mysql() || self.peek(2) <= b' ') => self.line_comment(),
            b'#' if self.mysql() => self.line_comment(),
            b'/' if self.peek(1) == b'*' => self.block_comment(),
            b'*' if self.mysql() && self.peek(1) == b'/' => self.take(2, Kind::Space), // end of `/*! ...`
            b'\'' => self.string(self.escapes()),
            b'"' if self.mysql() => self.string(self.escapes()),
            b'"' => self.quoted(b'"'),
            b'`' if self.mysql() => self.quoted(b'`'),
            b'$' if !self.mysql() => self.dollar(),
            b'@' if self.mysql() => self.variable(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() && self.before != Before::Operand => self.number(),
            b'?' => self.question_mark(),
            b':' => self.colon(),
            b'%' if self.before != Before::Operand && self.format_parameter() > 0 => {
                self.take(self.format_parameter(), Kind::Parameter)
            }
            _ if is_word_start(first) || (first == b'$' && self.mysql()) => self.word_or_prefix(),
            _ if is_operator(first) => self.operator(),
            _ => self.take(1, Kind::Symbol),
        }
    }

    pub(super) fn take(&mut self, len: usize, kind: Kind) -> Kind {
        self.at = (self.at + len).min(self.bytes.len());
        kind
    }

    pub(super) fn space(&mut self) -> Kind {
        while self.at < self.bytes.len() && matches!(self.peek(0), 0..=b' ' | 0x7f) {
            self.at += 1;
        }
        Kind::Space
    }

    fn line_comment(&mut self) -> Kind {
        match memchr2(b'\n', b'\r', &self.bytes[self.at..]) {
            Some(len) => self.at += len,
            None => self.end(),
        }
        Kind::Space
    }

    /// PostgreSQL's nest; MySQL's do not, and `/*!50000 ... */` is code that older servers skip.
    fn block_comment(&mut self) -> Kind {
        if self.mysql() && self.peek(2) == b'!' {
            self.at += 3;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
            return Kind::Space;
        }
        let mut depth = 0u32;
        while let Some(len) = memchr2(b'*', b'/', &self.bytes[self.at..]) {
            self.at += len;
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') if depth == 0 || !self.mysql() => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Kind::Space;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.end();
        Kind::Space
    }

    pub(super) fn quoted(&mut self, quote: u8) -> Kind {
        self.at += 1;
        while let Some(len) = memchr(quote, &self.bytes[self.at..]) {
            self.at += len + 1;
            if self.peek(0) != quote {
                return Kind::Quoted;
            }
            self.at += 1;
        }
        self.end();
        Kind::Quoted
    }

    /// MySQL's `@user` and `@@system` variables.
    fn variable(&mut self) -> Kind {
        while self.peek(0) == b'@' {
            self.at += 1;
        }
        self.word();
        Kind::Word
    }

    /// PostgreSQL takes the longest run, up to a comment, and no `+` or `-` at its end unless the run holds one of
    /// ``~ ! @ # % ^ & | ` ?`` (manual, section 4.1.3). MySQL has a fixed set.
    fn operator(&mut self) -> Kind {
        if self.mysql() {
            let arrow =
                [&b"->>"[..], b"->"].into_iter().find(|arrow| self.bytes[self.at..].starts_with(arrow));
            let run = self.bytes[self.at..].iter().take_while(|byte| b"<>=!|&".contains(byte)).count();
            return self.take(arrow.map_or(run.max(1), <[u8]>::len), Kind::Operator);
        }
        let start = self.at;
        while is_operator(self.peek(0)) || (self.peek(0) == b'?' && self.bytes[..self.at].ends_with(b"@")) {
            let comment = matches!((self.peek(0), self.peek(1)), (b'-', b'-') | (b'/', b'*'));
            if self.at > start && (comment || (self.peek(0) == b'%' && self.format_parameter() > 0)) {
                break;
            }
            self.at += 1;
        }
        if !self.bytes[start..self.at].iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
            while self.at > start + 1 && matches!(self.bytes[self.at - 1], b'+' | b'-') {
                self.at -= 1;
            }
        }
        Kind::Operator
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        let kind = self.token();
        let text = &self.bytes[start..self.at];
        let token = Token { kind, text, start, after_operand: self.before == Before::Operand };
        self.before = match kind {
            Kind::Space => self.before,
            Kind::Quoted | Kind::Literal | Kind::Parameter => Before::Operand,
            Kind::Word if BEFORE_VALUES.iter().any(|word| token.is_word(word)) => Before::Other,
            Kind::Word => Before::Operand,
            Kind::Symbol if matches!(text, b")" | b"]") => Before::Operand,
            Kind::Symbol if text == b"[" => Before::OpenBracket,
            Kind::Symbol | Kind::Operator => Before::Other,
        };
        Some(token)
    }
}

pub(super) fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`".contains(&byte)
}
