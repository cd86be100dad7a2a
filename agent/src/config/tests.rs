use clap::Parser;

use super::*;
use crate::cli::Cli;

fn options(arguments: &[&str]) -> Options {
    Cli::try_parse_from(["apm-agent"].iter().chain(arguments)).unwrap().options
}

fn settings(arguments: &[&str]) -> Result<Settings, Problem> {
    Settings::resolve(options(arguments))
}

#[test]
fn defaults_are_those_of_the_help() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:9876");
    assert_eq!(settings.retention, Duration::from_secs(3600));
    assert_eq!(settings.max_db_bytes, 1_000_000_000);
    assert_eq!(settings.ring_bytes, 8 << 20);
    assert_eq!(settings.log, Log { level: LogLevel::Info, format: LogFormat::Text });
    assert_eq!(
        settings.features,
        Features { attribution: true, call_sites: true, exceptions: true, locals: true, tls: true }
    );
    assert!(settings.pids.is_empty() && settings.token.is_none() && settings.service.is_none());
}

#[test]
fn command_line_wins_over_file_and_file_over_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &file,
        "pid = [1, 2]\nport = 1000\nretention = 7200\nno-locals = true\nmax-db-size = '2GiB'\n\
         exclude = [7, 'celery', '*x*']\nlog-level = 'debug'\nhost = '::1'\nallow-host = ['box']\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let merged = settings(&["--config", path, "--port", "2000", "--pid", "9", "--no-locals=false"]).unwrap();
    assert_eq!(merged.listen.to_string(), "[::1]:2000");
    assert_eq!(merged.pids, [9]);
    assert_eq!(merged.retention, Duration::from_secs(7200));
    assert_eq!(merged.max_db_bytes, 2 << 30);
    assert_eq!(merged.log.level, LogLevel::Debug);
    assert!(merged.features.locals);
    assert_eq!(merged.exclude[..2], [Exclude::Pid(7), Exclude::Service("celery".into())]);
    let of_file = settings(&["--config", path]).unwrap();
    assert!(!of_file.features.locals);
    assert_eq!(of_file.names, ["box"]);
    let named = settings(&["--config", path, "--allow-host", "a.example", "--allow-host", "b"]).unwrap();
    assert_eq!(named.names, ["a.example", "b"]);
}

#[rstest::rstest]
#[case(&["--host", "0.0.0.0"], "APM_AGENT_TOKEN")]
#[case(&["--token", ""], "openssl rand")]
#[case(&["--token", "short"], "openssl rand")]
#[case(&["--token", "0123456789 abcdef"], "openssl rand")]
#[case(&["--token", "0123456789abcde\n"], "openssl rand")]
#[case(&["--allow-host", "http://box:9876"], "no port")]
#[case(&["--allow-host", "*"], "no pattern")]
#[case(&["--retention", "5"], "60 (a minute)")]
#[case(&["--max-db-size", "1MB"], "10MB")]
#[case(&["--ring-mb", "9"], "8, 16 or 32")]
#[case(&["--ring-mb", "0"], "8, 16 or 32")]
#[case(&["--scan", "/"], "--scan-service NAME")]
#[case(&["--scan-service", "shop"], "--scan DIRECTORY")]
#[case(&["--scan", "/nowhere", "--scan-service", "shop"], "Python packages")]
#[case(&["--config", "/nowhere.toml"], "another --config")]
fn values_that_make_no_sense_are_refused_with_a_remedy(#[case] arguments: &[&str], #[case] remedy: &str) {
    let problem = settings(arguments).unwrap_err();
    assert!(problem.remedy.contains(remedy), "{problem}");
    assert_eq!(problem.exit_code(), 2);
}

#[test]
fn token_allows_other_addresses_and_is_never_printed() {
    let settings = settings(&["--host", "0.0.0.0", "--token", "hunter2hunter2hu"]).unwrap();
    assert_eq!(settings.token.as_ref().unwrap().expose(), "hunter2hunter2hu");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn locals_need_exceptions() {
    let features = settings(&["--no-exceptions"]).unwrap().features;
    assert!(!features.locals && !features.exceptions);
}

#[rstest::rstest]
#[case(&["--pid", "shop"])]
#[case(&["--port", "99999"])]
#[case(&["--host", "example.org"])]
#[case(&["--log-level", "loud"])]
#[case(&["--frobnicate"])]
#[case(&["--port", "1", "check"])]
fn command_line_that_does_not_parse_is_an_error(#[case] arguments: &[&str]) {
    assert!(Cli::try_parse_from(["apm-agent"].iter().chain(arguments)).is_err());
}

#[test]
fn localhost_is_a_host() {
    assert_eq!(settings(&["--host", "localhost"]).unwrap().listen.to_string(), "127.0.0.1:9876");
}

#[test]
fn command_line_is_sound() {
    Cli::describe().debug_assert();
}
