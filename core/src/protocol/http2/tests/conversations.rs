//! Conversations, one after the other feature of the protocol.

use super::writer::{
    added, after_gap, client, data, frame, get, headers, ok, plain, preface, reset, server, settings,
    settings_ack,
};
use super::{http, lines, losses, play};
use crate::exchange::{Outcome, Role};

const BOTH: [Role; 2] = [Role::Server, Role::Client];

fn open() -> Vec<super::writer::Step> {
    vec![client(&[preface(), settings()]), server(&[settings(), settings_ack()])]
}

#[test]
fn one_request_in_either_role() {
    for role in BOTH {
        let mut steps = open();
        steps.push(client(&[settings_ack(), headers(1, true, &get("/users/7?token=secret"))]));
        steps.push(server(&[headers(1, false, &ok())]));
        steps.push(server(&[data(1, true, 100)]));
        let out = play(role, true, &steps);
        assert_eq!(lines(&out), ["GET /users/7 example.org 200 Complete 3..5"]);
        assert_eq!(losses(&out), "");
        assert_eq!(out.started.len(), 1, "{role:?}");
        let exchange = &out.exchanges[0];
        assert_eq!(exchange.first_response.map(|time| time.0), Some(4));
        assert_eq!(exchange.request_bytes, 9 + get("/users/7?token=secret").len() as u64);
        assert_eq!(exchange.response_bytes, 9 + 1 + 9 + 100);
    }
}

#[test]
fn the_writer_of_a_head_is_known_where_it_wrote_of_one_stream_only() {
    let mut steps = open();
    steps.push(client(&[1, 3, 5, 7, 9].map(|stream| headers(stream, true, &get("/")))));
    steps.push(server(&[settings_ack(), headers(1, false, &ok()), data(1, true, 9)]));
    steps.push(server(&[headers(3, true, &ok()), headers(5, false, &ok()), headers(7, false, &ok())]));
    steps.push(server(&[headers(9, false, &ok())]));
    steps.push(server(&[data(5, true, 9), data(7, true, 9), data(9, true, 9)]));
    let out = play(Role::Server, true, &steps);
    let writers: Vec<_> =
        out.exchanges.iter().map(|one| (http(one).stream, one.response_origin.unit)).collect();
    assert_eq!(writers, [(1, 4), (3, 0), (5, 0), (7, 0), (9, 6)]);
    assert!(out.exchanges.iter().all(|one| one.origin.unit == 3), "that of the requests stays");
}

#[test]
fn many_streams_at_once_end_in_their_own_order() {
    let mut steps = open();
    steps.push(client(&[
        headers(1, true, &get("/a")),
        headers(3, true, &get("/b")),
        headers(5, false, &get("/c")),
    ]));
    steps.push(server(&[headers(3, true, &ok())]));
    steps.push(client(&[data(5, true, 10)]));
    steps.push(server(&[
        headers(5, false, &ok()),
        headers(1, false, &ok()),
        data(1, false, 9),
        data(5, true, 9),
    ]));
    steps.push(server(&[data(1, true, 0)]));
    let out = play(Role::Server, true, &steps);
    assert_eq!(
        lines(&out),
        [
            "GET /b example.org 200 Complete 3..4",
            "GET /c example.org 200 Complete 3..6",
            "GET /a example.org 200 Complete 3..7"
        ]
    );
}

#[test]
fn tables_of_both_directions_are_followed() {
    let request =
        [vec![0x82, 0x87], added(":path", "/a"), added(":authority", "h"), added("x-request-id", "r1")];
    let response = [added(":status", "418"), added("x-request-id", "s1")];
    let mut steps = open();
    steps.push(client(&[headers(1, true, &request.concat())]));
    steps.push(server(&[headers(1, true, &response.concat())]));
    // The same by index: newest first.
    steps.push(client(&[headers(3, true, &[0x82, 0x87, 0xc0, 0xbf, 0xbe])]));
    steps.push(server(&[headers(3, true, &[0xbf, 0xbe])]));
    let out = play(Role::Server, true, &steps);
    assert_eq!(lines(&out), ["GET /a h 418 Complete 3..4", "GET /a h 418 Complete 5..6"]);
    for exchange in &out.exchanges {
        assert_eq!(http(exchange).correlation.request_id.as_deref(), Some("r1"));
        assert_eq!(http(exchange).response_request_id.as_deref(), Some("s1"));
    }
}

