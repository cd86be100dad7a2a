//! Which package a process runs.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::process::{PythonProcess, Started, View, started};

/// Bytes of a command that are read; those that installers write have some 200.
const COMMAND_MAX: u64 = 4096;

/// The package, or module of no package, that the command line names, or that the command imports which it runs.
pub(super) fn package(process: &PythonProcess) -> Option<Arc<str>> {
    let dotted = match started(&process.naming)? {
        Started::Module(dotted) => dotted,
        Started::Command(path) => imported(&text(process.id.pid, &path)?)?,
    };
    dotted.split('.').next().filter(|name| !name.is_empty()).map(Arc::from)
}

/// The command, if the process could read it itself.
fn text(pid: u32, path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    View::of(pid)?.open(path)?.take(COMMAND_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The module that a command of an installed package imports its function from: `from shop.main import run` (Python Packaging
/// User Guide, "Entry points specification").
fn imported(text: &str) -> Option<String> {
    let mut imports = text.lines().filter_map(|line| line.strip_prefix("from ")?.split_once(" import "));
    imports.next().map(|(module, _)| module.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_the_module_of_its_function() {
        let text = "#!/v/bin/python\n# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom shop.main import run\n\
                    if __name__ == '__main__':\n    sys.exit(run())\n";
        assert_eq!(imported(text).as_deref(), Some("shop.main"));
        assert_eq!(imported("import sys\nsys.exit(0)\n"), None);
        assert_eq!(imported("\u{7f}ELF"), None);
    }
}
