use super::super::scrub::scrub;

/// As PostgreSQL 15, MariaDB 10.11, `SQLite` 3.40 and their drivers print them.
const MESSAGES: &[(&str, &str)] = &[
    (
        "invalid input syntax for type integer: \"hunter2\"\nLINE 1: SELECT * FROM t WHERE id = 'hunter2'\n                                   ^\n",
        "invalid input syntax for type integer: \"<redacted>\"\nLINE 1: <redacted>\n",
    ),
    (
        "column \"nope\" does not exist\nLINE 2: ...er2' AND b = 'hunter2' AND nope = 'hunt...\n                    ^\nHINT:  Perhaps you meant no.\n",
        "column \"nope\" does not exist\nLINE 2: <redacted>\nHINT:  Perhaps you meant no.\n",
    ),
    (
        "syntax error at or near \"FRM\"\nLINE 1: SELECT 'hunter2' FRM",
        "syntax error at or near \"FRM\"\nLINE 1: <redacted>",
    ),
    (
        "unterminated quoted string at or near \"'hunter2\"\nLINE 1: SELECT 'hunter2\n               ^\n",
        "unterminated quoted string at or near \"<redacted>\"\nLINE 1: <redacted>\n",
    ),
    (
        "invalid input syntax for type integer: \"a\"\nhunter2\"\nLINE 1: SELECT 'a\"\n               ^\n",
        "invalid input syntax for type integer: \"<redacted>\"\nLINE 1: <redacted>\n",
    ),
    (
        "malformed array literal: \"{\"hunter2\"\nLINE 1: SELECT '{\"hunter2'::text[]\n               ^\nDETAIL:  Unexpected end of input.\n",
        "malformed array literal: \"<redacted>\"\nLINE 1: <redacted>\nDETAIL:  Unexpected end of input.\n",
    ),
    ("malformed array literal: \"{\"hunt", "malformed array literal: \"<redacted>"),
    (
        "date/time field value out of range: \"1984-13-45\"",
        "date/time field value out of range: \"<redacted>\"",
    ),
    (
        "invalid value \"hunt\" for \"YYYY\"\nDETAIL:  Value must be an integer.",
        "invalid value \"<redacted>\" for \"YYYY\"\nDETAIL:  Value must be an integer.",
    ),
    (
        "invalid value for parameter \"DateStyle\": \"hunter2\"\nDETAIL:  Unrecognized key word: \"hunter2\".\n",
        "invalid value for parameter \"DateStyle\": \"<redacted>\"\nDETAIL:  Unrecognized key word: \"<redacted>\".\n",
    ),
    (
        "invalid input syntax for type json\nDETAIL:  Expected \",\" or \"}\", but found \"\"hunter2\"\".\nCONTEXT:  JSON data, line 1: {\"pin\": 12 \"hunter2\"\nCOPY t, line 1, column j: \"{\"pin\": 12 \"hunter2\"\"\n",
        "invalid input syntax for type json\nDETAIL:  Expected \",\" or \"}\", but found \"<redacted>\".\nCONTEXT:  JSON data, line 1: <redacted>\nCOPY t, line 1, column j: <redacted>\n",
    ),
    (
        "invalid input syntax for type json\nDETAIL:  Token \"hunter2\" is invalid.\nCONTEXT:  JSON data, line 1: {\"pin\": hunter2...\nunnamed portal parameter $1 = '...'",
        "invalid input syntax for type json\nDETAIL:  Token \"<redacted>\" is invalid.\nCONTEXT:  JSON data, line 1: <redacted>\nunnamed portal parameter $1 = '<redacted>'",
    ),
    (
        "extra data after last expected column\nCONTEXT:  COPY t, line 3: \"1,hunter2,x\"\n",
        "extra data after last expected column\nCONTEXT:  COPY t, line 3: \"<redacted>\"\n",
    ),
    (
        "value too long for type character varying(4)\nCONTEXT:  COPY t, line 3, column c: \"a\nhunter2\"",
        "value too long for type character varying(4)\nCONTEXT:  COPY t, line 3, column c: \"<redacted>\"",
    ),
    (
        "syntax error at or near \"selec\"\nLINE 1: selec 'hunter2'\n        ^\nQUERY:  selec 'hunter2'\n\n, 'hunter2'\nCONTEXT:  PL/pgSQL function f() line 1 at EXECUTE\n",
        "syntax error at or near \"selec\"\nLINE 1: <redacted>\nQUERY:  <redacted>\nCONTEXT:  PL/pgSQL function f() line 1 at EXECUTE\n",
    ),
    (
        "division by zero\nCONTEXT:  SQL statement \"SELECT 1/0 WHERE 'hunter2' = ''\"\nPL/pgSQL function f() line 1 at EXECUTE\n",
        "division by zero\nCONTEXT:  SQL statement \"<redacted>\"\nPL/pgSQL function f() line 1 at EXECUTE\n",
    ),
    (
        "invalid XML document\nDETAIL:  line 1: Start tag expected, '<' not found\nhunter2\n^\n",
        "invalid XML document\nDETAIL:  line 1: <redacted>\n",
    ),
    (
        "invalid input for query argument $1: 'hunter2' (invalid UUID 'hunter2': length must be between 32..36 characters, got 7)",
        "invalid input for query argument $1: <redacted>",
    ),
    (
        "(1064, \"You have an error in your SQL syntax; check the manual for the right syntax to use near ''hunter2' AND ..' at line 1\")",
        "(1064, \"You have an error in your SQL syntax; check the manual for the right syntax to use near '<redacted>' at line 1\")",
    ),
    (
        "(1292, \"Truncated incorrect DOUBLE value: 'hunter2'\")",
        "(1292, \"Truncated incorrect DOUBLE value: '<redacted>'\")",
    ),
    (
        "(1690, \"BIGINT value is out of range in '1984 + 1'\")",
        "(1690, \"BIGINT value is out of range in '<redacted>'\")",
    ),
    ("near \"'hunter2'\": syntax error", "near \"<redacted>\": syntax error"),
    ("unrecognized token: \"12hunter2\"", "unrecognized token: \"<redacted>\""),
    (
        "(psycopg2.errors.DivisionByZero) division by zero\n\n[SQL: SELECT 'hunter2]\nx',\n 1/0, %(a)s]\n[parameters: {'a': 'hunter2'}]\n(Background on this error at: https://sqlalche.me/e/21/9h9h)",
        "(psycopg2.errors.DivisionByZero) division by zero\n\n[SQL: SELECT ?, ? / ?, ?]\n[parameters: <redacted>]\n(Background on this error at: https://sqlalche.me/e/21/9h9h)",
    ),
    (
        "(pymysql.err.OperationalError) gone\n[SQL: SELECT \"it\\\"s hunter2\"]\n(Background on this error at: https://sqlalche.me/e/21/f405)",
        "(pymysql.err.OperationalError) gone\n[SQL: <redacted>]\n(Background on this error at: https://sqlalche.me/e/21/f405)",
    ),
    (
        "(pymysql.err.OperationalError) gone\n[SQL: SELECT \"hunter2\"]\n(Background on this error at: https://sqlalche.me/e/21/f405)",
        "(pymysql.err.OperationalError) gone\n[SQL: SELECT ?]\n(Background on this error at: https://sqlalche.me/e/21/f405)",
    ),
    (
        "gone\n[SQL: UPDATE t SET password=%(password)s]\n[parameters: ('hunter2',)]",
        "gone\n[SQL: UPDATE t SET password = <redacted>]\n[parameters: <redacted>]",
    ),
    ("gone\n[SQL: ' 'secret': 'hunter2 more']", "gone\n[SQL: <redacted>]"),
    ("gone\n[SQL: ' query:  $ Duplicate entry 'hunter2' for key]", "gone\n[SQL: <redacted>]"),
    ("gone\n[SQL: SELECT 'hunt", "gone\n[SQL: SELECT ?"),
];

