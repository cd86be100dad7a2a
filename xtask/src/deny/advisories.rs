//! Published vulnerabilities without a network: the lock files against `advisories.toml`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::places;

/// What is known of the crates that we depend on.
#[derive(Deserialize)]
struct Known {
    /// Crates that were looked up in RustSec's database.
    looked_up: Vec<String>,
    advisory: Vec<Advisory>,
}

#[derive(Deserialize)]
struct Advisory {
    /// RustSec's number.
    id: String,
    package: String,
    /// Versions without the fault: those it was mended in, and those that never had it.
    sound: Vec<VersionReq>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Version,
    /// `None` for members of the workspace.
    source: Option<String>,
}

/// Holds both lock files against what is known; gives the number of crates. The error names each finding.
pub(super) fn check() -> Result<usize> {
    let known: Known = read(&places::root().join("xtask/advisories.toml"))?;
    let mut crates = 0;
    let mut faults = Vec::new();
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock: Lock = read(&places::root().join(lock))?;
        let others = || lock.package.iter().filter(|package| package.source.is_some());
        crates += others().count();
        faults.extend(others().filter_map(|package| known.fault(package)));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(crates)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

impl Known {
    /// What is wrong with `package`, in words.
    fn fault(&self, package: &Package) -> Option<String> {
        let Package { name, version, .. } = package;
        if !self.looked_up.contains(name) {
            return Some(format!(
                "{name} was not looked up in RustSec's database; add it to xtask/advisories.toml"
            ));
        }
        let has = |advisory: &&Advisory| {
            advisory.package == *name && !advisory.sound.iter().any(|sound| sound.matches(version))
        };
        let advisory = self.advisory.iter().find(has)?;
        Some(format!("{name} {version} has {}: https://rustsec.org/advisories/{0}.html", advisory.id))
    }
}

#[cfg(test)]
mod tests {
    use super::{Advisory, Known, Package, check};

    #[test]
    fn no_crate_that_we_use_has_a_published_fault() {
        assert!(check().unwrap() > 300);
    }

    #[test]
    fn a_version_that_no_requirement_calls_sound_is_named_and_so_is_an_unknown_crate() {
        let advisory = Advisory {
            id: "RUSTSEC-2026-0097".to_owned(),
            package: "rand".to_owned(),
            sound: [">=0.10.1", "<0.9.0,>=0.8.6", "<0.7.0"].map(|sound| sound.parse().unwrap()).into(),
        };
        let known = Known { looked_up: ["rand", "libc"].map(str::to_owned).into(), advisory: vec![advisory] };
        let fault = |name: &str, version: &str| {
            known.fault(&Package { name: name.to_owned(), version: version.parse().unwrap(), source: None })
        };
        for sound in ["0.10.1", "0.8.6", "0.8.8", "0.6.5"] {
            assert_eq!(fault("rand", sound), None, "{sound}");
        }
        for faulty in ["0.10.0", "0.9.3", "0.8.5", "0.7.0"] {
            assert!(fault("rand", faulty).unwrap().contains("RUSTSEC-2026-0097"), "{faulty}");
        }
        assert_eq!(fault("libc", "0.2.1"), None);
        assert!(fault("serde", "1.0.0").unwrap().contains("not looked up"));
    }
}
