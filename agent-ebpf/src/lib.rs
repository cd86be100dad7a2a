//! The wire: what the probes write into the ring buffer and what they share with user space through maps.
//!
//! This library is compiled for both sides. All integers are in host byte order unless a field says otherwise; all
//! structs are `repr(C)` without padding, which `zerocopy` proves at compile time.
#![no_std]

pub mod asked;
pub mod change;
mod decode;
mod python;
mod raised;
mod stack;

pub use decode::{Event, decode};
pub use python::{Python, held_in, link, python_flags};
pub use raised::{
    ARGUMENTS_MAX, CHAIN_MAX, FRAMES_MAX, LOCAL_TEXT_MAX, LOCALS_MAX, Left, Muted, Raised, RaisedFrame,
    RaisedLocal, RaisedValue, Raising, TEXT_MAX, left_flags, raised_flags, relation, seen_at, unwinding,
};
pub use stack::{Begun, STACK_MAX, Stack, Stacks, frame_shape};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of a chunk's start in one event. One less than a power of two, so that it is a mask as well.
pub const CAPTURE_MAX: usize = 16 * 1024 - 1;
/// Bytes copied from the start of a chunk once the budget of its run is spent.
pub const SKIM_HEAD: usize = 256;
/// Bytes copied from the end of a chunk that is not copied whole: an error message behind rows. A power of two.
pub const SKIM_TAIL: usize = 256;
/// Entries of an `iovec` array that are looked at.
pub const IOV_MAX: usize = 16;
/// Most bytes copied from one entry of an `iovec` array; a mask as well.
pub const IOV_STEP: usize = 8 * 1024 - 1;

/// Size of `sun_path` (`UNIX_PATH_MAX`), rounded up.
pub const UNIX_PATH_MAX: usize = 112;

/// Bytes of a host's name with its zero (RFC 1035, 2.3.4: 255 at most).
pub const HOST_MAX: usize = 256;
/// Bytes of a port, or of a service's name, with its zero.
pub const PORT_MAX: usize = 32;

/// Most events that one call's bytes are sent in, where every byte is wanted.
pub const PIECES_MAX: usize = 64;

/// What an event is; the first field of every event.
pub mod kind {
    /// Bytes moved over a connection: [`super::Data`] and its payload.
    pub const DATA: u32 = 1;
    /// A connection was first seen: [`super::Opened`].
    pub const OPENED: u32 = 2;
    /// Something happened to a connection: [`super::Changed`].
    pub const CHANGED: u32 = 3;
    /// A process came, changed or went: [`super::Process`].
    pub const PROCESS: u32 = 4;
    /// A TLS stream was bound to its socket: [`super::Bound`].
    pub const BOUND: u32 = 5;
    /// An exception was being handled: [`super::Raised`].
    pub const RAISED: u32 = 6;
    /// A call stack that chunks name from now on: [`super::Stack`].
    pub const STACK: u32 = 7;
    /// The path of a Unix socket: [`super::Named`].
    pub const NAMED: u32 = 8;
    /// Which code makes a connection: [`super::Connecting`].
    pub const CONNECTING: u32 = 9;
    /// A name could not be resolved: [`super::Unresolved`].
    pub const UNRESOLVED: u32 = 10;
    /// Bytes wait to be written to a connection: [`super::Queued`].
    pub const QUEUED: u32 = 11;
    /// Two call stacks that chunks name as one from now on: [`super::Begun`].
    pub const BEGUN: u32 = 12;
    /// An exception leaves a function: [`super::Left`].
    pub const LEFT: u32 = 13;
}

/// Flags of [`Data`].
pub mod data_flags {
    /// The process sent the bytes (else it received them).
    pub const WRITE: u16 = 1;
    /// The bytes open a TLS session: the connection carries ciphertext and nothing of it follows.
    pub const TLS: u16 = 1 << 1;
    /// The payload could not be read from the process's memory; the length is right.
    pub const FAULT: u16 = 1 << 2;
    /// Plaintext at the TLS boundary, not bytes of a socket.
    pub const PLAINTEXT: u16 = 1 << 3;
}

