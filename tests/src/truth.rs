//! What the server under test wrote down about each request (see `tests/apps/truth.py`).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One request as the app saw it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Served {
    /// Method.
    pub(crate) method: String,
    /// Path without query string.
    pub(crate) path: String,
    /// Status it answered.
    pub(crate) status: u16,
    /// Lower bound of its duration in milliseconds; `None` where it could not be measured.
    pub(crate) low: Option<f64>,
    /// Upper bound.
    pub(crate) high: Option<f64>,
}

/// Reads what all processes of a server wrote.
pub(crate) fn read(directory: &Path) -> Result<Vec<Served>> {
    let mut served = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        for line in text.lines() {
            served.push(serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))?);
        }
    }
    Ok(served)
}
