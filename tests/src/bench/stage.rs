//! The servers under load, and those that they call.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::apart::Apart;
use crate::cases::outgoing::{Postgres, certificate, listening};
use crate::places::{Places, Scratch};
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

/// All of them; of each that is measured there are two, which share no file with code.
pub(super) struct Stage {
    /// `/ping` alone.
    pub(super) ping: [Served; 2],
    /// The same through TLS.
    pub(super) ping_tls: [Served; 2],
    /// `/db`, `/call` and their likes.
    pub(super) calling: [Served; 2],
    _upstream: [Served; 2],
    _postgres: Postgres,
    _directory: Scratch,
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
        type Settings<'a> = &'a [(&'a str, String)];
        let start = |name: &str,
                     python: &Path,
                     app: &str,
                     tls: bool,
                     settings: Settings<'_>,
                     apart: Option<&Apart>| {
            let port = free_port()?;
            let mut command = Command::new(python);
            command.args(["-m", "uvicorn", app, "--host", "127.0.0.1", "--port", &port.to_string()]);
            command.args(OPTIONS).envs(settings.iter().map(|(name, value)| (name, value)));
            command.current_dir(places.apps().join("bench")).env_remove("PYTHONPATH");
            if tls {
                command.arg("--ssl-certfile").arg(&certificate).arg("--ssl-keyfile").arg(&key);
            }
            if let Some(apart) = apart {
                command = apart.start(&command);
            }
            let log: PathBuf = directory.path().join(name).with_extension("log");
            let process = listening(name, &mut command, &log, &[port])?;
            Ok::<_, anyhow::Error>(Served { process, port })
        };
        let twins = |name: &str, python: &Path, app: &str, tls: bool, settings: Settings<'_>| {
            let one = start(&format!("{name}-1"), python, app, tls, settings, None)?;
            let apart = Apart::of(one.process.pid(), &directory.path().join(name))?;
            let other = start(&format!("{name}-2"), python, app, tls, settings, Some(&apart))?;
            Ok::<_, anyhow::Error>([one, other])
        };
        let ping = twins("ping", &python, "app:app", false, &[])?;
        // What is called runs beside the one and the other, and is not to be slowed by what they are watched by.
        let apart = Apart::of(ping[0].process.pid(), &directory.path().join("upstream"))?;
        let upstream = start("upstream", &python, "app:app", false, &[], Some(&apart))?;
        let upstream_tls = start("upstream-tls", &python, "app:app", true, &[], Some(&apart))?;
        let settings = [
            ("BENCH_DATABASE", format!("postgres://apm:secret@127.0.0.1:{}/shop", postgres.port)),
            ("BENCH_UPSTREAM", format!("http://127.0.0.1:{}", upstream.port)),
            ("BENCH_UPSTREAM_TLS", format!("https://127.0.0.1:{}", upstream_tls.port)),
            ("BENCH_CERTIFICATE", certificate.display().to_string()),
        ];
        Ok(Self {
            ping,
            ping_tls: twins("ping-tls", &python, "app:app", true, &[])?,
            calling: twins("calling", &outgoing, "calling:app", false, &settings)?,
            _upstream: [upstream, upstream_tls],
            _postgres: postgres,
            _directory: directory,
        })
    }
}
