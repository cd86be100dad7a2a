//! Which package a process runs.

use std::sync::Arc;

use crate::process::{PythonProcess, Started, View, commands, started};

/// The package, or module of no package, that the command line names, or that the command imports which it runs.
pub(super) fn package(process: &PythonProcess) -> Option<Arc<str>> {
    let dotted = match started(&process.naming)? {
        Started::Module(dotted) => dotted,
        Started::Command(path) => commands::module_of(&View::of(process.id.pid)?, &path)?,
    };
    dotted.split('.').next().filter(|name| !name.is_empty()).map(Arc::from)
}
