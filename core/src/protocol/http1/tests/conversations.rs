//! What comes of each conversation, as written beside it.

use super::corpus;
use crate::exchange::Role;
use crate::protocol::http1::{PROTOCOL, QUEUE_CAP};
use crate::protocol::testing::{all_wrong, parse, replay};

#[test]
fn every_conversation_gives_what_is_written_beside_it() {
    let wrong = all_wrong(&PROTOCOL, &corpus());
    assert!(wrong.is_empty(), "other than written:\n{wrong}");
}

#[test]
fn a_served_request_of_which_no_end_will_be_told_does_not_begin() {
    let text = "## long\nC*100 GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\\\nclose client\n";
    let conversation = parse(text).remove(0);
    let begun = |role| replay(&PROTOCOL, role, &conversation, &conversation.steps).output;
    let served = begun(Role::Server);
    assert_eq!((served.started.len(), served.exchanges.len()), (QUEUE_CAP, QUEUE_CAP));
    // Whom the others call may be told all the same who called.
    assert_eq!(begun(Role::Client).started.len(), 100);
}
