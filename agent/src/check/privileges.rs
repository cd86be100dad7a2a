//! Capabilities of the agent: capabilities(7).

use super::Finding;
use crate::problem::Problem;

struct Capability {
    bit: u32,
    name: &'static str,
    /// What it is needed for.
    purpose: &'static str,
    /// CAP_SYS_ADMIN does it too.
    in_admin: bool,
}

const SYS_ADMIN: u32 = 21;

const NEEDED: &[Capability] = &[
    Capability { bit: 39, name: "CAP_BPF", purpose: "to load probes", in_admin: true },
    Capability { bit: 38, name: "CAP_PERFMON", purpose: "to attach them", in_admin: true },
    Capability {
        bit: 19,
        name: "CAP_SYS_PTRACE",
        purpose: "to look at other users' processes",
        in_admin: false,
    },
    Capability {
        bit: 2,
        name: "CAP_DAC_READ_SEARCH",
        purpose: "to read their programs' files",
        in_admin: false,
    },
];

const HELPFUL: &[Capability] = &[
    Capability {
        bit: SYS_ADMIN,
        name: "CAP_SYS_ADMIN",
        purpose: "to look inside TLS and Python (the kernel demands it for uprobes)",
        in_admin: true,
    },
    Capability {
        bit: 40,
        name: "CAP_CHECKPOINT_RESTORE",
        purpose: "to see libraries that were deleted or replaced while in use",
        in_admin: true,
    },
];

fn effective() -> u64 {
    procfs::process::Process::myself().and_then(|process| process.status()).map_or(0, |status| status.capeff)
}

fn has(effective: u64, capability: &Capability) -> bool {
    let bit = |bit: u32| effective & (1 << bit) != 0;
    bit(capability.bit) || (capability.in_admin && bit(SYS_ADMIN))
}

fn missing(effective: u64, wanted: &[Capability]) -> Vec<&Capability> {
    wanted.iter().filter(|capability| !has(effective, capability)).collect()
}

/// What the agent cannot do without.
pub(super) fn privileges() -> Result<String, Problem> {
    judge(effective(), nix::unistd::geteuid().is_root())
}

fn judge(effective: u64, root: bool) -> Result<String, Problem> {
    let missing = missing(effective, NEEDED);
    if missing.is_empty() {
        let names: Vec<&str> = NEEDED.iter().map(|capability| capability.name).collect();
        return Ok(names.join(", "));
    }
    let list: Vec<String> =
        missing.iter().map(|capability| format!("{} {}", capability.name, capability.purpose)).collect();
    let list = list.join(", ");
    if root {
        Err(Problem::new(
            format!("this container or unit withholds {list}"),
            "docker run --privileged --pid=host, or the capabilities in the unit's CapabilityBoundingSet=",
        ))
    } else {
        Err(Problem::new(format!("watching from the kernel needs root; missing: {list}"), "sudo apm-agent"))
    }
}

/// What the agent sees less without.
pub(super) fn helpful() -> Vec<(&'static str, Finding)> {
    missing(effective(), HELPFUL)
        .into_iter()
        .map(|capability| {
            let detail = format!("missing, {}", capability.purpose);
            (capability.name, Finding::warning(detail, format!("{} or root", capability.name)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_one_by_one() {
        let all = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2;
        assert!(judge(all, false).is_ok());
        let problem = judge(all & !(1 << 38), false).unwrap_err();
        assert!(problem.what.ends_with("missing: CAP_PERFMON to attach them"), "{problem}");
        assert_eq!(problem.remedy, "sudo apm-agent");
    }

    #[test]
    fn sys_admin_stands_for_the_newer_two() {
        assert!(judge(1 << SYS_ADMIN | 1 << 19 | 1 << 2, true).is_ok());
        let problem = judge(1 << SYS_ADMIN, true).unwrap_err();
        assert!(problem.what.contains("CAP_SYS_PTRACE") && !problem.what.contains("CAP_BPF"), "{problem}");
    }
}
