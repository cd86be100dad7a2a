//! What the machine boots into: busybox, a Python with its library, the agent and test programs, in one archive.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::tools::Tools;
use crate::{places, shell};

/// Parts of Python's library that no server needs.
const LEFT_OUT: &[&str] =
    &["__pycache__", "test", "tests", "dist-packages", "site-packages", "idlelib", "lib2to3"];

/// An archive in the `newc` format of cpio(5), as the kernel unpacks it (Documentation/driver-api/early-userspace).
pub(super) struct Image(pub(super) PathBuf);

impl Image {
    /// Builds the agent and its tests and puts them together.
    pub(super) fn build(tools: &Tools, tests: &[&str]) -> Result<Self> {
        shell::run(shell::cargo().args(["build", "--quiet", "--locked", "--package", "apm-agent"]))?;
        let scratch = tempfile::tempdir()?;
        let root = Root(scratch.path().to_path_buf());
        for directory in ["bin", "dev", "etc", "proc", "root", "sys", "test", "tmp"] {
            fs::create_dir(root.0.join(directory))?;
        }
        fs::copy(tools.busybox(), root.0.join("bin/busybox"))?;
        root.program(&places::target().join("debug/apm-agent"), "bin/apm-agent")?;
        for (name, program) in super::test_programs(tests)? {
            root.program(&program, &format!("test/{name}"))?;
        }
        root.python()?;
        let init = root.0.join("init");
        fs::write(&init, include_str!("init.sh"))?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        root.archive(tools, &places::target().join("vm/image.cpio"))
    }
}

/// A directory that becomes a root.
pub(crate) struct Root(pub(crate) PathBuf);

impl Root {
    /// Copies a program, without debug information, and the libraries it needs.
    fn program(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.0.join(to);
        if shell::quiet(Command::new("strip").arg("-o").arg(&to).arg(from)).is_err() {
            fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        self.libraries(from)
    }

    /// Copies what ldd(1) says `file` needs to where it needs it.
    pub(crate) fn libraries(&self, file: &Path) -> Result<()> {
        let listed = shell::output(Command::new("ldd").arg(file))?;
        let paths: BTreeSet<&str> = listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
        for path in paths {
            self.same_place(Path::new(path))?;
        }
        Ok(())
    }

    /// Copies a file to the path that it has here.
    fn same_place(&self, path: &Path) -> Result<()> {
        let to = self.0.join(path.strip_prefix("/")?);
        fs::create_dir_all(to.parent().context("a file lies in a directory")?)?;
        fs::copy(path, to).with_context(|| format!("cannot copy {}", path.display()))?;
        Ok(())
    }

    /// Debian's Python as `/usr/bin/python3`, its library, and what its extension modules need.
    fn python(&self) -> Result<()> {
        let python = Path::new("/usr/bin/python3").canonicalize().context("no /usr/bin/python3")?;
        let ask = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        let library = shell::output(Command::new(&python).args(["-I", "-c", ask]))?;
        self.same_place(&python)?;
        self.libraries(&python)?;
        fs::hard_link(self.0.join(python.strip_prefix("/")?), self.0.join("usr/bin/python3"))?;
        self.tree(Path::new(library.trim()))
    }

    fn tree(&self, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !LEFT_OUT.contains(&name.as_str()) && !name.starts_with("config-") {
                    self.tree(&path)?;
                }
            } else if path.exists() {
                self.same_place(&path)?;
                if path.extension().is_some_and(|extension| extension == "so") {
                    self.libraries(&path)?;
                }
            }
        }
        Ok(())
    }

    fn archive(&self, tools: &Tools, to: &Path) -> Result<Image> {
        let mut find = Command::new("find").arg(".").current_dir(&self.0).stdout(Stdio::piped()).spawn()?;
        let list = find.stdout.take().context("no output")?;
        let packed = Command::new(tools.busybox())
            .args(["cpio", "-o", "-H", "newc"])
            .current_dir(&self.0)
            .stdin(list)
            .stdout(File::create(to)?)
            .stderr(Stdio::null())
            .status()?;
        if !find.wait()?.success() || !packed.success() {
            bail!("cannot pack {}", to.display());
        }
        Ok(Image(to.to_path_buf()))
    }
}
