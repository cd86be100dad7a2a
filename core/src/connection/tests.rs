//! The table with real protocols: order, gaps, ends, caps.

mod calls;
mod ends;
mod proxied;

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::exchange::{Detail, Http, Outcome};
use crate::loss::{Loss, Losses};

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";

fn info(id: u64, role: Option<Role>, from_start: bool) -> Info {
    Info {
        id: ConnId(id),
        key: id,
        pid: 7,
        role,
        local: Endpoint::Unix(None),
        peer: Endpoint::Unix(None),
        from_start,
        since: Time(0),
        tls: false,
        caller: Origin::default(),
    }
}

/// A table that keeps positions by itself.
struct Rig {
    table: Table,
    progress: Progress,
    pos: [u64; 2],
    now: u64,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        Self { table: Table::new(limits), progress: Progress::default(), pos: [0, 0], now: 0 }
    }

    fn with(role: Option<Role>, from_start: bool) -> Self {
        let mut rig = Self::new(Limits::default());
        rig.table.opened(info(1, role, from_start), None, &mut rig.progress);
        rig
    }

    fn chunk(&mut self, direction: Direction, head: &[u8], skipped: u64, tail: &[u8]) {
        self.chunk_of(1, direction, head, skipped, tail);
    }

    fn chunk_of(&mut self, conn: u64, direction: Direction, head: &[u8], skipped: u64, tail: &[u8]) {
        self.now += 1_000_000;
        let pos = &mut self.pos[usize::from(direction == Direction::Write)];
        let len = (head.len() + tail.len()) as u64 + skipped;
        let chunk = Chunk {
            conn: ConnId(conn),
            pid: 7,
            direction,
            time: Time(self.now),
            pos: *pos,
            len,
            head,
            tail,
            origin: Origin::default(),
            opens_tls: false,
        };
        *pos += len;
        self.table.chunk(&chunk, &mut self.progress);
    }

    fn change(&mut self, change: Change) {
        self.now += 1_000_000;
        self.table.changed(ConnId(1), change, Time(self.now), self.pos, &mut self.progress);
    }

    /// Bytes that nobody is told of.
    fn lose(&mut self, direction: Direction, len: usize) {
        self.pos[usize::from(direction == Direction::Write)] += len as u64;
    }

    fn wait(&mut self) {
        self.now += 1_000_000_000;
        self.table.tick(Time(self.now), &mut self.progress);
    }

    fn http(&self) -> Vec<(&Http, Outcome)> {
        let detail = |f: &'_ Finished| f.exchange.outcome;
        self.progress
            .finished
            .iter()
            .map(|f| match &f.exchange.detail {
                Detail::Http(http) => (http, detail(f)),
                other => panic!("not HTTP: {other:?}"),
            })
            .collect()
    }
}

#[test]
fn a_request_and_its_response_make_an_exchange() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    assert_eq!(rig.table.serving().get(&7), Some(&1));
    assert_eq!(rig.progress.started.len(), 1);
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    let [(http, outcome)] = rig.http()[..] else { panic!("{:?}", rig.progress) };
    assert_eq!((http.path.as_str(), http.status, outcome), ("/a", 200, Outcome::Complete));
    assert_eq!(rig.progress.finished[0].role, Role::Server);
    assert!(rig.table.serving().is_empty());
}

/// The last bytes of a connection are lost: that is told as a loss, not as a connection that closed too early.
#[test]
fn an_end_that_is_lost_is_told() {
    for (role, asks, answers) in
        [(Role::Server, Direction::Read, Direction::Write), (Role::Client, Direction::Write, Direction::Read)]
    {
        for seen in [0, 20, RESPONSE.len() - 1] {
            let mut rig = Rig::with(Some(role), true);
            rig.chunk(asks, REQUEST, 0, b"");
            if seen > 0 {
                rig.chunk(answers, &RESPONSE[..seen], 0, b"");
            }
            rig.lose(answers, RESPONSE.len() - seen);
            rig.change(Change::Gone { reason: None, peer_first: false });
            rig.wait();
            let told: Vec<_> = rig.http().iter().map(|(http, outcome)| (http.status, *outcome)).collect();
            let losses = rig.table.take_losses();
            assert_eq!(losses.get(Loss::GapBytes), (RESPONSE.len() - seen) as u64, "{role:?}, {seen} seen");
            let without = losses.get(Loss::RequestsWithoutResponse);
            assert!(
                matches!((&told[..], without), ([], 1) | ([(0 | 200, Outcome::Lost)], 0)),
                "{role:?}, {seen} seen: {told:?}, {without} without a response"
            );
        }
    }
}

