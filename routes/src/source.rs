//! The source tree: which Python files there are, what module each one is, and its syntax tree on demand.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ruff_python_ast::{ModModule, PySourceType};
use ruff_python_parser::parse_unchecked_source;
use ruff_source_file::LineIndex;
use ruff_text_size::TextSize;

use crate::limits::{Counter, Counters, Limits, MAX_BRACKETS, MAX_DATA};
use crate::{MayRead, Options, ScanError};

/// Directories that never hold an application's own source.
const SKIPPED: &[&str] = &[
    "__pycache__",
    "__pypackages__",
    "build",
    "dist",
    "node_modules",
    "site-packages",
    "venv",
    "virtualenv",
];

/// All Python files of the tree.
pub(crate) struct Tree {
    root: PathBuf,
    may_read: Option<MayRead>,
    files: Vec<Listed>,
    /// File by path relative to the root.
    by_path: HashMap<PathBuf, usize>,
    /// Directories with at least one Python file somewhere below them: packages and namespace packages.
    folders: HashSet<PathBuf>,
    import_roots: Vec<PathBuf>,
    /// Name of the root, where it is a package itself: the source of an installed package.
    own_name: Option<String>,
    counters: Counters,
    total_bytes: u64,
}

struct Listed {
    path: PathBuf,
    is_test: bool,
}

