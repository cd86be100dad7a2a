use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn postgres(text: &str) -> String {
    normalise(text.as_bytes(), Dialect::Postgres).text
}

fn mysql(text: &str) -> String {
    normalise(text.as_bytes(), Dialect::Mysql).text
}

#[rstest]
#[case::strings("SELECT 'a', 'it''s', '' FROM t", "SELECT ?, ?, ? FROM t")]
#[case::backslash_is_plain(r"SELECT 'a\', b", "SELECT ?, b")]
#[case::escape_string(r"SELECT E'a\'b', e'\\', b", "SELECT ?, ?, b")]
#[case::continued_string("SELECT 'a'\n  'b'", "SELECT ?")]
#[case::unicode_string(r"SELECT U&'d\0061t' UESCAPE '!'", "SELECT ? UESCAPE ?")]
#[case::bit_strings("SELECT B'101', x'1F', N'n'", "SELECT ?, ?, ?")]
#[case::dollar("SELECT $$a'b$$, $fn$ $$x$$ $fn$, 1", "SELECT ?, ?, ?")]
#[case::dollar_in_name("SELECT a$b$c FROM t$1", "SELECT a$b$c FROM t$1")]
#[case::numbers(
    "SELECT 1, 1.5, .5, 1e10, 1.5E-3, 0xfF, 0o17, 0b01, 1_000",
    "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"
)]
#[case::typed("SELECT date '2020-01-01', interval '1 day', '1'::int4", "SELECT date ?, interval ?, ?::int4")]
#[case::negative("WHERE a = -5 AND b=-.5 AND c > - 3", "WHERE a = ? AND b = ? AND c > ?")]
#[case::minus("SELECT a -5, b- 5, (c)-5, d[1]-5, - a", "SELECT a - ?, b - ?, (c) - ?, d[?] - ?, - a")]
#[case::keywords_stay(
    "WHERE a IS NULL AND b = TRUE OR c IS NOT FALSE",
    "WHERE a IS NULL AND b = TRUE OR c IS NOT FALSE"
)]
#[case::parameters("WHERE a=$1 AND b = $22 AND c = ?", "WHERE a = ? AND b = ? AND c = ?")]
#[case::client_parameters("VALUES (:a, %s, %(b)s)", "VALUES (?, ?, ?)")]
#[case::modulo("SELECT a %s, a%b", "SELECT a % s, a % b")]
#[case::cast_and_slice("SELECT a::text, b[1:2], c[:n], d[m:n]", "SELECT a::text, b[?:?], c[:n], d[m:n]")]
#[case::colons("SELECT a: :: b, c::::d", "SELECT a: :: b, c:: ::d")]
#[case::comments("SELECT 1 -- one\n, /* a /* nested */ 'x' */ 2", "SELECT ?, ?")]
#[case::comment_in_operator("SELECT a*--x\nb, c+/*y*/d", "SELECT a * b, c + d")]
#[case::space(" \n SELECT\t a ,b\r\nFROM   t ; ", "SELECT a, b FROM t")]
#[case::identifiers(
    "SELECT \"A\"\"b\".\"c d\", U&\"d\\0061\" FROM Über.Tab",
    "SELECT \"A\"\"b\".\"c d\", U&\"d\\0061\" FROM Über.Tab"
)]
#[case::functions("SELECT count(*), t.*, now () FROM t", "SELECT count(*), t.*, now () FROM t")]
#[case::json(
    "WHERE a->>'b' @> '{}' AND c ?| array['x'] AND d @? 'p'",
    "WHERE a ->> ? @> ? AND c ?| array[?] AND d @? ?"
)]
#[case::in_list("WHERE a IN (1, 2,3) AND b NOT IN ('x')", "WHERE a IN (?) AND b NOT IN (?)")]
#[case::in_list_mixed("WHERE a in(-1, NULL, $3, 'x'::text, 'y'::text)", "WHERE a in(?, ?::text)")]
#[case::in_rows("WHERE (a, b) IN ((1, 2), (3, NULL), (4, 5))", "WHERE (a, b) IN ((?, ?))")]
#[case::in_subquery(
    "WHERE a IN (SELECT b FROM c WHERE d IS NULL, 1, 1)",
    "WHERE a IN (SELECT b FROM c WHERE d IS NULL, ?)"
)]
#[case::in_names("WHERE 1 IN (a, a, b)", "WHERE ? IN (a, a, b)")]
#[case::array("SELECT ARRAY[1,2,3], ARRAY[[1,2],[3,4]]::int[]", "SELECT ARRAY[?], ARRAY[[?]]::int[]")]
#[case::values(
    "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL), (3, f(4, (5)))",
    "INSERT INTO t (a, b) VALUES (?, ?)"
)]
#[case::values_null(
    "INSERT INTO t VALUES (NULL, true, DEFAULT, NULL::text) RETURNING id",
    "INSERT INTO t VALUES (?, ?, DEFAULT, ?::text) RETURNING id"
)]
#[case::values_from(
    "UPDATE t SET a = v.a FROM (VALUES (1, 2), (3, 4)) AS v (i, a), u WHERE t.i = v.i",
    "UPDATE t SET a = v.a FROM (VALUES (?, ?)) AS v (i, a), u WHERE t.i = v.i"
)]
#[case::values_conflict(
    "INSERT INTO t VALUES (1), (2) ON CONFLICT (a) DO UPDATE SET a = 3",
    "INSERT INTO t VALUES (?) ON CONFLICT (a) DO UPDATE SET a = ?"
)]
#[case::copy("COPY s.t (a, b) FROM stdin", "COPY s.t (a, b) FROM stdin")]
#[case::password("ALTER USER u WITH PASSWORD 'x'", "ALTER USER u WITH PASSWORD ?")]
#[case::password_misquoted("ALTER USER u PASSWORD \"x\"", "ALTER USER u PASSWORD ?")]
#[case::driver_savepoint("SAVEPOINT \"_sa_savepoint_1\"", "SAVEPOINT ?")]
#[case::driver_rollback("ROLLBACK TO SAVEPOINT s140_x1", "ROLLBACK TO SAVEPOINT ?")]
#[case::driver_release("RELEASE \"_pg3_1\"", "RELEASE ?")]
#[case::driver_statement("DEALLOCATE pdo_stmt_00000001", "DEALLOCATE ?")]
#[case::driver_statement_prepare("DEALLOCATE PREPARE __asyncpg_stmt_a__", "DEALLOCATE PREPARE ?")]
#[case::driver_cursor("FETCH FORWARD 100 FROM \"c_7f_1\"", "FETCH FORWARD ? FROM ?")]
#[case::driver_declare(
    "DECLARE _django_curs_1_sync_2 CURSOR FOR SELECT a1 FROM t2",
    "DECLARE ? CURSOR FOR SELECT a1 FROM t2"
)]
#[case::own_savepoint("SAVEPOINT before_import", "SAVEPOINT before_import")]
#[case::close_all("CLOSE ALL", "CLOSE ALL")]
#[case::several("SELECT 1; SAVEPOINT a1;; SELECT 2;", "SELECT ?; SAVEPOINT ?;; SELECT ?")]
#[case::comment_only("-- ping", "")]
#[case::cut_string("SELECT a FROM t WHERE b = 'secr", "SELECT a FROM t WHERE b = ?")]
#[case::cut_tag("DO $bod", "DO ?")]
#[case::cut_comment("SELECT a /* secr", "SELECT a")]
#[case::cut_list("WHERE a IN (1, 2, ", "WHERE a IN (?")]
#[case::cut_list_item("WHERE a IN (1, 2, 3", "WHERE a IN (?")]
fn normalises_postgres(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(postgres(text), expected);
}

