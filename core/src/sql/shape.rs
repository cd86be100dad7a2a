//! What a statement does, to which table, and which of its names a driver made up: followed while tokens pass.

use super::lexer::{Kind, Token};

/// Longest table name kept, in bytes.
const MAX_TABLE: usize = 256;
/// Longest keyword kept as operation, in bytes.
const MAX_OPERATION: usize = 24;

/// What is said of a statement beside its text.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) operation: String,
    pub(super) table: Option<String>,
    pub(super) is_transaction_control: bool,
}

/// Where the main table stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seek {
    /// The verb that would tell is still to come.
    Verb,
    /// After this keyword.
    Keyword(&'static str),
    /// Here; `from` where a function may stand instead.
    Name { from: bool },
    /// A name was taken; a dot would continue it.
    Dot { from: bool },
    /// Nothing more to find.
    Done,
}

/// Statements that name a savepoint, cursor or prepared statement.
const NAMING: &[&str] = &[
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK",
    "DECLARE",
    "FETCH",
    "MOVE",
    "CLOSE",
    "DEALLOCATE",
    "EXECUTE",
    "PREPARE",
];

/// Words before that name.
const BEFORE_NAME: &[&str] = &[
    "SAVEPOINT",
    "TO",
    "WORK",
    "TRANSACTION",
    "AND",
    "NO",
    "CHAIN",
    "PREPARE",
    "PREPARED",
    "FROM",
    "IN",
    "NEXT",
    "PRIOR",
    "FIRST",
    "LAST",
    "ABSOLUTE",
    "RELATIVE",
    "ALL",
    "FORWARD",
    "BACKWARD",
];

/// Words between a verb and its table.
const BEFORE_TABLE: &[&str] =
    &["ONLY", "TABLE", "IF", "NOT", "EXISTS", "IGNORE", "LOW_PRIORITY", "QUICK", "LATERAL", "CONCURRENTLY"];

/// Follows the tokens of a statement; of several, the first gives the shape.
pub(super) struct Tracker {
    shape: Shape,
    /// Significant tokens of the current statement so far.
    count: usize,
    first_statement: bool,
    depth: usize,
    /// Depth of the verb: a statement may stand in parentheses.
    verb_depth: usize,
    seek: Seek,
    /// The current statement is one of [`NAMING`] and its name did not come yet.
    name_to_come: bool,
    /// A count may stand before the name: `FETCH 100 FROM c`.
    name_after_count: bool,
    after_distinct: bool,
    /// The main verb of a `WITH` is to come.
    with: bool,
    /// Here stands the name of a `WITH` query, which may be that of a verb.
    at_query_name: bool,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            count: 0,
            first_statement: true,
            depth: 0,
            verb_depth: 0,
            seek: Seek::Verb,
            name_to_come: false,
            name_after_count: false,
            after_distinct: false,
            with: false,
            at_query_name: false,
        }
    }
}

impl Tracker {
    /// Takes the next significant token; true if it is a name that a driver made up.
    pub(super) fn token(&mut self, token: &Token<'_>) -> bool {
        if token.is_symbol(b';') && self.depth == 0 {
            self.first_statement &= self.count == 0;
            self.count = 0;
            self.name_to_come = false;
            return false;
        }
        if token.is_symbol(b'(') && self.count == 0 {
            self.depth += 1;
            return false;
        }
        self.count += 1;
        if self.count == 1 {
            self.name_to_come = token.kind == Kind::Word && one_of(token, NAMING);
            self.name_after_count = one_of(token, &["FETCH", "MOVE"]);
        }
        if self.first_statement {
            self.head(token);
            self.table(token);
        }
        if token.is_symbol(b'(') {
            self.depth += 1;
        } else if token.is_symbol(b')') {
            self.depth = self.depth.saturating_sub(1);
        }
        self.after_distinct = token.is_word("DISTINCT");
        self.at_query_name = self.with
            && self.depth == self.verb_depth
            && (token.is_symbol(b',') || one_of(token, &["WITH", "RECURSIVE"]));
        self.is_driver_name(token)
    }

    pub(super) fn finish(self) -> Shape {
        self.shape
    }