/// Bytes moved over a connection. `head` bytes from the start of the chunk follow, then `tail` bytes from its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Data {
    /// [`kind::DATA`]
    pub kind: u32,
    /// Thread that made the call.
    pub tid: u32,
    /// Process that made the call.
    pub tgid: u32,
    /// Bytes that the call moved.
    pub len: u32,
    /// When the call returned, ns of the monotonic clock.
    pub time: u64,
    /// The connection.
    pub conn: u64,
    /// Position of the first byte in its direction of the connection, counted from when it was first seen.
    pub pos: u64,
    /// Bytes of the chunk's start that follow.
    pub head: u32,
    /// Bytes of the chunk's end that follow those.
    pub tail: u16,
    /// [`data_flags`]
    pub flags: u16,
    /// Which code moved the bytes.
    pub origin: Origin,
}

/// Which code moved some bytes. All zero where attribution is off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Origin {
    /// The request it ran for.
    pub request: u64,
    /// Generation of the context, thread or greenlet. Of bytes that were read where no request of HTTP/1 has come before:
    /// a number taken then, lower than that of each unit made since.
    pub unit: u64,
    /// Generations it was copied from, nearest first.
    pub ancestors: [u64; 3],
    /// Number of the call stack that made an outgoing call: [`Stack`]; 0 = none.
    pub stack: u64,
    /// How `request` is known: [`link`].
    pub how: u32,
    /// 1: `unit` is the context or greenlet that ran; not the thread, nor one that had queued the bytes.
    pub in_unit: u32,
}

/// How a connection came to be known.
pub mod opened_by {
    /// Bytes moved over it; it is older than the agent, or was handed over in a way that is not watched.
    pub const DATA: u16 = 0;
    /// The process accepted it.
    pub const ACCEPT: u16 = 1;
    /// The process connected it.
    pub const CONNECT: u16 = 2;
    /// A TLS stream joined in mid-life.
    pub const TLS_DATA: u16 = 3;
    /// A TLS stream that the process accepts.
    pub const TLS_ACCEPT: u16 = 4;
    /// A TLS stream that the process opens.
    pub const TLS_CONNECT: u16 = 5;
}

/// Address family numbers of Linux (`include/linux/socket.h`).
pub mod family {
    /// Unix sockets.
    pub const UNIX: u16 = 1;
    /// IPv4.
    pub const INET: u16 = 2;
    /// IPv6.
    pub const INET6: u16 = 10;
}

/// A connection was first seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Opened {
    /// [`kind::OPENED`]
    pub kind: u32,
    /// Thread that made the call.
    pub tid: u32,
    /// Process that made the call.
    pub tgid: u32,
    /// [`opened_by`]
    pub by: u16,
    /// [`family`]
    pub family: u16,
    /// When the call returned.
    pub time: u64,
    /// The connection.
    pub conn: u64,
    /// Key of the connection in the kernel's table.
    pub key: u64,
    /// Inode of the socket, as in `/proc/PID/fd` and `/proc/net/*`.
    pub inode: u64,
    /// Local address, network byte order; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Peer's address, likewise.
    pub peer: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Peer's port, host byte order.
    pub peer_port: u16,
    /// `errno` where the connect failed at once; 0 otherwise.
    pub error: u32,
}

/// The path that a Unix socket is bound to; follows [`Opened`].
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Named {
    /// [`kind::NAMED`]
    pub kind: u32,
    /// Bytes of the path.
    pub len: u32,
    /// The connection.
    pub conn: u64,
    /// 1 where it is the peer's, 0 where it is the process's own.
    pub is_peers: u32,
    /// Zero.
    pub reserved: u32,
    /// `sun_path`, see unix(7): an abstract one begins with a zero.
    pub path: [u8; UNIX_PATH_MAX],
}

/// Which code makes a connection; comes before its [`Opened`], where attribution is on.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Connecting {
    /// [`kind::CONNECTING`]
    pub kind: u32,
    /// Thread that made the call.
    pub tid: u32,
    /// The connection.
    pub conn: u64,
    /// The code.
    pub origin: Origin,
}

/// Bytes wait to be written to a connection, by code that another piece of work may write them for, together with others.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Queued {
    /// [`kind::QUEUED`]
    pub kind: u32,
    /// Thread that queued them.
    pub tid: u32,
    /// The connection.
    pub conn: u64,
    /// Position of the first byte, as in [`Data`].
    pub pos: u64,
    /// Bytes.
    pub len: u64,
    /// The code that queued them.
    pub origin: Origin,
}

