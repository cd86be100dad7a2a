//! qemu and kernels from Debian's archive, unpacked under the target directory: nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{places, shell};

/// qemu before 10 emulates `cmpxchg16b` wrongly and Linux 6.12 dies of it; Debian 12 has 10 in its backports.
const QEMU_SUITE: &str = "bookworm-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the unpacked packages of the emulator lie.
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// busybox, linked statically.
    pub(crate) fn busybox(&self) -> PathBuf {
        self.0.join("bin/busybox")
    }

    /// qemu, told where its libraries and firmware are.
    pub(super) fn qemu(&self) -> Command {
        let usr = self.0.join("usr");
        let libraries = [self.0.join("lib/x86_64-linux-gnu"), usr.join("lib/x86_64-linux-gnu")];
        let libraries: Vec<_> = libraries.iter().map(|path| path.to_string_lossy()).collect();
        let mut qemu = Command::new(usr.join("bin/qemu-system-x86_64"));
        qemu.env("LD_LIBRARY_PATH", libraries.join(":"));
        qemu.arg("-L").arg(usr.join("share/qemu")).arg("-L").arg(usr.join("share/seabios"));
        qemu
    }
}

/// The emulator, downloaded once.
pub(crate) fn emulator() -> Result<Tools> {
    let root = directory().join("tools");
    if !root.join("complete").exists() {
        println!("downloading qemu from Debian's archive");
        let apt = Apt::prepare()?;
        let archives = directory().join("archives");
        fs::create_dir_all(archives.join("partial"))?;
        let mut install = apt.command("apt-get");
        install.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
        install.args(["-t", QEMU_SUITE, "--yes", "--download-only", "--no-install-recommends", "install"]);
        shell::quiet(install.args(["qemu-system-x86", "busybox-static"]))?;
        for package in packages_in(&archives)? {
            unpack(&package, &root)?;
        }
        fs::write(root.join("complete"), "")?;
    }
    Ok(Tools(root))
}

/// The kernel's image of `linux-image-cloud-amd64` in `suite`, downloaded once.
pub(super) fn kernel(name: &str, suite: &str) -> Result<PathBuf> {
    let root = directory().join("kernels").join(name);
    if !root.join("complete").exists() {
        println!("downloading Linux {name} from Debian's archive");
        let apt = Apt::prepare()?;
        let mut show = apt.command("apt-cache");
        show.arg("-o").arg(format!("APT::Default-Release={suite}"));
        let text = shell::output(show.args(["show", "--no-all-versions", "linux-image-cloud-amd64"]))?;
        // Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)
        let depends = text.lines().find_map(|line| line.strip_prefix("Depends: ")).context("no kernel")?;
        let words: Vec<&str> =
            depends.split([' ', '(', ')', '=', ',']).filter(|word| !word.is_empty()).collect();
        let [package, version, ..] = words.as_slice() else { bail!("cannot read `Depends: {depends}`") };
        if !version.starts_with(&format!("{name}.")) {
            bail!("{suite} has Linux {version} by now; the table of kernels needs an update");
        }
        let download = root.join("download");
        fs::create_dir_all(&download)?;
        let mut get = apt.command("apt-get");
        shell::quiet(get.arg("download").arg(format!("{package}={version}")).current_dir(&download))?;
        for package in packages_in(&download)? {
            unpack(&package, &root)?;
        }
        fs::write(root.join("complete"), "")?;
    }
    let boot = fs::read_dir(root.join("boot"))?.flatten().map(|entry| entry.path());
    let image =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-"));
    boot.into_iter().find(image).with_context(|| format!("no kernel in {}", root.display()))
}

fn directory() -> PathBuf {
    places::target().join("vm")
}

fn packages_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    Ok(entries.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect())
}

fn unpack(package: &Path, to: &Path) -> Result<()> {
    shell::quiet(Command::new("dpkg").arg("--extract").arg(package).arg(to))
}

/// apt with sources and lists of its own: the machine's are not touched, and root is not needed.
struct Apt(PathBuf);

impl Apt {
    fn prepare() -> Result<Self> {
        if shell::which("apt-get").is_none() || !Path::new(KEYRING).exists() {
            bail!("kernels and qemu come from Debian's archive: this needs apt and debian-archive-keyring");
        }
        let root = directory().join("apt");
        fs::create_dir_all(root.join("lists/partial"))?;
        let lines = [
            ("debian", "bookworm"),
            ("debian", "bookworm-backports"),
            ("debian-security", "bookworm-security"),
        ]
        .map(|(archive, suite)| {
            format!("deb [signed-by={KEYRING}] http://deb.debian.org/{archive} {suite} main\n")
        });
        fs::write(root.join("sources.list"), lines.concat())?;
        let apt = Self(root);
        shell::quiet(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let root = self.0.display();
        for option in [
            format!("Dir::Etc::sourcelist={root}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={root}/lists"),
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            // The locks are the machine's, and nothing of the machine's is changed.
            "Debug::NoLocking=1".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.arg("-qq");
        command
    }
}
