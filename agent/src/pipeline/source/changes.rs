//! Whether a source tree has changed since it was scanned.

use std::collections::hash_map::DefaultHasher;
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// Entries of a tree that are looked at for changes.
const ENTRIES_MAX: usize = 20_000;
/// Directories that hold no source of the application.
const FOREIGN: &[&str] = &["node_modules", "site-packages", "__pycache__", ".git", ".venv", "venv", ".tox"];

/// What the files of a tree were like: equal as long as none was added, removed, renamed or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

/// State of the Python files below `root`, and of the files there that the application reads as data; `None` where there
/// is none. Modification times alone would miss files that are removed, or put there with an older one.
pub(super) fn state(root: &Path, data_files: &[String]) -> Option<State> {
    let mut files = 0_u64;
    let mut sum = 0_u64;
    let mut take = |path: &Path, found: Metadata| {
        let mut hasher = DefaultHasher::new();
        (path, found.len(), found.modified().ok()).hash(&mut hasher);
        // A sum: the order of a directory's entries does not count.
        sum = sum.wrapping_add(hasher.finish());
        files += 1;
    };
    let mut entries = 0;
    let mut directories = vec![root.to_owned()];
    'walk: while let Some(directory) = directories.pop() {
        let Ok(children) = std::fs::read_dir(directory) else { continue };
        for child in children.flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                break 'walk;
            }
            let Ok(kind) = child.file_type() else { continue };
            let name = child.file_name();
            if kind.is_dir() {
                if !FOREIGN.iter().any(|foreign| name == *foreign) {
                    directories.push(child.path());
                }
            } else if kind.is_file()
                && Path::new(&name).extension().is_some_and(|e| e == "py")
                && let Ok(found) = child.metadata()
            {
                take(&child.path(), found);
            }
        }
    }
    for file in data_files {
        let path = root.join(file);
        if let Ok(found) = path.symlink_metadata() {
            take(&path, found);
        }
    }
    (files > 0).then_some(State(sum))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn any_change_of_a_python_file_is_noticed_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let now = || state(root, &["table.json".to_owned()]);
        assert_eq!(now(), None);
        let file = root.join("pkg").join("app.py");
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, "x = 1").unwrap();
        let first = now();
        assert!(first.is_some());
        assert_eq!(now(), first);
        // Older than it was, as a copy that keeps times makes it.
        let earlier = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(&file).unwrap().set_modified(earlier).unwrap();
        let second = now();
        assert_ne!(second, first);
        fs::write(root.join("more.py"), "").unwrap();
        let third = now();
        assert_ne!(third, second);
        fs::remove_file(root.join("more.py")).unwrap();
        assert_eq!(now(), second);
        fs::create_dir(root.join("venv")).unwrap();
        fs::write(root.join("venv/other.py"), "").unwrap();
        fs::write(root.join("log.txt"), "").unwrap();
        std::os::unix::fs::symlink(root, root.join("pkg/again")).unwrap();
        assert_eq!(now(), second);
        fs::write(root.join("table.json"), "[]").unwrap();
        assert_ne!(now(), second);
    }
}
