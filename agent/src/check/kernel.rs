//! The kernel: version, type information, lockdown, probes.

use std::collections::BTreeMap;

use super::{Finding, Report, Status};
use crate::capture::{CaptureError, KernelTypes};
use crate::problem::Problem;

/// Oldest kernel: `bpf_task_pt_regs`, with which a probe at a system call's end reads its arguments, came with 5.15
/// (kernel's `include/uapi/linux/bpf.h`).
const OLDEST: (u32, u32) = (5, 15);

pub(super) fn architecture() -> Result<String, Problem> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x86-64".into()),
        other => Err(Problem::new(
            format!("the probes are built for x86-64, and this machine is {other}"),
            "an x86-64 machine",
        )),
    }
}

pub(super) fn version() -> Result<String, Problem> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    judge(release.trim())
}

fn judge(release: &str) -> Result<String, Problem> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        return Err(Problem::new(
            format!("kernel {release} is too old: {}.{} is the oldest that works", OLDEST.0, OLDEST.1),
            "Debian 12, Ubuntu 22.04, RHEL 9 or later",
        ));
    }
    Ok(release.to_owned())
}

/// BTF, in which the probes find the kernel's structures.
pub(super) fn types() -> Result<String, Problem> {
    match KernelTypes::of_running_kernel() {
        Ok(_) => Ok("/sys/kernel/btf/vmlinux".into()),
        Err(error) => Err(Problem::new(
            format!("the kernel does not describe its types (BTF): {error}"),
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all current distributions ship",
        )),
    }
}

/// kernel_lockdown(7): confidentiality forbids BPF to read memory.
pub(super) fn lockdown() -> Result<String, Problem> {
    let Ok(modes) = std::fs::read_to_string("/sys/kernel/security/lockdown") else {
        return Ok("not told by this kernel".into());
    };
    match modes.split(['[', ']']).nth(1) {
        Some("confidentiality") => Err(Problem::new(
            "kernel lockdown is at `confidentiality`, which forbids probes to read memory",
            "lockdown=integrity on the kernel's command line",
        )),
        Some(mode) => Ok(mode.into()),
        None => Ok("none".into()),
    }
}

/// Tries every probe by itself, and the ring buffer at its size.
pub(super) fn probes(ring_bytes: u32, report: &mut Report) {
    let tried = match crate::capture::support() {
        Ok(tried) => tried,
        Err(error) => {
            let remedy = match error {
                CaptureError::Btf(_) => "a kernel built with CONFIG_DEBUG_INFO_BTF=y",
                _ => {
                    "sudo; in a container, --privileged or the host's pid namespace with CAP_BPF and CAP_PERFMON"
                }
            };
            report.add("probes", Err(Problem::new(error.to_string(), remedy)));
            return;
        }
    };
    let mut working: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (probe, result) in &tried {
        match result {
            Ok(()) => working.entry(probe.purpose).or_default().push(probe.program),
            Err(reason) => report.add(
                &format!("probe {}", probe.program),
                Err(Problem::new(
                    format!("{} cannot be seen: {reason}", probe.purpose),
                    "a kernel with CONFIG_FTRACE_SYSCALLS=y, and tracefs at /sys/kernel/tracing",
                )),
            ),
        }
    }
    for (purpose, programs) in working {
        let detail = format!("{purpose} ({})", programs.join(", "));
        report.push("probe", Finding { status: Status::Ok, detail, remedy: None });
    }
    report.push("ring buffer", Finding::ok(format!("{} MiB", ring_bytes >> 20)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("5.15.0-91-generic", true)]
    #[case("6.1.0-18-amd64", true)]
    #[case("6.18.44-x", true)]
    #[case("10.0", true)]
    #[case("5.10.0-28-amd64", false)]
    #[case("4.18.0", false)]
    #[case("", false)]
    fn kernels_are_judged_by_their_numbers(#[case] release: &str, #[case] good: bool) {
        assert_eq!(judge(release).is_ok(), good);
    }
}
