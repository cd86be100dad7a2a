//! Facts by file, so that a hundred workers cost one look.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::statfs::{Statfs, fstatfs, statfs};

use super::image::Image;
use super::{ElfError, ElfFacts};

/// Files kept; a process with every scientific package maps some hundreds.
const MAX_FILES: usize = 8192;

/// A file, whatever its name: the same key means the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// Device; 0 on an overlay.
    pub device: u64,
    /// Inode on the device.
    pub inode: u64,
    /// Last change of its content, nanoseconds since 1970.
    pub modified: i128,
    /// Last change of its inode, likewise, on an overlay; else 0.
    pub changed: i128,
}

/// `OVERLAYFS_SUPER_MAGIC` (`include/uapi/linux/magic.h`).
const OVERLAY: u64 = 0x794c_7630;

impl FileKey {
    /// The key of the file that `access` leads to.
    ///
    /// Each container has a device of its own for the files of its image, which for the kernel's probes are one file: probed once for
    /// each container, each call in any of them would be told as often. A file that a container has changed keeps its inode number
    /// (Documentation/filesystems/overlayfs.rst, "Inode properties"), but not the time of its inode.
    ///
    /// # Errors
    /// The file is not there, may not be looked at, or is no regular file.
    pub fn of(access: &Path) -> std::io::Result<Self> {
        Self::from(&std::fs::metadata(access)?, || statfs(access))
    }

    /// The key of an open file.
    ///
    /// # Errors
    /// It is no regular file.
    pub(super) fn of_open(file: &File) -> std::io::Result<Self> {
        Self::from(&file.metadata()?, || fstatfs(file))
    }

    fn from(metadata: &Metadata, on: impl FnOnce() -> nix::Result<Statfs>) -> std::io::Result<Self> {
        if !metadata.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        let is_overlay = on().is_ok_and(|found| found.filesystem_type().0.cast_unsigned() == OVERLAY);
        let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let changed = time(metadata.ctime(), metadata.ctime_nsec());
        Ok(Self {
            device: if is_overlay { 0 } else { metadata.dev() },
            inode: metadata.ino(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: if is_overlay { changed } else { 0 },
        })
    }
}

/// Facts about files that were looked at; shared by all threads.
#[derive(Debug, Default)]
pub struct ElfCache {
    facts: Known<Option<Arc<ElfFacts>>>,
    holds_python: Known<bool>,
}

/// One answer for each file.
#[derive(Debug)]
struct Known<T>(Mutex<HashMap<FileKey, T>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Known<T> {
    fn get(&self, key: FileKey, find: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(&key) {
            return Ok(answer.clone());
        }
        // Without holding the lock: a slow disk must not stop the others.
        let answer = find()?;
        let mut known = known();
        if known.len() >= MAX_FILES {
            known.clear();
        }
        known.insert(key, answer.clone());
        Ok(answer)
    }
}

impl ElfCache {
    /// Facts about the file that `access` leads to, called `name` in the process. `None` for what is no ELF file.
    ///
    /// # Errors
    /// The file is not there or may not be read.
    pub fn facts(&self, access: &Path, name: &str) -> std::io::Result<(FileKey, Option<Arc<ElfFacts>>)> {
        let key = FileKey::of(access)?;
        let read = || ElfFacts::of(&Image::of(access, key).map_err(|e| ElfError::read(access, e))?, name);
        let facts = self.facts.get(key, || match read() {
            Ok(facts) => Ok(Some(Arc::new(facts))),
            Err(ElfError::Read(_, error)) => Err(error),
            Err(ElfError::Format(..)) => Ok(None),
        })?;
        Ok((key, facts))
    }

    /// Does the file that `access` leads to define a Python interpreter? No, where it cannot be read.
    pub fn holds_python(&self, access: &Path) -> bool {
        let find = |key| match ElfFacts::holds_python(&Image::of(access, key)?) {
            Ok(answer) => Ok(answer),
            Err(ElfError::Read(_, error)) => Err(error),
            Err(ElfError::Format(..)) => Ok(false),
        };
        FileKey::of(access).and_then(|key| self.holds_python.get(key, || find(key))).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_an_image_is_one_in_every_container_until_a_container_changes_it() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        // Mounts are the thread's own, and go with it.
        std::thread::spawn(|| {
            // SAFETY: takes a number.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", std::io::Error::last_os_error());
            mount("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "");
            let directory = tempfile::tempdir().unwrap();
            // An overlay's upper layer cannot be on another overlay.
            mount("tmpfs", directory.path(), "tmpfs", 0, "");
            let image = directory.path().join("image");
            fs::create_dir(&image).unwrap();
            fs::write(image.join("lib"), "x").unwrap();
            let [a, b] = ["a", "b"].map(|name| {
                let container = directory.path().join(name);
                let [upper, work, root] = ["upper", "work", "root"].map(|part| container.join(part));
                for part in [&upper, &work, &root] {
                    fs::create_dir_all(part).unwrap();
                }
                let layers = [("lowerdir", &image), ("upperdir", &upper), ("workdir", &work)];
                let options: Vec<_> = layers.map(|(name, path)| format!("{name}={}", path.display())).into();
                mount("overlay", &root, "overlay", 0, &options.join(","));
                root.join("lib")
            });
            let device = |path: &Path| fs::metadata(path).unwrap().dev();
            assert_ne!(device(&a), device(&b), "each has a device of its own");
            assert_eq!(FileKey::of(&a).unwrap(), FileKey::of(&b).unwrap());
            fs::set_permissions(&b, PermissionsExt::from_mode(0o600)).unwrap();
            assert_ne!(FileKey::of(&a).unwrap(), FileKey::of(&b).unwrap());
            for root in [a.parent(), b.parent(), Some(directory.path())] {
                let path = text(&root.unwrap().to_string_lossy());
                // SAFETY: the text lives and ends with a NUL.
                assert_eq!(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }, 0);
            }
        })
        .join()
        .unwrap();
    }

    fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) {
        let [source, target, kind, options] = [source, &target.to_string_lossy(), kind, options].map(text);
        let options = options.as_ptr().cast();
        // SAFETY: the texts live and end with a NUL.
        let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options) };
        assert_eq!(done, 0, "{kind:?}: {}", std::io::Error::last_os_error());
    }

    fn text(text: &str) -> CString {
        CString::new(text).unwrap()
    }
}