/// What is under way when the end is told is not lost.
#[test]
fn bytes_that_come_after_the_end_are_no_loss() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    let moved = [REQUEST.len() as u64, RESPONSE.len() as u64];
    let gone = Change::Gone { reason: None, peer_first: false };
    rig.table.changed(ConnId(1), gone, Time(rig.now), moved, &mut rig.progress);
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    rig.wait();
    assert_eq!(rig.http()[0].1, Outcome::Complete);
    assert_eq!(rig.table.take_losses(), Losses::default());
}

#[test]
fn the_role_comes_from_the_bytes_where_the_connection_is_older() {
    for (first, second, role) in
        [(Direction::Read, Direction::Write, Role::Server), (Direction::Write, Direction::Read, Role::Client)]
    {
        let mut rig = Rig::with(None, false);
        rig.chunk(first, REQUEST, 0, b"");
        rig.chunk(second, RESPONSE, 0, b"");
        assert_eq!(rig.progress.finished.len(), 1);
        assert_eq!(rig.progress.finished[0].role, role);
    }
}

#[test]
fn a_head_in_single_bytes_is_still_detected() {
    let mut rig = Rig::with(Some(Role::Server), true);
    for byte in REQUEST {
        rig.chunk(Direction::Read, &[*byte], 0, b"");
    }
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    assert_eq!(rig.http().len(), 1);
}

#[test]
fn the_middle_of_a_body_may_be_left_out() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 50_000, b"tail");
    rig.chunk(Direction::Write, b"head", 49_900 + 88, b"tail");
    assert_eq!(rig.http()[0].1, Outcome::Complete);
    let losses = rig.table.take_losses();
    assert_eq!((losses.get(Loss::Gaps), losses.get(Loss::GapBytes)), (0, 0), "left out on purpose");
}

#[test]
fn lost_bytes_are_counted_and_the_next_exchange_is_right_again() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    // A request and its response are lost.
    rig.pos[0] += REQUEST.len() as u64;
    rig.pos[1] += RESPONSE.len() as u64;
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    let losses = rig.table.take_losses();
    assert_eq!(losses.get(Loss::Gaps), 2);
    assert_eq!(losses.get(Loss::GapBytes), (REQUEST.len() + RESPONSE.len()) as u64);
    assert!(rig.http().len() >= 2, "{:?}", rig.progress);
    assert!(rig.http().iter().all(|(http, _)| http.status == 200));
}

#[test]
fn a_chunk_that_was_overtaken_is_not_taken_twice() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.pos[0] = 0;
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    assert_eq!(rig.http().len(), 1);
}

#[test]
fn a_client_that_goes_away_is_told_from_a_server_that_gives_up() {
    let ends: [(&[Change], Outcome); 6] = [
        (&[Change::LocalClosed { peer_first: true }], Outcome::ClientGone),
        (&[Change::Gone { reason: None, peer_first: true }], Outcome::ClientGone),
        (
            &[Change::PeerClosed, Change::EndOfStream, Change::LocalClosed { peer_first: false }],
            Outcome::ClientGone,
        ),
        (&[Change::LocalClosed { peer_first: false }], Outcome::ServerGone),
        (&[Change::Gone { reason: Some(CloseReason::Reset), peer_first: false }], Outcome::ClientGone),
        (&[Change::Failed(CloseReason::TimedOut)], Outcome::TimedOut),
    ];
    for (changes, expected) in ends {
        let mut rig = Rig::with(Some(Role::Server), true);
        rig.chunk(Direction::Read, REQUEST, 0, b"");
        for change in changes {
            rig.change(*change);
        }
        rig.wait();
        assert_eq!(rig.http()[0].1, expected, "{changes:?}");
        assert!(rig.table.is_empty());
    }
}

#[test]
fn a_client_that_only_stops_sending_still_gets_its_answer() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.change(Change::PeerClosed);
    rig.change(Change::EndOfStream);
    rig.wait();
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    assert_eq!(rig.http()[0].1, Outcome::Complete);
}

#[test]
fn a_response_whose_call_returns_after_the_peer_has_gone_is_complete() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.change(Change::Gone { reason: Some(CloseReason::Reset), peer_first: false });
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    rig.wait();
    assert_eq!(rig.http().len(), 1);
    assert_eq!(rig.http()[0].1, Outcome::Complete);
}

