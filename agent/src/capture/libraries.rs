//! Probes on functions of files that processes map (TLS libraries, Python): once per file, for as long as a watched
//! process maps it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use apm_agent_ebpf::held_in;
use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope};
use aya::programs::{ProbeKind, Program, ProgramError, UProbe};
use iced_x86::Register;

use super::attach::chain;
use super::openssl;
use super::sites::{self, Code, Extents, Function, Held, Keeps};
use crate::process::{FileKey, Image, SslMethods, TlsLibrary};

/// Files probed at a time.
const FILES_MAX: usize = 256;

/// Threads that take probes off.
const DETACHERS: usize = 16;

/// A probed file.
#[derive(Default)]
struct Library {
    links: Vec<(&'static str, UProbeLinkId)>,
    /// Watched processes that map it.
    pids: HashSet<u32>,
}

/// A function to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The program.
    pub program: &'static str,
    /// Where the function lies in the file.
    pub offset: u64,
    /// Bytes of it; 0 where that is not known.
    pub size: u64,
    /// What the program is told.
    pub cookie: Option<u64>,
}

/// All probed files, each with the name of what is probed in it: one file may hold both a Python and its OpenSSL.
#[derive(Default)]
pub(super) struct Libraries(HashMap<(FileKey, &'static str), Library>);

impl Libraries {
    /// Probes a TLS library.
    pub(super) fn attach_tls(
        &mut self,
        ebpf: &mut Ebpf,
        pid: u32,
        library: &TlsLibrary,
    ) -> Result<(), String> {
        let Some(build) = &library.file.facts.openssl else {
            return Err(format!("{} has no functions to probe", library.kind));
        };
        if let Some(methods) = &build.methods {
            return self.attach_methods(ebpf, pid, library, methods);
        }
        let key = (library.file.key, "tls");
        let image = open(&library.file.access, key.0)?;
        let at = build.functions.first().map_or(0, |function| function.file_offset);
        let mut code = Code::open(&image.path(), at).ok();
        let bios = code.as_mut().and_then(|code| openssl::bios(build, code));
        if !self.joins(pid, key) {
            let points = openssl::points(&build.functions, code.as_mut(), bios);
            self.attach_image(ebpf, pid, key, &image, &points)?;
        }
        // Without it streams over memory BIOs are not bound to their sockets; their figures are right all the same.
        if bios.is_none()
            && let Some(crypto) = &library.crypto
            && let Some(offset) = crypto.facts.bio_write
        {
            let point = Point { program: "bio_write", offset, size: 0, cookie: None };
            let result = self.attach(ebpf, pid, (crypto.key, "bio"), &crypto.access, &[point]);
            if let Err(reason) = result {
                tracing::warn!("cannot probe {}: {reason}", crypto.path.display());
            }
        }
        Ok(())
    }

    /// Probes a TLS library without names.
    fn attach_methods(
        &mut self,
        ebpf: &mut Ebpf,
        pid: u32,
        library: &TlsLibrary,
        methods: &SslMethods,
    ) -> Result<(), String> {
        let key = (library.file.key, "tls");
        // All its code is looked through, which is not to be done for each worker.
        if self.joins(pid, key) {
            return Ok(());
        }
        let image = open(&library.file.access, key.0)?;
        let code = Code::open(&image.path(), methods.read).ok();
        let extents = || Extents::read(&image.path());
        let states = code.and_then(|mut code| openssl::states(methods, &mut code, &extents()));
        tracing::debug!("{}: {methods:x?}, {states:x?}", library.file.path.display());
        self.attach_image(ebpf, pid, key, &image, &openssl::points_of_methods(methods, states.as_ref()))
    }

    /// Probes the file for every process of the host that maps it; the probes let only watched ones pass. So a worker is
    /// covered from its first instruction, and the price is that others who use the same file pay for the trap.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        pid: u32,
        key: (FileKey, &'static str),
        access: &Path,
        points: &[Point],
    ) -> Result<(), String> {
        if self.joins(pid, key) {
            return Ok(());
        }
        self.attach_image(ebpf, pid, key, &open(access, key.0)?, points)
    }

    /// Probes a file that is not probed yet.
    fn attach_image(
        &mut self,
        ebpf: &mut Ebpf,
        pid: u32,
        key: (FileKey, &'static str),
        image: &Image,
        points: &[Point],
    ) -> Result<(), String> {
        if self.0.len() >= FILES_MAX {
            return Err(format!("{FILES_MAX} libraries are probed already"));
        }
        let mut probed = Library::default();
        for placed in places(ebpf, points, image)? {
            match attach(ebpf, &placed, &image.path()) {
                Ok(link) => probed.links.push((placed.program, link)),
                Err(reason) => {
                    detach(ebpf, probed.links);
                    return Err(format!("{} at {:#x}: {reason}", placed.program, placed.site));
                }
            }
        }
        probed.pids.insert(pid);
        self.0.insert(key, probed);
        Ok(())
    }

    /// Is it probed already? Then `pid` counts among those that use it.
    pub(super) fn joins(&mut self, pid: u32, key: (FileKey, &'static str)) -> bool {
        let known = self.0.get_mut(&key);
        known.map(|library| library.pids.insert(pid)).is_some()
    }

    /// The process is gone: files that no other watched one maps are left alone again.
    pub(super) fn forget(&mut self, ebpf: &mut Ebpf, pid: u32) {
        let unused = self.0.extract_if(|_, library| {
            library.pids.remove(&pid);
            library.pids.is_empty()
        });
        let links: Vec<_> = unused.flat_map(|(_, library)| library.links).collect();
        if !links.is_empty() {
            detach(ebpf, links);
        }
    }
}

/// Opens the file in which the points were found. Its path may lead to another by now, which those who map it would not survive.
fn open(access: &Path, key: FileKey) -> Result<Image, String> {
    Image::of(access, key).map_err(|error| error.to_string())
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, String> {
    match ebpf.program_mut(name) {
        Some(Program::UProbe(program)) => Ok(program),
        _ => Err(format!("the object lacks the program {name}")),
    }
}

/// A program at an instruction.
struct Placed {
    program: &'static str,
    /// File offset of the instruction.
    site: u64,
    /// What the program is told of it.
    cookie: Option<u64>,
}

/// Programs that take the function's result from a register within it, by the one of the point. That takes it at the return, where
/// it is another.
///
/// Within `SimpleQueue.get` Python may run what it likes, in the handler of a signal, and greenlets change the stack there. The
/// kernel tells by the stack which functions will not return: where it is wrong about that, it ends the process. So that function
/// is not probed at its return, in no process of the machine.
const HELD: [(&str, &str); 2] =
    [("python_context", "python_context_held"), ("python_queue_get", "python_queue_get")];

/// The program that takes the result within the function.
fn held_by(point: &Point) -> Option<&'static str> {
    HELD.iter().find(|(of, _)| *of == point.program).map(|(_, within)| *within)
}

/// Where the programs of points go, or why one goes nowhere.
fn places(ebpf: &mut Ebpf, points: &[Point], image: &Image) -> Result<Vec<Placed>, String> {
    let code = points.first().and_then(|point| Code::open(&image.path(), point.offset).ok());
    let Some(mut code) = code else {
        let plain = |point: &Point| match held_by(point) {
            Some(within) if within == point.program => Err(unproven(point)),
            _ => Ok(Placed { program: point.program, site: point.offset, cookie: point.cookie }),
        };
        return points.iter().map(plain).collect();
    };
    let any_held = points.iter().any(|point| held_by(point).is_some());
    let extents = if any_held { Extents::read(&image.path()) } else { Extents::default() };
    let mut places: Vec<Placed> = Vec::new();
    let shared = shared(points, &mut code, &extents);
    for (within, function, held) in &shared {
        tracing::debug!(
            "{}: {within} in the function at {function:#x}, at {held:x?}",
            image.shown().display()
        );
        places.extend(held.iter().map(|held| placed(within, held)));
    }
    let shared: BTreeSet<u64> = shared.into_iter().map(|(_, function, _)| function).collect();
    for point in points {
        if held_by(point).is_some() && shared.contains(&point.offset) {
            continue;
        }
        places.extend(place(ebpf, point, image, &mut code, &extents, &shared)?);
    }
    Ok(places)
}

/// What is said of a function that is not probed at its return.
fn unproven(point: &Point) -> String {
    format!("{} at {:#x}: its instructions do not tell where it returns", point.program, point.offset)
}

fn placed(program: &'static str, held: &Held) -> Placed {
    Placed { program, site: held.site, cookie: Some(register_number(held.register)) }
}

fn function<'a>(point: &Point, extents: &'a Extents) -> Function<'a> {
    let Point { offset, size, .. } = *point;
    Function { start: offset, size: if size > 0 { size } else { extents.size(offset) }, extents }
}

/// Functions whose result several of those hand on whose own is held, with the program and its sites: what returns the result
/// of two that make the same does nothing else. One whose result a single function hands on may serve any purpose.
fn shared(points: &[Point], code: &mut Code<File>, extents: &Extents) -> Vec<(&'static str, u64, Vec<Held>)> {
    let mut found: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for point in points {
        let Some(within) = held_by(point) else { continue };
        for of in function(point, extents).hands_on(code) {
            *found.entry((within, of)).or_default() += 1;
        }
    }
    let several = found.into_iter().filter(|&(_, count)| count > 1);
    several
        .filter_map(|((within, start), _)| {
            let function = Function { start, size: extents.size(start), extents };
            Some((within, start, function.held(code, &BTreeSet::new())?))
        })
        .collect()
}

/// Where the program of a point goes: to one instruction, or in its place another to where the result is held, which spares
/// the second trap of a probe at the return; nowhere, if the function hands on what a `shared` one returns.
fn place(
    ebpf: &mut Ebpf,
    point: &Point,
    image: &Image,
    code: &mut Code<File>,
    extents: &Extents,
    shared: &BTreeSet<u64>,
) -> Result<Vec<Placed>, String> {
    let Point { program: name, offset, size, cookie } = *point;
    let of = format!("{}: {name} of the function at {offset:#x}", image.shown().display());
    if let Some(within) = held_by(point) {
        if let Some(held) = function(point, extents).held(code, shared) {
            tracing::debug!("{of}, as {within} at {held:x?}");
            return Ok(held.iter().map(|held| placed(within, held)).collect());
        }
        if within == name {
            let returns = function(point, extents).returns(code).ok_or_else(|| unproven(point))?;
            tracing::debug!("{of}, at {returns:x?}, single-stepped");
            return Ok(returns.iter().map(|held| placed(within, held)).collect());
        }
    }
    let keeps = match program(ebpf, name).map(|program| program.kind()) {
        Ok(ProbeKind::Return) => Keeps::ReturnAddress,
        _ => Keeps::Arguments,
    };
    let site = sites::site(code, offset, size, keeps);
    let steps = if sites::is_emulated(code, site) { "" } else { ", single-stepped" };
    tracing::debug!("{of}, at {site:#x}{steps}");
    Ok(vec![Placed { program: name, site, cookie }])
}

/// How the probes are told of a register.
fn register_number(register: Register) -> u64 {
    u64::from(match register {
        Register::RBX => held_in::RBX,
        Register::RBP => held_in::RBP,
        Register::R12 => held_in::R12,
        Register::R13 => held_in::R13,
        Register::R14 => held_in::R14,
        Register::R15 => held_in::R15,
        _ => held_in::RAX,
    })
}

fn attach(ebpf: &mut Ebpf, placed: &Placed, path: &Path) -> Result<UProbeLinkId, String> {
    let program = program(ebpf, placed.program)?;
    match program.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
        Err(error) => return Err(chain(&error)),
    }
    let location = UProbeAttachLocation::AbsoluteOffset(placed.site);
    let point = UProbeAttachPoint { location, cookie: placed.cookie };
    program.attach(point, path, UProbeScope::AllProcesses).map_err(|e| chain(&e))
}

/// Waits until they are off: a file probed again meanwhile would be probed twice.
fn detach(ebpf: &mut Ebpf, links: Vec<(&'static str, UProbeLinkId)>) {
    // Gone already is what is wanted.
    let owned = links.into_iter().filter_map(|(name, link)| program(ebpf, name).ok()?.take_link(link).ok());
    let mut owned: Vec<_> = owned.collect();
    // The kernel waits several times for all CPUs to pass a quiet state before a probe is gone, tens of milliseconds each on
    // a busy machine. One of these waits is under a lock; the others are shared by those who wait at the same time.
    let each = owned.len().div_ceil(DETACHERS);
    std::thread::scope(|scope| {
        while owned.len() > each {
            let part = owned.split_off(owned.len() - each);
            scope.spawn(move || drop(part));
        }
        drop(owned);
    });
}
