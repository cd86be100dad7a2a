//! Other sockets than TCP over IPv4, and connections of a load balancer.

use std::time::Duration;

use anyhow::Result;

use super::matrix::one_to_one;
use crate::agent::Agent;
use crate::load::{Address, Load, Until};
use crate::places::Places;
use crate::port::free_port;
use crate::runner::{Case, Verdict};
use crate::server::{Server, kind};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("sockets/unix", unix),
        Case::new("sockets/ipv6", ipv6),
        Case::new("sockets/proxied", proxied),
    ]
}

fn unix(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let path = scratch.path().join("app.sock");
    let arguments = format!("-m gunicorn -b unix:{} -w 2 --log-level warning wsgi_app:app", path.display());
    judge(places, scratch.path(), Address::Unix(path), &arguments, "gunicorn-sync")
}

fn ipv6(places: &Places) -> Result<Verdict> {
    if !std::path::Path::new("/proc/net/if_inet6").exists() {
        return Ok(Verdict::Skipped("this machine has no IPv6".to_owned()));
    }
    let scratch = places.scratch()?;
    let address = Address::Tcp((std::net::Ipv6Addr::LOCALHOST, free_port()?).into());
    let arguments = "-m uvicorn asgi_app:app --host ::1 --port {port} --no-access-log --log-level warning";
    judge(places, scratch.path(), address, arguments, "uvicorn-uvloop-httptools")
}

/// gunicorn's sync workers answer one request per connection, each of which begins with the client's address.
fn proxied(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let address = Address::Proxied(([127, 0, 0, 1], free_port()?).into());
    let arguments = "-m gunicorn -b 127.0.0.1:{port} -w 2 --proxy-protocol --log-level warning wsgi_app:app";
    judge(places, scratch.path(), address, arguments, "gunicorn-sync")
}

fn judge(
    places: &Places,
    scratch: &std::path::Path,
    address: Address,
    arguments: &str,
    like: &str,
) -> Result<Verdict> {
    let python = places.any_python()?;
    let server = Server::start_at(address.clone(), like, arguments, &python, &places.apps(), scratch)?;
    let mut agent = Agent::watch(&places.agent, server.process.pid(), scratch)?;
    let (traits, until) = (kind(like).traits, Until::Requests(800));
    let sent = Load { address, clients: 6, traits, seed: 41, until, pause: Duration::ZERO }.run();
    one_to_one(&mut agent, server, &sent).map(Verdict::Passed)
}