impl Tree {
    /// Lists the files of the root, in the order of their paths.
    pub(crate) fn walk(options: &Options) -> Result<Self, ScanError> {
        let root_error = |reason| ScanError::Root { path: options.root.clone(), reason };
        if !fs::metadata(&options.root).map_err(root_error)?.is_dir() {
            return Err(root_error(ErrorKind::NotADirectory.into()));
        }
        let may_read = options.may_read.clone();
        listing(&options.root, may_read.as_ref(), 0).map_err(root_error)?;
        let mut walk = Walk {
            limits: &options.limits,
            may_read: may_read.as_ref(),
            files: Vec::new(),
            counters: Counters::default(),
            entries: 0,
        };
        walk.directory(&options.root, Path::new(""), 0, false);
        let Walk { files, mut counters, .. } = walk;
        counters.add(Counter::Files, files.len() as u64);
        let mut by_path = HashMap::new();
        let mut folders = HashSet::new();
        for (index, file) in files.iter().enumerate() {
            by_path.insert(file.path.clone(), index);
            for folder in file.path.ancestors().skip(1) {
                if !folders.insert(folder.to_path_buf()) {
                    break;
                }
            }
        }
        let mut import_roots = vec![PathBuf::new(), PathBuf::from("src")];
        for given in &options.import_roots {
            if let Ok(inside) = given.strip_prefix(&options.root) {
                import_roots.push(inside.to_path_buf());
            }
        }
        let root = options.root.clone();
        let full = root.canonicalize().unwrap_or_else(|_| root.clone());
        let own_name = full
            .file_name()
            .and_then(OsStr::to_str)
            .filter(|_| by_path.contains_key(Path::new("__init__.py")))
            .map(str::to_owned);
        let total_bytes = options.limits.total_bytes;
        Ok(Self { root, may_read, files, by_path, folders, import_roots, own_name, counters, total_bytes })
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Path of a file relative to the root, with forward slashes.
    pub(crate) fn path(&self, file: usize) -> String {
        self.files[file].path.to_string_lossy().replace('\\', "/")
    }

    /// The file with this path relative to the root.
    pub(crate) fn file(&self, path: &str) -> Option<usize> {
        self.by_path.get(Path::new(path)).copied()
    }

    /// Name of a file's module, as it is where the root stands on `sys.path`.
    pub(crate) fn dotted(&self, file: usize) -> String {
        let path = self.files[file].path.with_extension("");
        let path = if self.is_package(file) { path.parent().unwrap_or(&path) } else { &path };
        let parts = path.iter().map(|part| part.to_string_lossy());
        self.own_name.iter().map(|name| name.as_str().into()).chain(parts).collect::<Vec<_>>().join(".")
    }

    pub(crate) fn is_test(&self, file: usize) -> bool {
        self.files[file].is_test
    }

    /// Is this file a package's `__init__.py`?
    pub(crate) fn is_package(&self, file: usize) -> bool {
        self.files[file].path.file_name() == Some(OsStr::new("__init__.py"))
    }

    /// The folder that relative imports of a file start from.
    pub(crate) fn package_folder(&self, file: usize) -> &Path {
        self.files[file].path.parent().unwrap_or(Path::new(""))
    }

    /// Names of the modules in a folder, in their order, with whether each is a package.
    pub(crate) fn modules_in(&self, folder: &Path) -> BTreeMap<String, bool> {
        let named = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let inside = self.by_path.keys().filter_map(|path| {
            let parent = path.parent()?;
            if path.file_name().is_some_and(|name| name == "__init__.py") {
                return (parent.parent()? == folder).then(|| named(parent).map(|name| (name, true)))?;
            }
            (parent == folder).then(|| named(&path.with_extension("")).map(|name| (name, false)))?
        });
        inside.collect()
    }

    /// What the dotted name stands for when `folder` is the place to look it up.
    pub(crate) fn resolve_in(&self, folder: &Path, dotted: &str) -> Option<Place> {
        let mut path = folder.to_path_buf();
        if !dotted.is_empty() {
            path.extend(dotted.split('.'));
        }
        if let Some(&file) = self.by_path.get(&path.join("__init__.py")) {
            return Some(Place::File(file));
        }
        if !dotted.is_empty()
            && let Some(&file) = self.by_path.get(&path.with_extension("py"))
        {
            return Some(Place::File(file));
        }
        self.folders.contains(&path).then_some(Place::Folder(path))
    }

    /// What an absolute import of `dotted` from `file` means: the first component must lie below a folder that can
    /// stand on `sys.path`, which is the first folder above the file that is no package, the roots that were given,
    /// or any folder above the file.
    pub(crate) fn resolve(&self, file: usize, dotted: &str) -> Option<Place> {
        if let Some(name) = &self.own_name
            && let Some(rest) = dotted.strip_prefix(name.as_str())
            && (rest.is_empty() || rest.starts_with('.'))
        {
            return self.resolve_in(Path::new(""), rest.trim_start_matches('.'));
        }
        let above: Vec<&Path> = self.package_folder(file).ancestors().collect();
        let script = above.iter().find(|folder| !self.by_path.contains_key(&folder.join("__init__.py")));
        let candidates = script
            .into_iter()
            .copied()
            .chain(self.import_roots.iter().map(PathBuf::as_path))
            .chain(above.iter().rev().copied());
        let mut namespace = None;
        for folder in candidates {
            match self.resolve_in(folder, dotted) {
                Some(Place::Folder(path)) if namespace.is_none() => namespace = Some(Place::Folder(path)),
                Some(Place::File(found)) => return Some(Place::File(found)),
                _ => {}
            }
        }
        // A folder without source of its own is a namespace package; as a last resort, since every folder looks like one.
        namespace
    }

    /// The `__init__.py` files of the packages around `file`, outermost first, as Python imports them before it.
    pub(crate) fn packages_above(&self, file: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut folder = Some(self.package_folder(file));
        while let Some(path) = folder {
            let Some(&package) = self.by_path.get(&path.join("__init__.py")) else { break };
            if package != file {
                found.push(package);
            }
            folder = path.parent();
        }
        found.reverse();
        found
    }
}

/// What a dotted name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// A module, or a package with an `__init__.py`.
    File(usize),
    /// A namespace package.
    Folder(PathBuf),
}

struct Walk<'a> {
    limits: &'a Limits,
    may_read: Option<&'a MayRead>,
    files: Vec<Listed>,
    counters: Counters,
    entries: usize,
}