/// A name could not be resolved.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Unresolved {
    /// [`kind::UNRESOLVED`]
    pub kind: u32,
    /// Thread that asked.
    pub tid: u32,
    /// Process.
    pub tgid: u32,
    /// What getaddrinfo(3) returned.
    pub error: i32,
    /// When it was called.
    pub started: u64,
    /// When it returned.
    pub time: u64,
    /// For whom.
    pub origin: Origin,
    /// Bytes of the name, its zero included; 0 where it could not be read.
    pub host_len: u32,
    /// Bytes of the port, likewise.
    pub port_len: u32,
    /// The name.
    pub host: [u8; HOST_MAX],
    /// The port, or a service's name.
    pub port: [u8; PORT_MAX],
}

/// Something happened to a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Changed {
    /// [`kind::CHANGED`]
    pub kind: u32,
    /// [`change`]
    pub change: u32,
    /// When.
    pub time: u64,
    /// The connection.
    pub conn: u64,
    /// See [`change`].
    pub value: u32,
    /// Process that was running; meaningless for changes that the network caused.
    pub tgid: u32,
    /// Bytes read from the connection so far: what user space has seen less of was lost.
    pub read: u64,
    /// Bytes written to it so far.
    pub written: u64,
}

/// A TLS stream runs over this connection: proven by a system call on its socket within a call on the stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Bound {
    /// [`kind::BOUND`]
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// When.
    pub time: u64,
    /// The TLS stream's connection.
    pub stream: u64,
    /// The socket's connection.
    pub socket: u64,
}

/// What happened to a process.
pub mod life {
    /// It was forked by `parent`.
    pub const FORK: u32 = 1;
    /// It replaced its program.
    pub const EXEC: u32 = 2;
    /// It ended.
    pub const EXIT: u32 = 3;
    /// It mapped a file with code in it: a library was loaded.
    pub const MAPPED: u32 = 4;
}

/// A process came, changed or went.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Process {
    /// [`kind::PROCESS`]
    pub kind: u32,
    /// [`life`]
    pub life: u32,
    /// When.
    pub time: u64,
    /// The process.
    pub tgid: u32,
    /// Its parent, for forks.
    pub parent: u32,
    /// 1 when it was watched at that moment.
    pub watched: u32,
    /// Zero.
    pub reserved: u32,
}

/// Declares the offsets of kernel structures that user space looks up in the kernel's BTF. The probes read them from globals of these
/// names; the loader finds each by `(struct, member path)`.
#[macro_export]
macro_rules! kernel_offsets {
    ($with:ident) => {
        $with! {
            OFF_TASK_FILES = ("task_struct", "files");
            OFF_TASK_TGID = ("task_struct", "tgid");
            OFF_TASK_PID = ("task_struct", "pid");
            OFF_TASK_FSBASE = ("task_struct", "thread.fsbase");
            OFF_FILES_FDT = ("files_struct", "fdt");
            OFF_FDT_FD = ("fdtable", "fd");
            OFF_FDT_MAX = ("fdtable", "max_fds");
            OFF_FILE_PRIVATE = ("file", "private_data");
            OFF_FILE_INODE = ("file", "f_inode");
            OFF_INODE_MODE = ("inode", "i_mode");
            OFF_INODE_INO = ("inode", "i_ino");
            OFF_SOCKET_SK = ("socket", "sk");
            OFF_SK_FAMILY = ("sock", "__sk_common.skc_family");
            OFF_SK_TYPE = ("sock", "sk_type");
            OFF_UNIX_ADDR = ("unix_sock", "addr");
            OFF_UNIX_PEER = ("unix_sock", "peer");
            OFF_UNIX_ADDRESS_LEN = ("unix_address", "len");
            OFF_UNIX_ADDRESS_NAME = ("unix_address", "name");
            OFF_SK_ERR = ("sock", "sk_err");
            OFF_SK_SHUTDOWN = ("sock", "sk_shutdown");
            OFF_SK_DADDR = ("sock", "__sk_common.skc_daddr");
            OFF_SK_SADDR = ("sock", "__sk_common.skc_rcv_saddr");
            OFF_SK_DADDR6 = ("sock", "__sk_common.skc_v6_daddr");
            OFF_SK_SADDR6 = ("sock", "__sk_common.skc_v6_rcv_saddr");
            OFF_SK_DPORT = ("sock", "__sk_common.skc_dport");
            OFF_SK_NUM = ("sock", "__sk_common.skc_num");
        }
    };
}

