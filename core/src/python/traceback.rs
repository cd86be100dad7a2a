//! A traceback as Python prints it, and the fingerprint that groups the exceptions of one code path.

use std::fmt::Write;
use std::sync::Arc;

use super::scrub::scrub;
use crate::sql;

/// Longest traceback kept, in characters.
pub const TRACEBACK_MAX: usize = 16_000;
/// Equal lines in a row that Python prints before it says how many more there are (`traceback._RECURSIVE_CUTOFF`).
const REPEATS_SHOWN: usize = 3;

/// One function on the way of an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `co_filename`
    pub file: Arc<str>,
    /// `co_name`, which a traceback shows.
    pub name: Arc<str>,
    /// `co_qualname` where the version has it, else `co_name`.
    pub qualified: Arc<str>,
    /// The line; `None` where the code object has none for the instruction.
    pub line: Option<u32>,
    /// That line of the file without white space around it, where the file can be read.
    pub source: Option<Arc<str>>,
    /// It is the application's: [`super::place::place`].
    pub of_application: bool,
}

/// How an exception came before the one that is shown after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `raise .. from` it.
    Cause,
    /// Raised while it was handled.
    Context,
}

/// An exception.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// Its class as a traceback names it: with its module, unless that is `builtins` or `__main__`.
    pub class: String,
    /// `str(exception)`
    pub message: String,
    /// Functions it passed, outermost first.
    pub frames: Vec<Frame>,
    /// There were more, further in.
    pub cut: bool,
    /// How it led to the exception before it in the chain; `None` for the first, which is the one that counts.
    pub relation: Option<Relation>,
}

impl Exception {
    fn print(&self, text: &mut String) {
        if !self.frames.is_empty() {
            text.push_str("Traceback (most recent call last):\n");
        }
        let mut frames = self.frames.as_slice();
        while let [first, ..] = frames {
            let same = |frame: &&Frame| {
                frame.file == first.file && frame.line == first.line && frame.name == first.name
            };
            let run = frames.iter().take_while(same).count();
            for frame in &frames[..run.min(REPEATS_SHOWN)] {
                frame.print(text);
            }
            if let Some(more @ 1..) = run.checked_sub(REPEATS_SHOWN) {
                let times = if more == 1 { "time" } else { "times" };
                line(text, format_args!("  [Previous line repeated {more} more {times}]"));
            }
            frames = &frames[run..];
        }
        if self.cut {
            line(text, format_args!("  [deeper calls were not captured]"));
        }
        if self.message.is_empty() {
            line(text, format_args!("{}", self.class));
        } else {
            line(text, format_args!("{}: {}", self.class, self.message));
        }
    }
}

