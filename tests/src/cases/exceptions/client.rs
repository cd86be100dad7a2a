//! Asks a server, over HTTP/1 or HTTP/2.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// How a server is asked.
pub(super) enum Speaks {
    Http1,
    Http2(Transport),
}

/// What carries HTTP/2.
pub(super) enum Transport {
    Plain,
    Tls,
}

pub(super) enum Client {
    /// A connection for each request: servers close theirs after an exception, and one of the pool would be reset.
    Http1(ureq::Agent, u16),
    /// `h2_get.py`: one connection, several streams at a time.
    Http2 { process: Child, asks: ChildStdin, answers: BufReader<ChildStdout> },
}

impl Client {
    pub(super) fn new(speaks: &Speaks, port: u16, python: &Path, apps: &Path) -> Result<Self> {
        let Speaks::Http2(transport) = speaks else {
            let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
            return Ok(Self::Http1(ureq::Agent::new_with_config(config.build()), port));
        };
        let transport = match transport {
            Transport::Plain => "plain",
            Transport::Tls => "tls",
        };
        let mut command = Command::new(python);
        command.arg(apps.join("h2_get.py")).args([&port.to_string(), transport]).env_remove("PYTHONPATH");
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the client cannot be started")?;
        let asks = process.stdin.take().context("no input")?;
        let answers = BufReader::new(process.stdout.take().context("no output")?);
        Ok(Self::Http2 { process, asks, answers })
    }

    /// The status of the answer to one request.
    pub(super) fn get(&mut self, path: &str) -> Result<u16> {
        self.get_all(&[path.to_owned()])?.pop().context("no answer")
    }

    /// Those of several, which are asked for at a time where the protocol can.
    pub(super) fn get_all(&mut self, paths: &[String]) -> Result<Vec<u16>> {
        match self {
            Self::Http1(web, port) => paths
                .iter()
                .map(|path| {
                    let url = format!("http://127.0.0.1:{port}{path}");
                    let mut answer = web.get(&url).call().with_context(|| path.clone())?;
                    // Whole: a client that goes away before has seen no failure of the server.
                    answer.body_mut().read_to_vec()?;
                    Ok(answer.status().as_u16())
                })
                .collect(),
            Self::Http2 { asks, answers, .. } => {
                writeln!(asks, "{}", paths.join(" "))?;
                let mut line = String::new();
                answers.read_line(&mut line)?;
                let statuses: Vec<u16> =
                    line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
                ensure!(statuses.len() == paths.len(), "answers {line:?} to {paths:?}");
                Ok(statuses)
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Self::Http2 { process, .. } = self {
            // Gone already is what is wanted.
            let _gone = process.kill();
            let _status = process.wait();
        }
    }
}
