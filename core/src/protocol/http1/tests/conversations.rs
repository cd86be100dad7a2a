//! What comes of each conversation, as written beside it.

use super::corpus;
use crate::exchange::Role;
use crate::protocol::http1::PROTOCOL;
use crate::protocol::testing::replay;

#[test]
fn every_conversation_gives_what_is_written_beside_it() {
    let mut wrong = String::new();
    for conversation in corpus() {
        for role in [Role::Server, Role::Client] {
            let got = replay(&PROTOCOL, role, &conversation, &conversation.steps);
            if got.lines() != conversation.expected
                || got.losses() != conversation.losses
                || got.next != conversation.next
            {
                wrong += &format!("## {} as {role:?}\n", conversation.name);
                got.lines().iter().for_each(|line| wrong += &format!("= {line}\n"));
                wrong += &format!("! {}\n> {}\n", got.losses(), got.next);
            }
        }
    }
    assert!(wrong.is_empty(), "other than written:\n{wrong}");
}
