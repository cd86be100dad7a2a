//! Driving wrk and reading what it says.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::CONNECTIONS;

/// wrk against one server.
pub(super) struct Wrk {
    /// What it asks for.
    pub(super) url: String,
    pub(super) seconds: u32,
    /// Where its scripts are.
    pub(super) scripts: PathBuf,
}

/// One run of wrk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Requests answered.
    pub(super) requests: u64,
    /// Per second.
    pub(super) rate: f64,
    /// Median latency, milliseconds.
    pub(super) p50_ms: f64,
    /// 99th percentile.
    pub(super) p99_ms: f64,
}

impl Wrk {
    /// As fast as the server answers.
    pub(super) fn saturate(&self) -> Result<Load> {
        parsed(&self.run(CONNECTIONS, None)?)
    }

    /// One request after the other: its median latency is what a request takes, whatever else the machine does now and then.
    pub(super) fn alone(&self) -> Result<Load> {
        parsed(&self.run(1, None)?)
    }

    /// Each connection waits `pause` on average between two requests.
    pub(super) fn pace(&self, pause: Duration) -> Result<Load> {
        parsed(&self.run(CONNECTIONS, Some(("paced.lua", &format!("{:.3}", pause.as_secs_f64() * 1e3))))?)
    }

    /// Bytes that it reads for each answer, TLS included.
    pub(super) fn answer_bytes(&self) -> Result<f64> {
        // One connection: what a handshake takes is little beside its answers.
        let text = self.run(1, Some(("counted.lua", "")))?;
        let bytes = text.lines().find_map(|line| line.strip_prefix("bytes per answer: "));
        Ok(bytes.with_context(|| format!("cannot read what wrk says:\n{text}"))?.parse()?)
    }

    /// What wrk prints: with a script, and its argument.
    fn run(&self, connections: u32, script: Option<(&str, &str)>) -> Result<String> {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{}s", self.seconds)]);
        if let Some((script, _)) = script {
            command.arg("-s").arg(self.scripts.join(script));
        }
        command.arg(&self.url);
        if let Some((_, argument)) = script {
            command.args(["--", argument]);
        }
        let done = command.output().context("cannot start wrk; install it: apt-get install wrk")?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(done.status.success(), "wrk ended with {}:\n{text}", done.status);
        Ok(text)
    }
}

/// What wrk prints at its end, if all went well.
pub(super) fn parsed(text: &str) -> Result<Load> {
    ensure!(!text.contains("Non-2xx"), "the app answered with errors:\n{text}");
    ensure!(!text.contains("Socket errors"), "requests failed:\n{text}");
    parse(text).with_context(|| format!("cannot read what wrk says:\n{text}"))
}

fn parse(text: &str) -> Option<Load> {
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    Some(Load {
        requests,
        rate: after("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
    })
}

/// `812.00us`, `1.23ms` or `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..unit].parse().ok()?;
    match &text[unit..] {
        "us" => Some(value / 1e3),
        "ms" => Some(value),
        "s" => Some(value * 1e3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, parse};

    #[test]
    fn wrks_words_are_understood() {
        let text = "  Latency Distribution\n     50%    1.83ms\n     75%    1.90ms\n     99%  812.00us\n  \
                    84321 requests in 10.01s, 11.42MB read\nRequests/sec:   8423.12\nTransfer/sec:      1.14MB\n";
        let load = Load { requests: 84321, rate: 8423.12, p50_ms: 1.83, p99_ms: 0.812 };
        assert_eq!(parse(text), Some(load));
    }
}
