//! A file of a process's, opened once, and no more of it in memory than there is room for.
//!
//! A path that leads to such a file the process may lead elsewhere at any time, by a link or another name. So what is found in a
//! file, and the probes that follow from it, go by one descriptor: with two looks at the path they could be put at any place of any
//! file of the machine.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, ReadCache, ReadRef};

use super::cache::FileKey;

/// Bytes of a file that are kept while it is looked at. The symbols of PyTorch's largest library take a third of it.
const BYTES_MAX: u64 = 256 << 20;
/// What is kept of each piece beside its bytes.
const PIECE: u64 = 64;

/// An open regular file.
#[derive(Debug)]
pub(crate) struct Image {
    file: File,
    key: FileKey,
    shown: PathBuf,
}

impl Image {
    /// Opens the file that `access` leads to now.
    ///
    /// # Errors
    /// It is not there, may not be read, or is no regular file.
    pub(crate) fn open(access: &Path) -> io::Result<Self> {
        // Not opened by its path: to open a pipe or a device could block or do something.
        let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(access)?;
        let key = FileKey::of_open(&place)?;
        Ok(Self { file: File::open(own(&place))?, key, shown: access.to_owned() })
    }

    /// Opens the file with this key.
    ///
    /// # Errors
    /// `access` leads to another, or to none.
    pub(crate) fn of(access: &Path, key: FileKey) -> io::Result<Self> {
        let image = Self::open(access)?;
        if image.key == key {
            Ok(image)
        } else {
            Err(io::Error::other(format!("{} is another file by now", access.display())))
        }
    }

    /// Path that leads to this file and no other while it is open.
    pub(crate) fn path(&self) -> PathBuf {
        own(&self.file)
    }

    /// The path by which it was opened, for the user.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }

    /// Its bytes.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn bytes(&self) -> io::Result<Bytes> {
        Ok(Bytes::new(self.file.try_clone()?, BYTES_MAX))
    }
}

fn own(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// An ELF file for 64-bit machines.
pub(crate) type Elf64<'a> = ElfFile64<'a, Endianness, &'a Bytes>;

/// The bytes of a file, each piece read when it is asked for first. A file with holes takes no room on the disk and may say of its
/// tables that they have any size: what is asked for beyond the room for it cannot be read.
#[derive(Debug)]
pub(crate) struct Bytes {
    cache: ReadCache<File>,
    room: RefCell<Room>,
}

#[derive(Debug)]
struct Room {
    left: u64,
    /// Start and size of what was read; texts that end with a delimiter have no size.
    known: HashSet<(u64, u64)>,
    exceeded: bool,
}

impl Bytes {
    fn new(file: File, max: u64) -> Self {
        let room = Room { left: max, known: HashSet::new(), exceeded: false };
        Self { cache: ReadCache::new(file), room: RefCell::new(room) }
    }

    /// Was more asked for than there is room for?
    pub(crate) fn exceeded(&self) -> bool {
        self.room.borrow().exceeded
    }
}

impl Room {
    fn take(&mut self, piece: (u64, u64), size: u64) -> Result<(), ()> {
        if self.known.contains(&piece) {
            return Ok(());
        }
        let Some(left) = self.left.checked_sub(size.saturating_add(PIECE)) else {
            self.exceeded = true;
            return Err(());
        };
        self.left = left;
        self.known.insert(piece);
        Ok(())
    }
}

impl<'a> ReadRef<'a> for &'a Bytes {
    fn len(self) -> Result<u64, ()> {
        (&self.cache).len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size == 0 {
            return Ok(&[]);
        }
        // What lies beyond the file's end takes no room, and is refused.
        if offset.checked_add(size).is_none_or(|end| (&self.cache).len().is_ok_and(|len| end > len)) {
            return Err(());
        }
        self.room.borrow_mut().take((offset, size), size)?;
        (&self.cache).read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        if self.room.borrow().exceeded {
            return Err(());
        }
        let start = range.start;
        let text = (&self.cache).read_bytes_at_until(range, delimiter)?;
        self.room.borrow_mut().take((start, 0), text.len() as u64)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_file_claims_to_hold_takes_no_more_memory_than_there_is_room_for() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let bytes = Bytes::new(file, 10_000);
        assert!((&bytes).read_bytes_at(0, 1 << 39).is_err() && bytes.exceeded());
        assert!((&bytes).read_bytes_at(0, 4_000).is_ok());
        assert!((&bytes).read_bytes_at(0, 4_000).is_ok(), "it is there already");
        assert!((&bytes).read_bytes_at(1, 4_000).is_ok());
        assert!((&bytes).read_bytes_at(2, 4_000).is_err());
    }

    #[test]
    fn texts_count_as_well() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, [b'x'; 999].into_iter().chain([0]).collect::<Vec<_>>()).unwrap();
        let bytes = Bytes::new(File::open(&file).unwrap(), 10_000);
        let read = (0..900).filter(|&at| (&bytes).read_bytes_at_until(at..1000, 0).is_ok()).count();
        assert!((5..30).contains(&read) && bytes.exceeded(), "{read}");
    }

    #[test]
    fn the_end_of_a_file_is_no_want_of_room() {
        let bytes = Bytes::new(tempfile::tempfile().unwrap(), 10_000);
        assert!((&bytes).read_bytes_at(0, 20_000).is_err() && !bytes.exceeded());
        assert!((&bytes).read_bytes_at(u64::MAX, 2).is_err() && !bytes.exceeded());
    }

    #[test]
    fn a_path_that_leads_to_another_file_by_now_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let [own, other, name] = ["own", "other", "name"].map(|name| directory.path().join(name));
        fs::write(&own, "own").unwrap();
        fs::write(&other, "other").unwrap();
        symlink(&own, &name).unwrap();
        let key = FileKey::of(&name).unwrap();
        let image = Image::of(&name, key).unwrap();
        fs::remove_file(&name).unwrap();
        symlink(&other, &name).unwrap();
        assert!(Image::of(&name, key).is_err());
        assert_eq!(fs::read(image.path()).unwrap(), b"own", "the open one stays what it was");
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert!(Image::open(path).is_err(), "{}", path.display());
        }
    }
}
