//! The configuration file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::{Cli, Options};
use crate::problem::Problem;

/// Longest configuration file, bytes: what is longer, or does not end (`/dev/zero`), is another file.
const LONGEST: u64 = 1 << 20;

/// Reads the TOML file at `path`.
pub(super) fn read(path: &Path) -> Result<Options, Problem> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    let length = read.map_err(|error| {
        Problem::usage(
            format!("cannot read the configuration file {}: {error}", path.display()),
            "sudo, or another --config",
        )
    })?;
    if length as u64 > LONGEST {
        return Err(Problem::usage(
            format!("{} is no configuration file: it is longer than 1 MiB", path.display()),
            "another --config",
        ));
    }
    parse(&text)
        .map_err(|Problem { what, remedy, .. }| Problem::usage(format!("{}: {what}", path.display()), remedy))
}

/// Reads the text of a configuration file.
pub(super) fn parse(text: &str) -> Result<Options, Problem> {
    let wrong = |error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Problem::usage(
            format!("line {line}: {}", error.message()),
            "apm-agent --help shows what each option takes",
        )
    };
    let table: toml::Table = text.parse().map_err(|error| wrong(&error))?;
    let names = names();
    if let Some(key) = table.keys().find(|key| !names.contains(key)) {
        let nearest =
            names.iter().max_by(|a, b| strsim::jaro_winkler(key, a).total_cmp(&strsim::jaro_winkler(key, b)));
        return Err(Problem::usage(
            format!("there is no option `{key}`"),
            format!("`{}`", nearest.map_or("", String::as_str)),
        ));
    }
    toml::from_str(text).map_err(|error| wrong(&error))
}

/// Every option that can stand in the file, by its long name.
fn names() -> Vec<String> {
    let command = Cli::describe();
    command
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .filter(|name| *name != "config")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_end_is_refused() {
        let refused = read(Path::new("/dev/zero")).map(|_| ());
        assert!(refused.is_err_and(|problem| problem.what.contains("longer than 1 MiB")));
    }

    #[test]
    fn every_option_of_the_command_line_is_a_key_of_the_file() {
        // A key that the file format does not know is an error of serde's `deny_unknown_fields`.
        for name in names() {
            let error = toml::from_str::<Options>(&format!("{name} = {{}}")).unwrap_err().to_string();
            assert!(!error.contains("unknown field"), "{name}: {error}");
        }
    }

    #[test]
    fn every_line_of_the_packaged_file_is_an_option() {
        let packaged = include_str!("../../package/config.toml");
        assert_eq!(parse(packaged).unwrap(), Options::default(), "it changes nothing as it is");
        let lines = packaged.lines().filter_map(|line| line.strip_prefix('#'));
        let options: Vec<&str> = lines.filter(|line| !line.starts_with(' ')).collect();
        parse(&options.join("\n")).unwrap();
        let there = |name: &String| options.iter().any(|line| line.starts_with(&format!("{name} =")));
        assert_eq!(names().iter().filter(|name| !there(name)).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn unknown_key_is_named_with_its_nearest_neighbour() {
        let problem = parse("retension = 60").unwrap_err();
        assert_eq!(problem.to_string(), "there is no option `retension`. Try: `retention`");
        assert_eq!(parse("max_db_size = '1GB'").unwrap_err().remedy, "`max-db-size`");
        assert_eq!(parse("config = 'x'").unwrap_err().what, "there is no option `config`");
    }

    #[test]
    fn wrong_type_names_its_line() {
        let problem = parse("service = 'shop'\nport = 'ninety'").unwrap_err();
        assert!(problem.what.starts_with("line 2: invalid type: string"), "{problem}");
        assert!(parse("port = 98765").unwrap_err().what.starts_with("line 1: "));
        assert!(parse("port =").unwrap_err().what.starts_with("line 1: "));
        assert!(parse("host = 'nowhere'").unwrap_err().what.contains("expected an IP address"));
    }
}
