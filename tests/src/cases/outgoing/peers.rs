//! What the apps call: PostgreSQL as Debian packages it, HTTP servers with and without TLS, a proxy. Started once, by
//! the first test that needs one, and gone with the last.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::stores::{MariaDb, Redis};
use crate::places::{Places, Scratch};
use crate::port::free_port;
use crate::process::{Process, Shared, until};

const START: Duration = Duration::from_secs(30);

/// Runs a command to its end; its output is the error when it fails.
pub(in crate::cases) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Where the peers are and how to reach them.
pub(in crate::cases) struct Peers {
    /// The Python with all clients.
    pub(in crate::cases) python: PathBuf,
    /// Apps and their modules.
    pub(in crate::cases) apps: PathBuf,
    /// Self-signed, for 127.0.0.1.
    pub(in crate::cases) certificate: PathBuf,
    /// Its key.
    pub(in crate::cases) key: PathBuf,
    /// Answers HTTP/1.1, at ports of its own for plain, TLS and as a proxy.
    pub(in crate::cases) http: Process,
    /// Ports of it.
    pub(in crate::cases) http_ports: [u16; 3],
    /// The same over HTTP/2: plain and TLS.
    pub(in crate::cases) http2_ports: [u16; 2],
    /// PostgreSQL.
    pub(in crate::cases) postgres: Postgres,
    /// Redis, once a test needs it.
    redis: Shared<Redis>,
    /// MariaDB, likewise.
    mariadb: Shared<MariaDb>,
    /// What ends TLS that was not asked for, with its port.
    direct_tls: Shared<(Process, u16)>,
    _http2: Process,
    directory: Scratch,
}

impl Peers {
    /// Starts them all; the error of a machine without the Python environment says so.
    pub(in crate::cases) fn start(places: &Places) -> Result<Self> {
        let python = places.clients()?;
        let apps = fs::canonicalize(places.apps().join("outgoing"))?;
        let directory = places.scratch()?;
        let at = |name: &str| directory.path().join(name);
        let (certificate, key) = certificate(directory.path())?;
        let ports = || Ok::<_, anyhow::Error>([free_port()?, free_port()?, free_port()?]);

        let http_ports = ports()?;
        let mut command = Command::new(&python);
        command.arg(apps.join("peer.py")).args(http_ports.map(|port| port.to_string()));
        let http = listening("peer", command.arg(&certificate).arg(&key), &at("peer.log"), &http_ports)?;

        let [plain, tls, _] = ports()?;
        let mut command = Command::new(&python);
        // Connections stay open while an agent comes, which on a busy machine takes longer than servers keep idle ones.
        command.args(["-m", "hypercorn", "--keep-alive", "60", "--log-level", "warning"]);
        command.args(["--bind", &format!("127.0.0.1:{tls}")]);
        command.args(["--insecure-bind", &format!("127.0.0.1:{plain}"), "--certfile"]).arg(&certificate);
        command.arg("--keyfile").arg(&key).arg("h2_peer:app").current_dir(&apps);
        let http2 = listening("hypercorn", &mut command, &at("http2.log"), &[plain, tls])?;

        let postgres = Postgres::start(&at("postgres"), &certificate, &key)?;
        let http2_ports = [plain, tls];
        Ok(Self {
            python,
            apps,
            certificate,
            key,
            http,
            http_ports,
            http2_ports,
            postgres,
            redis: Shared::new(),
            mariadb: Shared::new(),
            direct_tls: Shared::new(),
            _http2: http2,
            directory,
        })
    }

    /// Redis.
    pub(super) fn redis(&self) -> Result<&Redis> {
        let directory = self.directory.path().join("redis");
        self.redis.get(|| Redis::start(&directory, &self.certificate, &self.key))
    }

    /// Port where TLS to PostgreSQL begins without being asked for, as PostgreSQL takes it from 17 on: Debian's is older, so
    /// a program in front of it does that.
    pub(super) fn direct_tls(&self) -> Result<u16> {
        let start = || {
            let port = free_port()?;
            let mut command = Command::new(&self.python);
            command.arg(self.apps.join("direct_tls.py")).arg(port.to_string());
            command.arg(self.postgres.port.to_string()).arg(&self.certificate).arg(&self.key);
            let log = self.directory.path().join("direct_tls.log");
            Ok((listening("direct_tls", &mut command, &log, &[port])?, port))
        };
        self.direct_tls.get(start).map(|(_, port)| *port)
    }