impl Walk<'_> {
    fn directory(&mut self, absolute: &Path, relative: &Path, depth: usize, in_tests: bool) {
        if depth > self.limits.depth {
            self.counters.add(Counter::BeyondCaps, 1);
            return;
        }
        // The root may be reached by a link, what is below it may not.
        let flags = if depth == 0 { 0 } else { libc::O_NOFOLLOW };
        let Ok(listing) = listing(absolute, self.may_read, flags) else {
            self.counters.add(Counter::Unreadable, 1);
            return;
        };
        // Sorted, so that a scan of the same tree always gives the same result.
        let mut sorted = BTreeMap::new();
        for entry in listing.flatten() {
            self.entries += 1;
            if self.entries > self.limits.entries {
                self.counters.add(Counter::BeyondCaps, 1);
                return;
            }
            if let Ok(kind) = entry.file_type() {
                sorted.insert(entry.file_name(), kind);
            }
        }
        if sorted.contains_key(OsStr::new("pyvenv.cfg")) {
            return;
        }
        for (name, kind) in sorted {
            let Some(text) = name.to_str() else { continue };
            if kind.is_dir() {
                if text.starts_with('.') || SKIPPED.contains(&text) || text.ends_with(".egg-info") {
                    continue;
                }
                let is_test = in_tests || matches!(text, "test" | "tests");
                self.directory(&absolute.join(text), &relative.join(text), depth + 1, is_test);
            } else if kind.is_file() && text.ends_with(".py") {
                if self.files.len() >= self.limits.files {
                    self.counters.add(Counter::BeyondCaps, 1);
                    continue;
                }
                let is_test = in_tests
                    || text.starts_with("test_")
                    || text.ends_with("_test.py")
                    || text == "conftest.py";
                self.files.push(Listed { path: relative.join(text), is_test });
            }
            // Symbolic links are not followed: they can lead out of the tree, or in circles.
        }
    }
}

/// A parsed file.
pub(crate) struct Parsed {
    pub(crate) module: ModModule,
    lines: LineIndex,
    pub(crate) mentions: Mentions,
}

impl Parsed {
    /// Line of an offset, from 1.
    pub(crate) fn line(&self, offset: TextSize) -> u32 {
        u32::try_from(self.lines.line_index(offset).get()).unwrap_or(u32::MAX)
    }
}

/// What the text of a file speaks of: enough to decide whether it can be a starting point.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mentions {
    /// A framework is named.
    pub(crate) framework: bool,
    /// An application is made, or URL patterns are listed.
    pub(crate) application: bool,
    /// It is Django's settings.
    pub(crate) settings: bool,
}

const FRAMEWORK_WORDS: &[&str] = &[
    "fastapi",
    "starlette",
    "flask",
    "quart",
    "django",
    "rest_framework",
    "aiohttp",
    "litestar",
    "sanic",
    "tornado",
    "falcon",
    "bottle",
    "ninja",
];
const APPLICATION_WORDS: &[&str] = &[
    "FastAPI(",
    "Starlette(",
    "Flask(",
    "Quart(",
    "Application(",
    "Litestar(",
    "Sanic(",
    "OpenAPI(",
    "falcon.App(",
    "falcon.asgi.App(",
    "falcon.API(",
    "import App",
    "Bottle(",
    "from bottle import",
    "import bottle",
    "urlpatterns",
    "ROOT_URLCONF",
];

/// The syntax trees, each made when it is first asked for and kept until the scan ends.
pub(crate) struct Sources<'t> {
    pub(crate) tree: &'t Tree,
    slots: Vec<OnceCell<Option<Parsed>>>,
    texts_read: Cell<u64>,
    file_bytes: u64,
}

impl<'t> Sources<'t> {
    pub(crate) fn new(tree: &'t Tree, limits: &Limits) -> Self {
        Self {
            tree,
            slots: (0..tree.len()).map(|_| OnceCell::new()).collect(),
            texts_read: Cell::new(0),
            file_bytes: limits.file_bytes,
        }
    }

