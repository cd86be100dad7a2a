//! The servers under test: how each is started and what it can do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::load::{Address, Traits};
use crate::port::free_port;
use crate::process::{Process, until};

/// One kind of server.
pub(crate) struct Kind {
    /// Name in test names.
    pub(crate) name: &'static str,
    /// Arguments of `python`; `{port}` is replaced.
    arguments: &'static str,
    /// What it can do.
    pub(crate) traits: Traits,
}

const FULL: Traits = Traits { pipelining: true, chunked_uploads: true, expect: true };
const NO_PIPELINING: Traits = Traits { pipelining: false, ..FULL };
/// WSGI's reference implementation knows bodies with a length only.
const WSGIREF: Traits = Traits { pipelining: false, chunked_uploads: false, expect: false };

const UVICORN: &str = "-m uvicorn asgi_app:app --host 127.0.0.1 --port {port} --timeout-keep-alive 60 --no-access-log \
     --log-level warning";

/// All kinds.
pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "uvicorn-asyncio-h11", arguments: "--loop asyncio --http h11", traits: FULL },
    Kind { name: "uvicorn-asyncio-httptools", arguments: "--loop asyncio --http httptools", traits: FULL },
    Kind { name: "uvicorn-uvloop-h11", arguments: "--loop uvloop --http h11", traits: FULL },
    Kind { name: "uvicorn-uvloop-httptools", arguments: "--loop uvloop --http httptools", traits: FULL },
    Kind {
        name: "gunicorn-sync",
        arguments: "-m gunicorn -b 127.0.0.1:{port} -w 3 --log-level warning wsgi_app:app",
        traits: NO_PIPELINING,
    },
    Kind {
        name: "gunicorn-gthread",
        arguments: "-m gunicorn -b 127.0.0.1:{port} -w 2 -k gthread --threads 8 --log-level warning wsgi_app:app",
        traits: NO_PIPELINING,
    },
    Kind {
        name: "gunicorn-uvicorn",
        arguments: "-m gunicorn -b 127.0.0.1:{port} -w 2 -k uvicorn.workers.UvicornWorker --log-level warning \
                    asgi_app:app",
        traits: FULL,
    },
    Kind {
        name: "flask-dev",
        arguments: "-m flask --app flask_app run --host 127.0.0.1 --port {port}",
        traits: Traits { expect: true, chunked_uploads: true, pipelining: false },
    },
    Kind { name: "django-runserver", arguments: "django_app.py runserver 127.0.0.1:{port}", traits: WSGIREF },
    Kind {
        name: "hypercorn",
        arguments: "-m hypercorn -b 127.0.0.1:{port} --log-level warning asgi_app:app",
        traits: FULL,
    },
    Kind {
        name: "waitress",
        arguments: "-m waitress --listen=127.0.0.1:{port} --threads=8 wsgi_app:app",
        // It closes the connection after an answer without a length, and the rest of a pipeline with it.
        traits: NO_PIPELINING,
    },
    Kind { name: "http.server", arguments: "stdlib_app.py {port}", traits: FULL },
    Kind { name: "aiohttp", arguments: "aiohttp_app.py {port}", traits: FULL },
    Kind { name: "tornado", arguments: "tornado_app.py {port}", traits: FULL },
];

/// The kind with this name.
pub(crate) fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect("a kind in the table")
}

/// A server that runs.
pub(crate) struct Server {
    /// Its process; workers are children of it.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: Address,
    /// Where its processes write down what they served.
    pub(crate) truth: PathBuf,
}

impl Server {
    /// Starts a server of `kind` and waits until it accepts connections.
    pub(crate) fn start(kind: &Kind, python: &Path, apps: &Path, scratch: &Path) -> Result<Self> {
        let arguments = match kind.name.starts_with("uvicorn-") {
            true => format!("{UVICORN} {}", kind.arguments),
            false => kind.arguments.to_owned(),
        };
        Self::start_with(kind.name, &arguments, python, apps, scratch)
    }

    /// Starts `python ARGUMENTS` in the directory of the apps; `{port}` in the arguments is replaced by a free port
    /// of 127.0.0.1.
    pub(crate) fn start_with(
        name: &str,
        arguments: &str,
        python: &Path,
        apps: &Path,
        scratch: &Path,
    ) -> Result<Self> {
        let address = Address::Tcp(([127, 0, 0, 1], free_port()?).into());
        Self::start_at(address, name, arguments, python, apps, scratch)
    }

    /// Starts a server that will listen at `address`; `{port}` is replaced by its port.
    pub(crate) fn start_at(
        address: Address,
        name: &str,
        arguments: &str,
        python: &Path,
        apps: &Path,
        scratch: &Path,
    ) -> Result<Self> {
        let truth = scratch.join("truth");
        std::fs::create_dir_all(&truth)?;
        let mut command = Command::new(python);
        command.args(arguments.replace("{port}", &address.port().to_string()).split_whitespace());
        command.current_dir(apps).env("APM_TRUTH", &truth).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTHONWARNINGS", "ignore").env_remove("PYTHONPATH");
        let mut process = Process::start(name, &mut command, &scratch.join("server.log"))?;
        until(Duration::from_secs(30), &format!("{name} to listen"), || {
            process.check_alive()?;
            Ok(address.accepts().then_some(()))
        })?;
        Ok(Self { process, address, truth })
    }
}