#[test]
fn a_body_that_ends_with_the_connection_is_complete_for_its_reader() {
    let mut rig = Rig::with(Some(Role::Client), true);
    rig.chunk(Direction::Write, REQUEST, 0, b"");
    rig.chunk(Direction::Read, b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 0, b"");
    rig.change(Change::PeerClosed);
    rig.wait();
    assert!(rig.http().is_empty(), "bytes may still wait to be read");
    rig.change(Change::EndOfStream);
    rig.wait();
    assert_eq!(rig.http()[0].1, Outcome::Complete);
}

#[test]
fn a_connection_that_could_not_be_made_is_a_failure_of_its_own() {
    use CloseReason::{GivenUp, Refused, TimedOut, Unreachable};
    for reason in [Refused, TimedOut, Unreachable, GivenUp] {
        let mut rig = Rig::with(Some(Role::Client), true);
        rig.change(Change::Gone { reason: Some(reason), peer_first: false });
        rig.wait();
        assert_eq!(rig.progress.failed.len(), 1, "{reason:?}");
        assert_eq!(rig.progress.failed[0].reason, reason);
        rig.table.opened(info(2, Some(Role::Client), true), Some(reason), &mut rig.progress);
        assert_eq!(rig.progress.failed.len(), 2);
        assert!(rig.table.is_empty());
    }
}

#[test]
fn ciphertext_yields_nothing_and_its_plaintext_takes_the_socket_s_ends() {
    let mut rig = Rig::with(Some(Role::Server), true);
    let mut stream = info(2, Some(Role::Server), true);
    (stream.tls, stream.peer) = (true, Endpoint::Unknown);
    rig.table.opened(stream, None, &mut rig.progress);
    rig.now += 1;
    let hello = Chunk {
        conn: ConnId(1),
        pid: 7,
        direction: Direction::Read,
        time: Time(rig.now),
        pos: 0,
        len: 6,
        head: &[22, 3, 1, 0, 1, 1],
        tail: b"",
        origin: Origin::default(),
        opens_tls: true,
    };
    rig.table.chunk(&hello, &mut rig.progress);
    rig.table.bound(ConnId(2), ConnId(1));
    rig.pos = [0, 0];
    rig.chunk_of(2, Direction::Read, REQUEST, 0, b"");
    rig.chunk_of(2, Direction::Write, RESPONSE, 0, b"");
    rig.chunk_of(2, Direction::Read, REQUEST, 0, b"");
    rig.change(Change::Gone { reason: Some(CloseReason::Reset), peer_first: false });
    rig.wait();
    assert_eq!(rig.http().len(), 2);
    assert_eq!(rig.http()[1].1, Outcome::ClientGone, "the socket's end is the stream's");
    assert_eq!(rig.progress.finished[0].conn.peer, Endpoint::Unix(None));
    assert_eq!(rig.table.take_losses().get(Loss::TlsUnbound), 0);
}

/// The first bytes of a TLS session.
fn hello(rig: &mut Rig) {
    let (conn, direction, head) = (ConnId(1), Direction::Write, &[22, 3, 1, 0, 1, 1][..]);
    let (time, origin) = (Time(rig.now), Origin::default());
    let (pid, pos, len, tail, opens_tls) = (7, 0, 6, &b""[..], true);
    let chunk = Chunk { conn, pid, direction, time, pos, len, head, tail, origin, opens_tls };
    rig.table.chunk(&chunk, &mut rig.progress);
}

#[rstest]
#[case::at_its_end(Some(Role::Client), false, true, 1)]
#[case::while_it_is_open(Some(Role::Client), false, false, 1)]
#[case::older_than_the_agent(None, false, false, 1)]
#[case::older_and_ends(None, false, true, 0)]
#[case::read(Some(Role::Client), true, true, 0)]
#[case::read_and_open(Some(Role::Client), true, false, 0)]
#[case::asked_by_others(Some(Role::Server), false, true, 0)]
fn ciphertext_without_plaintext_is_counted_once(
    #[case] role: Option<Role>,
    #[case] bound: bool,
    #[case] ends: bool,
    #[case] expected: u64,
    #[values(true, false)] is_looked_for: bool,
) {
    let patience = is_looked_for.then_some(Duration::from_secs(3));
    let mut rig = Rig::new(Limits { tls_patience: patience, ..Limits::default() });
    rig.table.opened(info(1, role, role.is_some()), None, &mut rig.progress);
    hello(&mut rig);
    if bound {
        rig.table.bound(ConnId(2), ConnId(1));
    }
    rig.wait();
    assert_eq!(rig.table.take_losses().get(Loss::TlsNotRead), 0, "it has just begun");
    if ends {
        rig.change(Change::Gone { reason: None, peer_first: false });
    }
    let mut counted = 0;
    for _ in 0..4 {
        rig.wait();
        counted += rig.table.take_losses().get(Loss::TlsNotRead);
    }
    rig.change(Change::Gone { reason: None, peer_first: false });
    rig.wait();
    counted += rig.table.take_losses().get(Loss::TlsNotRead);
    assert_eq!(counted, if is_looked_for { expected } else { 0 });
}

