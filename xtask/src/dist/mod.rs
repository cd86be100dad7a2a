//! `cargo xtask dist`: what a user installs, and the proof that it works once installed.

mod trial;
mod unit;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::Outcome;
use crate::{agent, places, shell, tools};

/// Version of cargo-deb that makes the package.
const CARGO_DEB: &str = "3.8.0";

/// `cargo xtask dist`
pub(crate) fn task() -> Result<()> {
    println!("{}", build()?.line()?);
    Ok(())
}

/// Builds the package and the tarball, then tries the package.
pub(crate) fn build() -> Result<Outcome> {
    agent::with_page();
    let binary = agent::build()?;
    let out = directory();
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    describe(&binary, &out)?;
    let tarball = tarball(&binary, &out)?;
    let package = package(&out)?;
    for file in [&tarball, &package] {
        println!("{} ({:.1} MB)", file.display(), fs::metadata(file)?.len() as f64 / 1e6);
    }
    trial::task(&package)
}

/// Fixed, whatever the target directory: agent/Cargo.toml names files in it.
fn directory() -> PathBuf {
    places::root().join("target/dist")
}

/// Man page and completions, as the binary itself prints them.
fn describe(binary: &Path, out: &Path) -> Result<()> {
    let print = |arguments: &[&str], file: &str| -> Result<()> {
        let status = Command::new(binary).args(arguments).stdout(File::create(out.join(file))?).status()?;
        if !status.success() {
            bail!("{} {} ended with {status}", binary.display(), arguments.join(" "));
        }
        Ok(())
    };
    print(&["man"], "apm-agent.8")?;
    for (shell, file) in [("bash", "apm-agent.bash"), ("zsh", "_apm-agent"), ("fish", "apm-agent.fish")] {
        print(&["completions", shell], file)?;
    }
    Ok(())
}

/// The same files without a package manager.
fn tarball(binary: &Path, out: &Path) -> Result<PathBuf> {
    let name = format!("apm-agent-{}-{}-linux", version(binary)?, std::env::consts::ARCH);
    let tree = out.join(&name);
    fs::create_dir_all(&tree)?;
    let root = places::root();
    shell::quiet(Command::new("strip").arg("-o").arg(tree.join("apm-agent")).arg(binary))?;
    for file in [
        "agent/package/apm-agent.service",
        "agent/package/config.toml",
        "target/dist/apm-agent.8",
        "target/dist/apm-agent.bash",
        "target/dist/_apm-agent",
        "target/dist/apm-agent.fish",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ] {
        let from = root.join(file);
        let base = from.file_name().context("a file has a name")?;
        fs::copy(&from, tree.join(base)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let archive = out.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    // Equal inputs give equal archives, whoever packs them and when.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-czf"]);
    shell::quiet(tar.arg(&archive).arg("-C").arg(out).arg(&name))?;
    Ok(archive)
}

/// `apm-agent 0.1.0` -> `0.1.0`
fn version(binary: &Path) -> Result<String> {
    let text = shell::output(Command::new(binary).arg("--version"))?;
    text.split_whitespace().last().map(str::to_owned).context("the agent tells no version")
}

fn package(out: &Path) -> Result<PathBuf> {
    let cargo_deb = tools::cargo("cargo-deb", CARGO_DEB, &["--no-default-features"])?;
    let mut command = Command::new(&cargo_deb);
    command.args(["--quiet", "--no-build", "--strip", "--package", "apm-agent", "--output"]).arg(out);
    shell::quiet(command.current_dir(places::root()))?;
    let found = fs::read_dir(out)?.flatten().map(|entry| entry.path());
    let mut packages = found.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages.next().context("cargo-deb made no package")
}
