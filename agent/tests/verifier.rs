//! What the probes cost the kernel's verifier: the counts are recorded, and a jump is a mistake until it is looked at.

#![allow(
    clippy::print_stdout,
    reason = "`cargo xtask vmtest --record` reads the counts; a skipped test says so"
)]

use std::collections::BTreeMap;

/// Growth that is accepted without a new record: `cargo xtask vmtest --record`.
const GROWTH: f64 = 1.25;

/// Kernel series -> program -> instructions.
type Record = BTreeMap<String, BTreeMap<String, u32>>;

#[test]
fn instruction_counts_do_not_jump() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let record: Record = toml::from_str(include_str!("../../agent-ebpf/verifier.toml")).unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let series = release.split('.').take(2).collect::<Vec<_>>().join(".");
    let programs = apm_agent::capture::verified().expect("the kernel takes the object");
    assert!(programs.len() > 20, "the object has more programs than {}", programs.len());
    let mut jumped = Vec::new();
    for (program, verified) in programs {
        let count = verified.unwrap_or_else(|reason| panic!("{release} refuses {program}: {reason}"));
        // Kernels from 5.16 on tell.
        let Some(count) = count else { continue };
        println!("verified {series} {program} {count}");
        let recorded = record.get(&series).map(|programs| programs.get(&program));
        match recorded {
            Some(Some(&known)) if f64::from(count) > f64::from(known) * GROWTH => {
                jumped.push(format!("{program}: {known} -> {count}"));
            }
            Some(None) => jumped.push(format!("{program}: not recorded -> {count}")),
            Some(Some(_)) | None => {}
        }
    }
    if std::env::var_os("VERIFIER_RECORD").is_some() {
        println!("to be recorded: {}", jumped.join(", "));
        return;
    }
    assert!(jumped.is_empty(), "in Linux {series}: {}", jumped.join(", "));
    if !record.contains_key(&series) {
        println!("skipped: no counts are recorded for Linux {series}");
    }
}