#[rstest]
#[case::strings(
    r#"SELECT 'it\'s', "a\"b", "c""d", _utf8'x' FROM `my``t`"#,
    "SELECT ?, ?, ?, _utf8 ? FROM `my``t`"
)]
#[case::comments("SELECT 1 # one\n, 2 -- two\n, 3--1 /* a /* b */", "SELECT ?, ?, ? - ?")]
#[case::version_comment("/*!40101 SET NAMES utf8 */", "SET NAMES utf8")]
#[case::variables("SELECT @a := 1, @@global.x, $x", "SELECT @a := ?, @@global.x, $x")]
#[case::duplicate_key(
    "INSERT INTO t VALUES (1), (2) ON DUPLICATE KEY UPDATE a = VALUES(a), b = VALUES(b)",
    "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a), b = VALUES(b)"
)]
#[case::row("INSERT INTO t VALUES ROW(1, 2), ROW(3, 4)", "INSERT INTO t VALUES ROW(?, ?)")]
#[case::comma_at_the_end("INSERT INTO t VALUES (1),;", "INSERT INTO t VALUES (?)")]
#[case::operators(
    "SELECT a->'$.b', c->>'$.d', e<=>-1, f&&g, !h",
    "SELECT a -> ?, c ->> ?, e <=> ?, f && g, ! h"
)]
#[case::hex("SELECT 0xff, x'ff', b'01'", "SELECT ?, ?, ?")]
fn normalises_mysql(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(mysql(text), expected);
}