#[test]
fn continuation_padding_and_priority_are_taken_off() {
    let block = get("/padded");
    let (first, rest) = block.split_at(5);
    let padded = [&[3][..], &[0x80, 0, 0, 1, 16], first, &[0; 3]].concat();
    let mut steps = open();
    steps.push(client(&[
        frame(1, 0x1 | 0x8 | 0x20, 1, &padded),
        frame(9, 0, 1, &rest[..2]),
        frame(9, 4, 1, &rest[2..]),
    ]));
    steps.push(server(&[headers(1, false, &ok()), frame(0, 0x8 | 0x1, 1, &[2, b'x', 0, 0])]));
    let out = play(Role::Server, true, &steps);
    assert_eq!(lines(&out), ["GET /padded example.org 200 Complete 3..4"]);
    assert_eq!(losses(&out), "");
}

#[test]
fn interim_responses_trailers_and_grpc_status() {
    let mut steps = open();
    steps.push(client(&[headers(1, false, &get("/svc/Method")), headers(3, false, &get("/svc/Fail"))]));
    steps.push(server(&[headers(1, false, &plain(":status", "103"))]));
    steps.push(server(&[
        headers(1, false, &ok()),
        data(1, false, 20),
        headers(1, true, &plain("grpc-status", "0")),
    ]));
    // Trailers only: one block is head and trailers.
    steps.push(server(&[headers(3, true, &[ok(), plain("grpc-status", "14")].concat())]));
    let out = play(Role::Client, true, &steps);
    assert_eq!(
        lines(&out),
        [
            "GET /svc/Method example.org 200 Complete 3..5 grpc=0",
            "GET /svc/Fail example.org 200 Complete 3..6 grpc=14"
        ]
    );
    assert_eq!(out.exchanges[0].first_response.map(|time| time.0), Some(5));
}

#[test]
fn request_trailers_are_no_request() {
    let mut steps = open();
    steps.push(client(&[
        headers(1, false, &get("/")),
        data(1, false, 5),
        headers(1, true, &plain("x-sum", "1")),
    ]));
    steps.push(server(&[headers(1, true, &ok())]));
    let out = play(Role::Server, true, &steps);
    assert_eq!(lines(&out), ["GET / example.org 200 Complete 3..4"]);
}

#[test]
fn cancelled_and_refused_streams() {
    for (role, by_server) in [(Role::Server, Outcome::ServerGone), (Role::Client, Outcome::Reset)] {
        let mut steps = open();
        steps.push(client(&[
            headers(1, true, &get("/slow")),
            headers(3, true, &get("/broken")),
            headers(5, true, &get("/late")),
        ]));
        steps.push(client(&[reset(1)]));
        steps.push(server(&[headers(3, false, &ok()), reset(3)]));
        steps.push(server(&[frame(7, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0])]));
        let out = play(role, true, &steps);
        let outcomes: Vec<_> = out.exchanges.iter().map(|exchange| exchange.outcome).collect();
        assert_eq!(outcomes, [Outcome::ClientGone, by_server, Outcome::ServerGone]);
    }
}

#[test]
fn a_pushed_response_is_no_exchange_but_keeps_the_table() {
    let promised = [&[0, 0, 0, 2][..], &[0x82, 0x86], &added(":path", "/style.css")].concat();
    let mut steps = open();
    steps.push(client(&[headers(1, true, &get("/"))]));
    steps.push(server(&[frame(5, 4, 1, &promised), headers(2, false, &ok()), data(2, true, 5)]));
    // Refers past the promised path: in the table since.
    steps.push(server(&[headers(1, true, &[added(":status", "404"), vec![0xbf]].concat())]));
    let out = play(Role::Client, true, &steps);
    assert_eq!(lines(&out), ["GET / example.org 404 Complete 3..5"]);
    assert_eq!(losses(&out), "");
}

#[test]
fn connect_becomes_a_tunnel() {
    let block = [plain(":method", "CONNECT"), plain(":authority", "user:secret@db:5432")].concat();
    let mut steps = open();
    steps.push(client(&[headers(1, false, &block)]));
    steps.push(server(&[headers(1, false, &ok())]));
    steps.push(client(&[data(1, false, 100)]));
    let out = play(Role::Client, true, &steps);
    assert_eq!(lines(&out), ["CONNECT db:5432 db:5432 200 Complete 3..4 upgraded"]);
}

