//! What comes of each conversation, as written beside it.

use super::corpus;
use crate::protocol::http1::PROTOCOL;
use crate::protocol::testing::all_wrong;

#[test]
fn every_conversation_gives_what_is_written_beside_it() {
    let wrong = all_wrong(&PROTOCOL, &corpus());
    assert!(wrong.is_empty(), "other than written:\n{wrong}");
}
