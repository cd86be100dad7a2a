//! Functions of CPython and of libraries that decide which code runs when.

use std::io::Read;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSegment, ObjectSymbol};

use super::layout::TYPE_NEW;
use super::maps::mapped_code;
use super::methods::Data;
use crate::process::elf::{Elf, Elf64, FileKey, Image};
use crate::process::{PythonProcess, View};

/// What a function does for attribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Returns a new context.
    MakesContext,
    /// Its second argument points to the item that it puts into a `SimpleQueue`.
    Puts,
    /// gevent's `SimpleQueue.put(self, item, ..)`
    GeventPuts,
    /// Returns an item of a `SimpleQueue`.
    Gets,
    /// uvloop's `UVBaseTransport._call_connection_made(self)`
    UvloopConnects,
    /// uvloop's `UVStream._buffer_write(self, data)`
    UvloopWrites,
    /// libuv's `uv_getaddrinfo(loop, lookup, ..)`
    UvloopResolves,
    /// greenlet's `Greenlet::g_switchstack(result, this)`
    GreenletSwitches,
    /// greenlet's `UserGreenlet::UserGreenlet(this, ..)`
    GreenletMade,
}

/// A function with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// What it does.
    pub role: Role,
    /// Where in the file it lies.
    pub offset: u64,
    /// Bytes of its code; 0 where that is not known.
    pub size: u64,
}

/// A library whose functions matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    /// The interpreter's contexts.
    Contexts,
    /// The module `_queue`, a file of its own or linked into the interpreter.
    Queue,
    /// gevent's queues, compiled.
    GeventQueue,
    /// uvloop
    Uvloop,
    /// greenlet, under gevent and SQLAlchemy's asyncio.
    Greenlet,
}

impl Library {
    /// Its name for the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contexts => "Python contexts",
            Self::Queue => "hand-over between threads (_queue)",
            Self::GeventQueue => "hand-over between greenlets (gevent)",
            Self::Uvloop => "uvloop",
            Self::Greenlet => "greenlet",
        }
    }
}

/// A library that a process maps.
pub struct Found {
    /// Which.
    pub library: Library,
    /// As the process sees it.
    pub path: PathBuf,
    /// Path through which the agent reaches it now.
    pub access: PathBuf,
    /// Which file it is.
    pub key: FileKey,
}

/// Libraries that matter among what the process maps now. Python maps an extension when it is first imported.
pub fn libraries(process: &PythonProcess) -> Vec<Found> {
    let runtime = process.runtime.as_ref();
    let mut found: Vec<Found> = Vec::new();
    for code in mapped_code(process.id.pid) {
        let is_runtime = runtime.is_some_and(|runtime| runtime.file.path == code.path);
        let library = if is_runtime { Some(Library::Contexts) } else { library(&code.path) };
        let (Some(library), Some(key)) = (library, code.key()) else { continue };
        found.push(Found { library, access: code.access(), path: code.path, key });
    }
    found
}

/// By the path of the extension module.
fn library(path: &Path) -> Option<Library> {
    let name = path.file_name()?.to_str()?;
    let directory = path.parent()?.file_name()?.to_str()?;
    match (directory, name) {
        (_, name) if name.starts_with("_queue.") => Some(Library::Queue),
        ("gevent", name) if name.starts_with("_gevent_cqueue.") => Some(Library::GeventQueue),
        ("uvloop", name) if name.starts_with("loop.") => Some(Library::Uvloop),
        ("greenlet", name) if name.starts_with("_greenlet.") => Some(Library::Greenlet),
        _ => None,
    }
}

/// Functions of the library with their place in the file.
///
/// # Errors
/// What is missing, in words for the user.
pub fn functions(process: &PythonProcess, found: &Found) -> Result<Vec<Function>, String> {
    match found.library {
        Library::Contexts => in_file(found, contexts),
        Library::Queue => in_file(found, queue),
        Library::GeventQueue => {
            by_symbol(found, &[(Role::GeventPuts, "__pyx_f_6gevent_14_gevent_cqueue_11SimpleQueue_put")])
        }
        Library::Uvloop => {
            let connects = "__pyx_f_6uvloop_4loop_15UVBaseTransport__call_connection_made";
            let mut functions = by_symbol(found, &[(Role::UvloopConnects, connects)])?;
            if !writes_at_once(process.id.pid, found) {
                let writes = [(Role::UvloopWrites, "__pyx_f_6uvloop_4loop_8UVStream__buffer_write")];
                functions.extend(by_symbol(found, &writes)?);
            }
            // Without it, names that do not resolve have no request.
            let lookups = by_symbol(found, &[(Role::UvloopResolves, "uv_getaddrinfo")]);
            functions.extend(lookups.unwrap_or_default());
            Ok(functions)
        }
        Library::Greenlet => by_symbol(
            found,
            &[
                (Role::GreenletSwitches, "_ZN8greenlet8Greenlet13g_switchstackEv"),
                (Role::GreenletMade, "_ZN8greenlet12UserGreenletC1E*"),
            ],
        ),
    }
}

/// Does this uvloop write what it is given before it returns, as long as the socket takes it? From 0.23 on it does; before, its
/// loop writes it later. Its file `_version.py` tells which it is, if it is still that of the library in memory.
fn writes_at_once(pid: u32, found: &Found) -> bool {
    let Some(view) = View::of(pid) else { return false };
    let is_it = || FileKey::of(&view.find(&found.path)?.access).ok().filter(|key| *key == found.key);
    let text = || {
        let mut text = String::new();
        let file = view.open(&found.path.with_file_name("_version.py"))?;
        file.take(VERSION_MAX).read_to_string(&mut text).ok()?;
        version(&text)
    };
    is_it().and_then(|_| text()).is_some_and(|version| version >= WRITES_AT_ONCE)
}

