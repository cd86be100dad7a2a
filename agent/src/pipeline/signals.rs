//! Signals that end the agent.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that are heeded, from when this is made on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// A terminal that is closed sends it; nohup(1) has it ignored.
    hang_up: Option<Signal>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let is_ignored = ignores(&std::fs::read_to_string("/proc/self/status")?, libc::SIGHUP);
        let hang_up = if is_ignored { None } else { Some(signal(SignalKind::hangup())?) };
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hang_up })
    }

    /// Returns when one has come.
    pub(super) async fn one(&mut self) {
        let hung_up = async {
            match &mut self.hang_up {
                Some(hang_up) => _ = hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up => {}
        }
    }
}

/// Does a process with this status ignore the signal (proc_pid_status(5), `SigIgn`)?
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_terminal_that_is_closed_ends_the_agent() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async {
            let mut signals = Signals::new().unwrap();
            // Whoever runs the tests may have it ignored.
            signals.hang_up = Some(signal(SignalKind::hangup()).unwrap());
            let own = std::process::id().to_string();
            assert!(Command::new("kill").args(["-HUP", &own]).status().unwrap().success());
            tokio::time::timeout(Duration::from_secs(30), signals.one()).await
        });
        assert!(ended.is_ok());
    }

    #[test]
    fn signals_that_are_ignored_stay_so() {
        let status = "Name:\tapm-agent\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert!(ignores(status, libc::SIGHUP) && ignores(status, libc::SIGPIPE));
        assert!(!ignores(status, libc::SIGTERM) && !ignores("", libc::SIGHUP));
    }
}