#[test]
fn open_streams_end_with_the_connection() {
    let mut steps = open();
    steps.push(client(&[headers(1, true, &get("/"))]));
    assert_eq!(lines(&play(Role::Server, true, &steps)), ["GET / example.org 0 ClientGone 3..4"]);
    assert_eq!(lines(&play(Role::Client, true, &steps)), ["GET / example.org 0 ServerGone 3..4"]);
}

#[test]
fn in_mid_life_what_cannot_be_known_is_empty_and_counted() {
    let steps = [
        // All by index from before: nothing is known but that it is a request.
        client(&[headers(9, true, &[0x82, 0x87, 0xc0, 0xbf, 0xbe])]),
        server(&[headers(9, false, &[0xbe]), data(9, true, 10)]),
        // Literals and static entries are right whatever the table holds.
        client(&[headers(11, true, &get("/known"))]),
        server(&[headers(11, true, &ok())]),
        // An entry that was added since is known by its index.
        client(&[headers(13, true, &[vec![0x82, 0x87], added(":path", "/new")].concat())]),
        server(&[headers(13, true, &ok())]),
        client(&[headers(15, true, &[0x82, 0x87, 0xbe, 0xc5])]),
        server(&[headers(15, true, &ok())]),
    ];
    let out = play(Role::Server, false, &steps);
    assert_eq!(
        lines(&out),
        [
            "GET  - 0 Complete 1..2",
            "GET /known example.org 200 Complete 3..4",
            "GET /new - 200 Complete 5..6",
            "GET /new - 200 Complete 7..8"
        ]
    );
    assert_eq!(losses(&out), "headers_unknown=2");
}

#[test]
fn the_lost_middle_of_a_body_costs_nothing() {
    let mut steps = open();
    steps.push(client(&[headers(1, true, &get("/big")), headers(3, true, &get("/next"))]));
    let body = data(1, true, 5_000);
    steps.push(server(&[headers(1, false, &ok()), body[..109].to_vec()]));
    steps.push(after_gap(4_880, server(&[body[4_989..].to_vec(), headers(3, true, &ok())])));
    let out = play(Role::Server, true, &steps);
    assert_eq!(
        lines(&out),
        ["GET /big example.org 200 Complete 3..5", "GET /next example.org 200 Complete 3..5"]
    );
    assert_eq!(losses(&out), "");
}

#[test]
fn after_lost_frames_the_session_finds_its_place_and_says_what_it_does_not_know() {
    let mut steps = open();
    steps.push(client(&[headers(1, true, &get("/a")), headers(3, true, &get("/b"))]));
    steps.push(after_gap(50, server(&[headers(3, true, &ok())])));
    steps.push(client(&[headers(5, true, &get("/c"))]));
    steps.push(server(&[headers(5, true, &[0xbe])]));
    let out = play(Role::Server, true, &steps);
    // The answer to /a may have been among the lost bytes.
    assert_eq!(lines(&out), ["GET /b example.org 200 Complete 3..4", "GET /c example.org 0 Complete 5..6"]);
    assert_eq!(losses(&out), "resyncs=1 requests_without_response=1 headers_unknown=1");
}

#[test]
fn a_header_block_with_a_hole_shows_what_came_before_it() {
    let block = [get("/cut"), plain("x-filler", &"y".repeat(100))].concat();
    let request = headers(1, true, &block);
    let mut steps = open();
    steps.push(client(&[request[..60].to_vec()]));
    steps.push(after_gap(request.len() as u64 - 60, client(&[])));
    steps.push(server(&[headers(1, true, &ok())]));
    // The table is not known from there.
    steps.push(client(&[headers(3, true, &[0x82, 0x87, 0xbe])]));
    steps.push(server(&[headers(3, true, &ok())]));
    let out = play(Role::Server, true, &steps);
    assert_eq!(lines(&out), ["GET /cut example.org 200 Complete 3..5", "GET  - 200 Complete 6..7"]);
    assert_eq!(losses(&out), "truncated_heads=1 headers_unknown=1");
}

#[test]
fn what_is_no_frame_is_malformed_and_left() {
    let mut steps = open();
    steps.push(client(&[headers(1, true, &get("/")), b"not a frame at all, whatever it may be".to_vec()]));
    steps.push(server(&[headers(1, true, &ok())]));
    let out = play(Role::Server, true, &steps);
    assert_eq!(lines(&out), ["GET / example.org 200 Complete 3..4"]);
    assert_eq!(losses(&out), "malformed=1");
}
