//! What tells the values of statements: the words around them, and what begins another part of a message.

/// How a value of a statement is told from the words around it.
pub(super) struct Value {
    /// One of these stands before it in the same paragraph; none: nothing needs to.
    pub(super) behind: &'static [&'static str],
    /// What it begins after.
    pub(super) before: &'static str,
    /// Any of these ends it. It may hold line breaks, and signs like the one that closes it.
    pub(super) after: &'static [&'static str],
    /// It ends as well where its part of the message does, with this sign.
    pub(super) closing: Option<&'static str>,
    /// Where none of these is there, the text was cut within it: it ends with the text. Else it is none.
    pub(super) may_be_cut: bool,
    /// A keyword or a name is none.
    pub(super) but_words: bool,
}

const VALUE: Value =
    Value { behind: &[], before: "", after: &[], closing: None, may_be_cut: false, but_words: false };

/// Parts that are a value, or an excerpt of one, to their end: of XML, of a statement within a function, of JSON; and of
/// what asyncpg cannot send.
pub(super) const WHOLE: &[Value] = &[
    Value { behind: &["detail:  line "], before: ": ", closing: Some(""), may_be_cut: true, ..VALUE },
    Value { before: "query:  ", after: &["\ncontext:"], may_be_cut: true, ..VALUE },
    Value { behind: &["json data, line "], before: ": ", closing: Some(""), may_be_cut: true, ..VALUE },
    Value { behind: &["query argument $"], before: ": ", closing: Some(""), may_be_cut: true, ..VALUE },
];

pub(super) const VALUES: &[Value] = &[
    // PostgreSQL.
    Value {
        before: ")=(",
        after: &[
            ") already exists",
            ") is duplicated",
            ") is not present in table",
            ") is still referenced",
            ") conflicts with existing",
        ],
        closing: Some(")"),
        may_be_cut: true,
        ..VALUE
    },
    Value { before: "row contains (", closing: Some(")"), may_be_cut: true, ..VALUE },
    Value {
        behind: &["invalid ", "malformed ", "out of range", "syntax error", "unrecognized "],
        before: ": \"",
        // pg8000 shows a message among others.
        after: &["\"', '"],
        closing: Some("\""),
        may_be_cut: true,
        ..VALUE
    },
    Value { before: "value \"", after: &["\" is out of range", "\" out of range", "\" for \""], ..VALUE },
    Value {
        before: "at or near \"",
        after: &["\" of jsonpath input"],
        closing: Some("\""),
        may_be_cut: true,
        but_words: true,
        ..VALUE
    },
    Value { before: "token \"", after: &["\" is invalid"], ..VALUE },
    Value { before: "detail:  token \"", after: &["\" is invalid"], may_be_cut: true, ..VALUE },
    Value { before: ", but found \"", closing: Some("\""), may_be_cut: true, ..VALUE },
    Value { before: "sql statement \"", closing: Some("\""), may_be_cut: true, ..VALUE },
    Value { before: "sql expression \"", closing: Some("\""), may_be_cut: true, ..VALUE },
    Value { before: "pl/pgsql assignment \"", closing: Some("\""), may_be_cut: true, ..VALUE },
    Value {
        behind: &["portal parameter $", "with parameters: $"],
        before: " = '",
        after: &["'\", '"],
        closing: Some("'"),
        may_be_cut: true,
        ..VALUE
    },
    Value {
        behind: &["context:  copy ", "\ncopy ", "'copy "],
        before: ": \"",
        closing: Some("\""),
        may_be_cut: true,
        ..VALUE
    },
    // MySQL and MariaDB.
    Value {
        before: "duplicate entry '",
        closing: Some("'"),
        after: &["' for key"],
        may_be_cut: true,
        ..VALUE
    },
    Value {
        behind: &["incorrect"],
        before: "value: '",
        after: &["' for column", "' for function"],
        closing: Some("'"),
        may_be_cut: true,
        ..VALUE
    },
    Value { behind: &["sql syntax"], before: "near '", after: &["' at line "], may_be_cut: true, ..VALUE },
    Value { before: "set to the value of '", closing: Some("'"), may_be_cut: true, ..VALUE },
    Value { before: "out of range in '", closing: Some("'"), may_be_cut: true, ..VALUE },
    Value { before: "character string: '", closing: Some("'"), may_be_cut: true, ..VALUE },
    // SQLite; its `unrecognized token: ".."` is among PostgreSQL's.
    Value { before: "near \"", after: &["\": syntax error"], but_words: true, ..VALUE },
    Value {
        before: "near \"'",
        after: &["\": syntax error"],
        closing: Some("\""),
        may_be_cut: true,
        ..VALUE
    },
    Value { behind: &["json path error"], before: "near '", closing: Some("'"), may_be_cut: true, ..VALUE },
    // SQLAlchemy.
    Value { before: "[parameters: ", closing: Some("]"), may_be_cut: true, ..VALUE },
];

/// What another part of a message begins with, on a line of its own: fields and contexts of PostgreSQL (libpq's
/// `pqBuildErrorMessage3`), what `SQLAlchemy` adds, and the frame of an exception group.
pub(super) const PARTS: &[&str] = &[
    "line ",
    "detail:  ",
    "hint:  ",
    "query:  ",
    "context:  ",
    "pl/pgsql ",
    "sql statement ",
    "sql expression ",
    "sql function ",
    "json data, ",
    "copy ",
    "unnamed portal ",
    "portal ",
    "[sql",
    "[parameters",
    "(background ",
    "+-",
];