    fn is_driver_name(&mut self, token: &Token<'_>) -> bool {
        if !self.name_to_come || self.count == 1 {
            return false;
        }
        let is_name = match token.kind {
            Kind::Word => !one_of(token, BEFORE_NAME),
            Kind::Quoted | Kind::Parameter | Kind::Literal => true,
            _ => return false,
        };
        self.name_to_come = !is_name || self.name_after_count;
        let name = token.text.strip_prefix(b"\"").unwrap_or(token.text);
        is_name && (name.starts_with(b"__") || name.iter().any(u8::is_ascii_digit))
    }

    /// Operation and transaction control, from the first words.
    fn head(&mut self, token: &Token<'_>) {
        if token.kind != Kind::Word {
            return;
        }
        if self.count == 1 {
            self.verb_depth = self.depth;
            self.with = token.is_word("WITH");
            if token.text.len() <= MAX_OPERATION && token.text.is_ascii() {
                self.shape.operation = String::from_utf8_lossy(token.text).to_ascii_uppercase();
            }
            self.shape.is_transaction_control =
                one_of(token, &["BEGIN", "COMMIT", "ROLLBACK", "ABORT", "END", "SAVEPOINT", "RELEASE", "XA"]);
        } else if self.count <= 3 {
            let control: &[&str] = match (self.shape.operation.as_str(), self.count) {
                ("START" | "PREPARE", 2) => &["TRANSACTION"],
                ("SET", 2 | 3) => &["TRANSACTION", "CHARACTERISTICS", "AUTOCOMMIT"],
                _ => &[],
            };
            self.shape.is_transaction_control |= one_of(token, control);
        }
    }

    fn table(&mut self, token: &Token<'_>) {
        match self.seek {
            Seek::Done => {}
            Seek::Verb => {
                if token.kind == Kind::Word && self.depth == self.verb_depth && !self.at_query_name {
                    self.verb(token);
                }
            }
            Seek::Keyword(word) => {
                if self.depth == self.verb_depth && token.is_word(word) && !self.after_distinct {
                    self.seek = Seek::Name { from: word == "FROM" };
                }
            }
            Seek::Name { from } => {
                let starts = self.shape.table.is_none();
                match token.kind {
                    Kind::Word if starts && one_of(token, BEFORE_TABLE) => {}
                    Kind::Word | Kind::Quoted => {
                        self.add_to_table(token.text);
                        self.seek = Seek::Dot { from };
                    }
                    _ => self.seek = Seek::Done,
                }
            }
            Seek::Dot { from } => {
                self.seek = if token.is_symbol(b'.') {
                    self.add_to_table(b".");
                    Seek::Name { from }
                } else {
                    if from && token.is_symbol(b'(') {
                        self.shape.table = None; // a function
                    }
                    Seek::Done
                };
            }
        }
    }

    fn verb(&mut self, token: &Token<'_>) {
        let seek = match () {
            () if one_of(token, &["SELECT", "DELETE"]) => Seek::Keyword("FROM"),
            () if one_of(token, &["INSERT", "MERGE", "REPLACE"]) => Seek::Keyword("INTO"),
            () if one_of(token, &["UPDATE", "TABLE"]) => Seek::Name { from: false },
            () if token.is_word("VALUES") => Seek::Done,
            () if self.count > 1 => return,
            () if one_of(token, &["COPY", "TRUNCATE", "LOCK"]) => Seek::Name { from: false },
            () if one_of(token, &["CREATE", "ALTER", "DROP"]) => Seek::Keyword("TABLE"),
            () if one_of(token, &["WITH", "EXPLAIN", "DECLARE", "PREPARE"]) => return,
            () => Seek::Done,
        };
        if self.with {
            self.with = false;
            self.shape.operation = String::from_utf8_lossy(token.text).to_ascii_uppercase();
        }
        self.seek = seek;
    }

    fn add_to_table(&mut self, part: &[u8]) {
        let table = self.shape.table.get_or_insert_default();
        if table.len() + part.len() <= MAX_TABLE {
            table.push_str(&String::from_utf8_lossy(part));
        }
    }
}

fn one_of(token: &Token<'_>, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(word))
}
