//! SQL without its values: statements split, literals dropped, lists collapsed, a stable fingerprint.
//!
//! The lexer is our own because it must do what parsers refuse: take a text that ends anywhere (the capture stage copies a
//! bounded prefix), that may not be UTF-8 and that may not be valid SQL at all, and still never let a literal through.
//! It knows tokens and nesting only; there is no grammar behind it.
//!
//! Two server settings change what a backslash in a literal means and cannot be seen in the text: PostgreSQL's
//! `standard_conforming_strings = off` (default `on` since 9.1) and MySQL's `NO_BACKSLASH_ESCAPES` (default off). Both servers
//! tell them on the wire; until that is seen (a connection that is older than the agent) the defaults are assumed.

mod lexer;
mod memo;
mod shape;
mod split;
#[cfg(test)]
mod tests;
mod values;
mod writer;

pub(crate) use memo::Form;
pub use memo::Memo;
pub use split::{Statements, split_statements};

/// Longest normalised text, in bytes; what follows is left out at a token boundary.
pub const MAX_TEXT: usize = 4096;

/// Whose lexical rules a text follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL 9.1 and later (manual, section 4.1 "Lexical Structure").
    Postgres,
    /// The same where `standard_conforming_strings` is off: a backslash escapes in plain literals, too.
    PostgresEscapes,
    /// MySQL 5.7 and later, MariaDB (MySQL manual, chapter 11 "Language Structure").
    Mysql,
    /// The same with `NO_BACKSLASH_ESCAPES`: a backslash is a character like others.
    MysqlNoEscapes,
}

impl Dialect {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::PostgresEscapes, Self::Mysql, Self::MysqlNoEscapes];
}

/// A statement without its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normalised {
    /// At most [`MAX_TEXT`] bytes: every literal and parameter is `?`, comments are gone, white space is one blank,
    /// `IN` and `ARRAY` lists hold each shape of item once, `VALUES` holds its first row. Identifiers and keywords stay
    /// as written, except names that drivers number themselves (savepoints, cursors, prepared statements), which are
    /// `?` too. Empty where the statement holds nothing but white space and comments.
    pub text: String,
    /// [`fingerprint`] of `text`.
    pub fingerprint: u64,
    /// First keyword in upper case; of `WITH ...` the verb of the main statement, as far as it is in the text. Empty
    /// where the text does not begin with a word.
    pub operation: String,
    /// Table after `FROM`, `INTO`, `UPDATE`, `COPY`, `TABLE` ..., as written, with its schema; none for a subquery or a
    /// function.
    pub table: Option<String>,
    /// Begins, ends or marks a transaction (`BEGIN`, `COMMIT`, `SAVEPOINT`, `SET TRANSACTION`, ...).
    pub is_transaction_control: bool,
}

/// Normalises one statement. `text` may be cut anywhere and need not be UTF-8; of a literal that is cut nothing is kept.
/// A second pass over the result changes nothing.
pub fn normalise(text: &[u8], dialect: Dialect) -> Normalised {
    let (text, shape) = writer::write(text, dialect);
    Normalised {
        fingerprint: fingerprint(text.as_bytes()),
        operation: shape.operation,
        table: shape.table,
        is_transaction_control: shape.is_transaction_control,
        text,
    }
}

/// 64-bit FNV-1a of `bytes` (RFC 9923, section 2): the same on every platform and in every version, so that stored rows
/// stay comparable.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
