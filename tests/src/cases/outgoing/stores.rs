//! Redis and MariaDB from Debian, each with a port, a Unix socket and TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::peers::{listening, run};
use crate::port::free_port;
use crate::process::Process;

/// Redis; its Unix socket is `redis.sock` in its directory.
pub(super) struct Redis {
    _process: Process,
    pub(super) directory: PathBuf,
    pub(super) port: u16,
    pub(super) tls_port: u16,
}

impl Redis {
    pub(super) fn start(directory: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        fs::create_dir(directory)?;
        let (port, tls_port) = (free_port()?, free_port()?);
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--tls-auth-clients", "no"]);
        server.args(["--port", &port.to_string(), "--tls-port", &tls_port.to_string()]);
        server.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key);
        server.arg("--tls-ca-cert-file").arg(certificate);
        server.arg("--dir").arg(directory).arg("--unixsocket").arg(directory.join("redis.sock"));
        let process =
            listening("redis-server", &mut server, &directory.with_extension("log"), &[port, tls_port])?;
        Ok(Self { _process: process, directory: directory.to_owned(), port, tls_port })
    }
}

/// MariaDB; its Unix socket is `mysql.sock` in its directory.
pub(super) struct MariaDb {
    _process: Process,
    pub(super) directory: PathBuf,
    pub(super) port: u16,
}

impl MariaDb {
    pub(super) fn start(directory: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        const INIT: &str = "CREATE DATABASE shop;\n\
            CREATE USER apm IDENTIFIED BY 'secret';\n\
            GRANT ALL ON shop.* TO apm;\n\
            CREATE TABLE shop.items (id int AUTO_INCREMENT PRIMARY KEY, note text);\n";
        fs::create_dir(directory)?;
        let (data, init) = (directory.join("data"), directory.join("init.sql"));
        fs::write(&init, INIT)?;
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--user=root", "--skip-test-db"]);
        install.arg("--auth-root-authentication-method=normal");
        run(install.arg(option("--datadir", &data))).context(
            "cannot make MariaDB's tables; are mariadb-server-core and mariadb-client-core installed?",
        )?;
        let port = free_port()?;
        let mut server = Command::new("mariadbd");
        server.args(["--no-defaults", "--user=root", "--skip-name-resolve", "--bind-address=127.0.0.1"]);
        server.args([
            "--max-connections=500",
            "--max-connect-errors=100000",
            "--connect-timeout=60",
            &format!("--port={port}"),
        ]);
        server.arg(option("--datadir", &data)).arg(option("--init-file", &init));
        server.arg(option("--socket", &directory.join("mysql.sock")));
        server.arg(option("--ssl-cert", certificate)).arg(option("--ssl-key", key));
        let process = listening("mariadbd", &mut server, &directory.with_extension("log"), &[port])?;
        Ok(Self { _process: process, directory: directory.to_owned(), port })
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
