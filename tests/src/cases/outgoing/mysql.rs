//! SQL by MySQL's drivers against MariaDB: the agent's list equals the app's log one to one.

use anyhow::Result;

use super::app;
use super::peers::Peers;
use super::queries::{compare_all, settled};
use super::tally::Tally;
use crate::places::Places;
use crate::runner::Verdict;

/// Drivers, by their names in `mysql_drivers.py`.
pub(super) const DRIVERS: &[&str] =
    &["pymysql", "aiomysql", "mysql-connector", "mysql-connector-c", "mysqlclient", MARIADB];

/// The one that not every machine can have.
const MARIADB: &str = "mariadb";

/// Runs one driver and compares.
pub(super) fn judge(places: &Places, peers: &Peers, name: &str) -> Result<Verdict> {
    if name == MARIADB && app::aside(peers, name)?.is_some_and(|packages| !packages.exists()) {
        return Ok(Verdict::Skipped("the system's libmariadb is older than 3.3.1".to_owned()));
    }
    let server = peers.mariadb()?;
    let rest = [
        server.directory.display().to_string(),
        server.port.to_string(),
        peers.certificate.display().to_string(),
    ];
    let run = app::run(places, peers, "queries.py", name, &rest, || Ok(()), settled(name))?;
    let mut tally = Tally::of_timed();
    compare_all(&mut tally, &run, name, server.port, &server.directory.join("mysql.sock"))?;
    tally.result().map(Verdict::Passed)
}
