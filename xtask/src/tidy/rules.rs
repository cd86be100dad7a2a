//! The rules.

use std::path::Path;

use super::{Finding, Rule};

/// All rules by name.
pub(super) const ALL: &[(&str, Rule)] = &[
    ("file-length", file_length),
    ("machine-path", machine_path),
    ("safety-line", safety_line),
    ("module-doc", module_doc),
    ("loss-explained", loss_explained),
    ("todo", unfinished),
    ("final-newline", final_newline),
];

/// Longest source file, in lines.
const LONGEST: usize = 500;

fn is(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|ext| ext.to_str()).is_some_and(|ext| extensions.contains(&ext))
}

/// A file with a second idea gets a second file.
fn file_length(path: &Path, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if !is(path, &["rs", "ts", "tsx", "py", "css", "sql"]) || lines <= LONGEST {
        return Vec::new();
    }
    vec![Finding {
        line: 0,
        text: format!("{lines} lines, at most {LONGEST}: move its second idea to a file of its own"),
    }]
}

/// No path of one developer's machine: sources, documents and messages are the same everywhere.
fn machine_path(path: &Path, text: &str) -> Vec<Finding> {
    // Spelled in pieces so that this file passes its own rule.
    let marks = [concat!("/wo", "rk/"), concat!("/ho", "me/user"), concat!("/Us", "ers/")];
    if is(path, &["lock"]) {
        return Vec::new();
    }
    let found = |line: &str| marks.iter().find(|mark| starts_a_path(line, mark)).copied();
    lines(text, |line| {
        found(line).map(|mark| format!("names {mark}: take the path from the environment or an argument"))
    })
}

/// Does `mark` stand in `line` at the start of a path, not inside a longer one?
fn starts_a_path(line: &str, mark: &str) -> bool {
    line.match_indices(mark)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~}>".contains(c)))
}

/// Each `unsafe` block and impl says why it is sound, in the lines above it.
fn safety_line(path: &Path, text: &str) -> Vec<Finding> {
    if !is(path, &["rs"]) {
        return Vec::new();
    }
    let all: Vec<&str> = text.lines().collect();
    let opens = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        !code.contains('"') && (code.contains("unsafe {") || code.trim_start().starts_with("unsafe impl"))
    };
    let said = |at: usize| {
        all[..=at].iter().rev().take(6).any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
    };
    let missing = all.iter().enumerate().filter(|&(at, line)| opens(line) && !said(at));
    let text = "no SAFETY line above: say which precondition holds and why";
    missing.map(|(at, _)| Finding { line: at + 1, text: text.to_owned() }).collect()
}

/// Each Rust file begins with what it is; tests and fuzz targets say that by their names.
fn module_doc(path: &Path, text: &str) -> Vec<Finding> {
    let named = path.ends_with("tests.rs")
        || path.iter().skip(1).any(|part| part == "tests" || part == "fuzz_targets");
    let starts = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    if !is(path, &["rs"]) || named || starts.is_none_or(|line| line.starts_with("//!")) {
        return Vec::new();
    }
    vec![Finding {
        line: 1,
        text: "begins without `//!`: say in a sentence what the file is about".to_owned(),
    }]
}

/// Each kind of loss has the sentence that the user reads beside its counter.
fn loss_explained(path: &Path, text: &str) -> Vec<Finding> {
    if path != Path::new("core/src/loss.rs") {
        return Vec::new();
    }
    let all: Vec<&str> = text.lines().collect();
    let names = all.iter().enumerate().filter_map(|(at, line)| {
        let (variant, name) = line.trim().split_once(" = \"")?;
        let name = name.strip_suffix("\",")?;
        variant.chars().all(char::is_alphanumeric).then_some((at, name))
    });
    let explained =
        |at: usize| at > 0 && all[at - 1].trim_start().starts_with("/// ") && all[at - 1].len() > 30;
    let missing = names.filter(|&(at, _)| !explained(at));
    let say = |name| format!("{name} is not explained: the line above is what /api/status shows to the user");
    missing.map(|(at, name)| Finding { line: at + 1, text: say(name) }).collect()
}

/// Nothing is left for later without saying so in the issue tracker.
fn unfinished(path: &Path, text: &str) -> Vec<Finding> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    if !is(path, &["rs", "ts", "tsx", "py", "sql", "toml"]) {
        return Vec::new();
    }
    let found = |line: &str| marks.iter().find(|mark| line.contains(*mark));
    lines(text, |line| found(line).map(|mark| format!("{mark}: do it, or open an issue and drop the mark")))
}

/// Text files end with a line break.
fn final_newline(_: &Path, text: &str) -> Vec<Finding> {
    if text.is_empty() || text.ends_with('\n') || text.contains('\0') {
        return Vec::new();
    }
    vec![Finding { line: text.lines().count(), text: "no line break at the end: add one".to_owned() }]
}

fn lines(text: &str, rule: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let numbered = text.lines().enumerate();
    numbered.filter_map(|(at, line)| rule(line).map(|text| Finding { line: at + 1, text })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        rule(Path::new(path), text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        assert_eq!(broken(machine_path, "a.md", concat!("fine\nsee /wo", "rk/main\n")), [2]);
        assert_eq!(
            broken(machine_path, "a.md", concat!("target/wo", "rk/main and .", "/wo", "rk/x\n")),
            [0_usize; 0]
        );
    }

    #[test]
    fn unsafe_without_its_reason_is_found() {
        assert_eq!(broken(safety_line, "a.rs", "fn f() {\n    unsafe { g() }\n}\n"), [2]);
        assert_eq!(
            broken(safety_line, "a.rs", "// SAFETY: g has no preconditions.\nunsafe { g() }\n"),
            [0_usize; 0]
        );
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(broken(file_length, "a.rs", &"x\n".repeat(LONGEST + 1)), [0]);
        assert_eq!(broken(file_length, "a.rs", &"x\n".repeat(LONGEST)), [0_usize; 0]);
    }

    #[test]
    fn a_loss_without_its_sentence_is_found() {
        let text = "losses! {\n    /// Events the kernel could not put into the ring.\n    A = \"a\",\n    B = \"b\",\n}\n";
        assert_eq!(broken(loss_explained, "core/src/loss.rs", text), [4]);
    }

    #[test]
    fn a_file_without_a_heading_is_found() {
        assert_eq!(broken(module_doc, "a.rs", "use std::fs;\n"), [1]);
        assert_eq!(broken(module_doc, "a.rs", "#![no_std]\n\n//! What it is.\n"), [0_usize; 0]);
    }
}