    /// What the text of a file speaks of. The text is not kept.
    pub(crate) fn mentions(&self, file: usize, counters: &mut Counters) -> Mentions {
        match self.slots[file].get() {
            Some(parsed) => parsed.as_ref().map(|parsed| parsed.mentions).unwrap_or_default(),
            None => self.text(file, counters).map(|text| mentions(&text)).unwrap_or_default(),
        }
    }

    /// The syntax tree of a file; `None` where it cannot be read or is over a cap.
    pub(crate) fn parsed(&self, file: usize, counters: &mut Counters) -> Option<&Parsed> {
        self.slots[file]
            .get_or_init(|| {
                let text = self.text(file, counters)?;
                if is_nested_too_deeply(&text) {
                    counters.add(Counter::TooDeep, 1);
                    return None;
                }
                let parsed = parse_unchecked_source(&text, PySourceType::Python);
                counters.add(Counter::Parsed, 1);
                if !parsed.errors().is_empty() {
                    counters.add(Counter::SyntaxErrors, 1);
                }
                let lines = LineIndex::from_source_text(&text);
                Some(Parsed { module: parsed.into_syntax(), lines, mentions: mentions(&text) })
            })
            .as_ref()
    }

    /// Text of a file that the application reads as data; `None` where there is none within the tree, or it is over
    /// a cap. A symbolic link on the way to it is not followed.
    pub(crate) fn data(&self, relative: &Path) -> Option<String> {
        let root = &self.tree.root;
        let is_folder =
            |folder: &Path| fs::symlink_metadata(root.join(folder)).is_ok_and(|found| found.is_dir());
        if !relative.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).all(is_folder) {
            return None;
        }
        let may_read = self.tree.may_read.as_ref();
        String::from_utf8(read(&root.join(relative), may_read, MAX_DATA).ok()?).ok()
    }

    fn text(&self, file: usize, counters: &mut Counters) -> Option<String> {
        let left = self.tree.total_bytes.saturating_sub(self.texts_read.get());
        let path = self.tree.root.join(&self.tree.files[file].path);
        let bytes = match read(&path, self.tree.may_read.as_ref(), self.file_bytes.min(left)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                let is_last = left < self.file_bytes;
                counters.add(if is_last { Counter::BeyondCaps } else { Counter::TooLarge }, 1);
                return None;
            }
            Err(_) => {
                counters.add(Counter::Unreadable, 1);
                return None;
            }
        };
        self.texts_read.set(self.texts_read.get() + bytes.len() as u64);
        // A stray byte in a comment must not cost the file; the parser's offsets are those of the repaired text.
        Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
    }
}

/// Entries of a directory, opened with `flags`.
fn listing(path: &Path, may_read: Option<&MayRead>, flags: i32) -> std::io::Result<fs::ReadDir> {
    let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | flags).open(path)?;
    if !MayRead::lets(may_read, &directory) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    // Of the one that was asked about, whatever bears its name now (proc_pid_fd(5)).
    fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Content of a regular file of at most `most` bytes. What became a link, a pipe or a device since it was listed is not
/// opened, or not waited for.
fn read(path: &Path, may_read: Option<&MayRead>, most: u64) -> std::io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    if !MayRead::lets(may_read, &file) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    if found.len() > most {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Are far more brackets open at once than CPython's tokenizer takes (`MAXLEVEL`, 200)? The parser's time grows with the
/// square of it where formatted strings are nested. Brackets in texts and comments count as well: hence the distance.
fn is_nested_too_deeply(text: &str) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > MAX_BRACKETS
}

fn mentions(text: &str) -> Mentions {
    Mentions {
        framework: FRAMEWORK_WORDS.iter().any(|word| text.contains(word)),
        application: APPLICATION_WORDS.iter().any(|word| text.contains(word)),
        settings: text.contains("ROOT_URLCONF"),
    }
}
