//! The servers under load, and those that they call.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::cases::outgoing::{Postgres, certificate, listening};
use crate::places::Places;
use crate::port::free_port;
use crate::process::Process;

/// Of uvicorn.
pub(super) const OPTIONS: &[&str] = &[
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level",
    "warning",
    // A halted load must find its connections again.
    "--timeout-keep-alive",
    "60",
];

/// A server that listens.
pub(super) struct Served {
    pub(super) process: Process,
    pub(super) port: u16,
}

/// All of them; of each that is measured there are two.
pub(super) struct Stage {
    /// `/ping` alone.
    pub(super) ping: [Served; 2],
    /// The same through TLS.
    pub(super) ping_tls: [Served; 2],
    /// `/db`, `/call` and their likes.
    pub(super) calling: [Served; 2],
    _upstream: [Served; 2],
    _postgres: Postgres,
    _directory: TempDir,
}

impl Stage {
    /// Starts them.
    pub(super) fn start(places: &Places) -> Result<Self> {
        let directory = places.scratch()?;
        let (certificate, key) = certificate(directory.path())?;
        let postgres = Postgres::start(&directory.path().join("postgres"), &certificate, &key)?;
        postgres.sql("shop", "INSERT INTO items (note) VALUES ('of the benchmark')")?;
        let python = places.any_python()?;
        let outgoing = places.clients()?;
        let start = |name: &str, python: &Path, app: &str, tls: bool, settings: &[(&str, String)]| {
            let port = free_port()?;
            let mut command = Command::new(python);
            command.args(["-m", "uvicorn", app, "--host", "127.0.0.1", "--port", &port.to_string()]);
            command.args(OPTIONS).envs(settings.iter().map(|(name, value)| (name, value)));
            command.current_dir(places.apps().join("bench")).env_remove("PYTHONPATH");
            if tls {
                command.arg("--ssl-certfile").arg(&certificate).arg("--ssl-keyfile").arg(&key);
            }
            let log: PathBuf = directory.path().join(name).with_extension("log");
            let process = listening(name, &mut command, &log, &[port])?;
            Ok::<_, anyhow::Error>(Served { process, port })
        };
        let upstream = start("upstream", &python, "app:app", false, &[])?;
        let upstream_tls = start("upstream-tls", &python, "app:app", true, &[])?;
        let settings = [
            ("BENCH_DATABASE", format!("postgres://apm:secret@127.0.0.1:{}/shop", postgres.port)),
            ("BENCH_UPSTREAM", format!("http://127.0.0.1:{}", upstream.port)),
            ("BENCH_UPSTREAM_TLS", format!("https://127.0.0.1:{}", upstream_tls.port)),
            ("BENCH_CERTIFICATE", certificate.display().to_string()),
        ];
        Ok(Self {
            ping: [
                start("ping-1", &python, "app:app", false, &[])?,
                start("ping-2", &python, "app:app", false, &[])?,
            ],
            ping_tls: [
                start("ping-tls-1", &python, "app:app", true, &[])?,
                start("ping-tls-2", &python, "app:app", true, &[])?,
            ],
            calling: [
                start("calling-1", &outgoing, "calling:app", false, &settings)?,
                start("calling-2", &outgoing, "calling:app", false, &settings)?,
            ],
            _upstream: [upstream, upstream_tls],
            _postgres: postgres,
            _directory: directory,
        })
    }
}
