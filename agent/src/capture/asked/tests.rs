//! Programs on the table of connections, run without any socket.

use apm_agent_ebpf::{Conn, conn_flags};
use apm_core::exchange::{ConnId, Endpoint};
use apm_core::time::Time;
use aya::maps::{HashMap, MapData};
use zerocopy::FromZeros as _;

use super::*;
use crate::capture::{CaptureOptions, attach, load, take};

/// Address of a socket, as far as these tests care.
const KEY: u64 = 0xffff_8880_1234_5678;
/// The program that is told of a socket's states.
const STATES: &str = "inet_sock_set_state";
/// TCP states of `include/net/tcp_states.h`.
const SYN_SENT: u64 = 2;
const CLOSE: u64 = 7;

/// An entry as it lies in the table.
type Bytes = [u8; size_of::<Conn>()];

struct Table {
    ebpf: Ebpf,
    entries: HashMap<MapData, u64, Bytes>,
}

impl Table {
    /// `None` where this test may load no program.
    fn new() -> Option<Self> {
        // SAFETY: no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: loading a program needs root");
            return None;
        }
        let mut ebpf = load(CaptureOptions { ring_bytes: 1 << 16 }).expect("the object loads");
        for name in [PROGRAM, STATES] {
            attach::load(ebpf.program_mut(name).expect("the program")).expect("it is taken");
        }
        let entries = HashMap::try_from(take(&mut ebpf, "CONNS").expect("the table")).expect("a table");
        Some(Self { ebpf, entries })
    }

    fn put(&mut self, id: u64, flags: u16) {
        let bytes: Bytes = zerocopy::transmute!(Conn { id, read: 7, flags, by: 1, ..Conn::new_zeroed() });
        self.entries.insert(KEY, bytes, 0).expect("room");
    }

    /// Number, bytes read, flags and how it came to be known.
    fn entry(&self) -> Option<(u64, u64, u16, u16)> {
        let entry: Conn = zerocopy::transmute!(self.entries.get(&KEY, 0).ok()?);
        Some((entry.id, entry.read, entry.flags, entry.by))
    }

    fn ask(&self, id: u64, what: u64) {
        let conn = Info {
            id: ConnId(id),
            key: KEY,
            pid: 1,
            role: None,
            local: Endpoint::Unknown,
            peer: Endpoint::Unknown,
            from_start: true,
            since: Time(0),
            caller: apm_core::exchange::Origin::default(),
            tls: false,
        };
        change(&self.ebpf, &conn, what);
    }

    /// The socket's state changes.
    fn state(&self, old: u64, new: u64) {
        let Some(Program::RawTracePoint(program)) = self.ebpf.program(STATES) else { panic!("no {STATES}") };
        let mut options = RawTracePointRunOptions::new();
        options.args[..3].copy_from_slice(&[KEY, old, new]);
        program.test_run(options).expect("it runs");
    }
}

#[test]
fn what_is_asked_of_a_connection_is_done_to_it_and_never_to_the_one_in_its_place() {
    use conn_flags::{ANNOUNCED, IGNORED};
    let Some(mut table) = Table::new() else { return };
    table.put(1, ANNOUNCED);
    table.ask(1, IGNORE);
    assert_eq!(table.entry(), Some((1, 7, ANNOUNCED | IGNORED, 1)));
    table.ask(1, REMOVE);
    assert_eq!(table.entry(), None);
    // Its socket's address has been taken by another.
    table.put(2, ANNOUNCED);
    table.ask(1, IGNORE);
    table.ask(1, REMOVE);
    assert_eq!(table.entry(), Some((2, 7, ANNOUNCED, 1)));
    table.ask(2, REMOVE);
    assert_eq!(table.entry(), None);
}

#[test]
fn a_connection_that_is_refused_before_it_is_announced_has_its_end_still_to_be_told() {
    use conn_flags::{ANNOUNCED, ENDED};
    let Some(mut table) = Table::new() else { return };
    for (flags, expected) in [(0, 0), (ANNOUNCED, ANNOUNCED | ENDED)] {
        table.put(1, flags);
        table.state(SYN_SENT, CLOSE);
        assert_eq!(table.entry(), Some((1, 7, expected, 1)));
    }
}
