//! Settings: command line over environment over configuration file over defaults, checked.

mod database;
mod file;
mod lock;

pub use database::{Database, Owner};
pub use lock::{Claim, Lock};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{Exclude, LogFormat, LogLevel, Options};
use crate::problem::Problem;

const DEFAULT_PORT: u16 = 9876;
const DEFAULT_RETENTION: u64 = 3600;
const DEFAULT_MAX_DB_BYTES: u64 = 1_000_000_000;
const DEFAULT_RING_MIB: u32 = 8;
/// Characters of a token: fewer can be tried out.
const TOKEN_MIN: usize = 16;

/// A secret that prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A token for the server's clients.
    ///
    /// # Errors
    /// It could be tried out, or would need quoting in a header, a cookie or a query string.
    pub fn token(text: String) -> Result<Self, Problem> {
        // RFC 3986's unreserved characters.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if text.len() < TOKEN_MIN || !text.bytes().all(is_plain) {
            return Err(Problem::usage(
                format!(
                    "the token must have {TOKEN_MIN} characters or more: letters, digits, `-`, `.`, `_`, `~`"
                ),
                "openssl rand -hex 16, which makes one",
            ));
        }
        Ok(Self(text))
    }

    /// The secret itself, to compare with.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Source directory whose routes are to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRoot {
    /// The directory.
    pub path: PathBuf,
    /// The service it belongs to.
    pub service: String,
}

/// What of the detail beyond plain exchanges is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Which request caused a query or call.
    pub attribution: bool,
    /// The application's code that makes a query or call; never without `attribution`.
    pub call_sites: bool,
    /// Exceptions and tracebacks; never without `attribution`, which looks into Python.
    pub exceptions: bool,
    /// Local variables of functions that raise; never without `exceptions`.
    pub locals: bool,
    /// Plaintext of TLS connections.
    pub tls: bool,
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// Everything the pipeline has to know, complete and within its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Processes to watch, with their descendants; empty: every Python process of the machine.
    pub pids: Vec<u32>,
    /// Name given to every watched process; `None`: found out from each.
    pub service: Option<String>,
    /// What not to watch.
    pub exclude: Vec<Exclude>,
    /// Where the dashboard and API listen.
    pub listen: SocketAddr,
    /// Names under which they may be reached, beside the machine's addresses.
    pub names: Vec<String>,
    /// What clients must send as a bearer token. Always there when `listen` is not a loopback address.
    pub token: Option<Secret>,
    /// The database file.
    pub database: Database,
    /// How long single requests are kept.
    pub retention: Duration,
    /// Size the database may grow to, bytes.
    pub max_db_bytes: u64,
    /// Source whose routes are to be found at start.
    pub scan: Option<ScanRoot>,
    /// What detail is wanted.
    pub features: Features,
    /// How to log.
    pub log: Log,
    /// Size of the ring buffer, bytes: a power of two.
    pub ring_bytes: u32,
}

impl Settings {
    /// Merges `options` (command line and environment) with the file they name and the defaults.
    ///
    /// # Errors
    /// A file that cannot be read or is wrong, or values that do not go together.
    pub fn resolve(options: Options) -> Result<Self, Problem> {
        let from_file = match &options.config {
            Some(path) => file::read(path)?,
            None => Options::default(),
        };
        let options = options.or(from_file);
        let host = options.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let token = options.token.map(Secret::token).transpose()?;
        if !host.is_loopback() && token.is_none() {
            return Err(Problem::usage(
                format!(
                    "--host {host} would show every request of the watched services to whoever can reach \
                     this machine"
                ),
                "a token in the environment variable APM_AGENT_TOKEN, or --host 127.0.0.1 with an SSH tunnel",
            ));
        }
        let is_name = |name: &&String| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        };
        if let Some(name) = options.allow_host.iter().find(|name| !is_name(name)) {
            return Err(Problem::usage(
                format!("--allow-host {name:?} is no host name"),
                "the name alone, such as apps.example.net: no scheme, no port, no pattern",
            ));
        }
        let retention = options.retention.unwrap_or(DEFAULT_RETENTION);
        if !(60..=30 * 86_400).contains(&retention) {
            return Err(Problem::usage(
                format!("--retention {retention} is out of range"),
                "60 (a minute) to 2592000 (30 days)",
            ));
        }
        let max_db_bytes = options.max_db_size.map_or(DEFAULT_MAX_DB_BYTES, |size| size.as_u64());
        if max_db_bytes < 10_000_000 {
            return Err(Problem::usage(format!("--max-db-size {max_db_bytes} is too small"), "10MB or more"));
        }
        let ring_mib = options.ring_mb.unwrap_or(DEFAULT_RING_MIB);
        if !ring_mib.is_power_of_two() || ring_mib > 1024 {
            return Err(Problem::usage(
                format!("--ring-mb {ring_mib} is no power of two up to 1024"),
                "8, 16 or 32",
            ));
        }
        let attribution = !options.no_attribution.unwrap_or(false);
        let exceptions = attribution && !options.no_exceptions.unwrap_or(false);
        Ok(Self {
            pids: options.pid,
            service: options.service,
            exclude: options.exclude,
            listen: SocketAddr::new(host, options.port.unwrap_or(DEFAULT_PORT)),
            names: options.allow_host,
            token,
            database: options.db.map_or_else(Database::by_default, Database::at)?,
            retention: Duration::from_secs(retention),
            max_db_bytes,
            scan: scan_root(options.scan, options.scan_service)?,
            features: Features {
                attribution,
                call_sites: attribution && !options.no_call_sites.unwrap_or(false),
                exceptions,
                locals: exceptions && !options.no_locals.unwrap_or(false),
                tls: !options.no_tls.unwrap_or(false),
            },
            log: Log {
                level: options.log_level.unwrap_or_default(),
                format: options.log_format.unwrap_or_default(),
            },
            ring_bytes: ring_mib << 20,
        })
    }
}

fn scan_root(path: Option<PathBuf>, service: Option<String>) -> Result<Option<ScanRoot>, Problem> {
    match (path, service) {
        (None, None) => Ok(None),
        (Some(path), Some(service)) => match path.canonicalize() {
            Ok(path) if path.is_dir() => Ok(Some(ScanRoot { path, service })),
            _ => Err(Problem::usage(
                format!("--scan {}: there is no such directory", path.display()),
                "the directory that holds the service's Python packages",
            )),
        },
        (Some(_), None) => Err(Problem::usage("--scan needs the service's name", "--scan-service NAME")),
        (None, Some(_)) => Err(Problem::usage("--scan-service needs the source to scan", "--scan DIRECTORY")),
    }
}

#[cfg(test)]
mod tests;
