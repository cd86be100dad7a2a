//! Pythons that are newer than those of most machines, from Debian's unstable: in a root of their own below the target
//! directory, as they need a newer C library. Nothing is installed on the machine but what unpacks them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{environment, home, interpreter};
use crate::{packages, places, shell};

/// Versions that the agent is tested with where the machine, or this root, has them.
const VERSIONS: [&str; 2] = ["3.14", "3.15"];

/// What their environments hold: the pins of the newest Python that every run counts on.
const REQUIREMENTS: &str = "python3.13.txt";

const ARCHIVE: &str = "http://deb.debian.org/debian";

/// What the root needs of this machine, to reach a package index.
const SHARED: [&str; 3] = ["etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"];

/// Makes the environments of [`VERSIONS`] that are missing. Gives back why one cannot be had.
pub(crate) fn prepare() -> Result<Option<String>> {
    for version in VERSIONS {
        if let Some(python) = interpreter(version) {
            environment(version, REQUIREMENTS, &python)?;
            continue;
        }
        if !shell::is_root() {
            return Ok(Some(format!("no Python {version}, and Debian's needs root")));
        }
        if let Err(error) = from_debian(version) {
            // The archive is another every day: what cannot be had is no fault of what is tested.
            return Ok(Some(format!("no Python {version}: {error:#}")));
        }
    }
    Ok(None)
}

fn from_debian(version: &str) -> Result<()> {
    let root = root()?;
    let environment = places::target().join("debian-unstable-environments").join(version);
    if !environment.join("complete").exists() {
        println!("      {REQUIREMENTS}: packages into {}", environment.display());
        let python = PathBuf::from(format!("/usr/bin/python{version}"));
        shell::quiet(within(&root, &python).args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut pip = within(&root, &environment.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        shell::quiet(pip.arg(places::root().join("tests/requirements").join(REQUIREMENTS)))?;
        fs::write(environment.join("complete"), "")?;
    }
    // Where the tests look for it, under the name that an environment has.
    let program = home(version).join("bin/python");
    fs::create_dir_all(program.parent().context("it has a directory")?)?;
    fs::write(&program, script(&root, &environment.join("bin/python")))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The root with all of [`VERSIONS`], made once.
fn root() -> Result<PathBuf> {
    let root = places::target().join("debian-unstable");
    if root.join("complete").exists() {
        return Ok(root);
    }
    packages::require(&["debootstrap"])?;
    if root.exists() {
        // Of a run that was broken off.
        fs::remove_dir_all(&root)?;
    }
    println!("      Python {} from Debian's archive", VERSIONS.join(" and "));
    let include = VERSIONS.map(|version| format!("python{version},python{version}-venv")).join(",");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={include}"), "sid"]).arg(&root).arg(ARCHIVE);
    shell::quiet(&mut debootstrap)?;
    for file in SHARED {
        let (from, to) = (Path::new("/").join(file), root.join(file));
        if from.exists() {
            fs::create_dir_all(to.parent().context("it has a directory")?)?;
            fs::copy(&from, &to).with_context(|| to.display().to_string())?;
        }
    }
    for shared in shared() {
        fs::create_dir_all(root.join(shared))?;
    }
    fs::write(root.join("complete"), "")?;
    Ok(root)
}

/// Directories of this machine that are the same in the root, without the leading slash.
fn shared() -> Vec<String> {
    let own = [std::env::temp_dir(), places::root(), places::target()];
    let own = own.iter().map(|path| path.display().to_string());
    ["/proc", "/dev"].map(str::to_owned).into_iter().chain(own).map(|path| path[1..].to_owned()).collect()
}

/// A program of the root.
fn within(root: &Path, program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script(root, program)).arg("sh");
    command
}

/// A shell script that becomes the program, in the root and in a mount namespace of its own: nothing is left when it ends, and
/// the agent meets it as it meets a program in a container.
fn script(root: &Path, program: &Path) -> String {
    let mounts = shared().join(" ");
    format!(
        r#"#!/bin/sh
exec unshare --mount /bin/sh -c '
    root=$1 program=$2
    shift 2
    for directory in {mounts}; do
        mount --rbind "/$directory" "$root/$directory"
    done
    exec chroot "$root" /bin/sh -c "cd \"\$0\" && exec \"\$@\"" "$PWD" "$program" "$@"
' sh '{}' '{}' "$@"
"#,
        root.display(),
        program.display()
    )
}