#[test]
fn values_and_excerpts_are_taken_out_of_the_words_of_databases() {
    for (text, expected) in MESSAGES {
        assert_eq!(scrub(text), *expected);
    }
}

#[test]
fn the_same_holds_within_a_repr_an_exception_group_and_a_traceback() {
    const REST: &str = "\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"app.py\", line 3, in f\n    f({\"a\": \"b\"})\nValueError: x\n";
    for (text, _) in MESSAGES {
        let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\'', "\\'");
        let group = format!("  | DataError: {}\n  +---", text.replace('\n', "\n  | "));
        for text in [format!("(1, '{escaped}', 2)"), group] {
            assert!(!scrub(&text).contains("hunt"), "{}", scrub(&text));
        }
        let is_cut = ["hunt", "FRM"].iter().any(|end| text.ends_with(end));
        let traceback = format!("Traceback (most recent call last):\nDataError: {text}\n{REST}");
        let kept = scrub(&traceback);
        assert!(!kept.contains("hunt"), "{kept}");
        assert!(is_cut || kept.ends_with(REST), "{kept}");
    }
}

#[test]
fn what_only_looks_so_stays() {
    for text in [
        "relation \"users\" does not exist",
        "Expecting value: line 1 column 7 (char 6)",
        "Parse error on line 3: unexpected 'else'",
        "unexpected token \"else\" near 'x'",
        "syntax error at or near \"[\"",
        "near \"FRM\": syntax error",
        "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    return {\"a\": \"b\"}\nIndexError: list index out of range",
        "invalid syntax\n\nX: \"y\"",
    ] {
        assert_eq!(scrub(text), text);
    }
}
