//! Which file lies where in a process.

use std::path::{Path, PathBuf};

use crate::process::elf::FileKey;
use crate::process::maps::maps;
use crate::process::patience::Device;
use crate::process::source::without_deleted_mark;

/// A piece of a file in a process's memory.
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where it lies in the file.
    pub(super) offset: u64,
    pub(super) executable: bool,
}

/// A file that a process maps with code in it.
pub(super) struct MappedCode {
    /// As the process sees it, or saw it before the file was deleted.
    pub(super) path: PathBuf,
    /// Device and inode, as the kernel prints them for mappings.
    id: (Device, u64),
    /// In the order of their addresses.
    pub(super) pieces: Vec<Piece>,
    pid: u32,
}

impl MappedCode {
    /// Path through which the agent reaches the file, deleted or not, while the process maps it: proc_pid_map_files(5).
    pub(super) fn access(&self) -> PathBuf {
        let piece = self.pieces.iter().find(|piece| piece.executable).unwrap_or(&self.pieces[0]);
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("map_files")
            .join(format!("{:x}-{:x}", piece.start, piece.end))
    }

    /// Which file it is.
    pub(super) fn key(&self) -> Option<FileKey> {
        FileKey::of(&self.access()).ok()
    }
}

/// Files that the process maps with code in them.
pub(super) fn mapped_code(pid: u32) -> Vec<MappedCode> {
    let mut files: Vec<MappedCode> = Vec::new();
    for map in maps(pid).into_iter().flatten() {
        let id = (map.device, map.inode);
        let piece = Piece { start: map.start, end: map.end, offset: map.offset, executable: map.executable };
        // A file's pieces lie next to each other.
        match files.last_mut() {
            Some(last) if last.id == id => last.pieces.push(piece),
            _ => {
                files.push(MappedCode {
                    path: without_deleted_mark(map.path).0,
                    id,
                    pieces: vec![piece],
                    pid,
                });
            }
        }
    }
    files.retain(|file| file.pieces.iter().any(|piece| piece.executable));
    files
}
