//! What is told of a path.

use super::*;

#[test]
fn a_token_in_the_path_of_a_request_or_call_is_not_told() {
    let mut rig = Rig::new();
    let secret = "/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    let (reads, none) = (origin(900, 0, 0, [0; 3]), Origin::default());
    rig.feed(finished(Role::Client, reads, none, http(secret, Correlation::default())));
    rig.feed(finished(Role::Server, reads, none, http(secret, Correlation::default())));
    assert_eq!(rig.calls()[0].path, "/reset/{token}");
    assert_eq!(rig.events()[0].path, "/reset/{token}");
    assert!(!format!("{:?}", rig.out).contains("eyJ"), "{:?}", rig.out);
}
