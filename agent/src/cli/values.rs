//! Types of option values.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// One `--exclude`: which process not to watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Exclude {
    /// A process and its descendants.
    Pid(u32),
    /// A service by its exact name.
    Service(String),
    /// Any process whose command line, arguments joined by spaces, matches the whole pattern.
    CommandLine(glob::Pattern),
}

impl FromStr for Exclude {
    type Err = String;

    /// A number is a pid, a text with `*`, `?` or `[` a pattern, anything else a service.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("expected a pid, a service name or a pattern such as '*celery*'".into());
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Pid).map_err(|_| format!("{text} is no pid"));
        }
        if text.contains(['*', '?', '[']) {
            return glob::Pattern::new(text).map(Self::CommandLine).map_err(|error| error.to_string());
        }
        Ok(Self::Service(text.into()))
    }
}

impl<'de> Deserialize<'de> for Exclude {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Exclude;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pid, a service name or a pattern")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Exclude, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, pid: i64) -> Result<Exclude, E> {
                u32::try_from(pid).map(Exclude::Pid).map_err(|_| E::custom(format!("{pid} is no pid")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How the log is written to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, for log collectors
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing
    Off,
    /// What keeps the agent from working
    Error,
    /// What is lost or could not attach
    Warn,
    /// What is attached to and where the dashboard is
    #[default]
    Info,
    /// Decisions about each process
    Debug,
    /// Everything
    Trace,
}

impl From<LogLevel> for tracing::level_filters::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("4242", Exclude::Pid(4242))]
    #[case("celery", Exclude::Service("celery".into()))]
    #[case("shop-2", Exclude::Service("shop-2".into()))]
    #[case("*jupyter*", Exclude::CommandLine(glob::Pattern::new("*jupyter*").unwrap()))]
    fn exclude_is_told_apart_by_its_looks(#[case] text: &str, #[case] expected: Exclude) {
        assert_eq!(text.parse(), Ok(expected));
    }

    #[rstest::rstest]
    #[case("")]
    #[case("99999999999")]
    #[case("a[")]
    fn exclude_that_means_nothing_is_refused(#[case] text: &str) {
        assert!(text.parse::<Exclude>().is_err());
    }
}
