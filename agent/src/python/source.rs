//! Lines of a process's source files.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file that is read.
const FILE_MAX: u64 = 4 << 20;
/// Lines remembered; past that, all are read anew.
const LINES_MAX: usize = 8_192;

/// Lines of the files that a process sees.
pub(super) struct Sources {
    root: PathBuf,
    directory: PathBuf,
    /// `None`: it cannot be read.
    lines: HashMap<(Arc<str>, u32), Option<Arc<str>>>,
}

impl Sources {
    /// Files as `pid` sees them, in a container too: proc_pid_root(5), proc_pid_cwd(5).
    pub(super) fn new(pid: u32) -> Self {
        let process = Path::new("/proc").join(pid.to_string());
        Self { root: process.join("root"), directory: process.join("cwd"), lines: HashMap::new() }
    }

    /// A line, counted from 1, without the white space around it.
    pub(super) fn line(&mut self, file: &Arc<str>, number: u32) -> Option<Arc<str>> {
        let key = (Arc::clone(file), number);
        if let Some(known) = self.lines.get(&key) {
            return known.clone();
        }
        let line = self.read(file, number).map(|line| line.as_str().into());
        if self.lines.len() >= LINES_MAX {
            self.lines.clear();
        }
        self.lines.insert(key, line.clone());
        line
    }

    fn read(&self, file: &str, number: u32) -> Option<String> {
        if file.starts_with('<') {
            return None;
        }
        let path = match file.strip_prefix('/') {
            Some(absolute) => self.root.join(absolute),
            None => self.directory.join(file),
        };
        // Opening a pipe or a device could block or do something.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let line = bytes.split(|&byte| byte == b'\n').nth(index)?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    }
}
