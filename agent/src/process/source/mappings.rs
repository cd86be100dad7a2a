//! Files mapped into a process, from `/proc/PID/maps`.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{base_name, without_deleted_mark};
use crate::process::elf::{ElfFacts, FileKey};
use crate::process::mapped::MappedFile;
use crate::process::maps::maps;
use crate::process::patience::Device;

/// Mapped files looked at in one process; a process of scientific packages maps some hundreds.
const MAX_FILES: usize = 2048;

/// A file's mappings, as one.
pub(super) struct Mapping {
    /// As the process sees it.
    pub(super) path: PathBuf,
    deleted: bool,
    /// The file system that holds it.
    pub(super) device: Device,
    inode: u64,
    /// File offset and address of each piece.
    pieces: Vec<(u64, u64)>,
    /// Addresses of one piece, to find it in `map_files`.
    range: (u64, u64),
    executable: bool,
}

impl Mapping {
    /// Does the name promise an interpreter?
    pub(super) fn may_be_libpython(&self) -> bool {
        let name = base_name(&self.path);
        name.starts_with("libpython") || name.starts_with("libpypy")
    }

    /// The file with its place in the process; `None` if its first segment is not mapped (a file read as data).
    pub(super) fn file(&self, access: PathBuf, key: FileKey, facts: Arc<ElfFacts>) -> Option<MappedFile> {
        let (offset, linked) = facts.first_segment;
        let (_, mapped) = self.pieces.iter().find(|(piece, _)| *piece == offset)?;
        let load_bias = mapped.wrapping_sub(linked);
        Some(MappedFile { path: self.path.clone(), access, key, facts, load_bias })
    }

    /// Path by way of the mapping, proc_pid_map_files(5): leads to deleted files too, needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
    pub(super) fn by_mapping(&self, pid: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", self.range.0, self.range.1))
    }

    /// Path through which the agent reaches the file. The path as seen from the process's root is preferred, since it
    /// outlives the mapping; but it may lead to a newer file of the same name, after an upgrade for instance.
    pub(super) fn access(&self, pid: u32) -> Option<PathBuf> {
        let by_mapping = self.by_mapping(pid);
        let root = Path::new("/proc").join(pid.to_string()).join("root");
        let by_path = root.join(self.path.strip_prefix("/").ok()?);
        let Ok(named) = std::fs::metadata(&by_path) else { return Some(by_mapping) };
        if self.deleted {
            return Some(by_mapping);
        }
        if named.ino() == self.inode {
            return Some(by_path);
        }
        // On an overlay the mapping may bear the number of the layer's file: ask through the mapping which one it is.
        match std::fs::metadata(&by_mapping) {
            Ok(mapped) if (mapped.dev(), mapped.ino()) != (named.dev(), named.ino()) => Some(by_mapping),
            _ => Some(by_path),
        }
    }
}

/// Files that the process has mapped and can execute.
pub(super) fn mappings(pid: u32) -> io::Result<Vec<Mapping>> {
    let mut by_file: HashMap<(Device, u64), Mapping> = HashMap::new();
    for map in maps(pid)? {
        let file = (map.device, map.inode);
        if by_file.len() >= MAX_FILES && !by_file.contains_key(&file) {
            continue;
        }
        let entry = by_file.entry(file).or_insert_with(|| {
            let (path, deleted) = without_deleted_mark(map.path);
            let (device, inode, range) = (map.device, map.inode, (map.start, map.end));
            Mapping { path, deleted, device, inode, pieces: Vec::new(), range, executable: false }
        });
        entry.pieces.push((map.offset, map.start));
        entry.executable |= map.executable;
    }
    let mut found: Vec<Mapping> = by_file.into_values().filter(|mapping| mapping.executable).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
