//! Tokens to normalised text: one pass, lists collapsed while they are written, so that a list of a million items needs
//! no more memory than one of two.

use super::lexer::{Kind, Lexer, Token};
use super::shape::{Shape, Tracker};
use super::{Dialect, MAX_TEXT};

/// Deepest nesting of parentheses whose lists are collapsed.
const MAX_NESTING: usize = 64;
/// Longest run of signs before something that is not a value.
const MAX_SIGNS: usize = 8;

/// Normalised text and shape of a statement.
pub(super) fn write(text: &[u8], dialect: Dialect) -> (String, Shape) {
    let mut writer = Writer::default();
    let mut tracker = Tracker::default();
    let mut spaced = false;
    for token in Lexer::new(text, dialect) {
        if token.kind == Kind::Space {
            spaced = true;
            continue;
        }
        let is_driver_name = tracker.token(&token);
        writer.token(&token, is_driver_name, spaced);
        spaced = false;
        if writer.full {
            break;
        }
    }
    (writer.finish(), tracker.finish())
}

/// What a pair of brackets holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Anything.
    Other,
    /// Items of which equal neighbours are one: `IN (...)`, `ARRAY[...]`.
    List,
    /// A row in a list.
    Row,
    /// A row of `VALUES`.
    ValuesRow,
}

struct Group {
    holds: Holds,
    /// Where the item being written starts in the text; `None` before its first token.
    item: Option<usize>,
    /// The item before it.
    previous: Option<(usize, usize)>,
}

/// Where in a list of `VALUES` rows the writer is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Rows {
    #[default]
    None,
    /// After `VALUES`: a parenthesis opens the first row.
    Expected,
    /// After a row; a comma would lead to one more.
    After,
    /// After that comma, which is not written yet.
    Comma,
    /// In a row that is left out, this deep.
    Skipping(u32),
}

#[derive(Default)]
struct Writer {
    out: String,
    full: bool,
    /// The last token written.
    last: Option<Last>,
    /// Signs read that are dropped if a value follows.
    signs: Vec<u8>,
    groups: Vec<Group>,
    /// Brackets open beyond [`MAX_NESTING`].
    deeper: u32,
    rows: Rows,
    after_in: bool,
    after_array: bool,
    after_password: bool,
}

/// What decides whether a blank follows a token.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Last {
    kind: Kind,
    byte: u8,
}

impl Writer {
    fn token(&mut self, token: &Token<'_>, is_driver_name: bool, spaced: bool) {
        if self.skips_row(token) {
            return;
        }
        if matches!(token.text, b"-" | b"+") && token.kind == Kind::Operator && !token.after_operand {
            if self.signs.len() < MAX_SIGNS {
                self.signs.push(token.text[0]);
            }
            return;
        }
        let is_value = matches!(token.kind, Kind::Literal | Kind::Parameter)
            || is_driver_name
            || (token.kind == Kind::Quoted && self.after_password);
        if is_value {
            self.signs.clear();
            self.put(Kind::Parameter, b"?", spaced);
        } else {
            for sign in std::mem::take(&mut self.signs) {
                self.put(Kind::Operator, &[sign], true);
            }
            match (token.kind, token.text) {
                (Kind::Symbol, b"(" | b"[") => self.open(token, spaced),
                (Kind::Symbol, b")" | b"]") => self.close(token, spaced),
                (Kind::Symbol, b",") => {
                    self.end_item();
                    self.put(token.kind, token.text, spaced);
                    if let Some(group) = self.group() {
                        group.item = None;
                    }
                }
                _ => self.put(token.kind, token.text, spaced),
            }
        }
        self.after_in = token.is_word("IN");
        self.after_array = token.is_word("ARRAY");
        self.after_password = token.is_word("PASSWORD");
    }

    /// Follows `VALUES (...), (...)`; true where the token belongs to a row after the first.
    fn skips_row(&mut self, token: &Token<'_>) -> bool {
        let opens = token.is_symbol(b'(');
        match self.rows {
            Rows::Skipping(depth) => {
                let depth = depth + u32::from(opens) - u32::from(token.is_symbol(b')'));
                self.rows = if depth == 0 { Rows::After } else { Rows::Skipping(depth) };
                return true;
            }
            Rows::After if token.is_symbol(b',') => {
                self.rows = Rows::Comma;
                return true;
            }
            Rows::Comma if opens => {
                self.rows = Rows::Skipping(1);
                return true;
            }
            Rows::Comma if token.is_word("ROW") => return true,
            // The end of the statement, which is not written: a comma before it is none of a text that ends with it.
            Rows::Comma if token.is_symbol(b';') => self.rows = Rows::None,
            Rows::Comma => {
                self.end_item();
                self.put(Kind::Symbol, b",", false);
                if let Some(group) = self.group() {
                    group.item = None;
                }
                self.rows = Rows::None;
            }
            Rows::Expected if opens || token.is_word("ROW") => return false,
            _ => self.rows = Rows::None,
        }
        if token.is_word("VALUES") || token.is_word("VALUE") {
            self.rows = Rows::Expected;
        }
        false
    }