#[rstest]
#[case("select a from t where b = 1", "SELECT", Some("t"), false)]
#[case("SELECT a, (SELECT b FROM inner_t) FROM \"S\".\"T\" x", "SELECT", Some("\"S\".\"T\""), false)]
#[case("SELECT a IS DISTINCT FROM b, extract(year FROM c) FROM ONLY t", "SELECT", Some("t"), false)]
#[case("SELECT * FROM (SELECT 1) x", "SELECT", None, false)]
#[case("SELECT * FROM generate_series(1, 2)", "SELECT", None, false)]
#[case("SELECT 1", "SELECT", None, false)]
#[case("((SELECT a FROM t) UNION (SELECT a FROM u))", "SELECT", Some("t"), false)]
#[case("INSERT INTO a.b.c (x) SELECT 1 FROM z", "INSERT", Some("a.b.c"), false)]
#[case("UPDATE ONLY t SET a = 1 FROM u", "UPDATE", Some("t"), false)]
#[case("DELETE FROM ONLY t USING u", "DELETE", Some("t"), false)]
#[case("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "MERGE", Some("t"), false)]
#[case("WITH x AS (SELECT 1 FROM u) SELECT * FROM t", "SELECT", Some("t"), false)]
#[case("WITH x AS (DELETE FROM u RETURNING *) INSERT INTO t SELECT * FROM x", "INSERT", Some("t"), false)]
#[case(
    "WITH RECURSIVE update AS (SELECT 1), insert AS (SELECT 2) SELECT * FROM update",
    "SELECT",
    Some("update"),
    false
)]
#[case("WITH x AS (SELECT", "WITH", None, false)]
#[case("EXPLAIN (ANALYZE, COSTS off) SELECT * FROM t", "EXPLAIN", Some("t"), false)]
#[case("COPY t (a) FROM STDIN", "COPY", Some("t"), false)]
#[case("COPY (SELECT 1 FROM t) TO STDOUT", "COPY", None, false)]
#[case("CREATE TEMP TABLE IF NOT EXISTS s.t (a int)", "CREATE", Some("s.t"), false)]
#[case("TRUNCATE TABLE t", "TRUNCATE", Some("t"), false)]
#[case("DECLARE c CURSOR FOR SELECT * FROM t", "DECLARE", Some("t"), false)]
#[case("SELECT a FROM t FOR UPDATE", "SELECT", Some("t"), false)]
#[case("begin isolation level serializable", "BEGIN", None, true)]
#[case("START TRANSACTION READ ONLY", "START", None, true)]
#[case("START REPLICA", "START", None, false)]
#[case("/* x */ COMMIT", "COMMIT", None, true)]
#[case("ROLLBACK TO s1", "ROLLBACK", None, true)]
#[case("RELEASE SAVEPOINT s1", "RELEASE", None, true)]
#[case("PREPARE TRANSACTION 'x'", "PREPARE", None, true)]
#[case("PREPARE p AS SELECT * FROM t", "PREPARE", Some("t"), false)]
#[case("SET TRANSACTION READ ONLY", "SET", None, true)]
#[case("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET", None, true)]
#[case("SET search_path TO x", "SET", None, false)]
#[case("SET autocommit=0", "SET", None, true)]
#[case("'x' 1", "", None, false)]
#[case("", "", None, false)]
fn tells_what_a_statement_does(
    #[case] text: &str,
    #[case] operation: &str,
    #[case] table: Option<&str>,
    #[case] control: bool,
) {
    let found = normalise(text.as_bytes(), Dialect::Postgres);
    assert_eq!(
        (found.operation.as_str(), found.table.as_deref(), found.is_transaction_control),
        (operation, table, control)
    );
}

