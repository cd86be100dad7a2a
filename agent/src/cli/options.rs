//! The options, with one name each for command line, environment and configuration file.

use std::net::IpAddr;
use std::path::PathBuf;

use bytesize::ByteSize;
use serde::Deserialize;

use super::values::{Exclude, LogFormat, LogLevel};

/// Every option as it was given, or `None` (an empty list) where it was not. Defaults are applied by
/// [`crate::config::Settings`], after command line, environment and file are merged.
///
/// The same struct is read by clap and by serde, so that an option cannot have two names.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Watch this process with its children and later workers; repeatable [default: every Python process]
    #[arg(
        long,
        value_name = "PID",
        env = "APM_AGENT_PID",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "What to watch"
    )]
    pub pid: Vec<u32>,
    /// Name of the service [default: found out from each process]
    #[arg(
        long,
        value_name = "NAME",
        env = "APM_AGENT_SERVICE",
        hide_env = true,
        help_heading = "What to watch"
    )]
    pub service: Option<String>,
    /// Do not watch this pid (with its children), service, or command line ('*celery*'); repeatable
    #[arg(
        long,
        value_name = "PID|SERVICE|PATTERN",
        env = "APM_AGENT_EXCLUDE",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "What to watch"
    )]
    pub exclude: Vec<Exclude>,

    /// Address the dashboard and API listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", env = "APM_AGENT_HOST", hide_env = true, value_parser = host, help_heading = "Dashboard")]
    #[serde(deserialize_with = "host_in_file")]
    pub host: Option<IpAddr>,
    /// Port the dashboard and API listen on [default: 9876]
    #[arg(long, value_name = "PORT", env = "APM_AGENT_PORT", hide_env = true, help_heading = "Dashboard")]
    pub port: Option<u16>,
    /// Further name under which browsers and clients may reach it, such as this machine's; repeatable [default: its
    /// addresses, and localhost]
    #[arg(
        long,
        value_name = "NAME",
        env = "APM_AGENT_ALLOW_HOST",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Dashboard"
    )]
    pub allow_host: Vec<String>,
    /// Token that clients must send, 16 characters or more; needed for any address but loopback. Better in the
    /// environment or the file: other users can see the command line
    #[arg(
        long,
        value_name = "TOKEN",
        env = "APM_AGENT_TOKEN",
        hide_env = true,
        hide_env_values = true,
        help_heading = "Dashboard"
    )]
    pub token: Option<String>,

    /// Database file [default: ~/.apm-agent/apm.db, /var/lib/apm-agent/apm.db as a service]
    #[arg(long, value_name = "FILE", env = "APM_AGENT_DB", hide_env = true, help_heading = "Storage")]
    pub db: Option<PathBuf>,
    /// Keep single requests for this many seconds, 60 to 2592000 (30 days) [default: 3600]
    #[arg(
        long,
        value_name = "SECONDS",
        env = "APM_AGENT_RETENTION",
        hide_env = true,
        help_heading = "Storage"
    )]
    pub retention: Option<u64>,
    /// Let the database grow to this size, such as 500MB or 2GiB, 10MB or more [default: 1GB]
    #[arg(
        long,
        value_name = "SIZE",
        env = "APM_AGENT_MAX_DB_SIZE",
        hide_env = true,
        help_heading = "Storage"
    )]
    pub max_db_size: Option<ByteSize>,

    /// Find the routes in the Python source below this directory
    #[arg(long, value_name = "DIRECTORY", env = "APM_AGENT_SCAN", hide_env = true, help_heading = "Detail")]
    pub scan: Option<PathBuf>,
    /// Service that the source of --scan belongs to
    #[arg(
        long,
        value_name = "NAME",
        env = "APM_AGENT_SCAN_SERVICE",
        hide_env = true,
        help_heading = "Detail"
    )]
    pub scan_service: Option<String>,
    /// Do not find out which request caused a query or call; nor look for exceptions and call sites, which takes the same
    #[arg(
        long,
        value_name = "BOOL",
        env = "APM_AGENT_NO_ATTRIBUTION", hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Detail"
    )]
    pub no_attribution: Option<bool>,
    /// Do not find out which code of the application makes a query or call
    #[arg(
        long,
        value_name = "BOOL",
        env = "APM_AGENT_NO_CALL_SITES", hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Detail"
    )]
    pub no_call_sites: Option<bool>,
    /// Do not read exceptions and their tracebacks
    #[arg(
        long,
        value_name = "BOOL",
        env = "APM_AGENT_NO_EXCEPTIONS", hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Detail"
    )]
    pub no_exceptions: Option<bool>,
    /// Do not read local variables of functions that raise
    #[arg(
        long,
        value_name = "BOOL",
        env = "APM_AGENT_NO_LOCALS", hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Detail"
    )]
    pub no_locals: Option<bool>,
    /// Do not look inside TLS connections
    #[arg(
        long,
        value_name = "BOOL",
        env = "APM_AGENT_NO_TLS", hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Detail"
    )]
    pub no_tls: Option<bool>,

    /// Read options from this TOML file: same names, without the dashes in front
    #[arg(long, value_name = "FILE", env = "APM_AGENT_CONFIG", hide_env = true, help_heading = "Running")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// How much to log to stderr [default: info]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "APM_AGENT_LOG_LEVEL",
        hide_env = true,
        hide_possible_values = true,
        help_heading = "Running"
    )]
    pub log_level: Option<LogLevel>,
    /// `text` for people, `json` for log collectors [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "APM_AGENT_LOG_FORMAT",
        hide_env = true,
        hide_possible_values = true,
        help_heading = "Running"
    )]
    pub log_format: Option<LogFormat>,
    /// Size of the ring buffer between kernel and agent, MiB, a power of two up to 1024 [default: 8]
    #[arg(long, value_name = "MIB", env = "APM_AGENT_RING_MB", hide_env = true, help_heading = "Running")]
    pub ring_mb: Option<u32>,
}

impl Options {
    /// These options, and those of `fallback` where these say nothing. Lists replace each other as a whole.
    pub fn or(self, fallback: Self) -> Self {
        fn list<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
            if first.is_empty() { second } else { first }
        }
        Self {
            pid: list(self.pid, fallback.pid),
            service: self.service.or(fallback.service),
            exclude: list(self.exclude, fallback.exclude),
            host: self.host.or(fallback.host),
            port: self.port.or(fallback.port),
            allow_host: list(self.allow_host, fallback.allow_host),
            token: self.token.or(fallback.token),
            db: self.db.or(fallback.db),
            retention: self.retention.or(fallback.retention),
            max_db_size: self.max_db_size.or(fallback.max_db_size),
            scan: self.scan.or(fallback.scan),
            scan_service: self.scan_service.or(fallback.scan_service),
            no_attribution: self.no_attribution.or(fallback.no_attribution),
            no_call_sites: self.no_call_sites.or(fallback.no_call_sites),
            no_exceptions: self.no_exceptions.or(fallback.no_exceptions),
            no_locals: self.no_locals.or(fallback.no_locals),
            no_tls: self.no_tls.or(fallback.no_tls),
            config: self.config.or(fallback.config),
            log_level: self.log_level.or(fallback.log_level),
            log_format: self.log_format.or(fallback.log_format),
            ring_mb: self.ring_mb.or(fallback.ring_mb),
        }
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.parse().map_err(|_| "expected an IP address, such as 127.0.0.1, 0.0.0.0 or ::1".into())
}

fn host_in_file<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    host(&text).map(Some).map_err(serde::de::Error::custom)
}
