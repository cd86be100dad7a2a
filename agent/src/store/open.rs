//! Opening the file: permissions, migrations, and what to do with a file that cannot be used.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};
use rusqlite_migration::{M, MigrationDefinitionError, Migrations};

use super::executions;
use crate::problem::is_of_disk;

/// How long a connection waits for another one's lock.
const BUSY: Duration = Duration::from_millis(500);

/// Pages that connections keep in memory, MiB. The writer appends for the most part: 8 made it no faster than 2. A reader that
/// looks for an id asks each ten seconds of an hour: with 2 that takes twice as long.
const WRITER_CACHE: i64 = 3;
const READER_CACHE: i64 = 4;

/// Prepared statements kept per connection.
const STATEMENTS: usize = 128;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or file cannot be made or opened.
    #[error("{path}: {source}")]
    Io {
        /// What was to be made or opened.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A newer version of the agent wrote it.
    #[error("{0}: written by a newer version of apm-agent")]
    Newer(PathBuf),
    /// It is no SQLite file, or a damaged one.
    #[error("{path}: damaged: {source}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// SQLite refused for another reason.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Is it the disk that refuses, whatever is to be written to it?
    pub(crate) fn is_of_disk(&self) -> bool {
        use ErrorCode::{DiskFull, ReadOnly, SystemIoFailure};
        match self {
            Self::Io { source, .. } => is_of_disk(source),
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DiskFull | ReadOnly | SystemIoFailure))
            }
            Self::Newer(_) | Self::Corrupt { .. } => false,
        }
    }
}

/// Where a store lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In a file.
    File(PathBuf),
    /// In this process's memory, under a name that its connections share.
    Memory(String),
}

fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up(include_str!("../../migrations/0001_initial.sql")),
        M::up(include_str!("../../migrations/0002_code.sql")),
        M::up(include_str!("../../migrations/0003_exception_link.sql")),
        M::up(include_str!("../../migrations/0004_scan.sql")),
        M::up(include_str!("../../migrations/0005_coarse.sql")),
        M::up(include_str!("../../migrations/0006_unused.sql")),
        M::up_with_hook(include_str!("../../migrations/0007_executions.sql"), |tx: &Transaction<'_>| {
            Ok(executions::migrate(tx)?)
        }),
    ])
}

/// SQLite counts its memory under a lock for all threads, at each allocation. Nobody asks for the count
/// (<https://sqlite.org/c3ref/c_config_covering_index_scan.html>, `SQLITE_CONFIG_MEMSTATUS`).
fn without_memory_count() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: the option takes one int. Where SQLite was in use before, it refuses, and counts on.
        unsafe { rusqlite::ffi::sqlite3_config(rusqlite::ffi::SQLITE_CONFIG_MEMSTATUS, 0) };
    });
}

impl Location {
    /// Opens the store for writing; makes it if it is missing, and brings an older one up to date.
    pub(crate) fn open_writer(&self) -> Result<Connection, OpenError> {
        without_memory_count();
        let mut conn = match self {
            Self::File(path) => {
                prepare_file(path)?;
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(path, flags).map_err(|e| self.error(e))?
            }
            Self::Memory(name) => open_memory(name).map_err(|e| self.error(e))?,
        };
        set_up(&conn, WRITER_CACHE).map_err(|e| self.error(e))?;
        if matches!(self, Self::File(_)) {
            // The log is cut back to this size after a burst. NORMAL: a power cut may lose the last second, never
            // damage the file.
            conn.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;
                 PRAGMA wal_autocheckpoint = 2000;",
            )
            .map_err(|e| self.error(e))?;
        }
        migrations().to_latest(&mut conn).map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => self.error(err),
            rusqlite_migration::Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
                OpenError::Newer(self.path())
            }
            other => OpenError::Io { path: self.path(), source: std::io::Error::other(other.to_string()) },
        })?;
        Ok(conn)
    }

    /// Opens the store for reading; it must exist.
    pub(crate) fn open_reader(&self) -> rusqlite::Result<Connection> {
        let conn = match self {
            Self::File(path) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(path, flags)?
            }
            Self::Memory(name) => open_memory(name)?,
        };
        set_up(&conn, READER_CACHE)?;
        conn.execute_batch("PRAGMA query_only = 1")?;
        Ok(conn)
    }

    /// The file, or a name for the user.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Memory(_) => PathBuf::from("(memory)"),
        }
    }

    fn error(&self, source: rusqlite::Error) -> OpenError {
        let path = self.path();
        if is_corrupt(&source) {
            OpenError::Corrupt { path, source }
        } else {
            OpenError::Sqlite { path, source }
        }
    }
}

/// Does SQLite say that the file is damaged or none of its own?
pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// `memdb`: a database in memory that several connections of one process share, with ordinary locks
/// (SQLite's `src/memdb.c`).
fn open_memory(name: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:/{name}?vfs=memdb"), flags)
}

fn set_up(conn: &Connection, cache_mib: i64) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "cache_size", -cache_mib * 1024)?;
    conn.pragma_update(None, "temp_store", "MEMORY")
}

/// Makes the directory (0700) and the file (0600) where they are missing, and closes the file to others where it is
/// not. A symbolic link in its place is refused: the agent runs as root, often in a user's directory.
fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io(parent))?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(io(path))?;
    let meta = file.metadata().map_err(io(path))?;
    if meta.mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(io(path))?;
    }
    Ok(())
}

/// Renames a file that cannot be used, with its log, to `NAME.WORD-TIME`. Returns its new name.
pub(crate) fn set_aside(path: &Path, word: &str, now: i64) -> std::io::Result<PathBuf> {
    let name = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut aside = name(&format!(".{word}-{now}"));
    let mut n = 1;
    while aside.exists() {
        n += 1;
        aside = name(&format!(".{word}-{now}-{n}"));
    }
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        let from = name(suffix);
        if from.exists() {
            let mut to = aside.as_os_str().to_owned();
            to.push(suffix);
            fs::rename(from, to)?;
        }
    }
    Ok(aside)
}

/// What tells one file from another that takes its place.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}