fn split(text: &str, dialect: Dialect) -> Vec<&str> {
    split_statements(text.as_bytes(), dialect)
        .map(|statement| std::str::from_utf8(statement).unwrap())
        .collect()
}

#[rstest]
#[case("a; b ;c", &["a", "b", "c"])]
#[case(" ; ;; -- x", &[])]
#[case("a ';' \";\" $$;$$ /*;*/ b;c", &["a ';' \";\" $$;$$ /*;*/ b", "c"])]
#[case("CREATE RULE r AS ON INSERT TO t DO (a; b); c", &["CREATE RULE r AS ON INSERT TO t DO (a; b)", "c"])]
#[case(
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; BEGIN; x; END",
    &["CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END", "BEGIN", "x", "END"]
)]
#[case("a; 'cut", &["a", "'cut"])]
fn splits_statements(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(split(text, Dialect::Postgres), expected);
}

#[rstest]
#[case("a; b ;c", &["a", "b", "c"])]
#[case(
    "CREATE DEFINER=`u`@`%` TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END; b",
    &["CREATE DEFINER=`u`@`%` TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END", "b"]
)]
#[case(
    "CREATE PROCEDURE p(a int) BEGIN IF a THEN BEGIN b; END; ELSEIF IF(a, b, c) THEN c; END IF; WHILE d DO e; END WHILE; \
     CASE a WHEN 1 THEN f; END CASE; SELECT CASE a WHEN 1 THEN 2 END; l: LOOP g; END LOOP l; \
     REPEAT h; UNTIL CASE a WHEN 1 THEN 2 END END REPEAT; END; CALL p(1)",
    &[
        "CREATE PROCEDURE p(a int) BEGIN IF a THEN BEGIN b; END; ELSEIF IF(a, b, c) THEN c; END IF; WHILE d DO e; END WHILE; \
         CASE a WHEN 1 THEN f; END CASE; SELECT CASE a WHEN 1 THEN 2 END; l: LOOP g; END LOOP l; \
         REPEAT h; UNTIL CASE a WHEN 1 THEN 2 END END REPEAT; END",
        "CALL p(1)",
    ]
)]
#[case("BEGIN NOT ATOMIC BEGIN a; END; b; END; c", &["BEGIN NOT ATOMIC BEGIN a; END; b; END", "c"])]
#[case("BEGIN; a; END; COMMIT", &["BEGIN", "a", "END", "COMMIT"])]
#[case("SELECT begin NOT IN (1); a", &["SELECT begin NOT IN (1)", "a"])]
#[case("CREATE TABLE a (event int, begin int); b", &["CREATE TABLE a (event int, begin int)", "b"])]
#[case("SELECT CASE a WHEN 1 THEN 2 END IF; a", &["SELECT CASE a WHEN 1 THEN 2 END IF", "a"])]
fn splits_statements_of_mysql(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(split(text, Dialect::Mysql), expected);
}

#[rstest]
#[case(Dialect::Postgres, r"SELECT 'C:\', 'x', a", "SELECT ?, ?, a")]
#[case(Dialect::PostgresEscapes, r"SELECT 'it\'s x', a", "SELECT ?, a")]
#[case(Dialect::Mysql, r#"SELECT 'it\'s x', "\"x", a"#, "SELECT ?, ?, a")]
#[case(Dialect::MysqlNoEscapes, r#"SELECT 'C:\', 'x', "\", "x", a"#, "SELECT ?, ?, ?, ?, a")]
fn a_backslash_means_what_the_server_says(
    #[case] dialect: Dialect,
    #[case] text: &str,
    #[case] expected: &str,
) {
    assert_eq!(normalise(text.as_bytes(), dialect).text, expected);
}

