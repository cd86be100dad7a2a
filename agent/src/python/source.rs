//! Lines of a process's source files.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::process::View;

/// Largest file that is read.
const FILE_MAX: u64 = 4 << 20;
/// Lines remembered; past that, all are read anew.
const LINES_MAX: usize = 8_192;

/// Lines of the files that a process sees.
pub(super) struct Sources {
    pid: u32,
    /// `None`: it cannot be read.
    lines: HashMap<(Arc<str>, u32), Option<Arc<str>>>,
}

impl Sources {
    /// Files as `pid` sees them.
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, lines: HashMap::new() }
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
        // What the process may read now: a server's workers may have given up their privileges since they began.
        let file = View::of(self.pid)?.open(Path::new(file))?;
        let mut bytes = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let line = bytes.split(|&byte| byte == b'\n').nth(index)?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    }
}
