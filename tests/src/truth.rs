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
    /// Moments before and after the call that read its first byte; see [`crate::load::now`]. `None` where the app cannot
    /// tell.
    pub(crate) read: Option<[f64; 2]>,
    /// The same for the last byte of its response.
    pub(crate) write: Option<[f64; 2]>,
}

impl Served {
    /// Bounds of the duration in milliseconds, for a request whose client began to send it at `sent`: it was read after
    /// that, and the app knows no more than that it was reading. A read that had been waiting for longer says nothing.
    pub(crate) fn bounds_ms(&self, sent: f64) -> Option<(f64, f64)> {
        let ([read_from, read_to], [write_from, write_to]) = (self.read?, self.write?);
        let read_from = read_from.max(sent).min(read_to);
        Some(((write_from - read_to) * 1e3, (write_to - read_from) * 1e3))
    }
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
