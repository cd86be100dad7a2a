//! What apps send out: HTTP calls, SQL and Redis commands, plain and through TLS, over connections that were open before
//! the agent came and over new ones. The app's own log is the truth; for SQL, PostgreSQL's own count is a second one.

mod app;
mod calls;
mod commands;
mod failures;
mod figures;
mod inbound;
mod mysql;
pub(super) mod peers;
mod queries;
mod secrets;
mod stores;
mod tally;

use std::sync::Arc;

use anyhow::Result;

use crate::places::Places;
use crate::process::Shared;
use crate::runner::{Case, Verdict};
use peers::Peers;
pub(crate) use peers::{Postgres, certificate, listening};

/// What a test does; gives the note that is printed.
type Test = Box<dyn Fn(&Places, &Peers) -> Result<String> + Send + Sync>;

pub(super) fn cases() -> Vec<Case> {
    let shared = Arc::new(Shared::new());
    let case = |name: String, test: Test| {
        let shared = Arc::clone(&shared);
        Case::new(name, move |places| test(places, shared.get(|| Peers::start(places))?).map(Verdict::Passed))
    };
    let calls = calls::CLIENTS.iter().map(|&name| -> Case {
        case(format!("outgoing/{name}"), Box::new(move |places, peers| calls::judge(places, peers, name)))
            .sharing("the count of tunnels")
    });
    let queries = queries::DRIVERS.iter().chain(queries::BATCHES).chain(queries::SHAPES).map(|&name| {
        case(format!("outgoing/{name}"), Box::new(move |places, peers| queries::judge(places, peers, name)))
            .sharing("PostgreSQL's count")
    });
    let mysql = mysql::DRIVERS.iter().map(|&name| {
        let shared = Arc::clone(&shared);
        let case = Case::new(format!("outgoing/{name}"), move |places| {
            mysql::judge(places, shared.get(|| Peers::start(places))?, name)
        });
        // Written in Python, it keeps a processor busy by itself: its durations are its own only where nothing else runs.
        if name == "mysql-connector" { case.alone() } else { case }
    });
    let commands = commands::CLIENTS.iter().map(|&name| {
        case(format!("outgoing/{name}"), Box::new(move |places, peers| commands::judge(places, peers, name)))
    });
    let servers = inbound::SERVERS.iter().map(|server| {
        case(
            format!("inbound-tls/{}", server.name),
            Box::new(move |places, peers| inbound::judge(places, peers, server)),
        )
    });
    let h2c = |places: &Places, peers: &Peers| inbound::judge(places, peers, inbound::H2C);
    let rest = [
        case("outgoing/failures".to_owned(), Box::new(failures::judge)),
        case("outgoing/secrets".to_owned(), Box::new(secrets::judge)).sharing("PostgreSQL's count"),
        case("inbound-h2c/hypercorn".to_owned(), Box::new(h2c)),
    ];
    calls.chain(queries).chain(mysql).chain(commands).chain(servers).chain(rest).collect()
}
