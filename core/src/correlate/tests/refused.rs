//! What was answered, and failed.

use rstest::rstest;

use super::*;
use crate::exchange::Command;

/// OK, NOT_FOUND, INTERNAL and a code that is not known yet.
#[rstest]
#[case(Some(0), None, None)]
#[case(Some(5), None, Some("gRPC status NOT_FOUND"))]
#[case(Some(13), Some("gRPC status INTERNAL"), Some("gRPC status INTERNAL"))]
#[case(Some(99), Some("gRPC status 99"), Some("gRPC status 99"))]
#[case(None, None, None)]
fn a_failure_of_grpc_is_one_though_its_http_status_is_200(
    #[case] status: Option<u32>,
    #[case] of_server: Option<&str>,
    #[case] of_client: Option<&str>,
) {
    let Detail::Http(http) = http("/shop.Cart/Add", Correlation::default()) else { panic!() };
    let detail = Detail::Http(Http { grpc_status: status, ..http });
    let mut rig = Rig::new();
    rig.feed(finished(Role::Server, origin(1, 1, 2, [0; 3]), origin(1, 1, 2, [0; 3]), detail.clone()));
    rig.feed(finished(Role::Client, origin(1, 1, 2, [0; 3]), Origin::default(), detail));
    assert_eq!(rig.events()[0].error.as_deref(), of_server);
    assert_eq!(rig.calls()[0].error.as_deref(), of_client);
    assert_eq!((rig.events()[0].status, rig.calls()[0].status), (200, 200));
}

/// Too many connections, says the server at once: nothing was sent that could tell for whom.
#[test]
fn a_refusal_that_comes_unasked_belongs_to_who_made_the_connection() {
    let refused = Detail::Command(Command::refused("mysql", Some("1040".into())));
    for (bytes, expected) in [(0, true), (9, false)] {
        let mut refused = finished(Role::Client, Origin::default(), Origin::default(), refused.clone());
        refused.exchange.request_bytes = bytes;
        refused.conn = Arc::new(Info { caller: origin(1, 2, 3, [0; 3]), ..Info::clone(&refused.conn) });
        let mut rig = Rig::new();
        rig.feed(refused);
        assert_eq!(rig.calls()[0].source_request_id.is_some(), expected);
        assert_eq!(rig.calls()[0].host, "mysql 10.0.0.1:80");
    }
}