/// The probes' own counters, indices into the map `COUNTERS`.
pub mod counter {
    /// Events that found no room in the ring buffer.
    pub const RING_FULL: u32 = 0;
    /// Payloads that could not be read.
    pub const PAYLOAD_FAULT: u32 = 1;
    /// Connections that found no room in `CONNS`.
    pub const CONN_TABLE_FULL: u32 = 2;
    /// Events written.
    pub const EVENTS: u32 = 3;
    /// TLS streams or calls that found no room in `TLS_STREAMS` or `TLS_CALLS`.
    pub const TLS_TABLE_FULL: u32 = 4;
    /// Bytes that waited in the ring at the last event of this CPU.
    pub const RING_WAITING: u32 = 5;
    /// Most bytes that ever waited there.
    pub const RING_PEAK: u32 = 6;
    /// Times the Python thread state of a thread was not found.
    pub const THREAD_STATE_MISSING: u32 = 7;
    /// Times what should be a Python context was none.
    pub const NO_CONTEXT: u32 = 8;
    /// Threads, contexts, groups or hand-overs that found no room in the tables of attribution.
    pub const ATTRIBUTION_TABLE_FULL: u32 = 9;
    /// Exceptions that found no room in the ring buffer.
    pub const EXCEPTIONS_LOST: u32 = 10;
    /// Chunks of which less was copied than is wanted, as the ring was nearly full.
    pub const CHUNKS_CUT: u32 = 11;
    /// How many counters there are.
    pub const COUNT: u32 = 16;
}

/// Flags of [`Conn`].
pub mod conn_flags {
    /// User space has been told of it.
    pub const ANNOUNCED: u16 = 1;
    /// It carries ciphertext: nothing of it is copied.
    pub const TLS: u16 = 1 << 1;
    /// User space wants nothing of it: no event but its end.
    pub const IGNORED: u16 = 1 << 2;
    /// A TLS stream whose socket is known.
    pub const BOUND: u16 = 1 << 3;
    /// It has ended. The entry stays until user space takes it away: a system call that moved its last bytes may still
    /// be on its way out of the kernel.
    pub const ENDED: u16 = 1 << 4;
    /// The process has read a request from it.
    pub const SERVES: u16 = 1 << 5;
    /// Code of another unit than the writing one may have queued what is written: see `attribution` in the probes.
    pub const QUEUED: u16 = 1 << 6;
    /// It carries HTTP/2: heads of several streams stand anywhere in a run, and none may be left out.
    pub const WHOLE: u16 = 1 << 7;
    /// The process is a client of PostgreSQL: of what it writes, pipelined statements, none may be left out either.
    pub const STATEMENTS: u16 = 1 << 8;
    /// The process has closed a descriptor of it: what else stands for it there may stand for another connection now.
    pub const LET_GO: u16 = 1 << 9;
    /// uvloop reads it: what it writes of a response after its head tells nothing of who wrote that.
    pub const UVLOOP: u16 = 1 << 10;
    /// The process is a client of Redis: of the commands that it pipelines none may be left out.
    pub const COMMANDS: u16 = 1 << 11;
}

/// A connection in the kernel's table `CONNS`, keyed by the address of its `struct sock`, or a TLS stream in `TLS_STREAMS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Conn {
    /// Its number, unique while the agent runs.
    pub id: u64,
    /// Inode of its socket: tells a reused `struct sock` from its predecessor.
    pub inode: u64,
    /// Bytes read so far.
    pub read: u64,
    /// Bytes written so far.
    pub written: u64,
    /// The request that was read last, 0 if none; pipelined requests that are read together share one.
    pub request: u64,
    /// Units that serve it and nothing else (its tasks), as one number; 0 if not known.
    pub group: u64,
    /// Position behind the last byte that is known to be queued for writing.
    pub queued: u64,
    /// Address of the Python context of the connection's transport, where that is uvloop's; a small number counts how often it was
    /// looked for, or for a TLS stream its socket.
    pub context: u64,
    /// Bytes that may still be copied in the current run of one direction.
    pub budget: u32,
    /// Process that used it last.
    pub tgid: u32,
    /// [`conn_flags`]
    pub flags: u16,
    /// [`opened_by`]
    pub by: u16,
    /// Direction of the current run: 0 read, 1 write, 2 none yet.
    pub run: u16,
    /// [`family`]
    pub family: u16,
    /// Bytes of replies that are wanted whole: those to a pipeline of statements or commands.
    pub allowance: u32,
    /// Bytes that are still to be written of a large message that began with a run of writes.
    pub message_left: u32,
}

/// Flags of a process in the map `TARGETS`.
pub mod target_flags {
    /// Its traffic is captured.
    pub const WATCHED: u32 = 1;
}