    fn open(&mut self, token: &Token<'_>, spaced: bool) {
        let square = token.text == b"[";
        let in_list =
            self.groups.last().is_some_and(|group| group.holds == Holds::List && group.item.is_none());
        let holds = match square {
            true if self.after_array || in_list => Holds::List,
            false if self.after_in => Holds::List,
            false if self.rows == Rows::Expected => Holds::ValuesRow,
            false if in_list => Holds::Row,
            _ => Holds::Other,
        };
        self.put(token.kind, token.text, spaced);
        if self.groups.len() < MAX_NESTING {
            self.groups.push(Group { holds, item: None, previous: None });
        } else {
            self.deeper += 1;
        }
    }

    fn close(&mut self, token: &Token<'_>, spaced: bool) {
        self.end_item();
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if self.groups.pop().is_some_and(|group| group.holds == Holds::ValuesRow) {
            self.rows = Rows::After;
        }
        self.put(token.kind, token.text, spaced);
    }

    /// The innermost group, if it is one whose items are followed.
    fn group(&mut self) -> Option<&mut Group> {
        if self.deeper > 0 { None } else { self.groups.last_mut() }
    }

    /// The item being written is complete: a keyword that stands for a value is one, and in a list an item that equals
    /// the one before it goes.
    fn end_item(&mut self) {
        let end = self.out.len();
        let Some(group) =
            self.groups.last_mut().filter(|group| self.deeper == 0 && group.holds != Holds::Other)
        else {
            return;
        };
        let Some(start) = group.item else { return };
        let item = &self.out[start..end];
        let word = item.split("::").next().unwrap_or(item);
        if ["NULL", "TRUE", "FALSE"].iter().any(|value| word.eq_ignore_ascii_case(value)) {
            let word = start..start + word.len();
            self.out.replace_range(word, "?");
        }
        let end = self.out.len();
        if group.holds != Holds::List {
            return;
        }
        if let Some((from, to)) = group.previous
            && self.out[start..end] == self.out[from..to]
            && self.out[start..end].contains('?')
        {
            self.out.truncate(to);
        } else {
            group.previous = Some((start, end));
        }
    }

    fn put(&mut self, kind: Kind, text: &[u8], spaced: bool) {
        let Some(&byte) = text.last() else { return };
        let blank = self.last.is_some_and(|last| is_blank_between(last, kind, text, spaced));
        let text = String::from_utf8_lossy(text);
        if self.full || self.out.len() + usize::from(blank) + text.len() > MAX_TEXT {
            self.full = true;
            return;
        }
        if blank {
            self.out.push(' ');
        }
        let start = self.out.len();
        if let Some(group) = self.group() {
            group.item.get_or_insert(start);
        }
        self.out.push_str(&text);
        self.last = Some(Last { kind, byte });
    }

    /// The text. A list that was cut ends after its last different item, so that texts cut at different places are one.
    fn finish(mut self) -> String {
        if self.group().is_some_and(|group| group.holds == Holds::List) {
            self.end_item();
            if let Some(&mut Group { item: None, previous: Some((_, end)), .. }) = self.group() {
                self.out.truncate(end);
            }
        }
        for sign in std::mem::take(&mut self.signs) {
            self.put(Kind::Operator, &[sign], true);
        }
        // Of what is cut behind a comma, that comma is the last: whether it is written where nothing follows depends.
        let ends: &[char] = if self.full { &[';', ' ', ','] } else { &[';', ' '] };
        while self.out.ends_with(ends) {
            self.out.pop();
        }
        self.out
    }
}

/// Blanks stand around operators and between words, whatever the source has; where both ways are common and mean the
/// same (`count(*)`, `t (a)`), the source decides.
fn is_blank_between(last: Last, kind: Kind, text: &[u8], spaced: bool) -> bool {
    let symbol = kind == Kind::Symbol;
    let after_symbol = last.kind == Kind::Symbol;
    match (last.byte, text) {
        (b':', [b':', ..]) => true, // else they would be read as another pair
        (b'(' | b'[' | b'.', _) if after_symbol => false,
        (_, b")" | b"]" | b"," | b";" | b"." | b"::") if symbol => false,
        (b',' | b';' | b'$', _) if after_symbol => true,
        _ if last.kind == Kind::Operator || kind == Kind::Operator => true,
        (b':', _) if after_symbol => spaced,
        _ if symbol => spaced,
        (b')' | b']', _) if after_symbol => true,
        _ if after_symbol => spaced,
        _ => true,
    }
}
