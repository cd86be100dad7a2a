//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// Root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).expect("xtask lies inside the workspace")
}

/// Where cargo puts what it builds; our tools, virtual environments and reports go there too.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Cargo's home: registry sources lie there.
pub(crate) fn cargo_home() -> PathBuf {
    env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}

/// The user's home directory.
pub(crate) fn home() -> PathBuf {
    env::var_os("HOME").map_or_else(|| "/".into(), PathBuf::from)
}