/// Bytes of that file that are read.
const VERSION_MAX: u64 = 64 << 10;

/// The first uvloop that writes at once.
const WRITES_AT_ONCE: (u32, u32) = (0, 23);

/// Major and minor version, from `__version__ = '0.23.0'`.
fn version(text: &str) -> Option<(u32, u32)> {
    let assigned = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    let mut parts = assigned.trim().trim_matches(['\'', '"']).split('.');
    let mut number = || parts.next()?.parse().ok();
    Some((number()?, number()?))
}

/// Functions of a `_queue` that is linked into the interpreter (Debian's `python3`); empty where it is not.
pub fn builtin_queue(contexts: &Found) -> Vec<Function> {
    in_file(contexts, queue).unwrap_or_default()
}

/// Finds functions in the file of a library.
fn in_file(
    found: &Found,
    find: impl Fn(Elf<'_, '_>) -> Result<Vec<Function>, String>,
) -> Result<Vec<Function>, String> {
    let bytes = Image::of(&found.access, found.key).and_then(|image| image.bytes());
    let bytes = bytes.map_err(|error| error.to_string())?;
    let parsed = Elf64::parse(&bytes).map_err(|error| error.to_string())?;
    find(Elf::new(&parsed))
}

fn contexts(elf: Elf<'_, '_>) -> Result<Vec<Function>, String> {
    let [copy, ty] = [b"PyContext_CopyCurrent".as_slice(), b"PyContext_Type"];
    let symbols = elf.dynamic_symbols(&[copy, ty]);
    let symbol = |name| symbols.iter().find(|symbol| symbol.name == name);
    let copy = symbol(copy).ok_or("PyContext_CopyCurrent is not exported")?;
    let ty = symbol(ty).ok_or("PyContext_Type is not exported")?.address;
    let data = Data::of(elf);
    // The slot rather than `PyContext_New`: optimised builds inline that into it.
    let new = data
        .pointer(ty.wrapping_add(TYPE_NEW))
        .and_then(|address| data.code(address))
        .ok_or("PyContext_Type has no tp_new in the interpreter")?;
    let method = data.of_type(ty).into_iter().find(|method| method.name == "copy");
    let method = method
        .and_then(|method| data.code(method.function))
        .ok_or("PyContext_Type has no method copy in the interpreter")?;
    let makes = |offset, size| Function { role: Role::MakesContext, offset, size };
    let size = copy.size;
    let copy = data.code(copy.address).ok_or("PyContext_CopyCurrent is no code")?;
    Ok(vec![makes(copy, size), makes(new, 0), makes(method, 0)])
}

fn queue(elf: Elf<'_, '_>) -> Result<Vec<Function>, String> {
    let names = ["get_nowait", "get", "put"];
    let data = Data::of(elf);
    let table = data.of_table(&names).ok_or("the methods of SimpleQueue are not found")?;
    let mut functions: Vec<Function> = Vec::new();
    for method in table {
        let role = match method.name.as_str() {
            "put" | "put_nowait" => Role::Puts,
            "get" | "get_nowait" => Role::Gets,
            _ => continue,
        };
        let offset = data.code(method.function).ok_or("a method lies in another file")?;
        let function = Function { role, offset, size: 0 };
        // A build may have folded two that do the same into one.
        if !functions.contains(&function) {
            functions.push(function);
        }
    }
    Ok(functions)
}

/// Functions by name; a name that ends in `*` stands for all that begin so, of which there must be one.
fn by_symbol(found: &Found, wanted: &[(Role, &str)]) -> Result<Vec<Function>, String> {
    let bytes = Image::of(&found.access, found.key).and_then(|image| image.bytes());
    let bytes = bytes.map_err(|error| error.to_string())?;
    let elf = Elf64::parse(&bytes).map_err(|error| error.to_string())?;
    let mut places: Vec<Option<(u64, u64)>> = vec![None; wanted.len()];
    for symbol in elf.symbols().chain(elf.dynamic_symbols()).filter(|symbol| !symbol.is_undefined()) {
        let Ok(name) = symbol.name() else { continue };
        for ((_, wanted), place) in wanted.iter().zip(&mut places) {
            let is_it = match wanted.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == *wanted,
            };
            if is_it {
                *place = Some((symbol.address(), symbol.size()));
            }
        }
    }
    let offset = |address: u64| {
        elf.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let inside = address.checked_sub(segment.address())?;
            (inside < size).then_some(offset + inside)
        })
    };
    wanted
        .iter()
        .zip(places)
        .map(|((role, name), place)| {
            let found = place.and_then(|(address, size)| Some((offset(address)?, size)));
            let (offset, size) = found.ok_or_else(|| format!("it has no symbol {name}"))?;
            Ok(Function { role: *role, offset, size })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_uvloop_is_read_from_its_file() {
        let text = "# The release automation\n\n__version__ = '0.23.0'\n";
        assert_eq!(version(text), Some((0, 23)));
        assert_eq!(version("__version__ = \"1.0\"\n"), Some((1, 0)));
        assert_eq!(version("__version__ = '0.22.1.dev0'"), Some((0, 22)));
        assert!((0, 22) < WRITES_AT_ONCE && WRITES_AT_ONCE <= (1, 0));
        for none in ["", "__version__ = '23'", "__version__ = get()", "x = '0.23.0'"] {
            assert_eq!(version(none), None, "{none}");
        }
    }
}
