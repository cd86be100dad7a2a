//! The file system as a process sees it, and no more of it than the process may read itself.
//!
//! The agent may read every file of the machine, and is told by the process which to read: a code object names its file, a command line
//! its directories. So each way is gone as the process would go it, from its root or its working directory, link by link, and each
//! directory and file on it must be one that the process may search or read. Otherwise anyone could have any file shown.
//! Access control lists are not looked at: of them the mode shows the most that a group may.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use procfs::process::Process;

use super::source::as_seen_within;

/// Symbolic links that are followed on one way, as Linux does (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Parts of a path, those of its links included.
const MAX_PARTS: usize = 1_000;

/// Bits of a mode for one class of users (inode(7)).
const READ: u32 = 4;
const SEARCH: u32 = 1;

/// Whom the kernel asks about files: user, group, further groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Credentials {
    uid: u32,
    groups: Vec<u32>,
}

impl Credentials {
    fn of(pid: u32) -> Option<Self> {
        let status = Process::new(i32::try_from(pid).ok()?).ok()?.status().ok()?;
        Some(Self { uid: status.fuid, groups: status.groups.into_iter().chain([status.fgid]).collect() })
    }

    /// path_resolution(7), "Permissions": the first class that fits decides. Root is root of this machine: one of a user namespace
    /// has another number here.
    fn may(&self, what: u32, file: &Metadata) -> bool {
        let class = if file.uid() == self.uid {
            6
        } else if self.groups.contains(&file.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || (file.mode() >> class) & what == what
    }
}

/// A directory or file at the end of a way.
#[derive(Debug)]
pub struct Place {
    fd: OwnedFd,
    /// Path by which the agent reaches it as long as nothing on the way changes.
    pub access: PathBuf,
}

impl Place {
    fn metadata(&self) -> io::Result<Metadata> {
        // Of the file itself: the descriptor leads to no other.
        std::fs::metadata(own(&self.fd))
    }

    /// Where it is, as the kernel tells it.
    pub fn told(&self) -> Option<PathBuf> {
        std::fs::read_link(own(&self.fd)).ok()
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.metadata().is_ok_and(|found| found.is_dir())
    }
}

/// What a process sees.
#[derive(Clone, Debug)]
pub struct View {
    root: PathBuf,
    directory: PathBuf,
    who: Credentials,
}

impl View {
    /// As `pid` sees it now, in a container too: proc_pid_root(5), proc_pid_cwd(5). `None` where the process is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let (root, directory) = (process.join("root"), std::fs::read_link(process.join("cwd")).ok()?);
        let directory = as_seen_within(directory, std::fs::read_link(&root).ok().as_deref());
        Some(Self { root, directory, who: Credentials::of(pid)? })
    }

    /// The working directory, as the process sees it.
    pub fn working_directory(&self) -> &Path {
        &self.directory
    }

    /// Goes to `path`, from the working directory where it does not begin with a slash. `None` where there is nothing, or the process
    /// may not go there.
    pub fn find(&self, path: &Path) -> Option<Place> {
        self.walk(path).ok()
    }

    /// Where a place is, as the process sees it: without links.
    pub fn path_of(&self, place: &Place) -> PathBuf {
        Path::new("/").join(place.access.strip_prefix(&self.root).unwrap_or(&place.access))
    }

    /// Opens the file at `path`, if the process may read it and it is a regular one: to open a pipe or a device could block or do
    /// something.
    pub fn open(&self, path: &Path) -> Option<File> {
        let place = self.find(path)?;
        let found = place.metadata().ok()?;
        (found.is_file() && self.who.may(READ, &found)).then(|| File::open(own(&place.fd)).ok())?
    }

    /// Tells of files and directories once open whether the process could have come by them below `tree` and may read them.
    pub fn may_read_below(&self, tree: &Place) -> impl Fn(&File) -> bool + Send + Sync + use<> {
        let (who, told) = (self.who.clone(), tree.told());
        move |file| {
            let Ok(found) = file.metadata() else { return false };
            let what = if found.is_dir() { READ | SEARCH } else { READ };
            let is_inside = || match (&told, std::fs::read_link(own(file))) {
                (Some(tree), Ok(file)) => file.starts_with(tree),
                _ => false,
            };
            who.may(what, &found) && is_inside()
        }
    }

