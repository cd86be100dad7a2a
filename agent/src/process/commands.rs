//! Commands of installed packages: scripts that an installer writes, which import one function and call it.

use std::io::Read;
use std::path::Path;

use super::View;

/// Bytes of a command that are read; those that installers write have some 200.
const COMMAND_MAX: u64 = 4096;

/// The module that the command at `path` imports its function from, by its dotted name, if the process of the view could read the
/// command itself.
pub(crate) fn module_of(view: &View, path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    view.open(path)?.take(COMMAND_MAX).read_to_end(&mut bytes).ok()?;
    imported(&String::from_utf8_lossy(&bytes))
}

/// `from shop.main import run` (Python Packaging User Guide, "Entry points specification").
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
