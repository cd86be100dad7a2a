//! What this machine allows: for `apm-agent check`, and before anything is loaded.

mod kernel;
mod port;
mod privileges;
mod processes;
mod report;
mod storage;

pub use report::{Finding, Report, Status};

use crate::config::Settings;
use crate::problem::Problem;
use crate::process::Procfs;

/// Looks at everything and tries every probe for a moment. Nothing stays behind.
pub fn check(settings: &Settings) -> Report {
    let mut report = Report::default();
    report.add("machine", kernel::architecture());
    report.add("kernel", kernel::version());
    report.add("kernel types", kernel::types());
    report.add("lockdown", kernel::lockdown());
    let privileges = privileges::privileges();
    let may_load = privileges.is_ok();
    report.add("privileges", privileges);
    for (name, finding) in privileges::helpful() {
        report.push(name, finding);
    }
    if may_load {
        kernel::probes(settings.ring_bytes, &mut report);
    } else {
        report.push("probes", Finding::warning("not tried without the privileges", "sudo apm-agent check"));
    }
    report.add(
        "dashboard",
        port::free(settings.listen).map(|()| format!("http://{}/ is free", settings.listen)),
    );
    match storage::writable(&settings.database) {
        Err(Problem { of_disk: true, what, remedy, .. }) => {
            report.push(
                "database",
                Finding::warning(format!("{what}; figures are kept in memory only"), remedy),
            );
        }
        result => report.add("database", result),
    }
    let procfs = Procfs::default();
    for pid in &settings.pids {
        if let Err(problem) = processes::is_python(&procfs, *pid) {
            report.add(&format!("--pid {pid}"), Err(problem));
        }
    }
    report.processes = processes::list(procfs, settings);
    report
}

/// Checks what can be checked without loading anything, the likeliest obstacle first.
///
/// # Errors
/// The first thing that would keep the agent from working.
pub fn preflight(settings: &Settings) -> Result<(), Problem> {
    kernel::architecture()?;
    kernel::version()?;
    privileges::privileges()?;
    kernel::types()?;
    kernel::lockdown()?;
    let procfs = Procfs::default();
    for pid in &settings.pids {
        processes::is_python(&procfs, *pid)?;
    }
    settings.database.not_locked()?;
    port::free(settings.listen)?;
    match storage::writable(&settings.database) {
        Err(problem) if !problem.of_disk => Err(problem),
        _ => Ok(()),
    }
}