    /// MariaDB.
    pub(super) fn mariadb(&self) -> Result<&MariaDb> {
        let directory = self.directory.path().join("mariadb");
        self.mariadb.get(|| MariaDb::start(&directory, &self.certificate, &self.key))
    }
}

/// A self-signed certificate for localhost and its key, as files in `directory`.
pub(crate) fn certificate(directory: &Path) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate))?;
    Ok((certificate, key))
}

/// Starts a server and waits until it accepts connections at all its ports.
pub(crate) fn listening(name: &str, command: &mut Command, log: &Path, ports: &[u16]) -> Result<Process> {
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
    let mut process = Process::start(name, command, log)?;
    let accepts = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
    until(START, &format!("{name} to listen"), || {
        process.check_alive()?;
        Ok(ports.iter().all(accepts).then_some(()))
    })?;
    Ok(process)
}

/// A server with a database, TLS and its own count of statements.
pub(crate) struct Postgres {
    _process: Process,
    /// Directory of its Unix socket.
    pub(in crate::cases) directory: PathBuf,
    /// Its port.
    pub(crate) port: u16,
}

impl Postgres {
    /// Starts it with its files in `directory`, which is made. Its parent is opened to everybody: PostgreSQL does not run as
    /// root.
    pub(crate) fn start(directory: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let parent = directory.parent().context("a directory in another")?;
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .context("no PostgreSQL server; install the package postgresql")?
            .map(|entry| Ok(entry?.path().join("bin")))
            .collect::<Result<_>>()?;
        versions.sort();
        let programs = versions.pop().context("no PostgreSQL server")?;
        let id = |flag: &str| -> Result<u32> {
            Ok(run(Command::new("id").args([flag, "postgres"]))?.trim().parse()?)
        };
        let (uid, gid) = (id("-u")?, id("-g")?);
        fs::create_dir(directory)?;
        let (own_certificate, own_key) = (directory.join("server.crt"), directory.join("server.key"));
        fs::copy(certificate, &own_certificate)?;
        fs::copy(key, &own_key)?;
        fs::set_permissions(&own_key, fs::Permissions::from_mode(0o600))?;
        for path in [directory, &own_key] {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        }
        let data = directory.join("data");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args(["-A", "trust", "-E", "UTF8", "--no-sync", "-U", "postgres", "-D"]).arg(&data);
        run(initdb.uid(uid).gid(gid).current_dir(directory))?;
        let port = free_port()?;
        let mut server = Command::new(programs.join("postgres"));
        server.arg("-D").arg(&data).uid(uid).gid(gid).current_dir(directory);
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", directory.display()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", own_certificate.display()),
            format!("ssl_key_file={}", own_key.display()),
            "shared_preload_libraries=pg_stat_statements".to_owned(),
            "pg_stat_statements.max=50000".to_owned(),
            "max_connections=500".to_owned(),
            "fsync=off".to_owned(),
        ] {
            server.arg("-c").arg(setting);
        }
        let process = Process::start("postgres", &mut server, &directory.with_extension("log"))?;
        let started = Self { _process: process, directory: directory.to_owned(), port };
        let mut sql = || Ok(started.sql("postgres", "CREATE ROLE apm LOGIN PASSWORD 'secret'").ok());
        until(START, "PostgreSQL to answer", &mut sql).with_context(|| started._process.output())?;
        started.sql("postgres", "CREATE DATABASE shop OWNER apm")?;
        started.sql("shop", "CREATE EXTENSION pg_stat_statements")?;
        started.sql("shop", "CREATE TABLE items (id serial PRIMARY KEY, note text)")?;
        started.sql("shop", "ALTER TABLE items OWNER TO apm")?;
        Ok(started)
    }

    /// Runs one statement as the superuser; rows as lines, columns parted by tabs.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new("psql");
        psql.args(["-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]);
        psql.arg("-h").arg(&self.directory).args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        run(&mut psql)
    }
}