    fn walk(&self, path: &Path) -> io::Result<Place> {
        // From the root to where we are. Links are followed within that root: left to the kernel, one that begins with a slash would lead
        // into the agent's own. So would `..` above the root of a mere chroot(2).
        let root = open(&self.root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut way: Vec<(OwnedFd, PathBuf)> = vec![(root, self.root.clone())];
        let path = self.directory.join(path);
        let mut left: Vec<OsString> = parts(&path);
        let (mut links, mut steps) = (0, 0);
        while let Some(part) = left.pop() {
            steps += 1;
            if steps > MAX_PARTS {
                return Err(Errno::ENAMETOOLONG.into());
            }
            let (here, access) = way.last().ok_or(Errno::ENOENT)?;
            if part == "/" {
                way.truncate(1);
                continue;
            }
            if part == ".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            if !self.who.may(SEARCH, &std::fs::metadata(own(here))?) {
                return Err(Errno::EACCES.into());
            }
            match readlinkat(here, part.as_os_str()) {
                Ok(_) if links >= MAX_LINKS => return Err(Errno::ELOOP.into()),
                Ok(target) => {
                    links += 1;
                    left.extend(parts(Path::new(&target)));
                }
                Err(Errno::EINVAL) => {
                    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                    let next = openat(here, part.as_os_str(), flags, Mode::empty())?;
                    let access = access.join(&part);
                    way.push((next, access));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (fd, access) = way.pop().ok_or(Errno::ENOENT)?;
        Ok(Place { fd, access })
    }
}

/// An open file by its descriptor (proc_pid_fd(5)).
fn own(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let wanted = path.components().filter(|part| !matches!(part, Component::CurDir));
    let mut parts: Vec<OsString> = wanted.map(|part| part.as_os_str().to_owned()).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const SOMEBODY: u32 = 12_345;

    /// A tree of files that belong to whoever runs the test, as somebody else sees it.
    fn tree() -> (tempfile::TempDir, View) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::set_permissions(root, PermissionsExt::from_mode(0o755)).unwrap();
        for (path, mode) in [("open/a.py", 0o644), ("open/closed.py", 0o640), ("private/b.py", 0o644)] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        fs::set_permissions(root.join("open"), PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(root.join("private"), PermissionsExt::from_mode(0o700)).unwrap();
        let who = Credentials { uid: SOMEBODY, groups: vec![SOMEBODY] };
        let view = View { root: root.to_owned(), directory: "/open".into(), who };
        (directory, view)
    }

    fn reads(view: &View, path: &str) -> bool {
        let mut text = String::new();
        view.open(Path::new(path))
            .is_some_and(|mut file| file.read_to_string(&mut text).is_ok() && text == "x")
    }

    #[test]
    fn a_file_is_read_if_the_process_may_read_it() {
        let (directory, mut view) = tree();
        assert!(reads(&view, "/open/a.py") && reads(&view, "a.py") && reads(&view, "../open/./a.py"));
        assert!(!reads(&view, "/open/closed.py"), "the file is not for others");
        assert!(!reads(&view, "/private/b.py"), "the directory is not for others");
        assert!(!reads(&view, "../private/b.py"));
        assert!(!reads(&view, "/open") && !reads(&view, "/open/a.py/x") && !reads(&view, "/nothing"));
        view.who.groups.push(directory.path().metadata().unwrap().gid());
        assert!(reads(&view, "/open/closed.py"), "its group may");
        view.who.uid = directory.path().metadata().unwrap().uid();
        assert!(reads(&view, "/private/b.py"), "its owner may");
        fs::set_permissions(directory.path().join("open/closed.py"), PermissionsExt::from_mode(0o044))
            .unwrap();
        // Root may all the same.
        assert_eq!(reads(&view, "/open/closed.py"), view.who.uid == 0, "the owner's class decides");
    }

    #[test]
    fn links_lead_nowhere_but_into_the_root_of_the_process() {
        let (directory, view) = tree();
        let root = directory.path();
        symlink("/open", root.join("abs")).unwrap();
        symlink("../../../../open/a.py", root.join("open/up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/private/b.py", root.join("open/out")).unwrap();
        symlink("/etc/passwd", root.join("open/host")).unwrap();
        let found = |path: &str| view.find(Path::new(path)).map(|place| place.access);
        assert_eq!(found("/abs/a.py"), Some(root.join("open/a.py")));
        assert_eq!(found("/open/up"), Some(root.join("open/a.py")));
        assert_eq!(found("/../../open"), Some(root.join("open")));
        assert_eq!(found("../../../open"), Some(root.join("open")));
        for path in ["/loop/x", "/open/out", "/open/host"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn of_a_tree_only_what_lies_in_it_is_read() {
        let (directory, view) = tree();
        let root = directory.path();
        let may_read = view.may_read_below(&view.find(Path::new("/open")).unwrap());
        let opened = |path: &str| File::open(root.join(path)).unwrap();
        assert!(may_read(&opened("open")) && may_read(&opened("open/a.py")));
        assert!(!may_read(&opened("open/closed.py")));
        // As if a directory of the tree had become a link since it was listed.
        fs::set_permissions(root.join("private"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("../private", root.join("open/pkg")).unwrap();
        assert!(!may_read(&opened("open/pkg/b.py")) && !may_read(&opened("open/pkg")));
    }

    #[test]
    fn a_process_is_seen_with_its_own_rights() {
        let view = View::of(std::process::id()).unwrap();
        assert_eq!(view.who.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(view.working_directory(), std::env::current_dir().unwrap());
        assert!(view.open(Path::new("Cargo.toml")).is_some());
        assert!(View::of(u32::MAX).is_none());
    }
}
