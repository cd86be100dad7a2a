//! SQL by MySQL's drivers against MariaDB: the agent's list equals the app's log one to one.

use anyhow::Result;

use super::app;
use super::peers::Peers;
use super::queries::{compare_all, settled};
use super::tally::Tally;
use crate::places::Places;

/// Drivers, by their names in `mysql_drivers.py`.
pub(super) const DRIVERS: &[&str] = &["pymysql", "aiomysql", "mysql-connector"];

/// Runs one driver and compares.
pub(super) fn judge(places: &Places, peers: &Peers, name: &str) -> Result<String> {
    let server = peers.mariadb()?;
    let rest = [
        server.directory.display().to_string(),
        server.port.to_string(),
        peers.certificate.display().to_string(),
    ];
    let run = app::run(places, peers, "queries.py", name, &rest, || Ok(()), settled(name))?;
    let mut tally = Tally::of_timed();
    compare_all(&mut tally, &run, name, server.port, &server.directory.join("mysql.sock"))?;
    tally.result()
}
