//! Capture: loads the probes, reads the ring buffer, says which processes are watched. The only user of aya.

mod asked;
mod attach;
mod btf;
mod convert;
mod libraries;
mod openssl;
mod sites;
mod tracefs;

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use apm_agent_ebpf::{
    Begun, Left, Muted, Python, Raised, RaisedFrame, Raising, Stack, Stacks, counter, target_flags,
};
use apm_core::connection::{Chunk, Info};
use apm_core::correlate::Unresolved;
use apm_core::exchange::{ConnId, Origin};
use apm_core::loss::{Loss, Losses};
use apm_core::time::Time;
use aya::maps::{HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfLoader};
use thiserror::Error;

use crate::process::{FileKey, MappedFile, TlsLibrary};

use libraries::Libraries;

pub use attach::{Probe, ProbeResult};
pub use btf::{BtfError, KernelTypes};
pub use convert::{ProcessEvent, SocketChange};
pub use libraries::Point;

/// The committed object: see CONTRIBUTING.md, "Changing a probe".
static PROBES: &[u8] = aya::include_bytes_aligned!("../../../agent-ebpf/probes.bpf.o");

/// Why capture cannot start.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The kernel's type information is missing or lacks something.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel refused the object or one of its maps.
    #[error("the kernel refused the probes: {0}")]
    Load(String),
    /// The kernel refused one probe that capture cannot do without.
    #[error("the kernel refused the probe {probe}: {reason}")]
    Probe {
        /// Which.
        probe: &'static str,
        /// Its answer.
        reason: String,
    },
    /// A map operation failed.
    #[error("cannot change the kernel's table {map}: {source}")]
    Map {
        /// Which.
        map: &'static str,
        /// Why.
        source: MapError,
    },
}

/// What of capture can be chosen.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    /// Size of the ring buffer, bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
}

