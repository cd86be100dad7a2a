//! The `apm-agent` binary.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use apm_agent::check::{check, preflight};
use apm_agent::cli::{self, Cli, Command, LogFormat};
use apm_agent::config::{Log, Settings};
use apm_agent::problem::Problem;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let result = match Cli::from_process() {
        Cli { command: Some(Command::Check(arguments)), .. } => run_check(*arguments),
        Cli { command: Some(Command::Man), .. } => print_man_page(),
        Cli { command: Some(Command::Completions { shell }), .. } => {
            clap_complete::generate(shell, &mut Cli::describe(), "apm-agent", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Cli { command: None, options } => run(options),
    };
    result.unwrap_or_else(|error| {
        let problem = match error.downcast::<Problem>() {
            Ok(problem) => problem,
            Err(error) => {
                Problem::new(format!("{error:#}"), "apm-agent check, which says what this machine allows")
            }
        };
        // The log may be off or for machines; this is for whoever started us.
        let _nobody_reads = writeln!(std::io::stderr(), "apm-agent: {problem}");
        ExitCode::from(problem.exit_code())
    })
}

fn run(options: cli::Options) -> anyhow::Result<ExitCode> {
    let settings = Settings::resolve(options)?;
    log_to_stderr(settings.log);
    preflight(&settings)?;
    apm_agent::pipeline::run(settings)?;
    Ok(ExitCode::SUCCESS)
}

fn run_check(arguments: cli::Check) -> anyhow::Result<ExitCode> {
    let settings = Settings::resolve(arguments.options)?;
    log_to_stderr(settings.log);
    let report = check(&settings);
    let text =
        if arguments.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    // A reader that has seen enough (`| head`) is no error.
    let _nobody_reads = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_man_page() -> anyhow::Result<ExitCode> {
    clap_mangen::Man::new(Cli::describe()).section("8").render(&mut std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

fn log_to_stderr(log: Log) {
    let level = LevelFilter::from(log.level);
    // Libraries are heard from warnings on only: what they say below is about themselves.
    let others = level.min(LevelFilter::WARN);
    let filter = EnvFilter::new(format!("{others},apm_agent={level},apm_core={level}"));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match log.format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
