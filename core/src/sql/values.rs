//! The tokens that stand for values: strings, numbers, parameters. Where one is cut, all that is left belongs to it.

use memchr::{memchr2, memmem};

use super::lexer::{Before, Kind, Lexer, is_word_byte, is_word_start};

impl Lexer<'_> {
    /// A string from its opening quote on, with the strings that continue it.
    pub(super) fn string(&mut self, backslash: bool) -> Kind {
        let quote = self.peek(0);
        loop {
            self.at += 1;
            loop {
                match memchr2(quote, b'\\', &self.bytes[self.at..]) {
                    None => {
                        self.end();
                        return Kind::Literal;
                    }
                    Some(len) => self.at += len,
                }
                if self.peek(0) == b'\\' {
                    self.at += 1 + usize::from(backslash);
                    if self.at >= self.bytes.len() {
                        self.end();
                        return Kind::Literal;
                    }
                } else if self.peek(1) == quote {
                    self.at += 2;
                } else {
                    self.at += 1;
                    break;
                }
            }
            let closed = self.at;
            self.space();
            if self.peek(0) != quote {
                self.at = closed;
                return Kind::Literal;
            }
        }
    }

    /// `$1`, `$$...$$`, `$tag$...$tag$`.
    pub(super) fn dollar(&mut self) -> Kind {
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
            return Kind::Parameter;
        }
        let mut len = 1;
        if is_word_start(self.peek(len)) {
            while is_word_byte(self.peek(len)) && self.peek(len) != b'$' {
                len += 1;
            }
        }
        if len > 1 && self.at + len >= self.bytes.len() {
            self.end(); // cut within the tag: a literal begins here
            return Kind::Literal;
        }
        if self.peek(len) != b'$' {
            return self.take(1, Kind::Symbol);
        }
        let tag = &self.bytes[self.at..=self.at + len];
        self.at += tag.len();
        match memmem::find(&self.bytes[self.at..], tag) {
            Some(body) => self.at += body + tag.len(),
            None => self.end(),
        }
        Kind::Literal
    }

    /// Any number, with what is glued to it: `1_000`, `1.5e-3`, `0xff`, `.5`.
    pub(super) fn number(&mut self) -> Kind {
        let radix = self.peek(0) == b'0' && matches!(self.peek(1) | 0x20, b'x' | b'o' | b'b');
        let mut last = 0;
        loop {
            let byte = self.peek(0);
            let takes = match byte {
                b'.' => !radix && self.peek(1) != b'.',
                b'+' | b'-' => !radix && last | 0x20 == b'e' && self.peek(1).is_ascii_digit(),
                b'$' => false,
                _ => is_word_byte(byte),
            };
            if !takes {
                return Kind::Literal;
            }
            last = byte;
            self.at += 1;
        }
    }

    /// A parameter, or one of PostgreSQL's `?|` and `?&` (`jsonb`).
    pub(super) fn question_mark(&mut self) -> Kind {
        let next = self.peek(1);
        if !self.mysql() && matches!(next, b'|' | b'&') && self.peek(2) != next {
            return self.take(2, Kind::Operator);
        }
        self.take(1, Kind::Parameter)
    }

    pub(super) fn colon(&mut self) -> Kind {
        match self.peek(1) {
            b':' => self.take(2, Kind::Symbol),
            b'=' => self.take(2, Kind::Operator),
            next if self.before == Before::Other && (is_word_start(next) || next.is_ascii_digit()) => {
                self.at += 1;
                self.word();
                Kind::Parameter
            }
            _ => self.take(1, Kind::Symbol),
        }
    }

    /// Length of `%s` or `%(name)s` here; 0 where there is none.
    pub(super) fn format_parameter(&self) -> usize {
        let mut len = 1;
        if self.peek(len) == b'(' {
            while is_word_byte(self.peek(len + 1)) {
                len += 1;
            }
            if self.peek(len + 1) != b')' {
                return 0;
            }
            len += 2;
        }
        if self.peek(len) == b's' && !is_word_byte(self.peek(len + 1)) { len + 1 } else { 0 }
    }

    /// A word, or a string with a prefix: `E''`, `B''`, `X''`, `N''`, `U&''`, `U&""`.
    pub(super) fn word_or_prefix(&mut self) -> Kind {
        let first = self.peek(0) | 0x20;
        if self.peek(1) == b'\'' && matches!(first, b'e' | b'b' | b'x' | b'n') {
            self.at += 1;
            return self.string(self.escapes() || (first == b'e' && !self.mysql()));
        }
        if !self.mysql() && first == b'u' && self.peek(1) == b'&' {
            match self.peek(2) {
                b'\'' => {
                    self.at += 2;
                    return self.string(false);
                }
                b'"' => {
                    self.at += 2;
                    return self.quoted(b'"');
                }
                _ => {}
            }
        }
        self.word();
        Kind::Word
    }
}