#[test]
fn fingerprint_is_the_published_hash() {
    // Test vectors of RFC 9923, appendix C.
    assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn a_long_statement_is_cut_at_a_token_and_a_long_list_is_not() {
    let names: Vec<_> = (0..2000).map(|i| format!("column_{i}")).collect();
    let text = postgres(&format!("SELECT {} FROM t", names.join(", ")));
    assert!(text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 20, "{}", text.len());
    let values = vec!["(1, 'x')"; 20_000].join(",");
    assert_eq!(
        postgres(&format!("INSERT INTO t VALUES {values} RETURNING a")),
        "INSERT INTO t VALUES (?, ?) RETURNING a"
    );
    assert_eq!(postgres(&format!("WHERE (a, b) IN ({values}) AND c")), "WHERE (a, b) IN ((?, ?)) AND c");
}

#[test]
fn nesting_without_end_is_taken() {
    let text = "(".repeat(100_000) + "1";
    assert_eq!(postgres(&text).len(), MAX_TEXT);
    let lists = "a IN (".repeat(200) + &"1, 1)".repeat(200);
    assert_eq!(postgres(&postgres(&lists)), postgres(&lists));
}

#[test]
fn a_text_that_is_cut_behind_a_comma_is_read_alike_twice() {
    for length in MAX_TEXT - 40..MAX_TEXT {
        let once = postgres(&format!("SELECT {} VALUES (1), {}", "a".repeat(length), "b".repeat(60)));
        assert_eq!(postgres(&once), once, "{length}");
    }
}

/// Literals whose content is made of `Z`, `Q` and `7` only, none of which is in [`FRAMES`].
const PLANTED: &[&str] = &[
    "'ZQ7ZQ7'",
    "'ZQ''ZQ'",
    "'ZQ\"ZQ'",
    "'ZQ$$ZQ'",
    "'ZQ--ZQ'",
    "'ZQ/*ZQ'",
    "'ZQ'\n'ZQ'",
    "E'ZQ\\'ZQ'",
    "e'ZQ\\\\ZQ'",
    "U&'ZQ\\7777'",
    "N'ZQ'",
    "B'777'",
    "X'777'",
    "$$ZQ'ZQ$$",
    "$a$ZQ$$ZQ$b$ZQ$a$",
    "777",
    "7.7e-7",
    ".777",
    "0x777",
    "7_7",
    "-777",
    "7ZQ",
    "date '7777-77-77'",
    "interval '7 ZQ'",
    "'ZQ'::text",
    "'\u{1F600}ZQ'",
    "'ZQ\\ZQ'",
    "$7",
    "/* ZQ7 */ 1",
    "/* ZQ /* ZQ */ ZQ */ 1",
    "-- ZQ7\n1",
];

const PLANTED_MYSQL: &[&str] = &[
    "'ZQ\\'ZQ'",
    "\"ZQ7\"",
    "\"ZQ\\\"ZQ\"",
    "\"ZQ\"\"ZQ\"",
    "'ZQ\"ZQ'",
    "# ZQ\n1",
    "-- ZQ\n1",
    "/* ZQ */ 1",
    "x'77'",
    "_utf8'ZQ'",
    "777",
    "@'ZQ'",
];

const PLANTED_ESCAPES: &[&str] =
    &["'ZQ\\'ZQ'", "'ZQ\\\\'", "'ZQ''ZQ'", "N'ZQ\\'ZQ'", "E'ZQ\\'ZQ'", "$$ZQ\\$$"];

const PLANTED_NO_ESCAPES: &[&str] =
    &["'ZQ\\', 'ZQ'", "\"ZQ\\\", \"ZQ\"", "'ZQ\\''ZQ'", "N'ZQ\\', 'ZQ'", "_utf8'ZQ\\', 'ZQ'"];

const FRAMES: &[(&str, &str)] = &[
    ("SELECT a FROM t WHERE b = ", " AND c = 1"),
    ("SELECT a FROM t WHERE b=", ""),
    ("SELECT a FROM t WHERE b IN (1, ", ", 2)"),
    ("INSERT INTO t VALUES (1, ", "), (2, 3)"),
    ("INSERT INTO t VALUES (1, 2), (", ", 3)"),
    ("SELECT ARRAY[", "]"),
    ("ALTER USER u PASSWORD ", ""),
    ("SELECT f(", ") -- done"),
    ("SELECT a||", "||b"),
];

fn assert_clean(text: &[u8], dialect: Dialect) {
    let found = normalise(text, dialect);
    let shown = format!("{}{}{:?}", found.text, found.operation, found.table);
    assert!(
        !shown.contains(['Z', 'Q', '7', '\u{1F600}']),
        "{:?} left {:?} of {:?}",
        dialect,
        shown,
        String::from_utf8_lossy(text)
    );
    assert_eq!(normalise(found.text.as_bytes(), dialect).text, found.text, "not stable");
}

#[rstest]
#[case(Dialect::Postgres, PLANTED)]
#[case(Dialect::PostgresEscapes, PLANTED_ESCAPES)]
#[case(Dialect::Mysql, PLANTED_MYSQL)]
#[case(Dialect::MysqlNoEscapes, PLANTED_NO_ESCAPES)]
fn no_literal_survives_whatever_the_cut(#[case] dialect: Dialect, #[case] planted: &[&str]) {
    for literal in planted {
        for (before, after) in FRAMES {
            let text = format!("{before}{literal}{after}");
            for cut in 0..=text.len() {
                assert_clean(&text.as_bytes()[..cut], dialect);
            }
        }
    }
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z '\"$/*;-]{0,12}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "[a-z \"$/*;-]{0,12}".prop_map(|text| format!("E'{text}\\''")),
        "[a-z '\"/*;-]{0,12}".prop_map(|text| format!("$q${text}$q$")),
        "-?[0-9]{1,9}(\\.[0-9]{1,3})?".prop_map(|text| text),
        Just("$1".to_owned()),
    ]
}

