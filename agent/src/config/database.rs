//! Where the database is and whom it belongs to.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::problem::Problem;

/// User and group by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its absolute path.
    pub path: PathBuf,
    /// Whom the file, and directories made for it, shall belong to, where that is not the agent's own user: the user
    /// who called sudo can then read and delete what was recorded for them.
    pub owner: Option<Owner>,
}

/// What decides about the default: a view of the process's surroundings, so that tests can make their own.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    state_directory: Option<String>,
    sudo_user: Option<User>,
    own_user: Option<User>,
    /// Started by the system's service manager rather than by a person.
    service: bool,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            state_directory: variable("STATE_DIRECTORY"),
            sudo_user: variable("SUDO_USER").and_then(|name| User::from_name(&name).ok().flatten()),
            own_user: User::from_uid(Uid::effective()).ok().flatten(),
            // systemd.exec(5): INVOCATION_ID is set for every unit; HOME only where a user is meant.
            service: variable("INVOCATION_ID").is_some() && variable("HOME").is_none(),
        }
    }

    fn database(&self) -> Database {
        if let Some(directories) = &self.state_directory {
            // systemd.exec(5): several directories are separated by colons.
            let first = directories.split(':').next().unwrap_or(directories);
            return Database { path: Path::new(first).join("apm.db"), owner: None };
        }
        let home = |user: &User| user.dir.join(".apm-agent/apm.db");
        match (&self.sudo_user, &self.own_user) {
            (Some(user), own) => Database {
                path: home(user),
                owner: (own.as_ref().map(|own| own.uid) != Some(user.uid))
                    .then(|| Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
            },
            (None, Some(user)) if !self.service => Database { path: home(user), owner: None },
            _ => Database { path: "/var/lib/apm-agent/apm.db".into(), owner: None },
        }
    }
}

impl Database {
    /// The default place: of the invoking user, or of the service.
    ///
    /// # Errors
    /// None today; the signature is that of [`Database::at`].
    pub(super) fn by_default() -> Result<Self, Problem> {
        Ok(Surroundings::of_this_process().database())
    }

    /// The file the user named. It belongs to the user who called sudo, if it lies in their home.
    ///
    /// # Errors
    /// The current directory is gone and `path` is relative.
    pub(super) fn at(path: PathBuf) -> Result<Self, Problem> {
        let path = std::path::absolute(&path).map_err(|error| {
            Problem::usage(format!("--db {}: {error}", path.display()), "an absolute path")
        })?;
        let around = Surroundings::of_this_process();
        let owner = around.database().owner;
        let in_home = around.sudo_user.is_some_and(|user| path.starts_with(user.dir));
        Ok(Self { path, owner: owner.filter(|_| in_home) })
    }

    /// Makes the file (mode 0600) and the directories above it (0700) where they are absent, and gives what it made to
    /// the owner. What exists is left as it is.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn prepare(&self) -> Result<(), Problem> {
        self.create().map_err(|error| {
            Problem::of_file(
                &error,
                format!("cannot create the database {}: {error}", self.path.display()),
                "--db with a file in a directory that you can write to",
            )
        })
    }

    fn create(&self) -> io::Result<()> {
        let owner = self.owner.map(|owner| (Some(owner.uid), Some(owner.gid)));
        let mut absent: Vec<&Path> =
            self.path.ancestors().skip(1).take_while(|directory| !directory.exists()).collect();
        while let Some(directory) = absent.pop() {
            match DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            if let Some((uid, gid)) = owner {
                lchown(directory, uid, gid)?;
            }
        }
        // `create_new` follows no link: in a directory of somebody else, root must not be led elsewhere.
        let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            file => file?,
        };
        file.set_permissions(Permissions::from_mode(0o600))?;
        owner.map_or(Ok(()), |(uid, gid)| fchown(&file, uid, gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, uid: u32, home: &str) -> User {
        let root = User::from_uid(Uid::from_raw(0)).unwrap().expect("every system has a user 0");
        User { name: name.into(), uid: Uid::from_raw(uid), gid: uid.into(), dir: home.into(), ..root }
    }

    #[test]
    fn database_of_sudo_belongs_to_the_invoking_user() {
        let around = Surroundings {
            sudo_user: Some(user("ada", 1000, "/home/ada")),
            own_user: Some(user("root", 0, "/root")),
            ..Default::default()
        };
        let expected = Database {
            path: "/home/ada/.apm-agent/apm.db".into(),
            owner: Some(Owner { uid: 1000, gid: 1000 }),
        };
        assert_eq!(around.database(), expected);
    }

    #[test]
    fn database_of_plain_root_and_of_sudo_by_root_lies_in_roots_home() {
        let root = user("root", 0, "/root");
        let expected = Database { path: "/root/.apm-agent/apm.db".into(), owner: None };
        let plain = Surroundings { own_user: Some(root.clone()), ..Default::default() };
        assert_eq!(plain.database(), expected);
        assert_eq!(Surroundings { sudo_user: Some(root), ..plain }.database(), expected);
    }

    #[test]
    fn database_of_a_service_lies_in_its_state_directory() {
        let unit =
            Surroundings { service: true, own_user: Some(user("root", 0, "/root")), ..Default::default() };
        assert_eq!(unit.database().path, Path::new("/var/lib/apm-agent/apm.db"));
        let state = Surroundings { state_directory: Some("/var/lib/one:/var/lib/two".into()), ..unit };
        assert_eq!(state.database().path, Path::new("/var/lib/one/apm.db"));
    }

    #[test]
    fn database_is_made_for_its_owner_alone() {
        use std::os::unix::fs::MetadataExt;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b/apm.db");
        let own = Owner { uid: Uid::effective().as_raw(), gid: nix::unistd::getegid().as_raw() };
        let database = Database { path: path.clone(), owner: Some(own) };
        database.prepare().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::write(&path, "kept").unwrap();
        database.prepare().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    }

    #[test]
    fn file_system_that_refuses_is_told() {
        // Even root cannot make files there.
        let problem = Database { path: "/proc/apm.db".into(), owner: None }.prepare().unwrap_err();
        assert!(problem.what.starts_with("cannot create the database /proc/apm.db: "), "{problem}");
    }

    #[test]
    fn database_that_is_a_link_to_nowhere_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (path, target) = (place.path().join("apm.db"), place.path().join("target"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        Database { path, owner: None }.prepare().unwrap();
        assert!(!target.exists());
    }

    #[test]
    fn database_without_any_user_lies_with_the_system() {
        assert_eq!(Surroundings::default().database().path, Path::new("/var/lib/apm-agent/apm.db"));
    }
}
