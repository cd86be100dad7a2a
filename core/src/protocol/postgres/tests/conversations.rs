//! Conversations by hand: what clients rarely do, and what the capture stage leaves out.

use super::*;

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn start_up_is_no_query_and_names_the_session() {
    let mut fed = connected();
    fed.client(query("SELECT 1")).server(join(&[row(9), complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-4 rows=1 idle SELECT ?"]);
    let sql = sql(&fed.out.exchanges[0]);
    // A database that is not named is the user's.
    assert_eq!((sql.user.as_deref(), sql.database.as_deref()), (Some("shop"), Some("shop")));
    assert_eq!((sql.system, sql.statement.operation.as_str()), ("postgresql", "SELECT"));
}

#[test]
fn bytes_are_those_of_the_messages_and_not_of_ready_for_query() {
    let mut fed = connected();
    let (asked, told) = (query("SELECT 1"), join(&[row(9), complete("SELECT 1")]));
    fed.client(&asked).server(&told).server(ready("I"));
    let exchange = &fed.out.exchanges[0];
    assert_eq!((exchange.request_bytes, exchange.response_bytes), (asked.len() as u64, told.len() as u64));
    let run = join(&[parse("", "SELECT $1"), bind("", "", b"x"), execute("")]);
    fed.client(&run).client(sync());
    fed.server(join(&[message(b'1', ""), message(b'2', ""), row(5), complete("SELECT 1"), ready("I")]));
    let exchange = &fed.out.exchanges[1];
    assert_eq!((exchange.request_bytes, exchange.response_bytes), (run.len() as u64, 10 + 10 + 14));
}

#[test]
fn encryption_is_left_to_who_knows_it() {
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut fed = Fed::new(true);
    assert_eq!(fed.client(ssl).next, Next::Continue);
    assert_eq!(fed.server("S").next, Next::Redetect { consumed: 1 });
    // The answer was not seen, but what follows is a TLS record.
    assert_eq!(Fed::new(true).client(ssl).client([0x16, 3, 1]).next, Next::Redetect { consumed: 0 });
    // GSS refused, TLS refused, start-up in the clear.
    let gss = [0, 0, 0, 8, 4, 210, 22, 48];
    let mut fed = Fed::new(true);
    fed.client(gss).server("N").client(ssl).server("N").client(startup()).server(ready("I"));
    fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["7-8-8 rows=1 idle SELECT ?"]);
}

#[test]
fn cancel_and_replication_are_left_alone() {
    let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(Fed::new(true).client(cancel).next, Next::Ignore);
    for (value, next) in [("database", Next::Ignore), ("true", Next::Ignore), ("off", Next::Continue)] {
        let body = format!("\0\x03\0\0user\0u\0replication\0{value}\0\0");
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let mut fed = Fed::new(true);
        assert_eq!(fed.client([&length[..], body.as_bytes()].concat()).next, next, "{value}");
        assert_eq!(fed.lost(Loss::ConnectionsHidden), u64::from(next == Next::Ignore), "{value}");
    }
    let mut fed = connected();
    assert_eq!(fed.client(query("START_REPLICATION")).server(message(b'W', [0; 3])).next, Next::Ignore);
    assert_eq!(fed.lost(Loss::ConnectionsHidden), 1);
}

#[test]
fn a_login_that_the_server_refuses_is_no_query_and_told() {
    let mut fed = Fed::new(true);
    fed.client(startup()).server(message(b'R', [0, 0, 0, 10])).client(message(b'p', "secret"));
    fed.server(error("FATAL", "28P01")).close(CloseReason::Peer);
    let [Exchange { start: Time(1), end: Time(4), detail: Detail::Command(command), .. }] =
        &fed.out.exchanges[..]
    else {
        panic!("{:?}", fed.out.exchanges)
    };
    assert_eq!((command.system, command.name.as_str()), ("postgresql", "CONNECT"));
    assert_eq!(command.error.as_deref(), Some("refused by the server: 28P01"));
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn every_statement_of_a_query_is_one_and_none_runs_after_an_error() {
    let mut fed = connected();
    fed.client(query("BEGIN; UPDATE t SET a = 1; SELECT 1 / 0; DELETE FROM t"));
    assert_eq!(fed.session.in_flight(), 1);
    fed.server(complete("BEGIN")).server(complete("UPDATE 7"));
    assert_eq!(fed.lines(), [""; 0], "the state is known at ReadyForQuery");
    fed.server(join(&[error("ERROR", "22012"), ready("E")]));
    assert_eq!(
        fed.lines(),
        [
            "3-4-4 rows=- ? BEGIN",
            "4-5-5 rows=7 ? UPDATE t SET a = ?",
            "5-6-6 rows=- failed ERROR 22012 SELECT ? / ?",
        ]
    );
    assert_eq!(fed.session.in_flight(), 0);
}

#[test]
fn state_of_each_statement_is_told_where_nothing_could_change_it() {
    let mut fed = connected();
    fed.client(query("SELECT 1; SELECT 2"));
    fed.server(join(&[complete("SELECT 1"), complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-4 rows=1 idle SELECT ?", "4-4-4 rows=1 idle SELECT ?"]);
}

#[test]
fn what_is_sent_behind_the_sync_that_ends_an_error_is_not_skipped() {
    let one = |text: &str| join(&[parse("", text), bind("", "", b""), execute("")]);
    let mut fed = connected();
    // The answer to a Flush is an error; the client goes on with a Sync and its next pipeline, in one write.
    fed.client(join(&[one("SELECT wrong"), message(b'H', "")])).server(error("ERROR", "42703"));
    fed.client(join(&[one("SELECT skipped"), message(b'F', [0; 12]), sync(), one("SELECT 1"), sync()]));
    fed.server(ready("I"));
    fed.server(join(&[message(b'1', ""), message(b'2', ""), row(5), complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-4 rows=- idle ERROR 42703 SELECT wrong", "5-7-7 rows=1 idle SELECT ?"]);
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn preparing_alone_is_no_query_unless_it_fails() {
    let mut fed = connected();
    fed.client(join(&[parse("s1", "SELECT a FROM t"), describe("s1"), sync()]));
    fed.server(join(&[message(b'1', ""), message(b't', [0; 2]), message(b'n', ""), ready("I")]));
    assert_eq!(fed.lines(), [""; 0]);
    fed.client(join(&[bind("", "s1", b"secret"), execute(""), sync()]));
    fed.server(join(&[message(b'2', ""), complete("SELECT 0"), ready("I")]));
    fed.client(join(&[parse("s2", "SELECT nothing"), describe("s2"), sync()]));
    fed.server(join(&[error("ERROR", "42703"), ready("I")]));
    assert_eq!(
        fed.lines(),
        ["5-6-6 rows=0 idle SELECT a FROM t", "7-8-8 rows=- idle ERROR 42703 SELECT nothing"]
    );
}

#[test]
fn a_name_keeps_its_statement_when_a_second_parse_is_refused_or_skipped() {
    let mut fed = connected();
    fed.client(join(&[parse("s", "SELECT a FROM t"), sync()])).server(join(&[message(b'1', ""), ready("I")]));
    fed.client(join(&[parse("s", "SELECT b FROM t"), parse("s", "SELECT c FROM t"), sync()]));
    fed.server(join(&[error("ERROR", "42P05"), ready("I")]));
    fed.client(join(&[bind("", "s", b""), execute(""), sync()]));
    fed.server(join(&[message(b'2', ""), complete("SELECT 0"), ready("I")]));
    assert_eq!(
        fed.lines(),
        ["5-6-6 rows=- idle ERROR 42P05 SELECT b FROM t", "7-8-8 rows=0 idle SELECT a FROM t"]
    );
}

#[test]
fn in_a_pipeline_every_execute_is_one_and_an_error_skips_to_sync() {
    let one = |sql: &str| join(&[parse("", sql), bind("", "", b"x"), execute("")]);
    let fine = |tag: &str| join(&[message(b'1', ""), message(b'2', ""), complete(tag)]);
    let mut fed = connected();
    fed.client(one("INSERT INTO a VALUES ($1)")).client(one("INSERT INTO b VALUES ($1)"));
    fed.client(join(&[one("UPDATE c SET d = 1"), sync(), one("DELETE FROM e"), sync()]));
    assert_eq!(fed.session.in_flight(), 4);
    fed.server(fine("INSERT 0 1"));
    // The error comes before the client has sent its next messages: those are skipped as well.
    fed.server(join(&[message(b'1', ""), error("ERROR", "23505"), ready("I"), fine("DELETE 2"), ready("I")]));
    assert_eq!(
        fed.lines(),
        [
            "3-6-6 rows=1 idle INSERT INTO a VALUES (?)",
            "6-7-7 rows=- idle ERROR 23505 INSERT INTO b VALUES (?)",
            "7-7-7 rows=2 idle DELETE FROM e",
        ]
    );
    assert_eq!(fed.session.in_flight(), 0);
    fed.client(one("SELECT broken")).server(error("ERROR", "42703"));
    fed.client(join(&[one("SELECT skipped"), query("SELECT 'skipped too'"), sync()])).server(ready("I"));
    fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!(
        fed.lines()[3..],
        ["8-9-9 rows=- idle ERROR 42703 SELECT broken", "12-13-13 rows=1 idle SELECT ?"]
    );
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn an_error_at_the_implicit_commit_is_the_last_statements() {
    let mut fed = connected();
    fed.client(join(&[parse("", "INSERT INTO a VALUES (1)"), bind("", "", b""), execute(""), sync()]));
    fed.server(join(&[message(b'1', ""), message(b'2', ""), complete("INSERT 0 1")]));
    fed.server(join(&[error("ERROR", "23503"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-5 rows=1 idle ERROR 23503 INSERT INTO a VALUES (?)"]);
}

#[test]
fn each_fetch_of_a_portal_is_one() {
    let mut fed = connected();
    fed.client(join(&[parse("", "SELECT a FROM t"), bind("p", "", b""), execute("p"), message(b'H', "")]));
    fed.server(join(&[message(b'1', ""), message(b'2', ""), row(3), row(3), message(b's', "")]));
    fed.client(join(&[execute("p"), message(b'C', "Pp\0"), sync()]));
    fed.server(join(&[row(3), complete("SELECT 1"), message(b'3', ""), ready("T")]));
    assert_eq!(fed.lines(), ["3-4-4 rows=2 ? SELECT a FROM t", "5-6-6 rows=1 open SELECT a FROM t"]);
    let rounds = fed.out.exchanges.iter().map(|exchange| match &exchange.detail {
        Detail::Sql(sql) => sql.is_cursor_round,
        other => panic!("{other:?}"),
    });
    assert_eq!(rounds.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_copy_ends_where_its_data_does() {
    let mut fed = connected();
    fed.client(query("COPY t FROM STDIN")).server(message(b'G', [0; 3]));
    fed.client(join(&[message(b'd', "secret\n"), sync(), message(b'c', "")]));
    fed.server(join(&[complete("COPY 1"), ready("I")]));
    // Extended protocol: the Sync sent with the Execute is ignored, that behind the data is not.
    fed.client(join(&[parse("", "COPY t FROM STDIN"), bind("", "", b""), execute(""), sync()]));
    fed.server(join(&[message(b'1', ""), message(b'2', ""), message(b'G', [0; 3])]));
    fed.client(join(&[message(b'd', "x"), message(b'c', ""), sync()]));
    fed.server(join(&[complete("COPY 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-6 rows=1 idle COPY t FROM STDIN", "7-8-10 rows=1 idle COPY t FROM STDIN"]);
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn notices_and_notifications_may_come_at_any_time() {
    let noise =
        join(&[message(b'N', "Msecret\0\0"), message(b'A', "\0\0\0\x01c\0p\0"), message(b'S', "a\0b\0")]);
    let mut fed = connected();
    fed.server(&noise).client(query("LISTEN c")).server(&noise);
    fed.server(join(&[complete("LISTEN"), noise.clone(), ready("I"), noise.clone()])).server(&noise);
    assert_eq!(fed.lines(), ["4-6-6 rows=- idle LISTEN c"]);
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn a_closing_connection_ends_what_is_open() {
    for (reason, outcome) in
        [(CloseReason::Peer, "ServerGone"), (CloseReason::Reset, "Reset"), (CloseReason::Local, "ClientGone")]
    {
        let mut fed = connected();
        fed.client(query("SELECT 1; SELECT 2")).server(row(8)).close(reason);
        assert_eq!(fed.lines(), [format!("3-4-5 rows=- ? {outcome} SELECT ?")]);
    }
    // Where its last bytes were lost, what was seen of the answer is all that is told of it.
    let mut fed = connected();
    fed.client(query("SELECT 1")).server(row(8)).close(CloseReason::Unseen);
    assert_eq!(fed.lines(), ["3-4-4 rows=- ? Lost SELECT ?"]);
    let mut fed = connected();
    fed.client(query("SELECT 1")).close(CloseReason::Unseen);
    assert_eq!((fed.lines(), fed.out.losses.get(Loss::RequestsWithoutResponse)), (vec![], 1));
    let mut fed = connected();
    fed.client(query("SELECT pg_terminate_backend(1)")).server(error("FATAL", "57P01"));
    assert_eq!(fed.lines(), ["3-4-4 rows=- ? FATAL 57P01 SELECT pg_terminate_backend(?)"]);
    fed.close(CloseReason::Peer);
    assert_eq!(fed.out.exchanges.len(), 1);
}

#[test]
fn a_gap_in_the_text_shortens_the_text() {
    let long =
        query(&format!("SELECT a FROM t WHERE b IN ({}) AND c = 'secret'", vec!["'secret'"; 4000].join(",")));
    let mut fed = connected();
    fed.client(&long[..16_384]).client_gap(long.len() as u64 - 16_384 - 64).client(&long[long.len() - 64..]);
    fed.server(join(&[complete("SELECT 3"), ready("I")]));
    assert_eq!(fed.lines(), ["3-6-6 rows=3 idle SELECT a FROM t WHERE b IN (?"]);
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn a_gap_in_parameters_or_rows_loses_nothing() {
    let run =
        join(&[parse("", "INSERT INTO t VALUES ($1)"), bind("", "", &[b'x'; 50_000]), execute(""), sync()]);
    let mut fed = connected();
    fed.client(&run[..4096]).client_gap(run.len() as u64 - 4096 - 64).client(&run[run.len() - 64..]);
    let rows = row(30_000);
    fed.server(join(&[message(b'1', ""), message(b'2', ""), rows[..100].to_vec()]));
    fed.server_gap(rows.len() as u64 - 100).server(join(&[complete("INSERT 0 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-6-8 rows=1 idle INSERT INTO t VALUES (?)"]);
    assert_eq!(fed.out.losses, Losses::default());
}

#[test]
fn the_end_of_a_reply_is_found_behind_a_gap() {
    let mut fed = connected();
    fed.client(query("SELECT a FROM t")).server(join(&[row(50), row(50)])).server_gap(100_000);
    fed.server(join(&[vec![b'Z'; 20], complete("SELECT 1000"), ready("T")]));
    fed.client(query("SELECT b FROM t")).server(join(&[complete("SELECT 1"), ready("T")]));
    assert_eq!(fed.lines(), ["3-4-6 rows=1000 open SELECT a FROM t", "7-8-8 rows=1 open SELECT b FROM t"]);
    assert_eq!(fed.out.losses, losses(&[(Loss::Resyncs, 1)]));
    assert_eq!(fed.out.exchanges[0].response_bytes, 110 + 100_000 + 20 + 17);
}

#[test]
fn the_end_of_a_reply_is_found_when_it_comes_in_pieces_or_with_more_behind_it() {
    for pieces in [
        vec![b"C\0\0\0\x0dSELECT".to_vec(), b" 9\0Z\0\0".to_vec(), b"\0\x05I".to_vec()],
        vec![join(&[complete("SELECT 9"), message(b'3', ""), ready("I"), message(b'N', "S\0\0")])],
    ] {
        let mut fed = connected();
        fed.client(query("SELECT a FROM t")).server_gap(1000);
        for piece in pieces {
            fed.server(piece);
        }
        let line = &fed.lines()[0];
        assert!(line.ends_with("rows=9 idle SELECT a FROM t"), "{line}");
    }
}

#[test]
fn an_error_is_found_behind_a_gap() {
    let failed = join(&[error("ERROR", "57014"), ready("E")]);
    for (sql, rest, expected) in [
        ("SELECT a FROM t", &failed[..], "3-4-6 rows=- failed ERROR 57014 SELECT a FROM t"),
        // Its start is missing, and with it whether it is an error or a notice.
        ("SELECT a FROM t", &failed[1..], "3-4-4 rows=- failed Lost SELECT a FROM t"),
        // Which of the two failed is not known.
        ("SELECT a FROM t; UPDATE t SET a = 1", &failed, "3-4-4 rows=- failed Lost SELECT a FROM t"),
    ] {
        let mut fed = connected();
        fed.client(query(sql)).server(join(&[row(50), row(50)])).server_gap(100_000).server(rest);
        fed.client(query("SELECT b FROM t")).server(join(&[complete("SELECT 1"), ready("I")]));
        assert_eq!(fed.lines(), [expected, "7-8-8 rows=1 idle SELECT b FROM t"]);
    }
}

#[test]
fn statements_whose_end_was_not_seen_are_lost_and_never_given_the_end_of_another() {
    let mut fed = connected();
    fed.client(query("SELECT a FROM t; UPDATE t SET a = 1")).server(row(50)).server_gap(100_000);
    fed.server(join(&[complete("UPDATE 5"), ready("I")]));
    assert_eq!(
        fed.lines(),
        ["3-4-4 rows=- idle Lost SELECT a FROM t"],
        "when the second began, at the end of the first, is not known"
    );
    assert_eq!(fed.lost(Loss::RequestsWithoutResponse), 1);
    // The end that was seen cannot be that of the last statement.
    let mut fed = connected();
    fed.client(query("SELECT a FROM t; UPDATE t SET a = 1")).server_gap(100_000);
    fed.server(join(&[complete("SELECT 5"), ready("I")]));
    assert_eq!((fed.lines().len(), fed.lost(Loss::RequestsWithoutResponse)), (0, 2));
}

#[test]
fn with_two_batches_open_the_end_found_could_be_of_either() {
    let mut fed = connected();
    let one = |sql: &str| join(&[parse("", sql), bind("", "", b""), execute(""), sync()]);
    fed.client(join(&[one("SELECT a FROM t"), one("SELECT b FROM t")]));
    fed.server(join(&[message(b'1', ""), message(b'2', ""), row(50)])).server_gap(1000);
    fed.server(join(&[complete("SELECT 5"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-4 rows=- ? Lost SELECT a FROM t"]);
    // The replies to the second batch, if they came only now, are nobody's; some rounds later all is in step again.
    fed.server(join(&[message(b'1', ""), message(b'2', ""), complete("SELECT 1"), ready("I")]));
    for _ in 0..4 {
        fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    }
    assert_eq!(fed.lines()[1..], ["14-15-15 rows=1 idle SELECT ?"]);
    let lost = [(Loss::Resyncs, 2), (Loss::RequestsWithoutResponse, 4), (Loss::ResponsesWithoutRequest, 1)];
    assert_eq!(fed.out.losses, losses(&lost));
}

#[test]
fn requests_in_a_gap_are_counted_by_their_replies() {
    let mut fed = connected();
    let one = join(&[bind("", "s", b"x"), execute("")]);
    fed.client(join(&[parse("s", "INSERT INTO t VALUES ($1)"), one.clone()]))
        .client_gap(40 * one.len() as u64);
    fed.client(sync());
    fed.server(message(b'1', ""));
    for _ in 0..41 {
        fed.server(join(&[message(b'2', ""), complete("INSERT 0 1")]));
    }
    fed.server(ready("I"));
    fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-6-7 rows=1 idle INSERT INTO t VALUES (?)", "49-50-50 rows=1 idle SELECT ?"]);
    assert_eq!(fed.out.losses, losses(&[(Loss::Resyncs, 1), (Loss::ResponsesWithoutRequest, 40)]));
}

#[test]
fn replies_out_of_step_are_given_to_none() {
    let mut fed = connected();
    fed.client(join(&[parse("", "SELECT a FROM t"), bind("", "", b""), execute(""), sync()]));
    fed.server(join(&[message(b'2', ""), complete("SELECT 1"), ready("I")]));
    fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["5-6-6 rows=1 idle SELECT ?"]);
    assert_eq!(fed.lost(Loss::RequestsWithoutResponse), 1);
    let mut fed = connected();
    fed.client(query("UPDATE t SET a = 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!((fed.lines().len(), fed.lost(Loss::RequestsWithoutResponse)), (0, 1));
}

#[test]
fn a_statement_prepared_before_is_told_as_such_and_timed() {
    let mut fed = Fed::new(false);
    let run = |name: &str| join(&[bind("", name, b"secret"), execute(""), sync()]);
    let reply = join(&[message(b'2', ""), row(5), complete("SELECT 1"), ready("I")]);
    for name in ["s1", "s2", "s1"] {
        fed.client(run(name)).server(&reply);
    }
    assert_eq!(fed.lines()[0], "1-2-2 rows=1 idle <prepared before attach>");
    let prints: Vec<_> =
        fed.out.exchanges.iter().map(|exchange| sql(exchange).statement.fingerprint).collect();
    assert!(prints[0] == prints[2] && prints[0] != prints[1]);
}

#[test]
fn joined_within_a_reply_it_waits_for_its_end() {
    let mut fed = Fed::new(false);
    fed.server([b'x'; 100]).server(join(&[complete("SELECT 1"), ready("I")]));
    fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["3-4-4 rows=1 idle SELECT ?"]);
    let mut fed = Fed::new(false);
    fed.client([b'x'; 100]).client(query("SELECT 2")).server(join(&[complete("SELECT 1"), ready("I")]));
    fed.client(query("SELECT 1")).server(join(&[complete("SELECT 1"), ready("I")]));
    assert_eq!(fed.lines(), ["4-5-5 rows=1 idle SELECT ?"]);
}

#[test]
fn what_a_connection_can_make_us_keep_is_bounded() {
    let mut fed = connected();
    for number in 0..5000 {
        fed.client(join(&[
            parse(&format!("s{number}"), "SELECT 1"),
            bind(&format!("p{number}"), "", b""),
            execute(""),
        ]));
    }
    assert!(fed.session.in_flight() <= super::super::queue::MAX_QUEUE);
    assert_eq!(fed.lost(Loss::Resyncs), 1);
    let many = query(&"SELECT 1;".repeat(5000));
    let mut fed = connected();
    fed.client(many).server(complete("SELECT 1").repeat(5000)).server(ready("I"));
    assert_eq!(fed.out.exchanges.len(), 5000);
    assert_eq!(sql(&fed.out.exchanges[4999]).statement.text, "<statement not captured>");
}

#[test]
fn each_of_many_statements_of_a_text_is_told_and_what_is_too_many_is_counted() {
    for (count, cut) in [(1000, 0), (4100, 4)] {
        let mut fed = connected();
        fed.client(query(&"SELECT a;".repeat(count)));
        for _ in 0..count {
            fed.server(complete("SELECT 1"));
        }
        fed.server(ready("I"));
        let unknown = fed.lines().iter().filter(|line| line.ends_with("<statement not captured>")).count();
        assert_eq!((fed.lines().len(), unknown as u64), (count, cut));
        assert_eq!(fed.out.losses, losses(&[(Loss::StatementsCut, cut)]));
        // Their times lie one behind the other: together they are no longer than the whole.
        let sum: u64 = fed.out.exchanges.iter().map(|exchange| exchange.end.0 - exchange.start.0).sum();
        assert_eq!(sum, count as u64);
        let bytes: u64 = fed.out.exchanges.iter().map(|exchange| exchange.request_bytes).sum();
        assert_eq!(bytes, 6 + 9 * count as u64, "the message is counted once");
    }
}

#[test]
fn a_backslash_escapes_where_the_server_says_so() {
    let setting = |value: &str| message(b'S', format!("standard_conforming_strings\0{value}\0"));
    let other = message(b'S', format!("application_name\0{}\0", "x".repeat(100)));
    let mut fed = Fed::new(true);
    fed.client(startup()).server(join(&[message(b'R', [0; 4]), setting("off"), other, ready("I")]));
    let text = r"SELECT 'it\'s secret', a";
    fed.client(query(text)).server(join(&[complete("SELECT 0"), ready("I")]));
    fed.client(join(&[parse("", text), bind("", "", b"x"), execute(""), sync()]));
    fed.server(join(&[
        message(b'1', ""),
        message(b'2', ""),
        complete("SELECT 0"),
        setting("on"),
        ready("I"),
    ]));
    fed.client(query(r"SELECT 'C:\', 'secret', a")).server(join(&[complete("SELECT 0"), ready("I")]));
    let texts = fed.out.exchanges.iter().map(|exchange| sql(exchange).statement.text.as_str());
    assert_eq!(texts.collect::<Vec<_>>(), ["SELECT ?, a", "SELECT ?, a", "SELECT ?, ?, a"]);
}