/// What the kernel tells.
#[derive(Debug)]
pub enum Captured<'a> {
    /// Bytes were moved.
    Chunk(Chunk<'a>),
    /// A connection was first seen; its error where the connect failed at once.
    Opened(Info, Option<apm_core::protocol::CloseReason>),
    /// Which code makes a connection; comes before it is seen.
    Connecting(ConnId, Origin),
    /// Something happened to a connection.
    Changed(SocketChange),
    /// The path of a Unix socket.
    Named {
        /// Its connection.
        conn: ConnId,
        /// The path.
        path: String,
        /// It is the peer's, not the process's own.
        is_peers: bool,
    },
    /// A TLS stream runs over this socket.
    Bound {
        /// The stream.
        stream: ConnId,
        /// The socket's connection.
        socket: ConnId,
    },
    /// An exception was being handled: see [`crate::exceptions`].
    Raised(&'a Raised),
    /// It leaves a function.
    Left(Left),
    /// A call stack that chunks name from now on: see [`crate::call_sites`].
    Stack(&'a Stack),
    /// Two of them that chunks name as one.
    Begun(Begun),
    /// Bytes were queued, to be written at a position of a connection later.
    Queued {
        /// The connection.
        conn: ConnId,
        /// Where.
        pos: u64,
        /// How many.
        len: u64,
        /// By which code.
        by: Origin,
    },
    /// A name could not be resolved.
    Unresolved(Unresolved),
    /// A process came, changed or went.
    Process(ProcessEvent),
}

/// The running probes. Dropping it detaches them; so does the end of the process, however it ends.
pub struct Capture {
    ring: RingBuf<MapData>,
    targets: HashMap<MapData, u32, u32>,
    pythons: HashMap<MapData, u32, [u8; size_of::<Python>()]>,
    raising: HashMap<MapData, u32, [u8; size_of::<Raising>()]>,
    muted: HashMap<MapData, [u8; size_of::<Muted>()], u64>,
    stacks: HashMap<MapData, u32, [u8; size_of::<Stacks>()]>,
    stacks_sent: HashMap<MapData, u64, u64>,
    stack_ends: HashMap<MapData, [u64; 2], u64>,
    counters: PerCpuArray<MapData, u64>,
    ring_bytes: u32,
    undecodable: u64,
    probes: Vec<ProbeResult>,
    libraries: Libraries,
    /// Owns programs and links.
    ebpf: Ebpf,
}

impl Drop for Capture {
    fn drop(&mut self) {
        attach::unload_all(&mut self.ebpf);
    }
}

impl Capture {
    /// Loads and attaches every probe.
    ///
    /// # Errors
    /// Whatever the kernel refuses; nothing stays attached then.
    pub fn start(options: CaptureOptions) -> Result<Self, CaptureError> {
        let mut ebpf = load(options)?;
        let probes = tracefs::with_tracefs(|| attach::all(&mut ebpf))?;
        Ok(Self {
            ring: RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(table("EVENTS"))?,
            targets: HashMap::try_from(take(&mut ebpf, "TARGETS")?).map_err(table("TARGETS"))?,
            pythons: HashMap::try_from(take(&mut ebpf, "PYTHONS")?).map_err(table("PYTHONS"))?,
            raising: HashMap::try_from(take(&mut ebpf, "RAISING")?).map_err(table("RAISING"))?,
            muted: HashMap::try_from(take(&mut ebpf, "MUTED")?).map_err(table("MUTED"))?,
            stacks: HashMap::try_from(take(&mut ebpf, "STACKS")?).map_err(table("STACKS"))?,
            stacks_sent: HashMap::try_from(take(&mut ebpf, "STACKS_SENT")?).map_err(table("STACKS_SENT"))?,
            stack_ends: HashMap::try_from(take(&mut ebpf, "STACK_ENDS")?).map_err(table("STACK_ENDS"))?,
            counters: PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(table("COUNTERS"))?,
            ring_bytes: options.ring_bytes,
            undecodable: 0,
            probes,
            libraries: Libraries::default(),
            ebpf,
        })
    }

    /// What attached.
    pub fn probes(&self) -> &[ProbeResult] {
        &self.probes
    }

    /// Size of the ring buffer, bytes.
    pub fn ring_bytes(&self) -> u32 {
        self.ring_bytes
    }

    /// Captures the traffic of `pid` from now on.
    pub fn watch(&mut self, pid: u32) -> Result<(), CaptureError> {
        self.targets.insert(pid, target_flags::WATCHED, 0).map_err(table("TARGETS"))
    }

    /// Probes the plaintext functions of a TLS library that `pid` maps, unless they are already.
    ///
    /// # Errors
    /// Why it cannot be probed, in words for the user.
    pub fn attach_tls(&mut self, pid: u32, library: &TlsLibrary) -> Result<(), String> {
        self.libraries.attach_tls(&mut self.ebpf, pid, library)
    }

    /// Probes the function of the C library that looks names up, unless it is already.
    ///
    /// # Errors
    /// Why it cannot be probed, in words for the user.
    pub fn attach_libc(&mut self, pid: u32, libc: &MappedFile) -> Result<(), String> {
        let offset = libc.facts.name_lookup.ok_or("it has no getaddrinfo")?;
        let points = ["name_lookup", "name_lookup_return"].map(|program| Point {
            program,
            offset,
            size: 0,
            cookie: None,
        });
        self.libraries.attach(&mut self.ebpf, pid, (libc.key, "names"), &libc.access, &points)
    }

    /// Probes functions of a file that `pid` maps. `what` names them: a file is probed once for each name.
    ///
    /// # Errors
    /// Why it cannot be probed, in words for the user; nothing of it stays probed then.
    pub fn attach_functions(
        &mut self,
        pid: u32,
        file: FileKey,
        what: &'static str,
        access: &Path,
        points: &[Point],
    ) -> Result<(), String> {
        self.libraries.attach(&mut self.ebpf, pid, (file, what), access, points)
    }

    /// The same, unless the process has a layout: that of the parent it was forked from.
    ///
    /// # Errors
    /// The kernel's table is full.
    pub fn attribute_at_first(&mut self, pid: u32, layout: Python) -> Result<(), CaptureError> {
        match self.pythons.get(&pid, 0) {
            Ok(_) => Ok(()),
            Err(_) => self.attribute(pid, layout),
        }
    }

    /// Are those functions probed already? Then `pid` counts among the processes that use them.
    pub fn joins_functions(&mut self, pid: u32, file: FileKey, what: &'static str) -> bool {
        self.libraries.joins(pid, (file, what))
    }

    /// Attributes what `pid` does to requests, by this layout.
    ///
    /// # Errors
    /// The kernel's table is full.
    pub fn attribute(&mut self, pid: u32, layout: Python) -> Result<(), CaptureError> {
        let bytes: [u8; size_of::<Python>()] = zerocopy::transmute!(layout);
        self.pythons.insert(pid, bytes, 0).map_err(table("PYTHONS"))
    }

    /// Looks at exceptions of `pid` that end in a failed response or on standard error. It has to be attributed as well.
    ///
    /// # Errors
    /// The kernel's table is full.
    pub fn look_at_exceptions(&mut self, pid: u32, layout: Raising) -> Result<(), CaptureError> {
        let bytes: [u8; size_of::<Raising>()] = zerocopy::transmute!(layout);
        self.raising.insert(pid, bytes, 0).map_err(table("RAISING"))
    }

    /// Sends nothing of exceptions that leave a function, until a time.
    pub fn mute(&mut self, function: Muted, until: Time) {
        let key: [u8; size_of::<Muted>()] = zerocopy::transmute!(function);
        // The table drops what was used least recently: then it is sent, and muted again.
        let _no_room = self.muted.insert(key, until.0, 0);
    }

    /// Sends the call stacks that make outgoing calls of `pid`. It has to be attributed as well.
    ///
    /// # Errors
    /// The kernel's table is full.
    pub fn walk_stacks(&mut self, pid: u32, layout: Stacks) -> Result<(), CaptureError> {
        let bytes: [u8; size_of::<Stacks>()] = zerocopy::transmute!(layout);
        self.stacks.insert(pid, bytes, 0).map_err(table("STACKS"))
    }

    /// A call stack is not known any more: it is to be sent again when it makes another call.
    pub fn forget_stack(&mut self, number: u64) {
        // Not there is what is wanted.
        let _absent = self.stacks_sent.remove(&number);
    }

    /// Walks of `pid`'s stacks may end at this frame: what is further out does not matter.
    pub fn end_stacks_at(&mut self, pid: u32, frame: &RaisedFrame) {
        // The table drops what was used least recently: then walks are longer.
        let _no_room = self.stack_ends.insert([frame.code, u64::from(pid)], frame.name, 0);
    }

    /// They may not any more: another code may lie at that address.
    pub fn go_past(&mut self, pid: u32, code: u64) {
        // Not there is what is wanted.
        let _absent = self.stack_ends.remove(&[code, u64::from(pid)]);
    }

    /// Captures nothing more of `pid`; it may be gone already.
    pub fn forget(&mut self, pid: u32) {
        self.libraries.forget(&mut self.ebpf, pid);
        // Not there is what is wanted.
        let _absent = self.targets.remove(&pid);
        let _absent = self.pythons.remove(&pid);
        let _absent = self.raising.remove(&pid);
        let _absent = self.stacks.remove(&pid);
    }

    /// Tells the probes that nothing more of a connection is wanted but its end.
    pub fn ignore(&mut self, conn: &Info) {
        asked::change(&self.ebpf, conn, asked::IGNORE);
    }

    /// Takes a connection that is over out of the probes' table.
    pub fn remove(&mut self, conn: &Info) {
        asked::change(&self.ebpf, conn, asked::REMOVE);
    }

    /// Waits until something urgent came, the ring fills up, or `timeout` is over.
    pub fn wait(&self, timeout: Duration) {
        let mut poll = libc::pollfd { fd: self.ring.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one valid pollfd. An interrupted wait is as good as one that is over.
        unsafe { libc::poll(&raw mut poll, 1, millis) };
    }

    /// Hands out what is in the ring, `at_most` records of it; returns how many there were.
    pub fn drain(&mut self, at_most: usize, mut each: impl FnMut(Captured<'_>)) -> usize {
        let mut count = 0;
        while count < at_most
            && let Some(record) = self.ring.next()
        {
            count += 1;
            match apm_agent_ebpf::decode(&record).and_then(convert::event) {
                Some(event) => each(event),
                None => self.undecodable += 1,
            }
        }
        count
    }

    /// Writes the counters that the kernel side keeps into `losses`.
    pub fn read_losses(&self, losses: &mut Losses) {
        losses.set(Loss::RingFull, self.counter(counter::RING_FULL));
        losses.set(Loss::ChunksCut, self.counter(counter::CHUNKS_CUT));
        losses.set(Loss::PayloadFault, self.counter(counter::PAYLOAD_FAULT));
        losses.set(
            Loss::ConnectionTableFull,
            self.counter(counter::CONN_TABLE_FULL) + self.counter(counter::TLS_TABLE_FULL),
        );
        losses.set(Loss::ThreadStateMissing, self.counter(counter::THREAD_STATE_MISSING));
        losses.set(Loss::ContextUnreadable, self.counter(counter::NO_CONTEXT));
        losses.set(Loss::AttributionTableFull, self.counter(counter::ATTRIBUTION_TABLE_FULL));
        losses.add(Loss::ExceptionsUnread, self.counter(counter::EXCEPTIONS_LOST));
        losses.set(Loss::Undecodable, self.undecodable);
    }

    /// Events that the probes have written.
    pub fn events(&self) -> u64 {
        self.counter(counter::EVENTS)
    }

    /// Bytes that waited in the ring at the last event of the fullest CPU.
    pub fn ring_used(&self) -> u64 {
        self.highest(counter::RING_WAITING)
    }

    /// Does so much wait in the ring that the probes wake who reads it?
    pub fn is_filling(&self) -> bool {
        self.ring_used() > u64::from(wake_at(self.ring_bytes))
    }

    /// Most bytes that ever waited in the ring.
    pub fn ring_peak(&self) -> u64 {
        self.highest(counter::RING_PEAK)
    }

    fn counter(&self, index: u32) -> u64 {
        self.counters.get(&index, 0).map(|values| values.iter().sum()).unwrap_or(0)
    }

    fn highest(&self, index: u32) -> u64 {
        self.counters.get(&index, 0).ok().and_then(|values| values.iter().max().copied()).unwrap_or(0)
    }
}

/// A probe, and why the kernel refused it if it did.
pub type Support = (Probe, Result<(), String>);

/// Tries every probe by itself, for `apm-agent check`.
///
/// # Errors
/// The object as a whole was refused.
pub fn support() -> Result<Vec<Support>, CaptureError> {
    let mut ebpf = load(CaptureOptions { ring_bytes: 1 << 16 })?;
    Ok(tracefs::with_tracefs(|| attach::each(&mut ebpf)))
}

/// Name of a program and the instructions that the verifier walked, `None` where the kernel does not tell; or why it
/// refused the program.
pub type Verified = (String, Result<Option<u32>, String>);

/// Loads every program of the object and attaches none.
///
/// # Errors
/// The object as a whole was refused.
pub fn verified() -> Result<Vec<Verified>, CaptureError> {
    let mut ebpf = load(CaptureOptions { ring_bytes: 1 << 16 })?;
    let programs = ebpf.programs_mut();
    Ok(programs.map(|(name, program)| (name.to_owned(), attach::load(program))).collect())
}

/// Now, on the clock of the probes.
pub fn now() -> Time {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut ts) };
    Time(u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0))
}

/// Bytes in the ring above which the probes wake who reads it.
fn wake_at(ring_bytes: u32) -> u32 {
    ring_bytes / 4
}

fn load(options: CaptureOptions) -> Result<Ebpf, CaptureError> {
    let types = KernelTypes::of_running_kernel()?;
    let mut offsets: Vec<(&'static str, u32)> = Vec::new();
    macro_rules! look_up {
        ($($name:ident = ($structure:literal, $path:literal);)*) => {
            $(offsets.push((stringify!($name), types.offset($structure, $path)?));)*
        };
    }
    apm_agent_ebpf::kernel_offsets!(look_up);
    let wake_at = wake_at(options.ring_bytes);
    let mut loader = EbpfLoader::new();
    for (name, offset) in &offsets {
        loader.override_global(name, offset, true);
    }
    loader.override_global("WAKE_AT", &wake_at, true);
    loader.map_max_entries("EVENTS", options.ring_bytes);
    loader.load(PROBES).map_err(|e| CaptureError::Load(attach::chain(&e)))
}

fn take(ebpf: &mut Ebpf, map: &'static str) -> Result<aya::maps::Map, CaptureError> {
    ebpf.take_map(map).ok_or_else(|| CaptureError::Load(format!("its object lacks the map {map}")))
}

fn table(map: &'static str) -> impl Fn(MapError) -> CaptureError {
    move |source| CaptureError::Map { map, source }
}

#[cfg(test)]
mod tests;
