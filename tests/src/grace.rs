//! How long the kernel takes for a probe to be gone.
//!
//! It takes uprobes off one at a time for the whole machine, each after several grace periods of RCU: a tenth of a second,
//! three to four seconds for an agent, in which nothing runs. `/sys/kernel/rcu_expedited` makes these periods short, at the
//! price of interrupting all CPUs (the kernel's Documentation/admin-guide/kernel-parameters, `rcupdate.rcu_expedited`).
//! Tests that do not judge an agent's end are not there to wait for it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const SETTING: &str = "/sys/kernel/rcu_expedited";

/// Short grace periods, until it is dropped or we are gone in whatever way.
pub(crate) struct Expedited {
    /// Waits for the end of its input, which is ours, and sets what was set before.
    restores: Child,
}

impl Expedited {
    /// `None` where they are short already, the kernel has no such setting, or we may not change it: then all takes its time.
    pub(crate) fn begin() -> Option<Self> {
        let before = fs::read_to_string(SETTING).ok()?;
        // Another run of the tests beside this one puts it back.
        if before.trim() == "1" {
            return None;
        }
        let mut restores = Command::new("sh");
        restores.args(["-c", "cat > /dev/null; echo \"$1\" > \"$2\"", "sh", before.trim(), SETTING]);
        // A group of its own: Ctrl-C ends us, and not it.
        let restores = restores.stdin(Stdio::piped()).process_group(0).spawn().ok()?;
        let begun = Self { restores };
        fs::write(SETTING, "1").is_ok().then_some(begun)
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        drop(self.restores.stdin.take());
        let _restored = self.restores.wait();
    }
}