impl Frame {
    fn print(&self, text: &mut String) {
        let number = self.line.map_or_else(|| "None".to_owned(), |line| line.to_string());
        line(text, format_args!("  File \"{}\", line {number}, in {}", self.file, self.name));
        if let Some(source) = self.source.as_deref().filter(|source| !source.is_empty()) {
            // Only what is written there is a secret; `password=password` is none.
            let source = if source.contains(['"', '\'']) { scrub(source) } else { source.into() };
            line(text, format_args!("    {source}"));
        }
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _infallible = writeln!(text, "{arguments}");
}

/// The text of `traceback.format_exception`, without the marks under the source lines, for an exception and those that
/// led to it: `chain[0]` is the exception itself.
pub fn text(chain: &[Exception]) -> String {
    let mut text = String::new();
    for exception in chain.iter().rev() {
        exception.print(&mut text);
        let words = match exception.relation {
            Some(Relation::Cause) => "The above exception was the direct cause of the following exception:",
            Some(Relation::Context) => "During handling of the above exception, another exception occurred:",
            None => continue,
        };
        line(&mut text, format_args!("\n{words}\n"));
    }
    if let Some((end, _)) = text.char_indices().nth(TRACEBACK_MAX) {
        text.truncate(end);
    }
    text
}

/// A hash over the class and over file, qualified name and line of every frame from the application's first on: equal for
/// exceptions of one code path, on every machine that has the packages in a `site-packages` or the source in a `src` folder.
/// Through how many of a server's functions it came before is not the same at each look.
pub fn fingerprint(exception: &Exception) -> String {
    let mut path = String::new();
    line(&mut path, format_args!("{}", exception.class));
    let frames = &exception.frames;
    let first = frames.iter().position(|frame| frame.of_application).unwrap_or(0);
    for frame in &frames[first..] {
        let number = frame.line.unwrap_or(0);
        line(&mut path, format_args!("{}\0{}\0{number}", portable(&frame.file), frame.qualified));
    }
    format!("{:016x}", sql::fingerprint(path.as_bytes()))
}

/// The path after its last `site-packages/` or `src/`.
fn portable(file: &str) -> &str {
    ["site-packages/", "src/"]
        .iter()
        .filter_map(|mark| file.rfind(mark).map(|at| at + mark.len()))
        .max()
        .map_or(file, |at| &file[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(file: &str, line: u32, name: &str, source: &str) -> Frame {
        let source = (!source.is_empty()).then(|| source.into());
        let (file, name, qualified) = (file.into(), name.into(), name.into());
        Frame { file, name, qualified, line: Some(line), source, of_application: true }
    }

    fn exception(class: &str, message: &str, frames: Vec<Frame>, relation: Option<Relation>) -> Exception {
        Exception { class: class.into(), message: message.into(), frames, cut: false, relation }
    }

    #[test]
    fn a_chain_reads_as_in_python() {
        let chain = [
            exception("KeyError", "'b'", vec![frame("/a/app.py", 7, "go", "return d['b']")], None),
            exception(
                "app.Broken",
                "",
                vec![frame("/a/app.py", 5, "go", "raise Broken")],
                Some(Relation::Cause),
            ),
            exception(
                "ZeroDivisionError",
                "division by zero",
                vec![frame("/a/app.py", 3, "go", "")],
                Some(Relation::Context),
            ),
        ];
        assert_eq!(
            text(&chain),
            "Traceback (most recent call last):\n  File \"/a/app.py\", line 3, in go\n\
             ZeroDivisionError: division by zero\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"/a/app.py\", line 5, in go\n    raise Broken\n\
             app.Broken\n\n\
             The above exception was the direct cause of the following exception:\n\n\
             Traceback (most recent call last):\n  File \"/a/app.py\", line 7, in go\n    return d['b']\n\
             KeyError: 'b'\n"
        );
    }

    #[test]
    fn a_secret_in_the_source_is_not_shown() {
        let frames = vec![
            frame("a.py", 1, "f", "connect(\"db\", password='hunter2')"),
            frame("a.py", 2, "g", "connect(password=password, token=token)"),
        ];
        let text = text(&[exception("E", "no", frames, None)]);
        assert!(text.contains("    connect(\"db\", password=<redacted>)\n"), "{text}");
        assert!(text.contains("    connect(password=password, token=token)\n"), "{text}");
    }

    #[test]
    fn recursion_is_counted() {
        let frames = vec![frame("r.py", 2, "f", "f()"); 5];
        let text = text(&[exception("RecursionError", "deep", frames, None)]);
        assert_eq!(text.matches("line 2, in f").count(), 3);
        assert!(text.contains("  [Previous line repeated 2 more times]\n"), "{text}");
    }

    #[test]
    fn the_same_path_on_another_machine_has_the_same_fingerprint() {
        let of = |frames: &[Frame]| fingerprint(&exception("E", "m", frames.to_vec(), None));
        let here = [
            frame("/home/a/src/shop/views.py", 3, "show", "x"),
            frame("/v/site-packages/d/h.py", 9, "get", ""),
        ];
        let there = [
            frame("/srv/src/shop/views.py", 3, "show", ""),
            frame("/w/lib/site-packages/d/h.py", 9, "get", ""),
        ];
        assert_eq!(of(&here), of(&there));
        let elsewhere = [frame("/srv/src/shop/views.py", 4, "show", ""), there[1].clone()];
        assert_ne!(of(&here), of(&elsewhere));
    }

    /// Starlette answers before uvicorn logs: the second look has the server's functions, too.
    #[test]
    fn what_calls_the_application_does_not_part_its_exceptions() {
        let of = |class: &str, frames: &[&Frame]| {
            fingerprint(&exception(class, "m", frames.iter().copied().cloned().collect(), None))
        };
        let outer = |line| {
            let of_application = false;
            Frame { of_application, ..frame("/v/site-packages/server/http.py", line, "run", "") }
        };
        let view = frame("/srv/shop/views.py", 3, "show", "");
        let (server, framework) = (outer(1), outer(2));
        assert_eq!(of("E", &[&server, &framework, &view]), of("E", &[&framework, &view]));
        assert_ne!(of("E", &[&view]), of("F", &[&view]), "raised at one line, of two kinds");
        assert_ne!(of("E", &[&view, &server]), of("E", &[&view]), "what the application calls counts");
        assert_ne!(of("E", &[&server]), of("E", &[&framework]), "none of the application's");
    }

    #[test]
    fn a_long_traceback_is_cut() {
        let frames = (0..1000).map(|line| frame("/some/where/file.py", line, "name", "source()")).collect();
        assert_eq!(text(&[exception("E", "m", frames, None)]).chars().count(), TRACEBACK_MAX);
    }
}
