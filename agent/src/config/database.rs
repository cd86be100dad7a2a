//! Where the database is and whom it belongs to.

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
    fn database_without_any_user_lies_with_the_system() {
        assert_eq!(Surroundings::default().database().path, Path::new("/var/lib/apm-agent/apm.db"));
    }
}
