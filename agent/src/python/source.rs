//! Lines of a process's source files.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::process::{Answered, View, patiently};

/// Largest file that is read.
const FILE_MAX: u64 = 4 << 20;
/// Lines remembered; past that, all are read anew.
const LINES_MAX: usize = 8_192;

/// Lines of the files that a process sees.
pub(super) struct Sources {
    pid: u32,
    /// `None`: it cannot be read.
    lines: HashMap<(Arc<str>, u32), Option<Arc<str>>>,
    /// The last read that was not waited for any longer. Until it is over nothing is read.
    pending: Option<Answered>,
}

impl Sources {
    /// Files as `pid` sees them.
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, lines: HashMap::new(), pending: None }
    }

    /// A line, counted from 1, without the white space around it.
    pub(super) fn line(&mut self, file: &Arc<str>, number: u32) -> Option<Arc<str>> {
        let key = (Arc::clone(file), number);
        if let Some(known) = self.lines.get(&key) {
            return known.clone();
        }
        if file.starts_with('<') || self.pending.as_ref().is_some_and(|read| read.get().is_none()) {
            return None;
        }
        let (pid, name) = (self.pid, Arc::clone(file));
        let (read, line) = patiently(move || read(pid, &name, number));
        let Some(line) = line else {
            self.pending = Some(read);
            return None;
        };
        let line = line.map(|line| line.as_str().into());
        if self.lines.len() >= LINES_MAX {
            self.lines.clear();
        }
        self.lines.insert(key, line.clone());
        line
    }
}

fn read(pid: u32, file: &str, number: u32) -> Option<String> {
    // What the process may read now: a server's workers may have given up their privileges since they began.
    let file = View::of(pid)?.open(Path::new(file))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let line = bytes.split(|&byte| byte == b'\n').nth(index)?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn nothing_is_read_until_a_read_that_takes_long_is_over() {
        let file: Arc<str> =
            std::env::current_dir().unwrap().join("Cargo.toml").to_string_lossy().as_ref().into();
        let mut sources = Sources::new(std::process::id());
        let pending = Answered::default();
        sources.pending = Some(Arc::clone(&pending));
        assert_eq!(sources.line(&file, 1), None);
        pending.set(Instant::now()).unwrap();
        assert_eq!(sources.line(&file, 1).as_deref(), Some("[package]"));
    }
}
