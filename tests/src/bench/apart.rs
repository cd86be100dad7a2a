//! Files of a server's own: probes sit on files, so a server that runs the same ones as a watched server pays for traps too, and
//! is no measure of the bare app.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Copies of all code that a server runs, to be mounted over it where another server of the same app is started.
pub(super) struct Apart {
    /// Each copy, and what it is a copy of.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Apart {
    /// Copies what the process `pid` runs to `directory`.
    pub(super) fn of(pid: u32, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let mut files = Vec::new();
        for (number, original) in code(pid)?.into_iter().enumerate() {
            let copy = directory.join(format!("{number}"));
            fs::copy(&original, &copy).with_context(|| original.display().to_string())?;
            files.push((copy, original));
        }
        ensure!(!files.is_empty(), "process {pid} maps no code");
        Ok(Self { files })
    }

    /// `command`, in a mount namespace where the copies stand in place of the originals.
    pub(super) fn start(&self, command: &Command) -> Command {
        const SCRIPT: &str =
            r#"set -e; while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@""#;
        let mut apart = Command::new("unshare");
        apart.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        for (copy, original) in &self.files {
            apart.args([copy, original]);
        }
        apart.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => apart.env(name, value),
                None => apart.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            apart.current_dir(directory);
        }
        apart
    }
}

/// Files with code that a process maps (proc_pid_maps(5)).
fn code(pid: u32) -> Result<Vec<PathBuf>> {
    let maps = fs::read(format!("/proc/{pid}/maps"))?;
    let mut files: Vec<PathBuf> = maps
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            // address, permissions, offset, device, inode, path
            let mut fields = line.splitn(6, |byte| *byte == b' ');
            let is_code = fields.nth(1)?.get(2) == Some(&b'x');
            let path = fields.nth(3)?.trim_ascii_start();
            (is_code && path.starts_with(b"/")).then(|| PathBuf::from(OsStr::from_bytes(path)))
        })
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