fn statement_parts() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(vec![
        "SELECT",
        "a",
        "FROM",
        "t",
        "WHERE",
        "IN (",
        "(",
        ")",
        ",",
        "ARRAY[",
        "]",
        "=",
        "-",
        "VALUES (",
        "\"q;'\"",
        ";",
        "::text",
        "||",
        "NULL",
        "SAVEPOINT",
        "s1",
        "DECLARE",
        "CURSOR",
        "?",
        ":x",
        "%s",
        ".",
        "/*c*/",
    ]);
    prop::collection::vec(prop_oneof![3 => word.prop_map(str::to_owned), 1 => Just("\0".to_owned())], 0..24)
}

proptest! {
    #[test]
    fn any_bytes_are_taken_and_a_second_pass_changes_nothing(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"'\"$()[],;-+?|:%s1aE \\/*@.".to_vec())], 0..80)
    ) {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            let once = normalise(&bytes, dialect);
            let twice = normalise(once.text.as_bytes(), dialect);
            prop_assert_eq!(&once.text, &twice.text);
            prop_assert_eq!(once.fingerprint, twice.fingerprint);
            prop_assert!(once.text.len() <= MAX_TEXT);
        }
    }

    #[test]
    fn statements_that_differ_in_literals_only_are_one(
        parts in statement_parts(), first in prop::collection::vec(literal(), 24), second in prop::collection::vec(literal(), 24)
    ) {
        let fill = |literals: &[String]| {
            // Literals side by side are a continued string or a subtraction: not the same statement.
            let fill = |(part, literal): (&String, &String)| {
                if part == "\0" { format!("= {literal} AND") } else { part.clone() }
            };
            let parts: Vec<_> = parts.iter().zip(literals).map(fill).collect();
            normalise(parts.join(" ").as_bytes(), Dialect::Postgres)
        };
        let (first, second) = (fill(&first), fill(&second));
        prop_assert_eq!(&first.text, &second.text);
        prop_assert_eq!(first.fingerprint, second.fingerprint);
    }

    #[test]
    fn statements_hold_every_significant_byte(text in "[a-z;' $()/*-]{0,60}") {
        let whole: Vec<_> = split_statements(text.as_bytes(), Dialect::Postgres).collect();
        for statement in &whole {
            prop_assert_eq!(split_statements(statement, Dialect::Postgres).count(), 1);
        }
        let joined: Vec<u8> = whole.join(&b"; "[..]);
        prop_assert_eq!(split_statements(&joined, Dialect::Postgres).count(), whole.len());
    }
}