#[test]
fn an_unknown_protocol_is_left_alone_after_a_while() {
    let mut rig = Rig::with(Some(Role::Server), true);
    for _ in 0..20 {
        rig.chunk(Direction::Read, b"\x00\x01 what is this", 0, b"");
        rig.chunk(Direction::Write, b"\x02\x03 nobody knows", 0, b"");
    }
    assert_eq!(rig.table.take_losses().get(Loss::UnknownProtocol), 1);
    assert_eq!(rig.table.take_ignored().len(), 1);
}

/// Threads wake an event loop through one pipe: their bytes overtake each other, and nobody misses one.
#[test]
fn gaps_count_where_somebody_reads_the_bytes() {
    let mut rig = Rig::with(Some(Role::Server), true);
    for _ in 0..3 {
        rig.pos[1] += 1;
        rig.chunk(Direction::Write, b"\0", 0, b"");
    }
    rig.change(Change::Gone { reason: None, peer_first: false });
    rig.wait();
    let losses = rig.table.take_losses();
    assert_eq!((losses.get(Loss::UnknownProtocol), losses.get(Loss::Gaps)), (1, 0));

    let mut rig = Rig::with(Some(Role::Server), false);
    rig.chunk(Direction::Read, b" of something\r\n\r\n", 0, b"");
    rig.pos[0] += 7;
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    let losses = rig.table.take_losses();
    assert_eq!(
        (losses.get(Loss::Gaps), losses.get(Loss::GapBytes)),
        (1, 7),
        "told once it is known to be HTTP"
    );
}

#[test]
fn the_table_has_a_cap_and_says_what_fell_out() {
    let mut rig = Rig::new(Limits { connections: 10, grace: Duration::from_millis(1), ..Limits::default() });
    for id in 1..=25 {
        rig.pos = [0, 0];
        rig.table.opened(info(id, Some(Role::Server), true), None, &mut rig.progress);
        rig.chunk_of(id, Direction::Read, REQUEST, 0, b"");
    }
    assert_eq!(rig.table.len(), 10);
    let losses = rig.table.take_losses();
    assert_eq!((losses.get(Loss::ConnectionsEvicted), losses.get(Loss::ExchangesEvicted)), (15, 15));
}

#[test]
fn a_connection_whose_opening_was_lost_is_joined_where_it_is() {
    let mut rig = Rig::new(Limits::default());
    rig.pos = [5_000, 70_000];
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.chunk(Direction::Write, RESPONSE, 0, b"");
    assert_eq!(rig.http().len(), 1);
    assert_eq!(rig.table.take_losses().get(Loss::Gaps), 0);
}

#[test]
fn the_end_of_a_process_is_the_end_of_its_connections() {
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, REQUEST, 0, b"");
    rig.table.process_ended(7, Time(rig.now));
    rig.wait();
    assert_eq!(rig.http()[0].1, Outcome::ServerGone);
}

#[test]
fn a_request_that_asks_for_http2_is_answered_by_its_first_stream() {
    let mut rig = Rig::with(Some(Role::Server), true);
    let asks = b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n";
    rig.chunk(Direction::Read, asks, 0, b"");
    let switches = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    rig.chunk(Direction::Write, switches, 0, b"");
    assert!(rig.http().is_empty(), "it has no answer yet");
    rig.chunk(Direction::Write, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0, b"");
    rig.chunk(
        Direction::Read,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        0,
        b"",
    );
    // HEADERS with END_STREAM on stream 1: `:status: 500`.
    rig.chunk(Direction::Write, b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x8e", 0, b"");
    let [(http, outcome)] = rig.http()[..] else { panic!("{:?}", rig.http()) };
    assert_eq!((http.path.as_str(), http.status, http.stream, outcome), ("/up", 500, 1, Outcome::Complete));
    // And where the connection ends before: it is told of all the same.
    let mut rig = Rig::with(Some(Role::Server), true);
    rig.chunk(Direction::Read, asks, 0, b"");
    rig.chunk(Direction::Write, switches, 0, b"");
    rig.change(Change::Gone { reason: Some(CloseReason::Reset), peer_first: false });
    rig.wait();
    assert_eq!(rig.http()[0].0.status, 101);
}
