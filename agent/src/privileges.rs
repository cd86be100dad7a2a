//! Giving up what is not needed any more: capabilities(7), credentials(7).
//!
//! Loading the probes is the last thing that may need more than [`KEPT`] (mounting tracefs does, where the host has not).
//! After it the agent reads what strangers send, so from there on a fault in it must not be root's fault.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::config::Database;

/// What stays, as far as it was there: to load and attach probes to libraries that are mapped later, to look at other
/// users' processes and the files of their programs, and to see libraries that were replaced while in use.
pub const KEPT: &[Capability] = &[
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_CHECKPOINT_RESTORE,
];

/// What the thread that attaches probes keeps besides. The kernel demands it for every uprobe (`perf_uprobe_event_init`
/// in its `kernel/events/core.c`), CAP_PERFMON or not; without it TLS and Python cannot be looked into.
pub const FOR_UPROBES: Capability = Capability::CAP_SYS_ADMIN;

/// User and group by number.
type Ids = (u32, u32);

/// Drops every capability but [`KEPT`] and [`FOR_UPROBES`], for good, and becomes a user who may write the database
/// without any. No program started from here on gains privileges again.
///
/// Must be called while the process has one thread: capabilities belong to threads, and later ones inherit them.
///
/// # Errors
/// The kernel refuses to let go of something.
pub fn give_up(database: &Database) -> anyhow::Result<()> {
    let held = caps::read(None, CapSet::Permitted).context("cannot read the capabilities")?;
    let mut kept: HashSet<Capability> =
        KEPT.iter().copied().filter(|capability| held.contains(capability)).collect();
    let everything = caps::runtime::thread_all_supported();
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in everything.iter().filter(|capability| !KEPT.contains(capability)) {
            caps::drop(None, CapSet::Bounding, *capability).context("cannot shrink the bounding set")?;
        }
    }
    if held.contains(&FOR_UPROBES) {
        kept.insert(FOR_UPROBES);
    }
    if Uid::effective().is_root() {
        let files = files_of(&database.path);
        let preferred = database.owner.map(|owner| (owner.uid, owner.gid));
        match writer_of(&files, preferred) {
            Some((0, _)) => {}
            // systemd's CapabilityBoundingSet= may have taken the means to change users; the file was made by root then.
            Some(ids) if held.contains(&Capability::CAP_SETUID) && held.contains(&Capability::CAP_SETGID) => {
                become_user(ids).with_context(|| format!("cannot become user {}", ids.0))?;
                tracing::debug!("running as user {}, who owns the database", ids.0);
            }
            _ if held.contains(&Capability::CAP_DAC_OVERRIDE) => {
                tracing::warn!(
                    "keeping CAP_DAC_OVERRIDE: {} and its directory have different owners, so writing it needs that",
                    database.path.display()
                );
                kept.insert(Capability::CAP_DAC_OVERRIDE);
            }
            _ => {}
        }
    }
    keep(&kept).context("cannot drop privileges")?;
    prctl::set_no_new_privs().context("cannot forbid new privileges")?;
    let mut names: Vec<String> = kept.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    tracing::debug!("privileges left: {}", names.join(", "));
    Ok(())
}

/// Drops [`FOR_UPROBES`] too, from this thread and those that it makes.
///
/// # Errors
/// The kernel refuses to let go of it.
pub fn give_up_uprobes() -> anyhow::Result<()> {
    let mut kept = caps::read(None, CapSet::Permitted).context("cannot read the capabilities")?;
    kept.remove(&FOR_UPROBES);
    keep(&kept).context("cannot drop privileges")
}

/// Leaves `kept` and nothing else to this thread. Changing the user has emptied the effective set.
fn keep(kept: &HashSet<Capability>) -> Result<(), caps::errors::CapsError> {
    // Kernels from 4.3 on have ambient capabilities, and BTF came later.
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, kept)?;
    caps::set(None, CapSet::Permitted, kept)
}

/// Changes all ids of the process; the permitted capabilities survive it.
fn become_user((uid, gid): Ids) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    prctl::set_keepcaps(true)?;
    setgroups(&[gid])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// The directory of the database and those of its files that exist. SQLite makes the others beside it.
fn files_of(database: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = OsString::from(database);
        name.push(suffix);
        PathBuf::from(name)
    };
    let directory = database.parent().map(Path::to_path_buf);
    let files = [database.to_path_buf(), beside("-wal"), beside("-shm")];
    directory.into_iter().chain(files.into_iter().filter(|file| file.exists())).collect()
}

/// Who may write all of `files` without capabilities: the preferred user, root, or the owner of one of them.
fn writer_of(files: &[PathBuf], preferred: Option<Ids>) -> Option<Ids> {
    let entries: Vec<(u32, Ids)> = files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|meta| (meta.mode(), (meta.uid(), meta.gid())))
        .collect();
    let owners = entries.iter().map(|(_, ids)| *ids);
    preferred
        .into_iter()
        .chain([(0, 0)])
        .chain(owners)
        .find(|who| entries.iter().all(|(mode, owner)| may_write(*mode, *owner, *who)))
}

/// The permission check of path_resolution(7), without ACLs and supplementary groups: too strict is safe here.
fn may_write(mode: u32, owner: Ids, who: Ids) -> bool {
    let shift = if owner.0 == who.0 {
        6
    } else if owner.1 == who.1 {
        3
    } else {
        0
    };
    let is_directory = mode & libc::S_IFMT == libc::S_IFDIR;
    let wanted = if is_directory { 0o3 } else { 0o2 };
    (mode >> shift) & wanted == wanted
}

#[cfg(test)]
mod tests {
    use super::may_write;

    const ADA: (u32, u32) = (1000, 1000);
    const ROOT: (u32, u32) = (0, 0);

    #[rstest::rstest]
    #[case::own_file(0o100_600, ADA, ADA, true)]
    #[case::root_is_nobody_special(0o100_600, ADA, ROOT, false)]
    #[case::group(0o100_660, (1, 1000), ADA, true)]
    #[case::group_before_others(0o100_606, (1, 1000), ADA, false)]
    #[case::directory_of_all(0o041_777, ROOT, ADA, true)]
    #[case::directory_without_search(0o040_722, ROOT, ADA, false)]
    #[case::own_directory(0o040_700, ADA, ADA, true)]
    fn modes_are_judged_as_the_kernel_does(
        #[case] mode: u32,
        #[case] owner: (u32, u32),
        #[case] who: (u32, u32),
        #[case] allowed: bool,
    ) {
        assert_eq!(may_write(mode, owner, who), allowed);
    }
}
