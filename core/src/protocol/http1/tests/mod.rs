//! Whole conversations in both roles; then the same in pieces, cut short and with gaps.

mod conversations;
mod damage;
mod detect;
mod recovery;

use crate::protocol::testing::{Conversation, parse};

/// All conversations of the folder.
fn corpus() -> Vec<Conversation> {
    [
        include_str!("plain.txt"),
        include_str!("bodies.txt"),
        include_str!("switches.txt"),
        include_str!("odd.txt"),
        include_str!("lost.txt"),
    ]
    .into_iter()
    .flat_map(parse)
    .collect()
}

#[rstest::rstest]
fn recorded_clients_did_what_they_did(
    #[values(
        "httpx_uvicorn",
        "requests_uvicorn",
        "requests_hypercorn",
        "aiohttp_uvicorn",
        "aiohttp_uvicorn-2"
    )]
    name: &str,
) {
    crate::protocol::testing::capture(&crate::protocol::http1::PROTOCOL, &format!("http1/{name}"));
}
